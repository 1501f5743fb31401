"""The pages of refunds: the organizer's and the buyer's, without scripts, from the choice to the confirmation."""

import re
from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

import pytest
from sqlalchemy import select

from cart.disputes import apply_dispute
from cart.models import Payment
from cart.refunds import sending
from cart.refunds.news import apply_refunds
from events.models import Page
from shared.clock import ManualClock
from shared.contracts.states import PageRole
from shared.database import Database
from shared.settings import Settings
from tests import event_rows
from tests.shop import Shop, all_rows, page_of
from tests.support import Browser


@dataclass
class Office:
    """A paid order of three tickets, its buyer and an organizer of its page."""

    shop: Shop
    buyer: Browser
    organizer: Browser
    kind: UUID
    order_id: UUID
    session_id: str

    @property
    def order(self) -> str:
        """The order's address in the office."""
        return f"/organizer/hall/orders/{self.order_id}"

    async def page(self, path: str, *, status: int = 200, client: Browser | None = None) -> str:
        """What is shown at an address."""
        answer = await (client or self.organizer).get(path)
        assert answer.status_code == status, path
        return await page_of(answer)

    async def post(self, path: str, *, client: Browser | None = None, **form: object) -> tuple[int, str]:
        """Send a form; where that leads to a page, follow it."""
        answer = await (client or self.organizer).post(
            path,
            data=urlencode(form, doseq=True),
            headers={"Content-Type": "application/x-www-form-urlencoded", "Origin": "http://shop.test"},
            follow_redirects=True,
        )
        return answer.status_code, await page_of(answer)

    async def send(self) -> None:
        """The worker carries refunds out."""
        await sending.send_due(self.shop.database.sessions, self.shop.world.till, now=self.shop.clock.now())

    async def tell(self) -> None:
        """What the webhook does with news of refunds."""
        intent = self.shop.payments.known[self.session_id].payment_intent
        listed = [one async for one in self.shop.payments.refunds(stripe_account="", payment_intent=intent)]
        async with self.shop.database.sessions.begin() as session:
            payment = (await session.scalars(select(Payment))).one()
            await apply_refunds(session, self.shop.world.till, payment, listed, now=self.shop.clock.now())


@pytest.fixture
async def office(settings: Settings, database: Database, clock: ManualClock) -> Office:
    """Three tickets of 12.50, paid; staff of the page."""
    shop = Shop(settings, database, clock)
    kind = await shop.world.sell(capacity=9, cost=1250, refund_hours=24)
    buyer, organizer = await shop.buyer_with(kind, 3), await shop.buyer("staff@hall.example")
    async with database.sessions.begin() as session:
        page = (await session.scalars(select(Page))).one()
        await event_rows.add_member(session, page, organizer.user_id, PageRole.STAFF)
    order_id, session_id = await shop.order_of(buyer)
    await shop.world.settle(shop.payments.pay(session_id))
    return Office(shop, buyer, organizer, kind, order_id, session_id)


def items_in(page: str) -> list[str]:
    """The tickets that a page's form would send."""
    return re.findall(r'name="item" value="([^"]+)"', page)


def field(page: str, name: str) -> str:
    """A hidden field's value."""
    found = re.search(rf'type="hidden" name="{name}" value="([^"]*)"', page)
    assert found is not None, name
    return found[1]


async def test_the_organizer_s_road(office: Office) -> None:
    """Choose two of three, see the sum, confirm: cancelled, refunded, told (spec: H2); pressed twice, once."""
    page = await office.page(office.order)
    items = items_in(page)
    assert len(items) == 3
    confirm = await office.page(f"{office.order}/refund?item={items[0]}&item={items[1]}")
    assert "Refund 2 tickets" in confirm
    assert "€25.00" in confirm
    assert items_in(confirm) == items[:2]
    for words in ("2 tickets cancelled; €25.00 goes back", "can be cancelled any more. Nothing was refunded"):
        status, page = await office.post(
            f"{office.order}/refund", item=items[:2], seen=field(confirm, "seen")
        )
        assert (status, words in page) == (200, True)
    assert "Refunded here" in page
    assert "About to be sent" in page
    await office.send()
    assert "Refunded here" in await office.page(office.order)
    assert [made.amount for made in office.shop.payments.made_refunds] == [2500]
    assert await office.shop.world.allocated(office.kind) == 1
    shown = await office.page(f"/orders/{office.order_id}", client=office.buyer)
    assert "€25.00 was refunded to you" in shown


