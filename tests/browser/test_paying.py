"""What can happen between the cart and the ticket: refusals, slow money, second thoughts, impatience."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visit
from tests.browser.running import RunningShop
from tests.browser.visitor import CONFIRMATION, DESKTOP, ORDER, PHONE, Visitor
from tests.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def at_the_till(shop: RunningShop, visit: Visit, title: str, **of_sale: object) -> tuple[Visitor, str]:
    """A new visitor on the payment page with one ticket; and the session's id."""
    sale = await shop.sell(title, **of_sale)  # type: ignore[arg-type]
    visitor = await visit(PHONE, signed_in=True)
    await visitor.put_into_cart(sale)
    await visitor.check_out()
    return visitor, await visitor.at_payment()


async def reload_until(visitor: Visitor, words: str) -> None:
    """Look again until the webhook has told the shop."""

    async def shown() -> bool:
        await visitor.page.reload()
        return await visitor.page.get_by_text(words).first.is_visible()

    await eventually(shown)


async def test_declined_card_then_success(shop: RunningShop, visit: Visit) -> None:
    """After a decline the same page takes another card (spec: C3)."""
    visitor, _ = await at_the_till(shop, visit, "Fado at the Fish Market")
    await visitor.pay("Declined")
    await visitor.sees("Your card was declined.")
    await visitor.pay()
    await visitor.is_at(CONFIRMATION)
    await visitor.sees("You are in")
    assert await shop.orders_and_attempts(visitor.email) == (1, 1)


async def test_slow_money_arrives(shop: RunningShop, visit: Visit) -> None:
    """On its way, held; then paid, with a mail (spec: C3, C5)."""
    async with shop.slow_bank():
        visitor, session_id = await at_the_till(shop, visit, "Slow Money Ball", delayed_methods=True)
        await visitor.pay("Delayed")
        await visitor.is_at(CONFIRMATION)
        await visitor.sees("Your payment is on its way")
        await visitor.sees("Held for you")
        await shop.turn("finish-delayed", session=session_id)
        await reload_until(visitor, "You are in")
    assert "Slow Money Ball" in (await shop.mail(visitor.email, "Your tickets")).text


async def test_slow_money_fails(shop: RunningShop, visit: Visit) -> None:
    """The bank returns the debit: told on the page and by mail, the ticket is back in the cart (spec: B9, C5)."""
    async with shop.slow_bank():
        visitor, session_id = await at_the_till(shop, visit, "Returned Debit Revue", delayed_methods=True)
        await visitor.pay("Delayed, fails")
        await visitor.sees("Your payment is on its way")
        await shop.turn("finish-delayed", session=session_id)
        await visitor.press(re.compile("order.s page"), "link")
        await visitor.is_at(ORDER)
        await reload_until(visitor, "The payment did not go through.")
    await visitor.press("Go to your cart", "link")
    await visitor.sees("Returned Debit Revue")
    assert await shop.mail(visitor.email, "did not")


async def test_slow_methods_are_off_unless_the_page_allows_them(shop: RunningShop, visit: Visit) -> None:
    """spec: C3."""
    visitor, _ = await at_the_till(shop, visit, "Cards Only")
    await expect(visitor.page.get_by_role("link", name="Pays")).to_be_visible()
    await expect(visitor.page.get_by_role("link", name="Delayed")).to_have_count(0)


async def test_second_thoughts(shop: RunningShop, visit: Visit) -> None:
    """Cancel, more time, back to the same session, cancel, give the tickets back, and buy after all (spec: B9, C2)."""
    visitor, session_id = await at_the_till(shop, visit, "Second Thoughts", capacity=10)
    await visitor.press("Cancel and go back", "link")
    await visitor.is_at(ORDER)
    await visitor.sees("Held for you until")
    await visitor.press("I need more time")
    await visitor.sees("You have more time")
    await expect(visitor.page.get_by_role("button", name="I need more time")).to_have_count(0)
    await visitor.press("Continue to payment")
    assert await visitor.at_payment() == session_id
    await visitor.press("Cancel and go back", "link")
    await visitor.press("Give the tickets back")
    await visitor.is_at("/cart")
    await visitor.sees("The tickets are free for others again.")
    await visitor.press("Check out")
    assert await visitor.at_payment() != session_id
    await visitor.pay()
    await visitor.sees("You are in")


async def test_unfinished_checkout_is_told_where_the_buyer_looks(shop: RunningShop, visit: Visit) -> None:
    """Going away from the payment page and coming back by another door (spec: C2)."""
    visitor, session_id = await at_the_till(shop, visit, "Lost Thread")
    await visitor.page.goto("/cart")
    await visitor.sees("You have an unfinished checkout.")
    await visitor.press(re.compile("^Go on with order"), "link")
    await visitor.press("Continue to payment")
    assert await visitor.at_payment() == session_id


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "plain"])
async def test_double_click_on_checkout(shop: RunningShop, visit: Visit, scripts: bool) -> None:
    """One order and one session, with the button that rests and without it (spec: B8, C2)."""
    sale = await shop.sell("Impatience", cost=1500)
    visitor = await visit(DESKTOP, signed_in=True, java_script_enabled=scripts)
    await visitor.put_into_cart(sale, 2)
    await visitor.page.goto("/cart")
    await visitor.page.get_by_role("button", name="Check out", exact=True).dblclick()
    await visitor.at_payment()
    assert await shop.orders_and_attempts(visitor.email) == (1, 1)


async def test_two_tabs(shop: RunningShop, visit: Visit) -> None:
    """A cart changed in another tab: told, and charged only what was shown (spec: B8)."""
    sale = await shop.sell("Two Tabs", cost=1000)
    visitor = await visit(DESKTOP, signed_in=True)
    await visitor.put_into_cart(sale, 1)
    await visitor.page.goto("/cart")
    other = await visitor.page.context.new_page()
    await other.goto(sale.href)
    await other.get_by_label("Standing: number of tickets", exact=True).fill("2")
    await other.get_by_role("button", name="Add to cart").click()
    await expect(other.get_by_text("Added to cart: 2 tickets.")).to_be_visible()
    await visitor.press("Check out")
    await visitor.sees("Your cart has changed since this page was shown.")
    assert await shop.orders_and_attempts(visitor.email) == (0, 0)
    await visitor.press("Check out")
    await visitor.at_payment()
    await expect(visitor.page.get_by_role("button", name="Pay €30.00")).to_be_visible()


async def test_sold_out_between_cart_and_checkout(shop: RunningShop, visit: Visit) -> None:
    """Told which, nothing lost, no order; what is still available can be bought (spec: B8, B13)."""
    scarce = await shop.sell("The Last Two Chairs", capacity=2)
    plenty = await shop.sell("Plenty of Room")
    late = await visit(PHONE, signed_in=True)
    await late.put_into_cart(scarce, 2)
    await late.put_into_cart(plenty)
    quick = await visit(DESKTOP, signed_in=True)
    await quick.buy(scarce)
    await late.page.goto("/cart")
    await late.press("Check out")
    await late.sees("Some of these tickets are no longer available. No money was taken.")
    await late.sees("The Last Two Chairs, Standing: only 1 left, you chose 2.")
    await expect(late.in_cart(scarce)).to_have_value("2")
    await expect(late.in_cart(plenty)).to_have_value("1")
    assert await shop.orders_and_attempts(late.email) == (0, 0)
    await late.in_cart(scarce).fill("1")
    await late.in_cart(scarce).press("Enter")
    await expect(late.page.locator(".total:visible")).to_have_text("€40.00")
    await late.press("Check out")
    await late.at_payment()
    await late.pay()
    await late.sees("You are in")
