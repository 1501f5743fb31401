"""The scripts of the design in a real browser: they help, and nothing depends on them."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from hypercorn.asyncio import serve
from hypercorn.config import Config
from playwright.async_api import Browser, Page, expect
from quart import Response, render_template_string, request

from tests.unit.test_ui_macros import NOW, gallery, make_app

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUICK = """{% extends "base.html" %}{% import "_macros/ui.html" as ui %}{% block main %}
<form hx-post="/quick" hx-target="#told">{{ ui.button("Add to cart") }}</form><p id="told"></p>{% endblock %}"""
WHEN = """{% extends "base.html" %}{% import "_macros/ui.html" as ui %}{% block main %}
{{ ui.when(at, at, "Europe/Vienna") }}{% endblock %}"""
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'"


@asynccontextmanager
async def served(posted: list[dict[str, str]]) -> AsyncIterator[str]:
    """The gallery on a free port under the strict policy; `posted` collects the forms that arrive."""
    app = make_app()

    @app.get("/gallery")
    async def show() -> str:
        return await gallery(app)

    @app.get("/when/<moment>")
    async def when(moment: str) -> str:
        return await render_template_string(WHEN, at=datetime.fromisoformat(moment))

    @app.post("/p/nordlicht/slow-songs/buy")
    async def buy() -> tuple[str, int]:
        posted.append((await request.form).to_dict())
        return "", 204

    @app.get("/quick")
    async def quick() -> str:
        return await render_template_string(QUICK)

    @app.post("/quick")
    async def deed() -> tuple[str, int, dict[str, str]]:
        badge = '<span class="count" id="badge" hx-swap-oob="true">3</span>'
        return f"At most 8 of these.{badge}", 422

    @app.after_request
    async def policy(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = POLICY
        return response

    stop = asyncio.Event()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = Config()
    port = listener.getsockname()[1]
    config.bind = [f"fd://{listener.detach()}"]  # the server closes it
    config.loglevel = "ERROR"
    server = asyncio.create_task(serve(app, config, shutdown_trigger=stop.wait))
    yield f"http://127.0.0.1:{port}/gallery"
    stop.set()
    await server


@pytest_asyncio.fixture(loop_scope="session")
async def browser(chromium: Browser) -> AsyncIterator[Browser]:
    """The one Chromium of this process; what a test opened is closed after it."""
    yield chromium
    for context in chromium.contexts:
        await context.close()


async def opened(browser: Browser, address: str, **context: object) -> Page:
    """A new page at this address; a message of the policy or of a script fails the test."""
    page = await (await browser.new_context(**context)).new_page()  # type: ignore[arg-type]
    page.on("console", lambda message: pytest.fail(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    await page.goto(address)
    return page


async def test_stepper_counts_within_its_limits_and_keeps_the_total(browser: Browser) -> None:
    async with served([]) as address:
        page = await opened(browser, address, viewport={"width": 360, "height": 780})
        number = page.get_by_label("Standing", exact=True)
        more, less = (page.get_by_role("button", name=f"One {word}: Standing") for word in ("more", "less"))
        total = page.locator(".sticky output")
        await expect(less).to_be_disabled()
        await more.click()
        await expect(number).to_have_value("2")  # the smallest order is two
        await expect(total).to_have_text("€49.00")
        for _ in range(6):
            await more.click()
        await expect(number).to_have_value("8")
        await expect(more).to_be_disabled()
        await expect(total).to_have_text("€196.00")
        await number.fill("1")
        await less.click()
        await expect(number).to_have_value("0")
        await expect(total).to_have_text("€0.00")
        # the total of the checkout beside it belongs to no form with numbers
        await expect(page.locator("aside output")).to_have_text("€66.50")


async def test_form_is_sent_once_and_says_so(browser: Browser) -> None:
    posted: list[dict[str, str]] = []
    async with served(posted) as address:
        page = await opened(browser, address)
        await page.clock.install()
        button = page.locator("#buy .button--primary")
        async with page.expect_response("**/buy"):
            await button.dblclick()
        await expect(button).to_have_text("One moment…")
        await expect(button).to_have_attribute("aria-disabled", "true")
        await page.clock.fast_forward(5000)
        await expect(button).to_have_text("Very busy: waiting for your turn…")
        await expect(page.locator("#said")).to_have_text("Very busy: waiting for your turn…")
        await page.locator("#buy .button--quiet").click()
        await page.reload()
        await expect(button).to_have_text("Add to cart")
    assert len(posted) == 1


async def test_htmx_shows_a_refusal_in_place_and_renews_the_badge(browser: Browser) -> None:
    """Under the strict policy; a form that htmx sent can be sent again once it is answered (spec: B11)."""
    async with served([]) as address:
        page = await (await browser.new_context()).new_page()
        await page.goto(address.replace("/gallery", "/quick"))
        for _ in range(2):
            await page.get_by_role("button", name="Add to cart").click()
            await expect(page.locator("#told")).to_have_text("At most 8 of these.")
            await expect(page.locator(".count")).to_have_text("3")
            await expect(page.get_by_role("button", name="Add to cart")).to_be_enabled()
            await page.evaluate("document.querySelectorAll('#told, .count').forEach(e => e.textContent = '')")


async def test_hold_runs_out_in_words(browser: Browser) -> None:
    """The bar follows the time the server said was left; over, it says what comes next (spec: B9, H10)."""
    async with served([]) as address:
        page = await opened(browser, "about:blank", timezone_id="Europe/Vienna")
        await page.clock.install(time=NOW)
        await page.goto(address)
        words, bar = page.locator("[data-hold-words]").first, page.locator(".hold progress").first
        await expect(words).to_have_text("Held for you until 20:04 (Vienna), 20 minutes left")
        await page.clock.run_for(timedelta(minutes=10) // timedelta(milliseconds=1))
        await expect(words).to_have_text("Held for you until 20:04 (Vienna), 10 minutes left")
        assert 590 < await bar.evaluate("bar => bar.value") <= 600
        await page.clock.run_for(timedelta(minutes=11) // timedelta(milliseconds=1))
        await expect(words).to_contain_text("The hold has ended.")


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        ("Europe/Vienna", "Vienna time"),
        ("Europe/London", "Vienna time · 19:00 your time"),
        ("Asia/Tokyo", "Vienna time · 13 Dec 2026, 04:00 your time"),
    ],
)
async def test_viewers_own_time_where_it_differs(browser: Browser, zone: str, words: str) -> None:
    """An event's beside the page's own, a deadline's instead of it (spec: B9)."""
    async with served([]) as address:
        page = await opened(browser, address, timezone_id=zone)
        await expect(page.locator("[data-local-time]").first).to_have_text(words)
        clock = {"Europe/Vienna": "20:04 (Vienna)", "Europe/London": "19:04 your time"}
        held = clock.get(zone, "13 Dec 2026, 04:04 your time")
        await expect(page.locator("[data-hold-words]").first).to_contain_text(
            f"until {held}, 20 minutes left"
        )


