"""Every form with nothing, too much, negative, huge, of the wrong type, with somebody else's id, of another page.

Each gets a message where the user looks and a 4xx, and nothing is written (spec: B2, B8, B12, C2, D9, D10).
"""

import re
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from shared.contracts.states import PageRole
from shared.ids import new_id
from shared.settings import ROOT
from tests.shop import Shop, all_rows, page_of
from tests.support import Browser, browser

HUGE = "9" * 400
MULTIPART = "multipart/form-data; boundary=x"
NOT_NUMBERS = ("-1", "+1", "1.5", "1e3", "two", "٣", "½", "0x10", "1 2", HUGE, "\x00", "1\x00", "’); --")


@dataclass(frozen=True)
class Try:
    """One wrong entry. Names in braces stand for ids of the stage; `at` is the id of the field with the message."""

    path: str
    form: dict[str, str]
    status: int
    words: str
    at: str = ""
    who: str = "buyer"


def buys(quantity: str, status: int, words: str, *, of: str = "a") -> list[Try]:
    """The same number in the buy form of a buyer and of a visitor."""
    name = f"quantity-{{{of}}}"
    at = f"f-{name}-error"
    return [
        Try("/p/hall/concert/buy", {name: quantity}, status, words, at, who) for who in ("buyer", "visitor")
    ]


