"""A payment page made by hand without our metadata, over the stand-in with the SDK between: the incident of section F.

The buyer pays it, nothing says for which order. It must not be lost, nor booked by a guess.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import select

from cart.foreign.models import ForeignFit, ForeignPayment
from cart.operator.health import paid_without_marks
from cart.reconcile.differences import Kind
from cart.till import Till
from shared.contracts.states import OrderState
from shared.health_facts import Level
from shared.models import AuditEntry, OutgoingMail
from tests.ledger_sums import sums
from tests.road import Road
from tests.road_books import books_balance, look, till_of
from tests.support import Browser, browser, signed_in_client

FORM = "/operator/foreign"
OPERATOR = "boss@example.org"


@pytest.fixture
async def till(road: Road) -> AsyncIterator[Till]:
    """The road's, with one clock on both sides and an operator."""
    road.app.settings = replace(road.app.settings, operators=(OPERATOR,))
    road.standin.set_clock(road.world.clock.now())
    yield till_of(road)
    road.standin.set_clock(None)


async def paid_by_hand(road: Road, *, add: int = 0, email: str = "ada@example.org") -> tuple[UUID, str]:
    """An order whose buyer pays a page that somebody made by hand; ids of the order and of that page."""
    order_id, session_id = await road.to_stripe()
    made = road.standin.without_marks(session_id, add=add)
    await road.standin.pay(made, email=email)
    return order_id, made


async def kept(road: Road) -> list[ForeignPayment]:
    """What waits for the operator, or did."""
    async with road.world.sessions() as session:
        return list(await session.scalars(select(ForeignPayment).order_by(ForeignPayment.id)))


async def decide(road: Road, decision: str, order_id: UUID, *, by: Browser | None = None) -> tuple[int, str]:
    """What the operator's form does; status and page."""
    operator = by or await signed_in_client(road.app, OPERATOR)
    (row,) = await kept(road)
    number = (await road.world.order(order_id)).number
    answer = await operator.post(f"{FORM}/{row.id}", form={"decision": decision, "number": number})
    return answer.status_code, (await answer.get_data()).decode()


async def test_it_is_an_alarm_and_never_a_guess(road: Road, till: Till) -> None:
    """The webhook keeps it with the order that it fits and why; nothing is booked (spec: F4, H8)."""
    order_id, made = await paid_by_hand(road)
    for _ in range(2):
        assert (await (await road.send(road.event())).get_json())["result"] == "foreign"
    (row,) = await kept(road)
    assert (row.session_id, row.amount, row.email, row.state) == (made, 2500, "ada@example.org", "open")
    async with road.world.sessions() as session:
        fit = (await session.scalars(select(ForeignFit))).one()
        assert (fit.order_id, fit.why) == (order_id, ["email", "amount"])
        fact = await paid_without_marks(session, road.world.clock.now())
    assert (fact.level, fact.value, fact.href) == (Level.ALARM, 1, FORM)
    assert (await road.world.order(order_id)).state == OrderState.PENDING
    report = await look(road, till)
    assert [one.kind for one in report.differences] == [Kind.PAID_WITHOUT_MARKS]


async def test_the_operator_says_whose_it_is(road: Road, till: Till) -> None:
    """Posted as foreign first; then it pays the order, and its own page is closed (spec: C3, H1)."""
    order_id, made = await paid_by_hand(road)
    await road.send(road.event())
    await look(road, till)
    assert (await sums(road.world.sessions)) == {"stripe_balance": 2438, "foreign": -2438}
    status, _ = await decide(road, "assign", order_id)
    assert status == 303
    assert (await road.world.order(order_id)).state == OrderState.PAID
    assert await road.world.states(order_id) == ["confirmed", "confirmed"]
    assert sorted(await road.world.attempt_states(order_id)) == ["complete", "expired"]
    await books_balance(road, till)
    assert await sums(road.world.sessions) == {"stripe_balance": 2438, "sales": -2500, "fees": 62}
    answer = await road.buyer.get(f"/checkout/complete?session_id={made}")
    assert answer.location == f"/orders/{order_id}/confirmation"
    status, page = await decide(road, "assign", order_id)
    assert (status, "already decided" in page) == (409, True)
    async with road.world.sessions() as session:
        said = await session.scalars(select(AuditEntry.what).where(AuditEntry.subject_id == order_id))
        assert "foreign_assigned" in said.all()


async def test_claimed_again_after_the_hold_lapsed(road: Road, till: Till) -> None:
    """The tickets had gone back to the cart; they are the buyer's again (spec: B8)."""
    order_id, _ = await paid_by_hand(road)
    await road.send(road.event())
    road.world.clock.advance(minutes=31)
    world = road.world
    world.till = till
    assert await world.release(order_id) == OrderState.EXPIRED
    assert (await decide(road, "assign", order_id))[0] == 303
    assert await world.states(order_id) == ["confirmed", "confirmed"]
    await books_balance(road, till)


async def test_tickets_gone_means_money_back(road: Road, till: Till) -> None:
    """The buyer took them out of the cart after the lapse: said to be the order's, it goes back whole, with a mail."""
    order_id, _ = await paid_by_hand(road)
    await road.send(road.event())
    road.world.clock.advance(minutes=31)
    world = road.world
    world.till = till
    await world.release(order_id)
    await world.put(road.buyer.user_id, road.kind, 0)
    assert (await decide(road, "assign", order_id))[0] == 303
    assert (await world.order(order_id)).state == OrderState.EXPIRED
    await books_balance(road, till)
    assert [(one.reason, one.state, one.amount) for one in await world.refunds()] == [
        ("paid_too_late", "succeeded", 2500)
    ]


