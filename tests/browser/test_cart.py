"""The cart and the buy form with scripts: what is changed is sent by itself and shown everywhere at once."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visit
from tests.browser.running import RunningShop
from tests.browser.visitor import DESKTOP, PHONE

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_changed_number_is_sent_by_itself(shop: RunningShop, visit: Visit) -> None:
    """Line, badge and the total at the bottom edge of a phone follow; the finger stays where it is (spec: B11)."""
    sale = await shop.sell("Long Division", cost=1500)
    visitor = await visit(PHONE, signed_in=True)
    await visitor.put_into_cart(sale, 1)
    await visitor.page.goto("/cart")
    total = visitor.page.locator("#sticky .total")
    await expect(total).to_be_in_viewport()
    await visitor.press(re.compile("^One more"))
    await expect(total).to_have_text("€30.00")
    await expect(visitor.page.locator(".count")).to_have_text("2")
    await expect(visitor.page.get_by_role("button", name=re.compile("^One more"))).to_be_focused()
    await expect(visitor.page.get_by_role("button", name="Update")).to_be_hidden()
    await visitor.in_cart(sale).fill("0")
    await visitor.in_cart(sale).blur()
    await visitor.sees("Your cart is empty")
    await expect(visitor.page.locator("#sticky")).to_be_hidden()


async def test_a_word_wider_than_the_phone_is_broken(shop: RunningShop, visit: Visit) -> None:
    """A long title made the cart wider than the screen, and Check out was out of reach (spec: B11)."""
    sale = await shop.sell(
        "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 2
    )
    visitor = await visit(PHONE, signed_in=True)
    await visitor.put_into_cart(sale, 1)
    await visitor.page.goto("/cart")
    assert await visitor.page.evaluate("document.documentElement.scrollWidth") == PHONE["viewport"]["width"]
    await visitor.press("Check out")
    await visitor.at_payment()


async def test_a_refused_number_is_told_at_its_line(shop: RunningShop, visit: Visit) -> None:
    """The number stays to be mended, the total stays true, and the checkout can go on (spec: B11, B12)."""
    sale = await shop.sell("Too Many Cooks", cost=1500)
    visitor = await visit(PHONE, signed_in=True)
    await visitor.put_into_cart(sale, 1)
    await visitor.page.goto("/cart")
    await visitor.in_cart(sale).fill("49")
    await visitor.in_cart(sale).blur()
    await expect(visitor.page.locator(".stub .field__error")).to_be_visible()
    await expect(visitor.in_cart(sale)).to_have_value("49")
    await expect(visitor.page.locator("#sticky .total")).to_have_text("€15.00")
    await visitor.press("Check out")
    await visitor.at_payment()


async def test_the_buy_button_wakes_and_the_answer_is_in_sight(shop: RunningShop, visit: Visit) -> None:
    """On a phone the button stands outside of the form that the answer replaces (spec: B13)."""
    sale = await shop.sell("Once More", cost=1500)
    visitor = await visit(PHONE, signed_in=True)
    await visitor.put_into_cart(sale, 1)
    await expect(visitor.page.get_by_text("Added to cart: 1 ticket.")).to_be_in_viewport()
    await visitor.field(sale).fill("2")
    await visitor.press("Add to cart")
    await expect(visitor.page.get_by_text("Added to cart: 2 tickets.")).to_be_in_viewport()
    await visitor.press("Add to cart")
    await expect(visitor.page.get_by_text("Choose at least one ticket.")).to_be_in_viewport()


async def test_what_changed_is_said_and_the_keyboard_stays(shop: RunningShop, visit: Visit) -> None:
    """One region tells screen readers; focus is where it was, or on the heading; emptying can be taken back."""
    sale = await shop.sell("Heard", cost=1500)
    visitor = await visit(DESKTOP, signed_in=True)
    page = visitor.page
    await page.goto(sale.href)
    await visitor.field(sale).fill("1")
    await page.get_by_role("button", name="Add to cart").press("Enter")
    said, focused = page.locator("#said"), page.locator(":focus")
    await expect(said).to_have_text("1 ticket added. In your cart: 1 ticket.")
    await expect(focused).to_have_text("Add to cart")
    await expect(page.locator("#badge")).to_have_text("1")
    await page.goto("/cart")
    more = page.get_by_role("button", name="One more")
    await more.press("Enter")
    await expect(said).to_contain_text("2 tickets. In your cart: 2 tickets, €30.00.")
    await expect(more).to_be_focused()
    await page.get_by_role("button", name="Remove").press("Enter")
    await expect(said).to_have_text("Your cart is empty.")
    await expect(page.get_by_role("heading", name="Your cart", exact=True)).to_be_focused()
    await page.goto(sale.href)
    await visitor.field(sale).fill("2")
    await page.get_by_role("button", name="Add to cart").press("Enter")
    await expect(said).to_have_text("2 tickets added. In your cart: 2 tickets.")
    await page.goto("/cart")
    await page.get_by_role("button", name="Empty the cart").press("Enter")
    await page.get_by_role("button", name="Put them back").press("Enter")
    await expect(visitor.in_cart(sale)).to_have_value("2")
    await expect(page.get_by_role("button", name="Empty the cart")).to_be_visible()
    await expect(page.locator("#badge")).to_have_text("2")