WHOLE = "whole number"
BUY = [
    Try("/p/hall/concert/buy", {}, 422, "Choose at least one"),
    Try("/p/hall/concert/buy", {}, 422, "Choose at least one", who="visitor"),
    Try("/p/hall/concert/buy", {"quantity-{a}": "0"}, 422, "Choose at least one"),
    Try("/p/hall/concert/buy", {"quantity-{a}": " "}, 422, "Choose at least one"),
    *[one for text in NOT_NUMBERS for one in buys(text, 422, WHOLE)],
    *buys("11", 422, "10"),
    *buys("999999999", 422, "10"),
    *buys("4", 409, "Only 3 left", of="few"),
    *buys("1", 409, "not begun", of="later"),
    Try("/p/hall/concert/buy", {"quantity-{yen}": "1"}, 422, "does not belong to this event"),
    Try("/p/hall/concert/buy", {"quantity-{yen}": "1"}, 422, "does not belong to this event", who="visitor"),
    Try("/p/hall/concert/buy", {"quantity-nothing": "1"}, 422, "does not belong to this event"),
    Try(
        "/p/hall/concert/buy",
        {"quantity-{a}": "1", "quantity-{few}": "x"},
        422,
        WHOLE,
        "f-quantity-{few}-error",
    ),
    Try("/p/tokyo/concert/buy", {"quantity-{a}": "1"}, 404, "find that"),
    Try("/p/hall/nowhere/buy", {"quantity-{a}": "1"}, 404, "find that"),
    Try("/p/%00/%00/buy", {"quantity-{a}": "1"}, 400, "could not read"),
]
NOT_IN_CART = "not in your cart any more"
LINES = [
    Try("/cart/lines", {}, 404, NOT_IN_CART),
    Try("/cart/lines", {"ref": "nonsense", "quantity": "1"}, 404, NOT_IN_CART),
    Try("/cart/lines", {"ref": "\x00", "quantity": "1"}, 404, NOT_IN_CART),
    Try("/cart/lines", {"ref": "{nobodys}", "quantity": "1"}, 404, "find that"),
    Try("/cart/lines", {"ref": "{ticket}", "quantity": "0"}, 404, "find that"),
    Try("/cart/lines", {"action": "drop tables", "quantity": "1"}, 404, NOT_IN_CART),
    Try("/cart/lines", {"ref": "{a}"}, 422, WHOLE, "f-q-{a}-error"),
    *[
        Try("/cart/lines", {"ref": "{a}", "quantity": text}, 422, WHOLE, "f-q-{a}-error")
        for text in NOT_NUMBERS
        if text != HUGE
    ],
    Try("/cart/lines", {"ref": "{a}", "quantity": HUGE}, 422, "more than can be bought", "f-q-{a}-error"),
    Try("/cart/lines", {"ref": "{a}", "quantity": "11"}, 422, "10", "f-q-{a}-error"),
    Try("/cart/lines", {"ref": "{few}", "quantity": "4"}, 409, "no longer available"),
    Try("/cart/lines", {"ref": "{later}", "quantity": "1"}, 409, "not begun"),
    Try("/cart/lines", {"action": "empty", "page": "nowhere"}, 404, "find that"),
    Try("/cart/lines", {"action": "empty", "page": "\x00"}, 400, "could not read"),
]
CHANGED = "Your cart has changed"
CHECKOUT = [
    Try("/checkout", {}, 409, CHANGED),
    Try("/checkout", {"fingerprint": "{stale}"}, 409, CHANGED),
    Try("/checkout", {"fingerprint": HUGE}, 409, CHANGED),
    Try("/checkout", {"fingerprint": "{fingerprint}", "page": "nowhere"}, 404, "find that"),
    Try("/checkout", {"fingerprint": "{fingerprint}", "page": "\x00"}, 400, "could not read"),
    Try("/checkout", {"fingerprint": "\x00"}, 400, "could not read"),
    Try("/checkout", {"fingerprint": "{strangers}"}, 409, CHANGED),
    Try("/checkout", {"fingerprint": "{fingerprint}", "page": "tokyo"}, 409, CHANGED),
    Try("/checkout", {"fingerprint": "{stale}"}, 422, "Your cart is empty", who="idle"),
    Try("/checkout", {"fingerprint": "{cheap}"}, 422, "smallest amount", who="saver"),
]
ENDED = "Your checkout session has expired. Please refresh the page and try again."
ORDERS = [
    Try("/checkout/pending", {}, 404, "find that"),
    Try("/checkout/pending", {"session_id": "{session}"}, 404, "find that"),
    Try("/checkout/pending", {"order_id": "{order}"}, 404, "find that"),
    Try("/checkout/pending", {"order_id": "{nobodys}"}, 404, "find that"),
    Try("/checkout/pending", {"session_id": HUGE}, 404, "find that"),
    Try("/checkout/pending", {"session_id": "cs_\x00"}, 400, "could not read"),
    Try("/checkout/pending", {"session_id": "{paid_session}"}, 400, ENDED, who="stranger"),
    *[
        Try(f"/orders/{{{which}}}/{what}", {}, status, words, who=who)
        for what, late in (("cancel", "can no longer be given back"), ("extend", "no time to extend"))
        for which, who, status, words in (
            ("order", "buyer", 404, "find that"),
            ("nobodys", "buyer", 404, "find that"),
            ("paid", "stranger", 409, late),
        )
    ],
    Try("/orders/1/cancel", {}, 404, "nothing at this address"),
    Try("/orders/1/extend", {}, 404, "nothing at this address"),
    Try("/orders/{extended}/extend", {}, 409, "already extended", who="stranger"),
]
NO_ADDRESSES = (
    "", " ", "name", "name@", "@example.org", "name@example", "two words@example.org", "name@exa mple.org",
    "name@example.org, other@example.org", "name@example.org\nBcc: other@example.org", "name\x00@example.org",
    f"{'n' * 300}@example.org", f"name@{'e' * 300}.org", "name@-.org", "<b>@example.org",
)  # fmt: skip
NO_CODES = ("", "12345", "1234567", "abcdef", "٩٩٩٩٩٩", "\x00", HUGE)
SIGN_IN = [
    *[Try("/sign-in", {"email": text}, 422, "e-mail address", "f-email-error", "visitor") for text in NO_ADDRESSES],
    Try("/sign-in", {}, 422, "e-mail address", "f-email-error", "visitor"),
    *[Try("/sign-in", {"code": text}, 422, "six digits", "f-code-error", "asked") for text in NO_CODES],
    Try("/sign-in", {"code": "000000"}, 410, "ask for a new mail", who="visitor"),
    Try("/sign-in/guessed", {}, 410, "ask for a new mail", who="visitor"),
    Try("/sign-in/%00", {}, 410, "ask for a new mail", who="visitor"),
]  # fmt: skip
CANCEL = "/organizer/hall/entries/concert/cancel"
NOT_THE_TITLE = "not the event’s title"
MOVE = "/organizer/hall/entries/concert/move"
OFFICE = [
    *[
        Try(CANCEL, form, 422, NOT_THE_TITLE, "f-title-error", "owner")
        for form in (
            {},
            {"title": ""},
            {"title": "Concer"},
            {"title": "Recital"},
            {"title": "\x00"},
            {"title": HUGE},
        )
    ],
    Try(CANCEL, {"title": "Concert"}, 403, "Only an owner", who="staff"),
    Try(CANCEL, {"title": "Concert"}, 404, "find that"),
    Try("/organizer/hall/entries/nowhere/cancel", {"title": "Concert"}, 404, "find that", who="owner"),
    *[
        Try(MOVE, form, 422, words, who="owner")
        for form, words in (
            ({}, "a day and a time"),
            ({"starts_at": "soon", "ends_at": "later"}, "a day and a time"),
            ({"starts_at": "0001-01-01T00:00", "ends_at": "9999-12-31T23:59"}, "a day and a time"),
            ({"starts_at": HUGE, "ends_at": "\x00"}, "a day and a time"),
            ({"starts_at": "2020-01-01T20:00", "ends_at": "2020-01-01T21:00"}, "begin in the future"),
            ({"starts_at": "2099-01-01T20:00", "ends_at": "2099-01-01T20:00"}, "end after it has begun"),
        )
    ],
    Try(MOVE, {"starts_at": "2099-01-01T20:00"}, 404, "find that"),
    Try("/organizer/hall/entries/nowhere/move", {}, 404, "find that", who="owner"),
    Try("/organizer/tokyo/entries/recital/cancel", {"title": "Recital"}, 404, "find that", who="owner"),
]
SOLD = "/organizer/hall/orders/{paid}"
ONE_TICKET, AN_AMOUNT = "choose at least one ticket", "enter an amount"
REFUNDS = [
    *[
        Try("/orders/{paid}/refund", form, 422, ONE_TICKET, who="stranger")
        for form in ({}, {"item": ""}, {"item": "\x00"}, {"item": HUGE})
    ],
    Try("/orders/{paid}/refund", {"item": "{nobodys}", "seen": "0"}, 404, "find that", who="stranger"),
    Try("/orders/{paid}/refund", {"item": "{paid_ticket}"}, 409, "ask the organizer", who="stranger"),
    Try("/orders/{paid}/refund", {"item": "{paid_ticket}"}, 404, "find that"),
    *[
        Try(f"{SOLD}/refund", form, 422, ONE_TICKET, who="owner")
        for form in ({}, {"item": "\x00", "seen": "0"}, {"item": HUGE})
    ],
    *[
        Try(f"{SOLD}/refund", {"item": "1", "seen": text}, 409, "has changed", who="staff")
        for text in ("", "0", "-1", "2001", "\x00", HUGE)
    ],
    Try(f"{SOLD}/refund", {"item": "1", "seen": "2000"}, 404, "find that"),
    *[
        Try(f"{SOLD}/refund", form, 422, AN_AMOUNT, who="owner")
        for form in ({"line": ""}, {"line": "\x00"}, {"line": "{nobodys}", "form": HUGE})
    ],
    Try(
        f"{SOLD}/refund",
        {"line": "{nobodys}", "form": "{nobodys}", "seen": "1"},
        404,
        "find that",
        who="owner",
    ),
    *[
        Try(f"{SOLD}/decide", form, 422, "choose what to do", who="owner")
        for form in ({}, {"action": "again"}, {"refund": "{nobodys}"}, {"refund": "\x00", "action": HUGE})
    ],
    Try(f"{SOLD}/decide", {"refund": "{nobodys}", "action": "again"}, 404, "find that", who="owner"),
    Try(f"{SOLD}/decide", {"refund": "{nobodys}", "action": "again"}, 404, "find that"),
    Try("/operator/orders/{paid}/decide", {"refund": "{nobodys}"}, 404, "find that", who="owner"),
]
TRIES = [*BUY, *LINES, *CHECKOUT, *ORDERS, *SIGN_IN, *OFFICE, *REFUNDS]
WITHOUT_FIELDS = {
    *("identity.sign_out", "identity.everywhere"),
    *("cart.operator_checks", "cart.operator_event_again", "cart.operator_end", "cart.compare_now"),
}
OF_THE_OPERATOR = {"cart.operator_foreign_decide"}  # tests/functional/test_paid_without_marks.py
OF_A_PROGRAM = {"cart.stripe_webhook"}  # tests/functional/test_webhook.py


