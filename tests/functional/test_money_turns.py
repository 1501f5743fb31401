"""What happens to money that was thought to be settled: over the stand-in, the SDK between, up to the reconciler.

Slips that nobody pays, appeals, decisions that banks take back, disputes that never began, reserves, and payouts of
less than nothing.
"""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from cart.books import keeping
from cart.overdue import end_overdue
from cart.reconcile.run import reconcile
from cart.records import Dispute, Payout
from cart.refunds.by_line import refund_items
from cart.refunds.owing import RefundReason
from cart.till import Till
from shared.contracts.states import OrderState
from shared.payment_methods import SLOWEST
from tests.ledger_sums import sums
from tests.road import Road
from tests.road_books import books_balance, look, till_of


@pytest.fixture
async def till(road: Road) -> AsyncIterator[Till]:
    """The road's, with one clock on both sides."""
    road.standin.set_clock(road.world.clock.now())
    yield till_of(road)
    road.standin.set_clock(None)


async def paid(road: Road) -> tuple[UUID, str]:
    """Two tickets for 25.00; ids of order and session."""
    order_id, session_id = await road.to_stripe()
    await road.standin.pay(session_id)
    await road.send(road.event())
    return order_id, session_id


async def hear(road: Road, *kinds: str) -> None:
    """The newest events of these kinds come in."""
    for kind in kinds:
        assert (await road.send(road.event(kind))).status_code == 200


async def blocked(road: Road, order_id: UUID) -> bool:
    """Whether the order's tickets open no door."""
    async with road.world.sessions() as session:
        tickets = await road.world.calendar.get_tickets_for_order(session, order_id)
    (state,) = {ticket.blocked for ticket in tickets}
    return state


async def dispute_here(road: Road) -> Dispute:
    """The one dispute there is."""
    async with road.world.sessions() as session:
        return (await session.scalars(select(Dispute))).one()


def go_on_to(road: Road, moment: datetime) -> None:
    """Both clocks go on to a moment."""
    road.world.clock.advance(seconds=(moment - road.world.clock.now()).total_seconds())
    road.standin.set_clock(moment)


async def told_how_to_pay(road: Road, slip: str) -> tuple[UUID, str]:
    """An order whose buyer got a slip: never offered by us, so somebody has switched it on by hand."""
    order_id, session_id = await road.to_stripe()
    session = road.standin.find("checkout.session", session_id)
    assert session["payment_method_types"] == ["card"]
    session["payment_method_types"].append(slip)
    await road.standin.pay(session_id, slip=slip)
    await hear(road, "checkout.session.completed")
    assert (await road.world.order(order_id)).state == OrderState.PROCESSING
    return order_id, session_id


@pytest.mark.parametrize("pays", [True, False])
async def test_a_slip_that_is_paid_or_lapses(road: Road, till: Till, *, pays: bool) -> None:
    """Complete while nothing is on its way: the tickets are held until it is paid or worth nothing (spec: C3)."""
    order_id, session_id = await told_how_to_pay(road, "multibanco")
    facts = await till.payments.expire_session(session_id, stripe_account="")
    assert (facts.status, facts.payment_status, facts.has_failed) == ("complete", "unpaid", False)
    await books_balance(road, till)
    if pays:
        road.standin.finish_delayed(session_id)
    else:
        go_on_to(road, road.world.clock.now() + timedelta(days=4))
    await hear(road, f"checkout.session.async_payment_{'succeeded' if pays else 'failed'}")
    assert (await road.world.order(order_id)).state == (OrderState.PAID if pays else OrderState.FAILED)
    assert await road.world.allocated(road.kind) == (2 if pays else 0)
    await books_balance(road, till)


async def test_a_bank_transfer_that_comes_after_the_order_was_ended(road: Road, till: Till) -> None:
    """It is waited for without end: a person ends the order, and money that comes all the same goes back."""
    order_id, session_id = await told_how_to_pay(road, "customer_balance")
    go_on_to(road, road.world.clock.now() + SLOWEST + timedelta(days=1))
    now = road.world.clock.now()
    ended = await end_overdue(road.world.sessions, till, order_id=order_id, actor="user:x", now=now)
    assert ended == OrderState.FAILED
    assert await road.world.allocated(road.kind) == 0
    road.standin.finish_delayed(session_id)
    await hear(road, "checkout.session.async_payment_succeeded")
    await look(road, till)
    refund = road.standin.events("refund.created")[-1]["data"]["object"]
    assert refund["amount"] == 2500
    go_on_to(road, road.world.clock.now() + timedelta(minutes=1))  # a bank takes its time for a refund
    await hear(road, "refund.updated")
    await books_balance(road, till)


