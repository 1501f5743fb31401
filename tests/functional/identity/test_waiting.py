"""The page of the code while its mail is used elsewhere, and browsers that keep no cookies."""

import re

import pytest

from shared.clock import ManualClock
from shared.identity import routes
from shared.identity.models import SignInChallenge
from shared.models import OutgoingMail
from shared.web import Tillgate
from tests.functional.identity.asking import EMAIL, ask, code_in, count, is_signed_in, link_in
from tests.shop import page_of
from tests.support import Browser, browser

WAITING = "/sign-in/code/waiting?turn="
HTMX = {"HX-Request": "true"}
USED = "Signed in on your other device."


def next_turn(page: str) -> tuple[int, int] | None:
    """Which turn the page asks for next, and after how many seconds."""
    found = re.search(
        r'hx-get="/sign-in/code/waiting\?turn=(\d+)" hx-trigger="load delay:(\d+)s" hx-swap="outerHTML"', page
    )
    return (int(found[1]), int(found[2])) if found else None


async def test_link_elsewhere_is_said_and_signs_nobody_else_in(app: Tillgate) -> None:
    """Mallory asks for a mail to Ada's address and waits: that Ada uses its link never signs Mallory's browser in."""
    mallory, ada = browser(app), browser(app)
    mail = await ask(mallory)
    assert next_turn(await page_of(await mallory.get("/sign-in/code"))) == (1, 4)
    assert USED not in await page_of(await mallory.get(f"{WAITING}1", headers=HTMX))
    await ada.post(link_in(mail))
    assert await is_signed_in(ada)
    answer = await mallory.get(f"{WAITING}2", headers=HTMX)
    page = await page_of(answer)
    assert USED in page
    assert "type the code here" in page
    assert answer.headers["HX-Retarget"] == "#mail"
    assert "HX-Redirect" not in answer.headers
    assert "Set-Cookie" not in answer.headers
    assert next_turn(page) is None
    assert not await is_signed_in(mallory)
    # said without scripts too, with the field for the code
    page = await page_of(await mallory.get("/sign-in/code"))
    assert USED in page
    assert 'name="code"' in page
    assert next_turn(page) is None


async def test_link_in_another_tab_goes_on_by_itself(app: Tillgate) -> None:
    """The same browser: what waits there goes where the link led."""
    client = browser(app)
    await client.post(link_in(await ask(client, going_to="/p/oper")))
    answer = await client.get(f"{WAITING}3", headers=HTMX)
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (200, "/p/oper")
    answer = await client.get("/sign-in/code")
    assert (answer.status_code, answer.location) == (303, "/p/oper")


async def test_questions_are_gentle_and_end(app: Tillgate) -> None:
    """Never less than three seconds apart, a quarter of an hour in all, each answered by one statement."""
    client = browser(app)
    await ask(client)
    turn, seconds, asked = next_turn(await page_of(await client.get("/sign-in/code"))), 0, 0
    while turn is not None:
        assert turn[1] >= 3
        asked, seconds = asked + 1, seconds + turn[1]
        assert asked < 100
        turn = next_turn(await page_of(await client.get(f"{WAITING}{turn[0]}", headers=HTMX)))
    assert 14 * 60 <= seconds <= 16 * 60
    assert asked == routes.TURNS


@pytest.mark.parametrize("turn", ["", "x", "-1", "1000", "٣", "\x00", "9" * 400])
async def test_nonsense_ends_the_questions(app: Tillgate, turn: str) -> None:
    """No such turn: nothing to show, nothing to ask again."""
    client = browser(app)
    await ask(client)
    answer = await client.get("/sign-in/code/waiting", query_string={"turn": turn}, headers=HTMX)
    assert (answer.status_code, await answer.get_data()) == (204, b"")


async def test_only_the_browser_that_asked_is_told(app: Tillgate) -> None:
    """Without its cookie there is nothing to hear; and the address alone is no page."""
    await ask(browser(app))
    answer = await browser(app).get(f"{WAITING}1", headers=HTMX)
    assert (answer.status_code, await answer.get_data()) == (204, b"")
    assert (await browser(app).get(f"{WAITING}1")).location == "/sign-in/code"


async def test_mail_that_is_over_is_said(app: Tillgate, clock: ManualClock) -> None:
    """Who waits too long reads why nothing comes, and asks for a new one; so after the sweep."""
    client = browser(app)
    await ask(client)
    clock.advance(minutes=15)
    page = await page_of(await client.get(f"{WAITING}80", headers=HTMX))
    assert "older than 15 minutes" in page
    assert next_turn(page) is None
    clock.advance(days=2)
    await app.sweeps["sign_in"](clock.now())
    assert "older than 15 minutes" in await page_of(await client.get(f"{WAITING}81", headers=HTMX))


def without_cookies(client: Browser) -> Browser:
    """The same browser, which has kept nothing of what it was sent."""
    client.cookie_jar.clear()
    return client


async def test_no_cookies_is_said_before_a_mail_is_sent(app: Tillgate) -> None:
    """The form comes back without the cookie that went out with it: told in words, not asked for ever again."""
    client = browser(app)
    page = await page_of(await client.get("/sign-in?next=/p/hall"))
    assert '<input type="hidden" name="tried" value="1">' in page
    form = {"email": EMAIL, "next": "/p/hall", "tried": "1"}
    for _ in range(2):
        answer = await without_cookies(client).post("/sign-in", form=form)
        page = await page_of(answer)
        assert answer.status_code == 400
        assert "Your browser sends no cookies" in page
        assert f'value="{EMAIL}"' in page
        assert 'href="/p/hall"' in page
        assert await count(app, OutgoingMail) == await count(app, SignInChallenge) == 0
    # allowed meanwhile: the same form, sent again, does it
    answer = await client.post("/sign-in", form=form)
    assert (answer.status_code, answer.location) == (303, "/sign-in/code")


async def test_no_cookies_does_not_use_up_the_link(app: Tillgate) -> None:
    """A browser that cannot stay signed in is told so, and the link still works in another."""
    desk, client = browser(app), browser(app)
    mail = await ask(desk)
    assert '<input type="hidden" name="tried" value="1">' in await page_of(await client.get(link_in(mail)))
    answer = await without_cookies(client).post(link_in(mail), form={"tried": "1"})
    page = await page_of(answer)
    assert answer.status_code == 400
    assert "Your browser sends no cookies" in page
    assert "The link is not used up." in page
    assert f'action="{link_in(mail)}"' in page
    assert (await client.post(link_in(mail), form={"tried": "1"})).status_code == 303
    assert await is_signed_in(client)
    assert (await desk.post("/sign-in", form={"code": code_in(mail)})).status_code == 303
