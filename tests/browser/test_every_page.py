"""Every page as it is looked at: nothing serious for axe in light and dark, nothing too wide, nothing that jumps."""

import re
from datetime import UTC, datetime

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

from cart.records import Reconciliation
from shared.demo_data import ORGANIZER
from tests.browser.conftest import Visit
from tests.browser.running import RunningShop
from tests.browser.visitor import DESKTOP, PHONE, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")

COUNT_SHIFTS = """
window.jumped = 0;
// also what is marked as following an input: on an emulated phone that is all of the first half second
const seen = entries => { for (const one of entries) window.jumped += one.value; };
window.jumps = new PerformanceObserver(list => seen(list.getEntries()));
window.jumps.observe({type: "layout-shift", buffered: true});
window.settled = async () => {
  await document.fonts.ready;
  await Promise.all([...document.images].map(image => image.decode().catch(() => null)));
  for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
  seen(window.jumps.takeRecords());
  return window.jumped;
};
"""
AS_SEEN = {"resultTypes": ["violations"]}
COLOURS = {"resultTypes": ["violations"], "runOnly": ["color-contrast", "link-in-text-block"]}


TOO_WIDE = """() => {
  const wide = document.documentElement.clientWidth, found = [];
  for (const one of document.querySelectorAll("body *")) {
    if (one.closest(".visually-hidden, .skip, svg, .table-wrap *")) continue;
    const box = one.getBoundingClientRect(), style = getComputedStyle(one);
    const cut = style.overflowX !== "visible" && style.textOverflow !== "ellipsis" && !one.matches(".table-wrap");
    if (!box.width) continue;
    if (box.right > wide + 1 || box.left < -1 || (cut && one.scrollWidth > one.clientWidth + 1))
      found.push(`${one.tagName} ${one.className}: ${one.textContent.trim().slice(0, 40)}`);
  }
  return document.documentElement.scrollWidth > wide ? ["the page", ...found] : found;
}"""
TEXT_SIZE = "size => { document.documentElement.style.fontSize = size }"


async def has_room(page: Page) -> None:
    """A page of the shop on the smallest phone, and with text twice as large: nothing cut off, nothing sideways."""
    if not await page.evaluate("document.body.classList.contains('shop')"):
        return
    for width, size in ((320, "100%"), (320, "200%"), (1280, "200%")):
        await page.set_viewport_size({"width": width, "height": 740})
        await page.evaluate(TEXT_SIZE, size)
        assert await page.evaluate(TOO_WIDE) == [], f"{page.url} at {width} with {size}"
    await page.evaluate(TEXT_SIZE, "")


async def looks_right(page: Page) -> None:
    """Axe in light and in dark, and the width of a phone and of a desk."""
    where, found = page.url, []
    for scheme, options in (("light", AS_SEEN), ("dark", COLOURS)):
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        result = (await Axe().run(page, options=options)).response
        found += [
            (scheme, one["id"], [(node["html"], node["failureSummary"]) for node in one["nodes"]])
            for one in result["violations"]
            if one["impact"] in ("serious", "critical")
        ]
    assert found == [], where
    for width in (360, 1280):
        await page.set_viewport_size({"width": width, "height": 740})
        wide = await page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{where} is {wide} wide at {width}"
    await has_room(page)
    await page.set_viewport_size(PHONE["viewport"])


async def open_and_look(visitor: Visitor, *paths: str) -> None:
    """Each of these addresses of the shop."""
    for path in paths:
        await visitor.page.goto(path)
        await looks_right(visitor.page)


async def test_pages_of_a_visitor(shop: RunningShop, visit: Visit) -> None:
    """Shop, sign-in, errors (spec: B1)."""
    sale = await shop.sell("Seen by a Visitor")
    visitor = await visit(PHONE)
    await open_and_look(visitor, "/", f"/p/{sale.page}", sale.href, "/nothing-here", "/sign-in")
    await visitor.ask_for_mail()
    await looks_right(visitor.page)
    await visitor.page.get_by_label("The six-digit code").fill("000")
    await visitor.press("Sign in")
    await visitor.sees("The code has six digits.")
    await looks_right(visitor.page)
    mail = await shop.mail(visitor.email, "sign-in code")
    link = re.search(r"https?://\S+/sign-in/\S+", mail.text)
    assert link
    await open_and_look(visitor, link[0], f"{shop.url}/sign-in/not-a-link")


async def test_pages_of_a_buyer(shop: RunningShop, visit: Visit) -> None:
    """Cart, payment, orders, ticket, empty and full (spec: B11, B14)."""
    sale = await shop.sell("Seen by a Buyer")
    buyer = await visit(PHONE, signed_in=True)
    await open_and_look(buyer, "/cart", "/orders", "/account", "/organizer")
    await buyer.choose(sale, 11)
    await buyer.press("Add to cart")
    await buyer.sees("Choose 1 to 10.")
    await looks_right(buyer.page)
    await buyer.put_into_cart(sale, 2)
    await looks_right(buyer.page)
    await buyer.check_out()
    await looks_right(buyer.page)
    await buyer.press("Cancel and go back", "link")
    await buyer.sees("Held for you until")
    await looks_right(buyer.page)
    await open_and_look(buyer, "/cart", sale.href)
    await buyer.put_into_cart(sale)
    await open_and_look(buyer, "/cart")