async def test_lost_appealed_won_and_lost_again(road: Road, till: Till) -> None:
    """Each turn as Stripe tells it: tickets follow the money, and the books balance after every one (spec: H4)."""
    order_id, session_id = await paid(road)
    dispute = road.standin.dispute(session_id)["id"]
    await hear(road, "charge.dispute.created")
    road.standin.lose_dispute(dispute)
    await hear(road, "charge.dispute.closed")
    assert await blocked(road, order_id)
    await books_balance(road, till)
    road.standin.appeal_dispute(dispute)
    await hear(road, "charge.dispute.updated")
    row = await dispute_here(road)
    assert (row.status, row.closed_at, row.withdrawn) == ("appeal_needs_response", None, 2500)
    assert row.evidence_due_by is not None
    assert row.evidence_due_by > road.world.clock.now()
    await books_balance(road, till)
    road.standin.win_dispute(dispute)
    await hear(road, "charge.dispute.funds_reinstated", "charge.dispute.closed")
    assert not await blocked(road, order_id)
    await books_balance(road, till)
    assert await sums(road.world.sessions) == {"stripe_balance": 2438, "sales": -2500, "fees": 62}
    road.standin.take_back_dispute(dispute)
    await hear(road, "charge.dispute.funds_withdrawn")
    assert await blocked(road, order_id)
    assert (await dispute_here(road)).status == "lost"
    await books_balance(road, till)
    assert (await sums(road.world.sessions))["disputes"] == 2500


async def test_a_won_dispute_whose_fee_is_kept(road: Road, till: Till) -> None:
    """Only the amount comes back: the fee stays in the books as what it cost."""
    road.standin.keep_dispute_fees()
    _, session_id = await paid(road)
    dispute = road.standin.dispute(session_id)["id"]
    road.standin.win_dispute(dispute)
    await hear(road, "charge.dispute.closed")
    await books_balance(road, till)
    assert await sums(road.world.sessions) == {
        "stripe_balance": 2438 - 1500, "sales": -2500, "fees": 62, "dispute_fees": 1500,
    }  # fmt: skip
    road.standin.take_back_dispute(dispute)
    await hear(road, "charge.dispute.updated")
    await books_balance(road, till)
    assert (await sums(road.world.sessions))["dispute_fees"] == 1500, "asked for once"


@pytest.mark.parametrize("resolved", [False, True])
async def test_a_dispute_that_was_prevented(road: Road, till: Till, *, resolved: bool) -> None:
    """Nothing was taken: the tickets stay good. Or the buyer has the money: they do not."""
    order_id, session_id = await paid(road)
    road.standin.prevent_dispute(session_id, resolved=resolved)
    await hear(road, "charge.dispute.closed", "charge.dispute.created")
    row = await dispute_here(road)
    assert (row.status, row.withdrawn) == ("prevented", 2500 if resolved else 0)
    assert row.closed_at is not None
    assert await blocked(road, order_id) is resolved
    await books_balance(road, till)


@pytest.mark.parametrize("heard_first", [False, True])
async def test_a_refund_of_what_was_settled_before_it_became_a_dispute(
    road: Road, till: Till, *, heard_first: bool
) -> None:
    """Owed when the buyer got the money from the network: not owed any more, rather than tried for ever (spec: H2)."""
    order_id, session_id = await paid(road)
    async with road.world.sessions.begin() as session:
        tickets = await road.world.calendar.get_tickets_for_order(session, order_id)
        await refund_items(
            session, till, order_id=order_id, item_ids=[one.id for one in tickets], page_id=None, actor="user:x",
            reason=RefundReason.ORGANIZER, now=road.world.clock.now(),
        )  # fmt: skip
    road.world.clock.advance(seconds=5)
    road.standin.set_clock(road.world.clock.now())
    road.standin.prevent_dispute(session_id, resolved=True)
    if heard_first:
        await hear(road, "charge.dispute.closed")
    await look(road, till)
    await hear(road, "charge.dispute.closed")
    assert [one.state for one in await road.world.refunds()] == ["withdrawn"]
    await books_balance(road, till)


@pytest.mark.parametrize("when", ["before", "disputed", "lost"])
async def test_what_a_bank_had_paid_is_owed_again_once_it_took_it_back(
    road: Road, till: Till, *, when: str
) -> None:
    """Cancelled before the dispute, during it or after it was lost: the appeal is won, so the buyer has nothing yet."""
    order_id, session_id = await paid(road)

    async def cancel() -> None:
        async with road.world.sessions.begin() as session:
            tickets = await road.world.calendar.get_tickets_for_order(session, order_id)
            await refund_items(
                session, till, order_id=order_id, item_ids=[one.id for one in tickets], page_id=None,
                actor="user:x", reason=RefundReason.ORGANIZER, now=road.world.clock.now(),
            )  # fmt: skip

    if when == "before":
        await cancel()
    go_on_to(road, road.world.clock.now() + timedelta(seconds=5))
    dispute = road.standin.dispute(session_id)["id"]
    await hear(road, "charge.dispute.created")
    if when == "disputed":
        await cancel()
    await look(road, till)
    road.standin.lose_dispute(dispute)
    await hear(road, "charge.dispute.closed")
    if when == "lost":
        await cancel()
    await books_balance(road, till)
    assert [one.state for one in await road.world.refunds()] == ["withdrawn"]
    road.standin.appeal_dispute(dispute)
    await hear(road, "charge.dispute.updated")
    road.standin.win_dispute(dispute)
    for _ in range(2):
        await hear(road, "charge.dispute.funds_reinstated", "charge.dispute.closed")
    await look(road, till)
    await hear(road, "charge.refunded")
    assert sorted((one.state, one.amount) for one in await road.world.refunds()) == [
        ("succeeded", 2500),
        ("withdrawn", 2500),
    ]
    await books_balance(road, till)


