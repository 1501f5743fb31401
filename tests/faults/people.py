"""The people at the counter: each comes again and again, does what people do, and tries again when nothing answers."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.bench.http import Answer, Browser
from tests.bench.load import CARD, FINGERPRINT
from tests.faults.town import Sale

TRIES = 4
PATIENCE = 40  # seconds; the shop itself waits half a minute for Stripe
DECLINED = "4000000000000002"
DEBITS = (
    {"sepa_debit": "AT611904300234573201", "bacs_debit": "00012345"},
    {"sepa_debit": "AT861904300235473202", "bacs_debit": "33333335"},
)
"""Accounts whose money arrives later, and such whose bank returns it."""
TOKEN = re.compile(rb'name="token" value="([0-9a-f-]{36})"')
ORDER_LINK = re.compile(rb'href="/orders/([0-9a-f-]{36})"')
REFUNDABLE = re.compile(rb'type="checkbox" name="item" value="([0-9a-f-]+)"')
SEEN = re.compile(rb'name="seen" value="(\d+)"')
YOU_ARE_IN = b"<h1>You are in</h1>"


Form = Mapping[str, str | Sequence[str]]


class GaveUp(Exception):
    """Nothing answered, however often it was tried; this visit is over."""


@dataclass(slots=True)
class Diary:
    """What all people together did and saw."""

    visits: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    """Answers that no buyer should see, as the shop gave them."""
    tried: int = 0
    told: int = 0
    """Checkouts refused in words: sold out, cart changed, too many open orders."""
    gave_up: int = 0
    cancelled: int = 0
    """Events that the organizer has cancelled."""
    moved: int = 0
    """Events that the organizer has moved."""
    decided: int = 0
    """Times that the operator has said what a payment without our marks is."""
    refunds: int = 0
    """Times that tickets of a paid order were given back or refunded, by buyer or organizer."""
    pressed_pay: int = 0
    sessions: list[str] = field(default_factory=list)
    """Checkout sessions whose payment page somebody saw."""
    saw_paid: set[str] = field(default_factory=set)
    """Orders whose buyer was shown "You are in": each of them must stay paid."""


class Person:
    """One buyer with two tabs and a payment page."""

    def __init__(
        self,
        number: int,
        ports: dict[str, int],
        cookie: str,
        sales: Sequence[Sale],
        chance: random.Random,
        diary: Diary,
        closing: asyncio.Event,
    ) -> None:
        at = f"10.0.{number // 256}.{number % 256}"
        self.tab, self.other_tab = (Browser(ports["shop"], cookie, forwarded_for=at) for _ in range(2))
        self.stripe, self.other_stripe = Browser(ports["stand-in"]), Browser(ports["stand-in"])
        self.sales, self.chance, self.diary = sales, chance, diary
        self.pages: list[str] = []
        """Payment pages this person was sent to."""
        self.paid: list[str] = []
        """Orders this person saw paid."""
        self._closing = closing

    async def live(self, pace: float) -> None:
        """Come about every `pace` seconds until the shop closes."""
        acts, weights = zip(*ACTS.items(), strict=True)
        while not await self.pause(self.chance.uniform(0, 2 * pace)):
            (act,) = self.chance.choices(acts, weights)
            self.diary.visits[act.__name__] += 1
            try:
                await act(self)
            except GaveUp:
                self.diary.gave_up += 1

    async def leave(self) -> None:
        """Close every tab."""
        for browser in (self.tab, self.other_tab, self.stripe, self.other_stripe):
            await browser.close()

    async def pause(self, seconds: float) -> bool:
        """Wait; True as soon as the shop closes."""
        try:
            await asyncio.wait_for(self._closing.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def get(self, path: str, *, tab: Browser | None = None) -> Answer:
        """Open a page of the shop."""
        browser = tab or self.tab
        return await self._patiently(browser, lambda: browser.get(path))

    async def post(self, path: str, form: Form, *, tab: Browser | None = None) -> Answer:
        """Press a button; again if nothing answers, as people do."""
        browser = tab or self.tab
        return await self._patiently(browser, lambda: browser.post(path, form))

    async def fill_cart(self) -> None:
        """Choose one or two kinds of tickets."""
        for sale in self.chance.sample(self.sales, self.chance.choice((1, 1, 1, 2))):
            await self.get(sale.href)
            await self.post(f"{sale.href}/buy", {sale.field: str(self.chance.randint(1, 3))})

    async def checkout(self, *, tab: Browser | None = None) -> str | None:
        """Press the button in the cart: the payment page's address; None where the shop said no, or it was free."""
        fingerprint = FINGERPRINT.search((await self.get("/cart", tab=tab)).body)
        if fingerprint is None:
            return None
        self.diary.tried += 1
        answer = await self.post("/checkout", {"fingerprint": fingerprint[1].decode()}, tab=tab)
        if answer.status != 303:
            self.diary.told += 1
            await self.post("/cart/lines", {"action": "empty"}, tab=tab)
            return None
        if not answer.location.startswith("/orders/"):
            return self.note_page(answer.location)
        self.note_paid(await self.get(answer.location, tab=tab))
        return await self.go_on(order_of(answer.location), tab=tab)

    async def go_on(self, order_id: str, *, tab: Browser | None = None) -> str | None:
        """Press "Continue to payment" on an order's page: the payment page's address, if it leads there."""
        answer = await self.post("/checkout/pending", {"order_id": order_id}, tab=tab)
        leads = answer.status == 303 and not answer.location.startswith("/")
        return self.note_page(answer.location) if leads else None

    async def reserve(self) -> str | None:
        """Fill the cart and go to the payment page."""
        await self.fill_cart()
        return await self.checkout()

    async def pay(
        self, url: str, number: str = CARD["number"], method: str = "card", *, tab: Browser | None = None
    ) -> str | None:
        """Pay on the payment page: the way back to the shop, or None where it was declined or is over."""
        browser = tab or self.stripe
        self.diary.pressed_pay += 1
        form = CARD | {"number": number, "method": method}
        answer = await self._patiently(browser, lambda: browser.post(url, form))
        return answer.location if answer.status == 303 else None

    async def come_back(self, location: str | None) -> None:
        """Follow the way back to the confirmation."""
        if location is None:
            return
        answer = await self.get(location)
        if answer.status == 303:
            self.note_paid(await self.get(answer.location), order_of(location))

    async def refund(self, order: str) -> None:
        """Choose some tickets on an order's page, go on to the sum, and press the button in both tabs at once.

        `order` is the order's address, for its buyer or for the organizer.
        """
        offered = REFUNDABLE.findall((await self.get(order)).body)
        if not offered:
            return
        items = [item.decode() for item in self.chance.sample(offered, self.chance.randint(1, len(offered)))]
        address = f"{order.removesuffix('/refund')}/refund"
        seen = SEEN.search((await self.get(f"{address}?{urlencode({'item': items}, doseq=True)}")).body)
        if seen is None:
            return
        form: Form = {"item": items, "seen": seen[1].decode()}
        self.diary.refunds += 1
        await both(self.post(address, form), self.post(address, form, tab=self.other_tab))

    async def open_order(self) -> str | None:
        """An unfinished order that the cart's page tells of."""
        found = ORDER_LINK.findall((await self.get("/cart")).body)
        return self.chance.choice(found).decode() if found else None

    def note_page(self, url: str) -> str:
        """Remember a payment page; its address."""
        self.pages.append(url)
        self.diary.sessions.append(urlsplit(url).path.rpartition("/")[2])
        return url

    def note_paid(self, page: Answer, order_id: str = "") -> None:
        """Remember an order that its buyer is shown as paid."""
        if YOU_ARE_IN in page.body:
            self.paid.append(order_id or ORDER_LINK.findall(page.body)[0].decode())
            self.diary.saw_paid.add(self.paid[-1])

    async def _patiently(self, browser: Browser, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        for trial in range(TRIES):
            try:
                async with asyncio.timeout(PATIENCE):
                    answer = await ask()
                if answer.status < 500:
                    return answer
                self.diary.answers[str(answer.status)] += 1
            except (
                OSError,
                EOFError,
                ValueError,
            ) as error:  # cut off in the middle; a time-out is an OSError
                self.diary.answers[type(error).__name__] += 1
            await browser.close()
            if await self.pause(self.chance.uniform(0.2, 1.0) * (trial + 1)):
                break
        raise GaveUp


def order_of(location: str) -> str:
    """The order that an address of ours is about."""
    parts = urlsplit(location)
    return parse_qs(parts.query).get("order", [""])[0] or parts.path.split("/")[2]


async def buys(person: Person) -> None:
    """From the page to the ticket."""
    if url := await person.reserve():
        await person.come_back(await person.pay(url))


async def buys_now(person: Person) -> None:
    """One click on the event's page, past the cart."""
    sale = person.chance.choice(person.sales)
    token = TOKEN.search((await person.get(sale.href)).body)
    if token is None:
        return
    number = str(person.chance.randint(1, 2))
    person.diary.tried += 1
    answer = await person.post(
        f"{sale.href}/buy", {sale.field: number, "token": token[1].decode(), "then": "pay"}
    )
    if answer.status != 303:
        person.diary.told += 1
    elif not answer.location.startswith("/"):
        await person.come_back(await person.pay(person.note_page(answer.location)))
    elif answer.location.startswith("/orders/"):
        person.note_paid(await person.get(answer.location), order_of(answer.location))


async def closes_the_tab(person: Person) -> None:
    """Pays and never comes back: only the webhook, or the reconciler, can tell."""
    if url := await person.reserve():
        await person.pay(url)


async def abandons(person: Person) -> None:
    """Leaves at the payment page."""
    await person.reserve()


async def declined_first(person: Person) -> None:
    """The first card is declined, the second is not."""
    if url := await person.reserve():
        await person.pay(url, DECLINED)
        await person.come_back(await person.pay(url))


async def extends(person: Person) -> None:
    """Asks for more time, then pays."""
    url = await person.reserve()
    if url and (order_id := await person.open_order()):
        await person.post(f"/orders/{order_id}/extend", {})
        await person.come_back(await person.pay(url))


async def gives_back(person: Person) -> None:
    """Changes their mind."""
    await person.reserve()
    if order_id := await person.open_order():
        await person.post(f"/orders/{order_id}/cancel", {})


async def pays_and_gives_back(person: Person) -> None:
    """Presses "pay" in one tab and "give back" in another at the same moment."""
    url = await person.reserve()
    if url and (order_id := await person.open_order()):
        await both(person.pay(url), person.post(f"/orders/{order_id}/cancel", {}, tab=person.other_tab))


async def pays_twice(person: Person) -> None:
    """Checks out in two tabs and pays in both."""
    await person.fill_cart()
    urls = await both(person.checkout(), person.checkout(tab=person.other_tab))
    payments = [
        person.pay(url, tab=tab)
        for url, tab in zip(urls, (person.stripe, person.other_stripe), strict=True)
        if url
    ]
    for location in await both(*payments):
        await person.come_back(location)


async def pays_late(person: Person) -> None:
    """Goes for a walk at the payment page; the hold may be over when they pay."""
    if url := await person.reserve():
        await person.pause(person.chance.uniform(5, 70))
        await person.come_back(await person.pay(url))


async def debits(person: Person) -> None:
    """Pays by a debit that arrives later, or comes back; by card where none is offered."""
    if url := await person.reserve():
        ways = [*person.chance.choice(DEBITS).items(), ("card", CARD["number"])]
        for method, number in ways:
            if location := await person.pay(url, number, method):
                await person.come_back(location)
                break


async def goes_on(person: Person) -> None:
    """Comes back to an unfinished order and pays it."""
    order_id = await person.open_order()
    if order_id and (url := await person.go_on(order_id)):
        await person.come_back(await person.pay(url))


async def old_tab(person: Person) -> None:
    """Finds a payment page still open in some tab, and pays it."""
    if person.pages:
        await person.come_back(await person.pay(person.chance.choice(person.pages)))


async def refunds_own(person: Person) -> None:
    """Gives tickets back that are paid, within the page's policy."""
    if person.paid:
        await person.refund(f"/orders/{person.chance.choice(person.paid)}/refund")


async def both(*works: Awaitable[str | None] | Awaitable[Answer]) -> list[str | None]:
    """At the same moment; what gave up counts as nothing."""
    done = await asyncio.gather(*works, return_exceptions=True)
    for one in done:
        if isinstance(one, BaseException) and not isinstance(one, GaveUp):
            raise one
    return [one if isinstance(one, str) else None for one in done]


ACTS: dict[Callable[[Person], Awaitable[None]], int] = {
    buys: 24,
    buys_now: 10,
    closes_the_tab: 10,
    abandons: 8,
    declined_first: 5,
    extends: 6,
    gives_back: 6,
    pays_and_gives_back: 8,
    pays_twice: 8,
    pays_late: 5,
    debits: 10,
    goes_on: 8,
    old_tab: 5,
    refunds_own: 6,
}
"""What people do, and how often. An act that needs a new button of the shop is one function here."""