async def test_the_buyer_s_road(office: Office) -> None:
    """From the order's page: choose, see what comes back, confirm; the organizer sees who it was (spec: H2)."""
    order = f"/orders/{office.order_id}"
    assert "Give tickets back" in await office.page(order, client=office.buyer)
    items = items_in(await office.page(f"{order}/refund", client=office.buyer))
    assert len(items) == 3
    confirm = await office.page(f"{order}/refund?item={items[2]}", client=office.buyer)
    assert "€12.50" in confirm
    status, page = await office.post(
        f"{order}/refund", client=office.buyer, item=items_in(confirm), seen=field(confirm, "seen")
    )
    assert status == 200
    assert "The money is on its way" in page
    assert "€12.50 goes back to you" in page
    page = await office.page(office.order)
    assert "Given back by the buyer" in page
    office.shop.clock.advance(days=6, minutes=1)
    assert "Give tickets back" not in await office.page(order, client=office.buyer)
    status, page = await office.post(f"{order}/refund", client=office.buyer, item=items[:1], seen="1250")
    assert status == 409
    assert re.search(r"until \w+ \d+ \w+, \d\d:\d\d \(Vienna\), 24 hours before the start", page)
    assert await office.shop.world.states(office.order_id) == ["cancelled", "confirmed", "confirmed"]


async def test_money_back_with_the_tickets_kept(office: Office) -> None:
    """A line and an amount, confirmed; the same form sent twice gives it once (spec: H2)."""
    page = await office.page(office.order)
    (line,) = re.findall(r'name="line" value="([^"]+)"', page)
    confirm = await office.page(f"{office.order}/refund?line={line}&amount=5,50")
    assert "Give €5.50 back" in confirm
    form = {name: field(confirm, name) for name in ("line", "form", "seen")}
    for _ in range(2):
        status, page = await office.post(f"{office.order}/refund", **form)
        assert status == 200
        assert "€5.50 goes back to the buyer; the tickets stay" in page
    assert [refund.amount for refund in await office.shop.world.refunds()] == [550]
    assert await office.shop.world.states(office.order_id) == ["confirmed"] * 3


async def test_an_amount_is_read_as_it_is_meant(office: Office) -> None:
    """Both readings are named and nothing goes back; full-width digits and the page's spelling are read (spec: L7)."""
    (line,) = re.findall(r'name="line" value="([^"]+)"', await office.page(office.order))
    answer = await office.organizer.get(
        f"{office.order}/refund", query_string={"line": line, "amount": "5.000"}
    )
    assert answer.status_code == 422
    body = await answer.get_data(as_text=True)
    assert "could be 5000.00 or 5.00" in body
    assert '<details class="card" open>' in body, "the form stays where it was, with what was typed"
    assert 'value="5.000"' in body
    for typed in ("５．５０", "\u200b€5.50 "):
        answer = await office.organizer.get(
            f"{office.order}/refund", query_string={"line": line, "amount": typed}
        )
        assert "Give €5.50 back" in await answer.get_data(as_text=True)


@pytest.mark.parametrize("amount", ["", "0", "-5", "abc", "1e3", "12.345", "37.51", "9" * 5000, "١٢"])
async def test_amounts_that_are_none(office: Office, amount: str) -> None:
    """A clear message on the order's page, 422, nothing written; by the form as by the confirmation."""
    (line,) = re.findall(r'name="line" value="([^"]+)"', await office.page(office.order))
    before = await all_rows(office.shop.database.sessions, besides=("rate_limits",))
    answer = await office.organizer.get(
        f"{office.order}/refund", query_string={"line": line, "amount": amount}
    )
    assert answer.status_code == 422
    assert "Please enter an amount" in (page := await page_of(answer)) or "more than is left" in page
    if amount != "37.51":
        status, _ = await office.post(f"{office.order}/refund", line=line, form=str(UUID(int=1)), seen=amount)
        assert status == 422
    assert await all_rows(office.shop.database.sessions, besides=("rate_limits",)) == before


async def test_forms_that_lack_something(office: Office) -> None:
    """No ticket, an unknown one, another amount, no decision: said where the organizer looks, nothing written."""
    items = items_in(await office.page(office.order))
    before = await all_rows(office.shop.database.sessions, besides=("rate_limits",))
    assert "choose at least one ticket" in await office.page(f"{office.order}/refund", status=422)
    assert "choose at least one" in await office.page(f"{office.order}/refund?item=99", status=422)
    for form, expected, words in (
        ({}, 422, "choose at least one"),
        ({"item": "nonsense", "seen": "0"}, 422, "choose at least one"),
        ({"item": items, "seen": "3749"}, 409, "has changed"),
        ({"item": items}, 409, "has changed"),
    ):
        status, page = await office.post(f"{office.order}/refund", **form)
        assert (status, words in page) == (expected, True), form
    status, page = await office.post(f"{office.order}/decide", action="eat it", refund=str(UUID(int=7)))
    assert (status, "choose what to do" in page) == (422, True)
    status, _ = await office.post(f"{office.order}/decide", action="again", refund=str(UUID(int=7)))
    assert status == 404
    assert await all_rows(office.shop.database.sessions, besides=("rate_limits",)) == before