@pytest.mark.parametrize(
    ("moment", "zone", "words"),
    [
        ("2026-10-25T00:30Z", "Europe/London", "Vienna time · 01:30 (BST) your time"),
        ("2026-10-25T01:30Z", "Europe/London", "Vienna time · 01:30 (GMT) your time"),
        ("2026-10-25T02:00Z", "Europe/London", "Vienna time · 02:00 your time"),
        ("2026-10-24T23:59Z", "Europe/London", "Vienna time · 00:59 your time"),
        ("2026-03-29T01:30Z", "Europe/London", "Vienna time · 02:30 your time"),
        ("2026-04-04T15:15Z", "Australia/Lord_Howe", "Vienna time · 5 Apr 2026, 01:45 (GMT+10:30) your time"),
    ],
)
async def test_viewers_own_time_in_a_doubled_hour_says_which(
    browser: Browser, moment: str, zone: str, words: str
) -> None:
    """Two moments an hour apart were both "01:30 your time"."""
    async with served([]) as address:
        page = await opened(browser, address.replace("gallery", f"when/{moment}"), timezone_id=zone)
        await expect(page.locator("[data-local-time]")).to_have_text(words)


async def test_without_scripts_numbers_are_plain_fields(browser: Browser) -> None:
    posted: list[dict[str, str]] = []
    async with served(posted) as address:
        page = await opened(browser, address, java_script_enabled=False)
        await expect(page.get_by_role("button", name="One more: Standing")).to_be_hidden()
        await page.get_by_label("Standing", exact=True).fill("3")
        async with page.expect_response("**/buy"):
            await page.locator("#buy .button--primary").click(no_wait_after=True)
    assert posted[0]["n1"] == "3"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
async def test_nothing_serious_for_axe_and_nothing_wider_than_the_page(
    browser: Browser, scheme: str, width: int
) -> None:
    async with served([]) as address:
        page = await opened(browser, address, viewport={"width": width, "height": 800}, color_scheme=scheme)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        found = (await Axe().run(page)).response["violations"]
    assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in found] == []