async def test_what_is_left_is_owed_again(road: Road, till: Till) -> None:
    """Of 25.00 that a bank took back, 10.00 went back by hand before we heard of it: the other 15.00 are owed."""
    order_id, session_id = await paid(road)
    async with road.world.sessions.begin() as session:
        tickets = await road.world.calendar.get_tickets_for_order(session, order_id)
        await refund_items(
            session, till, order_id=order_id, item_ids=[one.id for one in tickets], page_id=None,
            actor="user:x", reason=RefundReason.ORGANIZER, now=road.world.clock.now(),
        )  # fmt: skip
    go_on_to(road, road.world.clock.now() + timedelta(seconds=5))
    dispute = road.standin.dispute(session_id)["id"]
    await hear(road, "charge.dispute.created")
    await look(road, till)
    road.standin.lose_dispute(dispute)
    await hear(road, "charge.dispute.closed")
    assert [one.state for one in await road.world.refunds()] == ["withdrawn"]
    road.standin.appeal_dispute(dispute)
    await hear(road, "charge.dispute.updated")
    road.standin.win_dispute(dispute)
    road.standin.refund(session_id, 1000)
    await hear(road, "charge.refunded", "charge.dispute.funds_reinstated", "charge.dispute.closed")
    await look(road, till)
    await hear(road, "charge.refunded")
    sent = [one.amount for one in await road.world.refunds() if one.state == "succeeded"]
    assert sorted(sent) == [1000, 1500]
    await books_balance(road, till)


async def test_a_closed_question_becomes_a_dispute(road: Road, till: Till) -> None:
    """The bank asked, was answered, and takes the money all the same."""
    order_id, session_id = await paid(road)
    asked = road.standin.dispute(session_id, inquiry=True)["id"]
    road.standin.win_dispute(asked)
    await hear(road, "charge.dispute.closed")
    assert (await dispute_here(road)).status == "warning_closed"
    road.standin.escalate_dispute(asked)
    await hear(road, "charge.dispute.updated")
    row = await dispute_here(road)
    assert (row.status, row.closed_at) == ("needs_response", None)
    assert await blocked(road, order_id)
    await books_balance(road, till)


async def test_a_reserve_is_held_and_given_back(road: Road, till: Till) -> None:
    """Both of its sides are in Stripe's list, and only one is in the balance that the ledger is held against."""
    await paid(road)
    await books_balance(road, till)
    road.standin.reserve(700)
    road.world.clock.advance(minutes=5)
    dry = await reconcile(road.world.sessions, till, now=road.world.clock.now())
    assert [one.kind for one in dry.differences if one.kind == "balance_differs"] == [], "before it is posted"
    await keeping.fetch(road.world.sessions, till.payments, stripe_account="")
    dry = await reconcile(road.world.sessions, till, now=road.world.clock.now())
    assert [one.kind for one in dry.differences if one.kind == "balance_differs"] == [], "while it waits"
    await books_balance(road, till)
    assert await sums(road.world.sessions) == {
        "stripe_balance": 2438 - 700, "reserved": 700, "sales": -2500, "fees": 62,
    }  # fmt: skip
    road.standin.reserve(-700)
    await books_balance(road, till)
    assert "reserved" not in await sums(road.world.sessions)


async def test_a_payout_of_less_than_nothing(road: Road, till: Till) -> None:
    """More went back than was there: Stripe takes the rest from the bank, and the books say so."""
    _, session_id = await paid(road)
    road.standin.pay_out(everything=True)
    await hear(road, "payout.created")
    road.standin.dispute(session_id)
    await hear(road, "charge.dispute.created")
    (debit,) = road.standin.pay_out(everything=True)
    assert debit["amount"] == -4000
    road.standin.set_clock(road.world.clock.now() + timedelta(days=2))
    road.world.clock.advance(days=2)
    await hear(road, "payout.paid")
    await books_balance(road, till)
    assert (await sums(road.world.sessions))["bank"] == 2438 - 4000
    async with road.world.sessions() as session:
        amounts = (await session.scalars(select(Payout.amount).order_by(Payout.amount))).all()
    assert list(amounts) == [-4000, 2438]