async def test_no_secret_of_a_ticket_is_in_the_office(office: Office) -> None:
    """Who has a ticket's address or its door code has the ticket: forms name tickets by their number in the order."""
    async with office.shop.database.sessions() as session:
        tickets = await office.shop.world.calendar.get_tickets_for_order(session, office.order_id)
    office.shop.payments.refund_by_hand(office.session_id, 1250)
    await office.tell()
    order = await office.page(office.order)
    assert set(items_in(order)) == {"1", "2", "3"}
    for page in (order, await office.page(f"{office.order}/refund?item=1&item=3")):
        for ticket in tickets:
            assert str(ticket.id) not in page
            assert str(ticket.code) not in page
    evidence = await office.page(f"{office.order}/evidence.json")
    assert not any(str(ticket.id) in evidence for ticket in tickets)


async def test_a_failed_refund_is_on_top_until_it_is_solved(office: Office) -> None:
    """On the order and in the list "Needs a decision"; tried again, then refunded outside Stripe (spec: H2).

    Pain "refund stuck" (Hi.Events 1067).
    """
    items = items_in(await office.page(office.order))
    await office.post(f"{office.order}/refund", item=items[:1], seen="1250")
    for action, note in (("again", ""), ("otherwise", "Cash at the door")):
        await office.send()
        office.shop.payments.fail_refund(office.shop.payments.made_refunds[-1].id)
        await office.tell()
        assert "A refund failed" in await office.page("/organizer/hall/orders")
        page = await office.page(office.order)
        assert "A refund of €12.50 failed" in page
        failed = re.findall(r'name="refund" value="([^"]+)"', page)[0]
        form = {"action": action, "refund": failed, "note": note}
        status, page = await office.post(f"{office.order}/decide", **form)
        assert (status, "A refund of" in page) == (200, False)
        status, page = await office.post(f"{office.order}/decide", **form)
        assert (status, "was decided already" in page) == (409, True)
    assert "Needs a decision" not in await office.page("/organizer/hall/orders")
    assert "Cash at the door" in page
    assert "paid back to you another way" in await office.page(
        f"/orders/{office.order_id}", client=office.buyer
    )


async def test_by_hand_at_stripe_is_allocated_by_checkbox(office: Office) -> None:
    """Shown until it is said which tickets it was for, or that all are kept (spec: H2)."""
    for amount, keep in ((1000, True), (1250, False)):
        office.shop.payments.refund_by_hand(office.session_id, amount)
        await office.tell()
        assert "refunded by hand at Stripe" in await office.page("/organizer/hall/orders")
        page = await office.page(office.order)
        refund = re.findall(r'name="refund" value="([^"]+)"', page)[0]
        form = {"refund": refund, "action": "keep" if keep else "allocate", "item": items_in(page)[:1]}
        status, page = await office.post(f"{office.order}/decide", **form)
        assert status == 200
        assert ("All tickets stay valid" if keep else "The tickets are cancelled") in page
    assert await office.shop.world.states(office.order_id) == ["cancelled", "confirmed", "confirmed"]
    assert "Needs a decision" not in await office.page("/organizer/hall/orders")


async def test_who_has_no_ticket_is_not_told_that_they_are_in(office: Office) -> None:
    """The page after paying, looked at again when all tickets were cancelled (spec: C4)."""
    path = f"/orders/{office.order_id}/confirmation"
    assert "You are in" in await office.page(path, client=office.buyer)
    items = items_in(await office.page(office.order))
    await office.post(f"{office.order}/refund", item=items[:2], seen=2500)
    tickets = items_in(await office.page(f"/orders/{office.order_id}/refund", client=office.buyer))
    shown = await office.page(path, client=office.buyer)
    assert "You are in" in shown
    # of the evening's tickets the one that is still valid is offered for the calendar
    assert re.findall(r"/tickets/([^/\"]+)/calendar.ics", shown) == tickets
    await office.post(f"{office.order}/refund", item=items[2:], seen=1250)
    shown = await office.page(path, client=office.buyer)
    assert "You are in" not in shown
    assert "calendar.ics" not in shown
    assert "goes back to you" in shown


async def test_nothing_is_offered_that_a_dispute_took(office: Office) -> None:
    """Lost: the bank has given the money to the buyer, so the office has none to give back (spec: H2, H4)."""
    assert "€37.50 left" in await office.page(office.order)
    opened = office.shop.payments.dispute(office.session_id)
    lost = office.shop.payments.close_dispute(opened.id, won=False)
    async with office.shop.database.sessions.begin() as session:
        await apply_dispute(session, office.shop.world.till, lost, now=office.shop.clock.now())
    shown = await office.page(office.order)
    assert "Give money back" not in shown
    assert "You are in" not in await office.page(
        f"/orders/{office.order_id}/confirmation", client=office.buyer
    )
