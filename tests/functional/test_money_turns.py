"""What happens to money that was thought to be settled: over the stand-in, the SDK between, up to the reconciler.

Appeals, decisions that banks take back, disputes that never began, reserves, and payouts of less than nothing.
"""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from cart.books import keeping
from cart.reconcile.run import reconcile
from cart.records import Dispute, Payout
from cart.till import Till
from tests.ledger_sums import sums
from tests.road import Road
from tests.road_books import books_balance, till_of


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
