"""Money back as people do it: chosen by checkbox, seen, confirmed; the pages say what becomes of it."""

import re

import pytest
from sqlalchemy import select, update

from cart.models import Payment
from events.models import Page
from tests.browser.conftest import Visit
from tests.browser.running import RunningShop
from tests.browser.test_every_page import looks_right
from tests.browser.visitor import DESKTOP, PHONE, Visitor
from tests.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def bought(
    shop: RunningShop, visit: Visit, title: str, number: int
) -> tuple[Visitor, Visitor, str, str]:
    """A buyer on a phone with so many tickets, the page's owner at a desk; the order's address for each."""
    sale = await shop.sell(title, cost=1850)
    async with shop.database.sessions.begin() as session:
        await session.execute(update(Page).where(Page.slug == sale.page).values(refund_hours=24))
    buyer, owner = await visit(PHONE, signed_in=True), await visit(DESKTOP, signed_in=True)
    await shop.make_owner(sale, owner.email)
    await buyer.buy(sale, number)
    order_id = buyer.page.url.split("/")[-2]
    return buyer, owner, f"/orders/{order_id}", f"/organizer/{sale.page}/orders/{order_id}"


async def reads(visitor: Visitor, path: str, words: str) -> None:
    """Open this page until it says so: the worker and Stripe's messages take a moment."""

    async def said() -> bool:
        await visitor.page.goto(path)
        return words in (await visitor.page.locator("main").text_content() or "")

    await eventually(said)


async def intent_of(shop: RunningShop, order: str) -> str:
    """The payment intent that paid an order."""
    async with shop.database.sessions() as session:
        order_id = order.rpartition("/")[2]
        return (
            await session.scalars(select(Payment.payment_intent).where(Payment.order_id == order_id))
        ).one()


async def test_refund_by_line(shop: RunningShop, visit: Visit) -> None:
    """The organizer refunds one of three, the buyer gives another back; both see it arrive (spec: H2)."""
    buyer, owner, order, office = await bought(shop, visit, "Given Back", 3)
    await owner.page.goto(office)
    await owner.page.get_by_role("checkbox").first.check()
    await looks_right(owner.page)
    await owner.press("Refund the chosen tickets…")
    await owner.sees("Refund 1 ticket")
    await looks_right(owner.page)
    await owner.press("Cancel this ticket and refund €18.50")
    await owner.sees("1 ticket cancelled; €18.50 goes back to the buyer.")
    await reads(buyer, order, "€18.50 was refunded to you")
    await looks_right(buyer.page)
    await buyer.press("Give tickets back…", "link")
    await looks_right(buyer.page)
    await buyer.page.get_by_role("checkbox").first.check()
    await buyer.press("Go on")
    await buyer.sees("Give 1 ticket back?")
    await looks_right(buyer.page)
    await buyer.press("Give back for €18.50")
    await buyer.sees("Your tickets are cancelled. The money is on its way.")
    await reads(owner, office, "Given back by the buyer")
    await shop.mail(buyer.email, "€18.50 goes back to you")


async def test_what_happens_at_stripe(shop: RunningShop, visit: Visit) -> None:
    """Refunded by hand there, disputed, won: the office says what to do, the buyer what it means (spec: H2, H4)."""
    buyer, owner, order, office = await bought(shop, visit, "Disputed", 2)
    intent = await intent_of(shop, order)
    await shop.turn("refund", payment_intent=intent, amount=1850)
    await reads(owner, office, "refunded by hand at Stripe")
    await looks_right(owner.page)
    await owner.page.get_by_role("group", name="These tickets").get_by_role("checkbox").first.check()
    await owner.press("It was for these tickets")
    await owner.sees("Noted. The tickets are cancelled.")
    await shop.turn("dispute", payment_intent=intent, reason="product_not_received")
    await reads(owner, office, "the buyer says that they did not get what they paid for")
    await looks_right(owner.page)
    await owner.page.goto(office.rpartition("/")[0])
    await owner.sees("Needs a decision")
    await looks_right(owner.page)
    await reads(buyer, order, "these tickets are not valid for entry")
    await looks_right(buyer.page)
    mail = await shop.mail(owner.email, "disputes €18.50")
    assert f"{shop.url}{office}" in mail.text
    await owner.page.goto(office)
    async with owner.page.expect_download() as download:
        await owner.press("Evidence (PDF)", "link")
    assert re.fullmatch(r"evidence-\S+\.pdf", (await download.value).suggested_filename)
