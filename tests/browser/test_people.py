"""Who may see what: the organizer finds the sale, others do not; signing out reaches every browser."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visit
from tests.browser.running import RunningShop
from tests.browser.visitor import DESKTOP, PHONE, new_address
from tests.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_long_address_fits_the_organizers_phone(shop: RunningShop, visit: Visit) -> None:
    """The page of an order with a buyer's long e-mail address was three phones wide (spec: B14)."""
    sale = await shop.sell("Wide Awake", cost=1500)
    buyer = await visit(
        PHONE, signed_in=True, email=f"{'w' * 60}@{new_address().partition('@')[0]}.example.org"
    )
    await buyer.buy(sale)
    owner = await visit(PHONE, signed_in=True)
    await shop.make_owner(sale, owner.email)
    await owner.page.goto(f"/organizer/{sale.page}/orders/{buyer.page.url.split('/')[-2]}")
    await owner.sees(buyer.email)
    assert await owner.page.evaluate("document.documentElement.scrollWidth") == PHONE["viewport"]["width"]


async def test_organizer_sees_and_finds_the_sale(shop: RunningShop, visit: Visit) -> None:
    """In the numbers, and by e-mail, order number and ticket code; with its history (spec: A5)."""
    sale = await shop.sell("Sold to Ada", cost=3300, entry_capacity=40)
    buyer = await visit(PHONE, signed_in=True)
    await buyer.buy(sale, 2)
    number = await buyer.page.locator("h2 .code").text_content()
    await buyer.page.get_by_role("link", name=re.compile(sale.title)).first.tap()
    code = await buyer.page.locator("article .code").text_content()

    owner = await visit(DESKTOP, signed_in=True)
    await shop.make_owner(sale, owner.email)
    await owner.page.goto("/organizer")
    await owner.follow(f"/organizer/{sale.page}")
    row = owner.page.get_by_role("row").filter(has_text=sale.title)
    shown = await row.get_by_role("cell").all_text_contents()
    # state, sold of how many, by type, being paid, in carts, checked in, sold for, refunded
    assert [" ".join(cell.split()) for cell in shown[:2]] == ["On sale", "2 of 40"]
    assert shown[3:8] == ["0", "0", "0", "€66.00", "€0.00"]
    await owner.follow(f"/organizer/{sale.page}/orders")
    for words in (buyer.email, number, code):
        await owner.page.get_by_label("Find an order").fill(str(words))
        await owner.press("Find")
        await expect(owner.page.get_by_role("cell", name=buyer.email)).to_be_visible()
    await owner.page.get_by_label("Find an order").fill("nobody@example.org")
    await owner.press("Find")
    await owner.sees("Nothing found")
    await owner.press("Show all orders", "link")
    await owner.press(str(number), "link")
    for words in ("Placed", "Paid", "€66.00", "Confirmed"):
        await owner.sees(re.compile(words, re.IGNORECASE))


async def test_others_pages_and_orders_do_not_exist(shop: RunningShop, visit: Visit) -> None:
    """An organizer of another page gets 404, as for an address that never was (spec: D10)."""
    sale, others = await shop.sell("Not Yours"), await shop.sell("Yours")
    buyer = await visit(DESKTOP, signed_in=True)
    await buyer.put_into_cart(sale)
    await buyer.check_out()
    await buyer.press("Cancel and go back", "link")
    await buyer.sees("Held for you until")
    order = buyer.page.url.rpartition("/")[2]
    stranger = await visit(DESKTOP, signed_in=True)
    await shop.make_owner(others, stranger.email)
    forbidden = (
        f"/organizer/{sale.page}",
        f"/organizer/{sale.page}/orders",
        f"/organizer/{sale.page}/orders/{order}",
        f"/organizer/{others.page}/orders/{order}",
        f"/orders/{order}",
        f"/orders/{order}/confirmation",
    )
    for path in forbidden:
        answer = await stranger.page.goto(path)
        assert answer is not None
        assert answer.status == 404, path
        await stranger.sees("Nothing here")
    own = await stranger.page.goto(f"/organizer/{others.page}")
    assert own is not None
    assert own.ok


async def test_sign_out_everywhere(shop: RunningShop, visit: Visit) -> None:
    """A phone that was lost is signed out from the desk (design: Trust)."""
    email = new_address()
    phone = await visit(PHONE, signed_in=True, email=email)
    desk = await visit(DESKTOP, signed_in=True, email=email)
    await phone.page.goto("/orders")
    await phone.sees("No orders yet")
    await desk.page.goto("/account")
    await desk.press("Sign out everywhere")
    await desk.is_at("/")
    await expect(desk.page.get_by_role("link", name="Sign in")).to_be_visible()

    async def signed_out() -> bool:
        await phone.page.goto("/orders")
        return phone.page.url.startswith(f"{shop.url}/sign-in")

    await eventually(signed_out)  # at most five seconds where the shop has several processes


async def test_signing_in_to_see_a_page_leads_to_it(visit: Visit) -> None:
    """Whoever is sent to the sign-in comes to where they wanted to go (design: Trust)."""
    visitor = await visit(PHONE)
    await visitor.page.goto("/orders")
    await visitor.sign_in_by_code()
    await visitor.is_at("/orders")
    await visitor.press("Account", "link")
    await visitor.press("Sign out")
    await visitor.is_at("/")