async def test_sent_back(road: Road, till: Till) -> None:
    """A refund as any other, booked with the order, which stays as it is and can still be paid (spec: H2)."""
    order_id, made = await paid_by_hand(road, add=500)
    await road.send(road.event())
    status, page = await decide(road, "assign", order_id)
    assert (status, "€30.00 was paid" in page) == (409, True)
    assert (await decide(road, "send_back", order_id))[0] == 303
    await books_balance(road, till)
    (refund,) = await road.world.refunds()
    assert (refund.reason, refund.state, refund.amount) == ("outside_checkout", "succeeded", 3000)
    assert (await road.world.order(order_id)).state == OrderState.PENDING
    async with road.world.sessions() as session:
        assert (await session.scalars(select(OutgoingMail.to))).all() == ["ada@example.org"]
    assert (await decide(road, "send_back", order_id))[0] == 409
    assert len(await road.world.refunds()) == 1
    answer = await road.buyer.get(f"/checkout/complete?session_id={made}")
    assert answer.location == f"/orders/{order_id}/confirmation"


async def test_not_ours(road: Road, till: Till) -> None:
    """Set aside: nothing is booked, the alarm is over, it does not come back (spec: H8)."""
    order_id, _ = await paid_by_hand(road)
    await road.send(road.event())
    assert (await decide(road, "dismiss", order_id))[0] == 303
    await road.send(road.event())
    await books_balance(road, till)
    async with road.world.sessions() as session:
        assert (await paid_without_marks(session, road.world.clock.now())).level is Level.OK
        (entry,) = await session.scalars(select(AuditEntry).where(AuditEntry.subject == "foreign_payment"))
        assert (entry.what, entry.actor[:5]) == ("foreign_dismissed", "user:")


async def test_what_has_gone_back_is_not_booked(road: Road, till: Till) -> None:
    """Refunded at Stripe by hand meanwhile: neither an order is paid by it nor does it go back twice."""
    order_id, made = await paid_by_hand(road)
    await road.send(road.event())
    road.standin.refund(made)
    for decision in ("assign", "send_back"):
        status, page = await decide(road, decision, order_id)
        assert (status, "has gone back at Stripe" in page) == (409, True)
    assert (await decide(road, "dismiss", order_id))[0] == 303
    await books_balance(road, till)


async def test_the_reconciler_finds_it_without_a_webhook(road: Road, till: Till) -> None:
    """No event came: the hourly run keeps it once, and says that it waits until there is a word (spec: H1)."""
    order_id, made = await paid_by_hand(road)
    assert [one.done for one in (await look(road, till)).differences] == ["shown to the operator"]
    assert [(one.session_id, one.state) for one in await kept(road)] == [(made, "open")]
    assert [one.remedy for one in (await look(road, till)).differences] == ["needs a person"]
    assert (await decide(road, "assign", order_id))[0] == 303
    await books_balance(road, till)


async def test_the_buyer_reads_that_it_was_received(road: Road, till: Till) -> None:
    """Back from that page, before its webhook too, and on the order's page: not "Nothing here" (spec: C3)."""
    order_id, made = await paid_by_hand(road)
    for client in (
        road.buyer,
        browser(road.app),
    ):  # the buyer's first look tells us of it; then anybody's does
        answer = await client.get(f"/checkout/complete?session_id={made}")
        assert (answer.status_code, b"Your payment was received" in await answer.get_data()) == (200, True)
    page = await (await road.buyer.get(f"/orders/{order_id}")).get_data()
    assert b"received outside of this shop" in page
    await decide(road, "dismiss", order_id)
    assert b"received outside" not in await (await road.buyer.get(f"/orders/{order_id}")).get_data()
    assert (await road.buyer.get(f"/checkout/complete?session_id={made}")).status_code == 404


async def test_other_programs_payments_are_left_alone(road: Road, till: Till) -> None:
    """Another amount and payer, or the amount alone days after: foreign as ever. The payer's address tells longer."""
    order_id, session_id = await road.to_stripe()
    for days, add, email, count in (
        (0, 700, "eve@example.com", 0),
        (3, 0, "eve@example.com", 0),
        (0, 0, "", 1),
    ):
        road.world.clock.advance(days=days)
        road.standin.set_clock(road.world.clock.now())
        if days:
            road.world.till = till
            await road.world.release(order_id, to=OrderState.CANCELLED)
            road.world.clock.advance(days=days)
            road.standin.set_clock(road.world.clock.now())
        made = road.standin.without_marks(session_id, add=add)
        await road.standin.pay(made, email=email or "Ada@Example.org")
        await road.send(road.event())
        assert len(await kept(road)) == count


async def test_nobody_else_decides(road: Road, till: Till) -> None:
    """404 for the buyer; an unknown order number is said (spec: D9)."""
    order_id, _ = await paid_by_hand(road)
    await road.send(road.event())
    assert (await decide(road, "assign", order_id, by=road.buyer))[0] == 404
    operator, (row,) = await signed_in_client(road.app, OPERATOR), await kept(road)
    for form in ({"decision": "assign", "number": "nonsense"}, {"decision": "x"}, {}):
        assert (await operator.post(f"{FORM}/{row.id}", form=form)).status_code == 422
    assert [one.state for one in await kept(road)] == ["open"]
