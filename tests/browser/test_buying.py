"""From the home page to the ticket's QR code, in a real browser against the real processes."""

import re
from io import BytesIO
from typing import Any

import pytest
import zxingcpp
from PIL import Image
from playwright.async_api import expect

from tests.browser.conftest import Visit
from tests.browser.running import RunningShop, Sale
from tests.browser.visitor import CONFIRMATION, DESKTOP, ORDER, PHONE, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")

DEVICES = [pytest.param(PHONE, id="phone"), pytest.param(DESKTOP, id="desktop")]


async def sees_qr_code(visitor: Visitor, sale: Sale) -> None:
    """From the confirmation to the ticket, and the code really has a picture."""
    await visitor.is_at(CONFIRMATION)
    await visitor.sees("You are in")
    await visitor.press(re.compile(sale.title), "link")
    code = visitor.page.get_by_role("img", name="QR code")
    await expect(code).to_be_visible()
    assert await code.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0


async def a_scanner_reads_the_code(visitor: Visitor) -> None:
    """From the whole screen, black on white, in light, dark and forced colours."""
    printed = (await visitor.page.locator(".stub .code").inner_text()).replace(" ", "")
    for scheme, forced in (("light", "none"), ("dark", "none"), ("light", "active"), ("dark", "active")):
        await visitor.page.emulate_media(color_scheme=scheme, forced_colors=forced)  # type: ignore[arg-type]
        screen = Image.open(BytesIO(await visitor.page.screenshot()))
        read = [(found.text, str(found.format)) for found in zxingcpp.read_barcodes(screen, try_invert=False)]
        assert read == [(printed, "QR Code")], f"{scheme}, forced colours {forced}"


async def find_at_home(visitor: Visitor, sale: Sale) -> None:
    """From the home page to the entry, as a visitor does who knows what is on."""
    await visitor.page.goto("/")
    await visitor.follow(sale.href)
    await visitor.is_at(sale.href)


@pytest.mark.parametrize("device", DEVICES)
async def test_from_home_to_qr_code_signed_in(
    shop: RunningShop, visit: Visit, device: dict[str, Any]
) -> None:
    """spec: B2, B7, B11, B13, B14, C1, C3."""
    sale = await shop.sell("Lanterns over the Canal", cost=2450)
    visitor = await visit(device, signed_in=True)
    await find_at_home(visitor, sale)
    await visitor.press("One more: Standing: number of tickets")
    await visitor.press("One more: Standing: number of tickets")
    await expect(visitor.page.locator("output:visible")).to_have_text("€49.00")
    await visitor.press("Add to cart")
    await visitor.sees("Added to cart: 2 tickets.")
    await visitor.sees("If the event sells out before you pay, you are refunded.")
    await expect(visitor.page.locator(".count")).to_have_text("2")
    await visitor.press("Go to the cart", "link")
    await visitor.press("Check out")
    await visitor.at_payment()
    await expect(visitor.page.get_by_role("button", name="Pay €49.00")).to_be_visible()
    await visitor.pay()
    await sees_qr_code(visitor, sale)
    mail = await shop.mail(visitor.email, "Your tickets")
    assert sale.title in mail.text


@pytest.mark.parametrize("device", DEVICES)
async def test_three_clicks_from_the_event_to_paid(
    shop: RunningShop, visit: Visit, device: dict[str, Any]
) -> None:
    """Signed in: one more, buy now, pay; what waits in the cart stays there (spec: B7, C1, C3).

    The stand-in's choice of a test payment is no click of a buyer: a real page has the card, or a wallet, at hand.
    """
    sale, other = await shop.sell("Brass at Noon", cost=1800), await shop.sell("Tuba Hour", cost=900)
    visitor = await visit(device, signed_in=True)
    await visitor.put_into_cart(other)
    await visitor.page.goto(sale.href)
    await visitor.press("One more: Standing: number of tickets")
    await visitor.press("Buy now")
    await visitor.at_payment()
    await visitor.pay()
    await visitor.is_at(CONFIRMATION)
    await visitor.sees("You are in")
    await expect(visitor.page.locator(".count")).to_have_text("1")


