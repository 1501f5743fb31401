"""One shop and one Chromium for each process of the tests; a context of its own for each visitor of a test."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, async_playwright

from shared.app import create_app
from shared.identity.guard import CurrentUser, cookie_for
from shared.identity.users import find_or_create_user
from shared.settings import ROOT
from shared.web import Tillgate
from tests.browser.complaints import Complaints
from tests.browser.running import RunningShop, running_shop
from tests.browser.visitor import DESKTOP, Visitor, new_address
from tests.conftest import TEMPLATE, fresh_database

RESULTS = ROOT / "test-results"
FAILED = pytest.StashKey[bool]()

Visit = Callable[..., Awaitable[Visitor]]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember for the fixtures whether the test failed."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """The system's Chromium."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert path, "the browser tests need Chromium: apt-get install chromium"
    flags = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shop(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningShop]:
    """Shop, worker, payment stand-in and mail inbox, each a process."""
    async with (
        fresh_database(postgres, TEMPLATE) as url,
        running_shop(url, tmp_path_factory.mktemp("shop")) as running,
    ):
        yield running


@pytest.fixture(scope="session")
def cookie_maker(shop: RunningShop) -> Tillgate:
    """An app with the running shop's secret; serves nothing, signs cookies."""
    return create_app(shop.settings, domains=(), database=shop.database)


@pytest_asyncio.fixture(loop_scope="session")
async def visit(
    request: pytest.FixtureRequest, chromium: Browser, shop: RunningShop, cookie_maker: Tillgate
) -> AsyncIterator[Visit]:
    """Open the shop for a new visitor: `await visit(PHONE, signed_in=True)`.

    What the browser complains of (scripts, policy, missing files, 5xx) fails the test; a failed test leaves
    pictures of its pages in test-results/.
    """
    contexts: list[BrowserContext] = []
    complaints = Complaints()

    async def come(
        device: dict[str, Any] = DESKTOP, *, signed_in: bool = False, email: str = "", **more: Any
    ) -> Visitor:
        context = await chromium.new_context(base_url=shop.url, **{**device, **more})
        context.set_default_timeout(15_000)
        contexts.append(context)
        complaints.listen_to(context)
        page, touch = await context.new_page(), bool(device.get("has_touch"))
        visitor = Visitor(page, shop, email or new_address(), touch=touch)
        if signed_in:
            await _sign_in(cookie_maker, visitor)
        return visitor

    yield come
    if request.node.stash.get(FAILED, False) or complaints:
        await _take_pictures(contexts, request.node.name)
    for context in contexts:
        await context.close()
    assert list(complaints) == []


async def _sign_in(app: Tillgate, visitor: Visitor) -> None:
    async with app.database.sessions.begin() as session:
        user = await find_or_create_user(session, email=visitor.email)
    name, value = cookie_for(app, CurrentUser(user.id, user.version))
    cookie = {"name": name, "value": value, "url": visitor.shop.url, "httpOnly": True, "sameSite": "Lax"}
    await visitor.page.context.add_cookies([cookie])  # type: ignore[list-item]


async def _take_pictures(contexts: list[BrowserContext], name: str) -> None:
    pages = [page for context in contexts for page in context.pages]
    for number, page in enumerate(pages, 1):
        await page.screenshot(path=_picture(name, number), full_page=True)


def _picture(name: str, number: int) -> Path:
    plain = "".join(letter if letter.isalnum() else "-" for letter in name).strip("-")
    return RESULTS / f"{plain}-{number}.png"