@dataclass
class Stage:
    """A shop in the middle of its day, and the ids that tries name."""

    shop: Shop
    ids: dict[str, str] = field(default_factory=dict)
    browsers: dict[str, Browser] = field(default_factory=dict)

    def fill(self, text: str) -> str:
        """Put ids in place of their names."""
        return re.sub(r"\{(\w+)\}", lambda found: self.ids[found[1]], text)


@pytest.fixture
async def stage(shop: Shop) -> Stage:
    """A buyer with two tickets, somebody with an unfinished, an extended and a paid order, and some who just came."""
    world, made = shop.world, Stage(shop)
    kinds = await sell_all(shop)
    buyer = await shop.buyer_with(kinds["a"], 2)
    stranger = await shop.buyer_with(kinds["a"], email="stranger@example.org")
    paid, paid_session = await shop.order_of(stranger)
    await world.settle(shop.payments.pay(paid_session))
    await world.put(stranger.user_id, kinds["a"], 1)
    extended, _ = await shop.order_of(stranger)
    await stranger.post(f"/orders/{extended}/extend")
    await world.put(stranger.user_id, kinds["a"], 3)
    strangers = await world.seen(stranger.user_id)
    order, session = await shop.order_of(stranger)
    saver = await shop.buyer_with(kinds["cheap"], email="saver@example.org")
    asked = browser(shop.app)
    await asked.post("/sign-in", form={"email": "asked@example.org"})
    idle = await shop.buyer("idle@example.org")
    owner, staff = await shop.buyer("owner@example.org"), await shop.buyer("staff@example.org")
    await shop.world.employ(kinds["a"], owner.user_id, PageRole.OWNER)
    await shop.world.employ(kinds["a"], staff.user_id, PageRole.STAFF)
    made.browsers = {
        "buyer": buyer, "stranger": stranger, "saver": saver, "idle": idle, "asked": asked,
        "visitor": browser(shop.app), "owner": owner, "staff": staff,
    }  # fmt: skip
    made.ids = {name: str(kind) for name, kind in kinds.items()} | {
        "order": str(order), "session": session, "paid": str(paid), "paid_session": paid_session,
        "extended": str(extended), "ticket": str(await shop.ticket_of(order)), "nobodys": str(new_id()),
        "paid_ticket": str(await shop.ticket_of(paid)),
        "stale": "0" * 64, "strangers": strangers, "cheap": await world.seen(saver.user_id),
        "fingerprint": await world.seen(buyer.user_id),
    }  # fmt: skip
    return made


