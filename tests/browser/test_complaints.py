"""What watches the other browser tests does see what it is there for."""

import pytest
from playwright.async_api import Browser, Page

from tests.browser.complaints import Complaints
from tests.browser.running import RunningShop

pytestmark = pytest.mark.asyncio(loop_scope="session")

INLINE = "document.body.append(Object.assign(document.createElement('script'), {text: '1'}))"
MISSING = (
    "new Promise(done => document.body.append(Object.assign(new Image(), {src: '/no.svg', onerror: done})))"
)
BROKEN = "new Promise(done => { onerror = done; setTimeout(() => { throw new Error('broken'); }); }).then(() => null)"


async def heard(chromium: Browser, shop: RunningShop, deed: str) -> list[str]:
    """The complaints about a home page on which this script runs."""
    complaints = Complaints()
    context = await chromium.new_context(base_url=shop.url)
    complaints.listen_to(context)
    page: Page = await context.new_page()
    await page.goto("/")
    assert list(complaints) == []
    await page.evaluate(deed)
    await context.close()
    return list(complaints)


@pytest.mark.parametrize(
    ("deed", "words"),
    [(INLINE, "Content Security Policy"), (MISSING, "404 from"), (BROKEN, "broken")],
    ids=["policy", "missing file", "script error"],
)
async def test_complaints_are_heard(chromium: Browser, shop: RunningShop, deed: str, words: str) -> None:
    """Inline script under our policy, a file that is not there, an exception."""
    (complaint,) = await heard(chromium, shop, deed)
    assert words in complaint


async def test_a_refusal_in_words_is_no_complaint(chromium: Browser, shop: RunningShop) -> None:
    """A page that answers 404 in words is meant."""
    assert await heard(chromium, shop, "location.assign('/nothing-here')") == []