async def test_pages_after_buying(shop: RunningShop, visit: Visit) -> None:
    """What a buyer keeps and what the organizer sees of it (spec: A5, B14)."""
    sale = await shop.sell("Seen Afterwards")
    buyer = await visit(PHONE, signed_in=True)
    await shop.make_owner(sale, buyer.email)
    await buyer.buy(sale)
    await looks_right(buyer.page)
    order = buyer.page.url.split("/")[-2]
    await buyer.press(re.compile(sale.title), "link")
    await buyer.sees("Show this at the door.")
    await looks_right(buyer.page)
    office = f"/organizer/{sale.page}"
    entry = f"{office}/entries/{sale.href.rpartition('/')[2]}"
    await open_and_look(buyer, f"/orders/{order}", "/orders", "/organizer", office, f"{office}/door")
    await open_and_look(buyer, entry, f"{entry}/cancel", f"{entry}/move")
    await open_and_look(buyer, f"{office}/orders", f"{office}/orders/{order}", f"{office}/orders?q=nobody")
    await open_and_look(buyer, f"{office}/money", f"{office}/money/net", f"{office}/money?from=soon")


async def test_pages_of_the_operator(shop: RunningShop, visit: Visit) -> None:
    """Health, events and what they say, refunds, an order (spec: H8)."""
    sale = await shop.sell("Seen by the Operator")
    buyer = await visit(PHONE, signed_in=True)
    await buyer.buy(sale)
    order = buyer.page.url.split("/")[-2]
    operator = await visit(PHONE, signed_in=True, email=ORGANIZER)
    await open_and_look(operator, "/operator", "/operator/events", "/operator/refunds")
    await operator.page.goto("/operator/events")
    await operator.press("Payment page completed", "link")
    await operator.sees("What Stripe sent")
    await looks_right(operator.page)
    await open_and_look(operator, f"/operator/orders/{order}")


async def test_the_books_on_a_phone(shop: RunningShop, visit: Visit) -> None:
    """What differs is read without scrolling sideways, each cell under its name; no part of it is lost (spec: H1)."""
    row = {
        "about": "Order ABCD-EFGH",
        "words": "Refund failed",
        "here": "waiting dispute, €1,250.00",
        "stripe": "No such payment_intent: 'pi_3QXabcdefghijklmnopqrstu'",
        "reference": "re_3QXabcdefghijklmnopqrstu",
        "would": "needs a person",
        "done": "",
    }
    of_row = {"order_id": None, "page_ids": [], "stripe_account": "", "repaired": False}
    now = datetime.now(UTC)
    run = Reconciliation(
        started_at=now, finished_at=now, since=now, committed=True, actor="operator", compared={},
        differences=[row | of_row],
    )  # fmt: skip
    async with shop.database.sessions.begin() as session:
        session.add(run)
    operator = await visit(PHONE, signed_in=True, email=ORGANIZER)
    await open_and_look(operator, f"/operator/books/{run.id}", "/operator/books")
    await operator.page.goto(f"/operator/books/{run.id}")
    hidden = "[...document.querySelectorAll('.table-wrap')].map(one => one.scrollWidth - one.clientWidth)"
    assert await operator.page.evaluate(hidden) == [0, 0]
    await operator.page.get_by_role("rowheader", name="Order ABCD-EFGH").wait_for()
    for words in ("waiting dispute", "re_3QX"):
        await operator.page.get_by_role("cell", name=words).wait_for()


@pytest.mark.parametrize("device", [pytest.param(PHONE, id="phone"), pytest.param(DESKTOP, id="desktop")])
async def test_nothing_jumps_while_a_page_loads(
    shop: RunningShop, visit: Visit, device: dict[str, object]
) -> None:
    """Home, entry and cart move by less than 0.02 (look: no layout shift)."""
    sale = await shop.sell("Steady as She Goes")
    # another time zone than the page's: the viewer's own time is added by a script
    visitor = await visit(device, signed_in=True, timezone_id="Asia/Tokyo")
    await visitor.page.context.add_init_script(COUNT_SHIFTS)
    await visitor.put_into_cart(sale, 2)
    for path in ("/", sale.href, "/cart"):
        await visitor.page.goto(path)
        assert await visitor.page.evaluate("window.settled()") < 0.02, path
    await visitor.page.evaluate("document.querySelector('main').style.marginBlockStart = '12rem'")
    assert await visitor.page.evaluate("window.settled()") > 0.02, "the measure sees what does jump"