async def sell_all(shop: Shop) -> dict[str, UUID]:
    """Ticket types of one event: plain, few, not yet on sale, cheap; and one of another page in yen."""
    from events.models import Entry, TicketType
    from tests import event_rows

    world = shop.world
    kinds = {"a": await world.sell(), "yen": await world.sell("recital", page="tokyo", currency="JPY")}
    kinds["cheap"] = await world.sell("talk", page="school", cost=20)
    async with shop.database.sessions.begin() as session:
        entry = await session.get_one(Entry, (await session.get_one(TicketType, kinds["a"])).entry_id)
        kinds["few"] = (await event_rows.add_type(session, entry, "Few", capacity=3)).id
        later = shop.clock.advance(seconds=0).replace(year=shop.clock.now().year + 1)
        kinds["later"] = (await event_rows.add_type(session, entry, "Later", sale_starts_at=later)).id
    return kinds


@pytest.mark.parametrize(
    "group",
    [BUY, LINES, CHECKOUT, ORDERS, SIGN_IN, OFFICE, REFUNDS],
    ids=["buy", "lines", "checkout", "orders", "sign-in", "office", "refunds"],
)
async def test_wrong_entries(stage: Stage, group: list[Try]) -> None:
    """A message at the field or above the form, 4xx, and no row of any table is other than before."""
    before, calls = (
        await all_rows(stage.shop.database.sessions, besides=("rate_limits",)),
        list(stage.shop.payments.calls),
    )
    for one in group:
        form = {stage.fill(name): stage.fill(value) for name, value in one.form.items()}
        answer = await stage.browsers[one.who].post(stage.fill(one.path), form=form)
        page = await page_of(answer)
        assert (one, answer.status_code) == (one, one.status)
        assert one.words in page, one
        if one.at:
            shown = re.search(
                rf'<p class="field__error" id="{re.escape(stage.fill(one.at))}">(.*?)</p>', page
            )
            assert shown, one
            assert one.words in shown[1], one
            if f'id="{stage.fill(one.at).removesuffix("-error")}"' in page:
                assert 'aria-invalid="true"' in page, one
        assert await all_rows(stage.shop.database.sessions, besides=("rate_limits",)) == before, one
    assert [call for call in stage.shop.payments.calls[len(calls) :] if call != "retrieve"] == []


def test_no_form_is_left_out(shop: Shop) -> None:
    """Every route that takes a POST is tried above, or listed with the reason why not."""
    addresses = shop.app.url_map.bind("shop.test")
    ids = {name: str(new_id()) for one in TRIES for name in re.findall(r"\{(\w+)\}", one.path)}
    tried = {
        addresses.match(one.path.format(**ids), method="POST")[0]
        for one in TRIES
        if "/orders/1/" not in one.path
    }
    taking = {rule.endpoint for rule in shop.app.url_map.iter_rules() if "POST" in (rule.methods or ())}
    assert tried == taking - WITHOUT_FIELDS - OF_THE_OPERATOR - OF_A_PROGRAM


NAMED_ADDRESSES = {
    "entry.href": "/p/hall/concert",
    "decide_href": "/operator/orders/{{ order.id }}/decide",
}
"""What stands for an address in templates that several pages include."""