@pytest.mark.parametrize("device", DEVICES)
async def test_sign_in_in_the_middle_by_code(shop: RunningShop, visit: Visit, device: dict[str, Any]) -> None:
    """What a visitor chose is in the cart after the sign-in (spec: B1)."""
    sale = await shop.sell("Choir in the Tram Depot")
    visitor = await visit(device)
    await find_at_home(visitor, sale)
    await visitor.field(sale).fill("3")
    await visitor.press("Sign in to buy tickets")
    await visitor.sign_in_by_code()
    await visitor.is_at("/cart")
    await visitor.sees("Added to cart.")
    await expect(visitor.in_cart(sale)).to_have_value("3")
    await visitor.press("Check out")
    await visitor.at_payment()
    await visitor.pay()
    await sees_qr_code(visitor, sale)


async def test_sign_in_in_the_middle_by_link(shop: RunningShop, visit: Visit) -> None:
    """The same by the link that is opened in the inbox (spec: B1)."""
    sale = await shop.sell("Night of the Short Films")
    visitor = await visit(PHONE)
    await visitor.choose(sale, 2)
    await visitor.press("Sign in to buy tickets")
    await visitor.sign_in_by_link()
    await visitor.is_at("/cart")
    await expect(visitor.page.locator(".count")).to_have_text("2")
    await visitor.sees(sale.title)


@pytest.mark.parametrize("device", DEVICES)
async def test_everything_without_scripts(shop: RunningShop, visit: Visit, device: dict[str, Any]) -> None:
    """The whole road, sign-in in the middle, with JavaScript switched off (spec: B1, B7, C3)."""
    sale = await shop.sell("Silent Cinema")
    visitor = await visit(device, java_script_enabled=False)
    await find_at_home(visitor, sale)
    await visitor.field(sale).fill("2")
    await visitor.press("Sign in to buy tickets")
    await visitor.sign_in_by_code()
    await visitor.is_at("/cart")
    await visitor.in_cart(sale).fill("3")
    await visitor.press("Update")
    await visitor.sees("€60.00")
    await visitor.choose(sale, 1)
    await visitor.press("Add to cart")
    await visitor.sees("Added to cart: 1 ticket.")
    await visitor.press("Go to the cart", "link")
    await visitor.press("Check out")
    await visitor.at_payment()
    await expect(visitor.page.get_by_role("button", name="Pay €80.00")).to_be_visible()
    await visitor.pay()
    await sees_qr_code(visitor, sale)


async def test_free_tickets_need_no_payment(shop: RunningShop, visit: Visit) -> None:
    """The same road, without the payment page; the code can be read from the screen (spec: B3, B7)."""
    sale = await shop.sell("Harbour Walk", cost=0)
    visitor = await visit(PHONE, signed_in=True)
    await visitor.put_into_cart(sale, 2)
    await visitor.page.goto("/cart")
    await visitor.press("Check out")
    await sees_qr_code(visitor, sale)
    await a_scanner_reads_the_code(visitor)
    assert await shop.orders_and_attempts(visitor.email) == (1, 0)


async def paid_part(visitor: Visitor) -> str | None:
    """Pay the part on the screen; what the payment page's button said."""
    await visitor.press("Continue to payment")
    await visitor.at_payment()
    label = await visitor.page.get_by_role("button", name="Pay ").text_content()
    await visitor.pay()
    await visitor.is_at(CONFIRMATION)
    await visitor.sees("You are in")
    return label


async def test_two_currencies_are_paid_one_after_the_other(shop: RunningShop, visit: Visit) -> None:
    """A cart over two currencies becomes two orders (spec: B12, H5)."""
    euros = await shop.sell("Brass in the Yard", cost=1800)
    yen = await shop.sell("Tea and Tape", cost=2400, currency="JPY")
    visitor = await visit(PHONE, signed_in=True)
    await visitor.put_into_cart(euros)
    await visitor.put_into_cart(yen, 2)
    await visitor.page.goto("/cart")
    await visitor.sees("These amounts are in different currencies, so they are paid one after the other.")
    await visitor.press("Check out")
    await visitor.is_at(ORDER)
    await visitor.sees("Paid in 2 parts")
    first = await paid_part(visitor)
    await visitor.press("Go on with the next part", "link")
    assert {first, await paid_part(visitor)} == {"Pay €18.00", "Pay ¥4,800"}
    await visitor.page.goto("/orders")
    await expect(visitor.page.get_by_role("heading", level=3)).to_have_count(2)
    await expect(visitor.page.get_by_text("Confirmed", exact=True)).to_have_count(2)
