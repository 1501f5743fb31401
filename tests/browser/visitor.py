"""A person at the shop: what they do with a browser, in the words of the pages."""

import re
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Locator, Page, expect

from shared.ids import new_id
from tests.browser.running import RunningShop, Sale

PHONE: dict[str, Any] = {
    "viewport": {"width": 360, "height": 740},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}


def new_address() -> str:
    """An e-mail address nobody else has."""
    return f"ada-{new_id().hex[-8:]}@example.org"


class Visitor:
    """One browser and who sits before it. `page` is the open tab."""

    def __init__(self, page: Page, shop: RunningShop, email: str, *, touch: bool) -> None:
        self.page, self.shop, self.email = page, shop, email
        self._touch = touch

    async def press(self, name: str | re.Pattern[str], role: Any = "button") -> None:
        """Press a button or a link that can be seen."""
        await self._touch_or_click(self.page.get_by_role(role, name=name, exact=isinstance(name, str)).first)

    async def follow(self, href: str) -> None:
        """Press the link that leads there."""
        await self._touch_or_click(self.page.locator(f'a[href="{href}"]').first)

    async def _touch_or_click(self, target: Locator) -> None:
        await (target.tap() if self._touch else target.click())

    async def sees(self, text: str | re.Pattern[str]) -> None:
        """These words are on the page, or come within five seconds."""
        await expect(self.page.get_by_text(text).first).to_be_visible()

    async def is_at(self, path: str | re.Pattern[str]) -> None:
        """Wait for this path of the shop."""
        pattern = path.pattern if isinstance(path, re.Pattern) else re.escape(path)
        await self.page.wait_for_url(re.compile(f"^{re.escape(self.shop.url)}{pattern}([?#].*)?$"))

    async def choose(self, sale: Sale, number: int = 1) -> None:
        """Open the entry and type how many."""
        await self.page.goto(sale.href)
        await self.field(sale).fill(str(number))

    def field(self, sale: Sale) -> Locator:
        """The number field of the entry's ticket type."""
        return self.page.get_by_label(f"{sale.type_name}: number of tickets", exact=True)

    def in_cart(self, sale: Sale) -> Locator:
        """The number field of the cart's line."""
        return self.page.get_by_label(f"Number of tickets: {sale.title}, {sale.type_name}", exact=True)

    async def put_into_cart(self, sale: Sale, number: int = 1) -> None:
        """Signed in: choose and add."""
        await self.choose(sale, number)
        await self.press("Add to cart")
        await self.sees("Added to cart")

    async def check_out(self) -> None:
        """From the cart to the payment page."""
        await self.page.goto("/cart")
        await self.press("Check out")
        await self.at_payment()

    async def at_payment(self) -> str:
        """Wait for the payment page; the id of its session."""
        await self.page.wait_for_url(f"{self.shop.stripe}/c/pay/*")
        return urlsplit(self.page.url).path.rpartition("/")[2]

    async def pay(self, sample: str = "Pays") -> None:
        """On the payment page: choose a test payment and pay."""
        await self.press(re.compile(f"^{sample} "), "link")
        await self.press(re.compile("^Pay "))

    async def ask_for_mail(self) -> None:
        """On the sign-in page: type the address."""
        await self.page.get_by_label("Your e-mail address").fill(self.email)
        await self.press("Send the mail")
        await self.sees("Look into your mail")

    async def sign_in_by_code(self) -> None:
        """Ask for the mail, read the code, type it."""
        await self.ask_for_mail()
        mail = await self.shop.mail(self.email, "sign-in code")
        code = re.search(r"\b\d{6}\b", mail.subject)
        assert code, mail.subject
        await self.page.get_by_label("The six-digit code").fill(code[0])
        await self.press("Sign in")

    async def sign_in_by_link(self) -> None:
        """Ask for the mail, open it in the inbox, follow its link, press its button."""
        await self.ask_for_mail()
        mail = await self.shop.mail(self.email, "sign-in code")
        await self.page.goto(f"{self.shop.inbox}/mail/{mail.id}")
        await self.page.get_by_role("link", name=f"{self.shop.url}/sign-in/").first.click()
        await self.is_at(re.compile("/sign-in/[^/]+"))
        await self.sees(self.email)
        await self.page.get_by_role("main").get_by_role("button", name="Sign in").click()

    async def buy(self, sale: Sale, number: int = 1) -> None:
        """All of it, signed in: from the entry to "You are in"."""
        await self.put_into_cart(sale, number)
        await self.check_out()
        await self.pay()
        await self.sees("You are in")