def test_every_form_leads_somewhere(shop: Shop) -> None:
    """No form of a template has an address or a method that the app does not take."""
    addresses, forms = shop.app.url_map.bind("shop.test"), 0
    for path in (ROOT / "templates").rglob("*.html"):
        text = path.read_text()
        for name, address in NAMED_ADDRESSES.items():
            text = text.replace("{{ " + name + " }}", address)
        for tag in re.findall(r"<form\b.*?>", text):
            if action := re.search(r'action="([^"#]+)', tag):
                method = "POST" if 'method="post"' in tag else "GET"
                address, _, _ = re.sub(r"{{.*?}}", str(new_id()), action[1]).partition("#")
                assert addresses.match(address, method=method), path
                forms += 1
    assert forms > 10


ODD_ADDRESSES = [
    "/p/%00", "/p/hall/%00", "/p/hall/%FF", "/p/hall/concert?added=%00", "/p/hall/concert?added=" + HUGE, "/%00",
    "/checkout/complete", "/checkout/complete?session_id=", "/checkout/complete?session_id=cs_%00&order=%00",
    f"/checkout/complete?session_id={HUGE}&order={new_id()}", "/sign-in?next=%00", "/sign-in/%00", "/tickets/%00",
    "/orders/%00", "/organizer/%00", "/organizer/%00/orders", "/organizer/hall/orders?q=%00", "/accent/%00.css",
    f"/organizer/hall/orders?q={HUGE}&state={HUGE}&before={HUGE}", "/organizer/hall/orders?q=%25_%5C&state=%00",
]  # fmt: skip


async def test_odd_addresses(stage: Stage) -> None:
    """Whatever stands in an address is found or not found; it never breaks a page."""
    from sqlalchemy import select

    from events.models import Page
    from tests import event_rows

    async with stage.shop.database.sessions.begin() as session:
        page = (await session.scalars(select(Page).where(Page.slug == "hall"))).one()
        await event_rows.add_member(session, page, stage.browsers["buyer"].user_id, PageRole.OWNER)
    before = await all_rows(stage.shop.database.sessions, besides=("rate_limits",))
    for path in ODD_ADDRESSES:
        answer = await stage.browsers["buyer"].get(path)
        assert answer.status_code in (200, 303, 400, 404, 410), path
    assert await all_rows(stage.shop.database.sessions, besides=("rate_limits",)) == before


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"\xff\xfe=\xff", "application/x-www-form-urlencoded"),
        (b"quantity=%ff%fe%00", "application/x-www-form-urlencoded"),
        (b'{"fingerprint": 1}', "application/json"),
        (b"--x\r\nbroken", MULTIPART),
        (b"--x\r\nContent-Disposition: form-data; name=code; filename=f\r\n\r\n1\r\n--x--\r\n", MULTIPART),
        (b"&".join(b"a%d=1" % number for number in range(3000)), "application/x-www-form-urlencoded"),
        (b"a=" + b"1" * (1024 * 1024), "application/x-www-form-urlencoded"),
    ],
    ids=["not-utf8", "quoted-not-utf8", "json", "cut-off", "file", "many", "huge"],
)  # fmt: skip
async def test_bodies_that_are_no_form(stage: Stage, body: bytes, kind: str) -> None:
    """What no browser of ours sends is refused like an empty form."""
    buyer = stage.browsers["buyer"]
    before = await all_rows(stage.shop.database.sessions, besides=("rate_limits",))
    for path in ("/p/hall/concert/buy", "/cart/lines", "/checkout", "/checkout/pending", "/sign-in"):
        answer = await buyer.post(
            path, data=body, headers={"Content-Type": kind, "Origin": "http://shop.test"}
        )
        assert 400 <= answer.status_code < 500, path
    assert await all_rows(stage.shop.database.sessions, besides=("rate_limits",)) == before


async def test_too_many_unfinished_checkouts_are_told_at_the_cart(shop: Shop) -> None:
    """The eleventh is refused where the buyer looks, with the ten to go on with (spec: B12)."""
    kind = await shop.world.sell(max_per_order=20)
    client = await shop.buyer()
    for _ in range(10):
        await shop.world.put(client.user_id, kind, 1)
        await shop.order_of(client)
    await shop.world.put(client.user_id, kind, 1)
    before = await all_rows(shop.database.sessions)
    answer = await client.post("/checkout", form={"fingerprint": await shop.world.seen(client.user_id)})
    page = await page_of(answer)
    assert (answer.status_code, page.count("Go on with order")) == (409, 10)
    assert "many unfinished checkouts" in page
    assert await all_rows(shop.database.sessions) == before
