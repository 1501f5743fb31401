"""The reconciler with Stripe in memory: payments, refunds, disputes, the books, tickets, orphans."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text, update

from cart.books import keeping
from cart.disputes import apply_dispute
from cart.models import CheckoutAttempt, Order
from cart.reconcile.differences import Kind
from cart.reconcile.run import reconcile
from cart.refunds.by_line import refund_items
from cart.refunds.owing import RefundReason
from events.cancelling import cancel_entry
from events.models import TicketType
from shared.contracts.states import OrderState
from tests.cart_world import World
from tests.functional.cart.reconciling import (
    blocked,
    check,
    forget,
    kinds,
    later,
    ledger_balance,
    paid,
    repaired,
    work,
)


@pytest.fixture(autouse=True)
def one_clock(world: World) -> None:
    """Stripe's clock is ours."""
    world.payments.now = world.clock.now()


async def test_delayed_payment_that_failed_after_the_usual_time(world: World) -> None:
    """Its session is older than what is listed: it is asked about all the same."""
    kind = await world.sell(capacity=1, delayed_methods=True)
    _, order_id, session_id = await world.bought(kind)
    await world.settle(world.payments.pay(session_id, paid=False))
    later(world, days=10)
    assert kinds(await check(world)) == []
    world.payments.bounce(session_id)
    await repaired(world, Kind.DELAYED_FAILED)
    assert (await world.order(order_id)).state == OrderState.FAILED


async def test_payment_page_with_another_amount(world: World) -> None:
    """Made by hand, or before a change: nobody pays it."""
    _, _, session_id = await world.bought(await world.sell(hold_minutes=60))
    world.payments.known[session_id] = replace(world.payments.known[session_id], amount_total=1)
    await repaired(world, Kind.SESSION_AMOUNT)
    assert world.payments.known[session_id].status == "expired"


async def test_money_of_a_session_older_than_the_list(world: World) -> None:
    """The payment intent is listed, its session no longer: found through it."""
    kind = await world.sell()
    _, order_id, session_id = await world.bought(kind)
    world.payments.pay(session_id)
    listed, now = world.payments.sessions, world.clock.now()
    world.payments.sessions = lambda **where: listed(**where | {"since": now + timedelta(days=1)})  # type: ignore[method-assign]
    async with world.sessions.begin() as session:
        await session.execute(update(CheckoutAttempt).values(created_at=now - timedelta(days=8)))
    await repaired(world, Kind.INTENT_WITHOUT_PAYMENT)
    assert (await world.order(order_id)).state == OrderState.PAID


async def test_payment_that_stripe_does_not_know(world: World) -> None:
    """Nothing repairs that: it is told as long as it is so (spec: H1)."""
    order_id, session_id, _ = await paid(world)
    del world.payments.known[session_id]
    for _ in range(2):
        report = await check(world, commit=True)
        (difference,) = (one for one in report.differences if one.kind is Kind.PAYMENT_UNKNOWN)
        assert (difference.order_id, difference.remedy, difference.repaired) == (
            order_id,
            "needs a person",
            False,
        )


async def test_amounts_that_differ(world: World) -> None:
    """Booked with another amount than Stripe received: nobody but a person may decide."""
    _, session_id, _ = await paid(world)
    world.payments.known[session_id] = replace(world.payments.known[session_id], amount_total=2999)
    report = await check(world, commit=True)
    assert Kind.AMOUNT_DIFFERS in kinds(report)
    difference = report.differences[0]
    assert (difference.here, difference.stripe) == ("€30.00 paid, Paid", "€29.99 received")


async def test_money_that_bought_nothing_goes_back(world: World) -> None:
    """A refund that was owed and is gone from our tables: owed again, once (spec: H2)."""
    _, session_id, _ = await paid(world)
    await world.settle(world.payments.pay_again(session_id))
    async with world.sessions.begin() as session:
        await session.execute(text("DELETE FROM refunds"))
    await repaired(world, Kind.PAYMENT_WITHOUT_END)
    await work(world)
    assert [(one.payment_intent, one.amount) for one in world.payments.made_refunds] == [
        (f"pi_{session_id}_again", 3000)
    ]


async def test_refund_by_hand_and_never_told(world: World) -> None:
    """A part by hand waits for the organizer, the rest by hand cancels the tickets; each taken in once (spec: H1)."""
    order_id, session_id, kind = await paid(world)
    world.payments.refund_by_hand(session_id, 1000)
    await repaired(world, Kind.REFUND_NOT_HERE)
    assert [(one.amount, one.reason, one.unallocated) for one in await world.refunds()] == [
        (1000, "by_hand", True)
    ]
    assert await world.states(order_id) == ["confirmed", "confirmed"]
    world.payments.refund_by_hand(session_id, 2000)
    await repaired(world, Kind.REFUND_NOT_HERE)
    assert await world.states(order_id) == ["cancelled", "cancelled"]
    assert await world.allocated(kind) == 0


async def test_refund_that_failed_and_never_told(world: World) -> None:
    """The bank sent it back: noted, and then told each time until somebody decides (Hi.Events 1067)."""
    _, session_id, _ = await paid(world)
    await world.settle(world.payments.pay_again(session_id))
    await work(world)
    world.payments.fail_refund("re_1")
    first = await check(world, commit=True)
    assert kinds(first) == [Kind.REFUND_DIFFERS, Kind.REFUND_FAILED]
    assert first.differences[0].repaired
    second = await check(world, commit=True)
    assert [(one.kind, one.repaired) for one in second.differences] == [(Kind.REFUND_FAILED, False)]


async def test_refund_owed_for_long(world: World) -> None:
    """The worker was dead: the refund is sent now (Hi.Events 1067)."""
    _, session_id, _ = await paid(world)
    await world.settle(world.payments.pay_again(session_id))
    await keeping.post_new(world.sessions, world.till, now=world.clock.now())
    later(world, hours=2)
    await repaired(world, Kind.REFUND_OVERDUE)
    assert [one.state for one in await world.refunds()] == ["succeeded"]


async def test_refund_that_stripe_does_not_know(world: World) -> None:
    """Said to be sent, and not there: told."""
    _, session_id, _ = await paid(world)
    await world.settle(world.payments.pay_again(session_id))
    await work(world)
    world.payments.made_refunds.clear()
    assert kinds(await check(world, commit=True)) == [Kind.REFUND_UNKNOWN]


async def test_dispute_and_never_told(world: World) -> None:
    """Tickets blocked while the bank holds the money, valid again when it is won (spec: H4)."""
    order_id, session_id, _ = await paid(world)
    dispute = world.payments.dispute(session_id)
    await repaired(world, Kind.DISPUTE_NOT_HERE)
    assert await blocked(world, order_id) == [True, True]
    world.payments.close_dispute(dispute.id, won=True)
    await repaired(world, Kind.DISPUTE_DIFFERS)
    assert await blocked(world, order_id) == [False, False]


async def test_dispute_older_than_the_list(world: World) -> None:
    """Decided after months: what we know to be open is asked about however old it is."""
    order_id, session_id, _ = await paid(world)
    dispute = world.payments.dispute(session_id)
    await check(world, commit=True)
    later(world, days=90)
    world.payments.close_dispute(dispute.id, won=True)
    await repaired(world, Kind.DISPUTE_DIFFERS)
    assert await blocked(world, order_id) == [False, False]


async def test_tickets_that_a_dispute_should_block(world: World) -> None:
    """The overlay follows the dispute, also where somebody took it off."""
    order_id, session_id, _ = await paid(world)
    world.payments.dispute(session_id)
    await check(world, commit=True)
    async with world.sessions.begin() as session:
        await world.calendar.block_tickets_for_order(session, order_id, blocked=False)
    await repaired(world, Kind.TICKETS_BLOCKED_WRONGLY)
    assert await blocked(world, order_id) == [True, True]


async def test_tickets_and_pools(world: World) -> None:
    """Stock held for nobody, a paid order that only holds its tickets, a counter that is off (spec: H1)."""
    order_id, _, kind = await paid(world)
    async with world.sessions.begin() as session:
        await session.execute(text("UPDATE tickets SET state = 'reserved', reserved_until = now()"))
    await repaired(world, Kind.PAID_WITHOUT_TICKETS)
    assert await world.states(order_id) == ["confirmed", "confirmed"]
    _, other, _ = await world.bought(kind)
    async with world.sessions.begin() as session:
        await session.execute(update(Order).where(Order.id == other).values(state="cancelled"))
        await session.execute(update(CheckoutAttempt).values(state="expired"))
    for session_id in world.payments.known:
        await world.payments.expire_session(session_id, stripe_account="")
    await repaired(world, Kind.TICKETS_HELD_FOR_NOBODY)
    assert await world.allocated(kind) == 2
    async with world.sessions.begin() as session:
        await session.execute(text("UPDATE pools SET allocated = allocated + 1"))
    await repaired(world, Kind.POOL_DIFFERS, Kind.POOL_DIFFERS)
    assert await world.allocated(kind) == 2


async def test_tickets_without_payment_need_a_person(world: World) -> None:
    """Somebody may stand at the door with them: told, never taken away (spec: H1)."""
    _, order_id, _ = await world.bought(await world.sell(hold_minutes=60))
    async with world.sessions.begin() as session:
        await session.execute(
            text("UPDATE tickets SET state = 'confirmed', reserved_until = NULL, code = id::text")
        )
    report = await check(world, commit=True)
    assert [(one.kind, one.order_id, one.repaired) for one in report.differences] == [
        (Kind.TICKETS_WITHOUT_PAYMENT, order_id, False)
    ]
    assert await world.states(order_id) == ["confirmed"]


async def test_paid_order_without_its_tickets_needs_a_person(world: World) -> None:
    """Paid for, not refunded, and not there."""
    order_id, _, _ = await paid(world)
    async with world.sessions.begin() as session:
        ids = [one.id for one in await world.calendar.get_tickets_for_order(session, order_id)]
        await world.calendar.cancel_tickets(session, order_id, ticket_ids=ids[:1])
    report = await check(world, commit=True)
    assert [(one.kind, one.here) for one in report.differences] == [
        (Kind.PAID_WITHOUT_TICKETS, "Paid, 1 of its tickets gone")
    ]


async def test_orphans_are_refunded_only_when_asked_and_once(world: World) -> None:
    """A restored database: told each time, never touched, until --refund-orphans; then once for ever (spec: H1)."""
    order_id, session_id, _ = await paid(world)
    await forget(world, order_id)
    for commit in (False, True):
        report = await check(world, commit=commit)
        assert [(one.kind, one.repaired) for one in report.differences] == [(Kind.ORPHAN, False)]
    assert world.payments.made_refunds == []
    report = await check(world, commit=True, refund_orphans=True)
    assert [(one.kind, one.repaired) for one in report.differences] == [(Kind.ORPHAN, True)]
    assert [(one.payment_intent, one.amount) for one in world.payments.made_refunds] == [
        (f"pi_{session_id}", 3000)
    ]
    assert kinds(await check(world, commit=True, refund_orphans=True)) == []
    assert len(world.payments.made_refunds) == 1


async def test_orphan_whose_refund_lost_its_answer(world: World) -> None:
    """Its refund's id is derived from the payment: asked for again, the same refund."""
    order_id, _, _ = await paid(world)
    await forget(world, order_id)
    world.payments.lost_answers = 1
    report = await check(world, commit=True, refund_orphans=True)
    assert not report.differences[0].repaired
    await check(world, commit=True, refund_orphans=True)
    assert len(world.payments.made_refunds) == 1


async def test_open_page_of_an_orphan(world: World) -> None:
    """It would bring more money for nothing: closed when orphans are asked for."""
    _, order_id, session_id = await world.bought(await world.sell())
    await forget(world, order_id)
    assert kinds(await check(world, commit=True)) == [Kind.ORPHAN]
    assert world.payments.known[session_id].status == "open"
    await check(world, commit=True, refund_orphans=True)
    assert world.payments.known[session_id].status == "expired"


async def test_foreign_is_counted_and_never_touched(world: World) -> None:
    """Another program's, or another installation's, on the same account: a number, no difference (spec: H1).

    One that fits an order of ours waits for a person: tests/functional/test_paid_without_marks.py.
    """
    _, _, session_id = await world.bought(await world.sell(hold_minutes=60))
    ours = world.payments.known[session_id]
    for number, metadata in enumerate(({}, {"app": "tillgate", "installation_id": "another"})):
        theirs = {"customer": "cus_of_another", "amount_total": ours.amount_total + 100}
        foreign = replace(ours, id=f"cs_foreign_{number}", metadata=metadata, **theirs)  # type: ignore[arg-type]
        world.payments.known[foreign.id] = foreign
    world.payments.pay("cs_foreign_0")
    await work(world)
    before = dict(world.payments.known)
    report = await check(world, commit=True, refund_orphans=True)
    assert kinds(report) == []
    assert report.compared["foreign"] == 3
    assert world.payments.known == before


async def test_movements_and_payouts_and_never_told(world: World) -> None:
    """The books' sweep was dead: each movement is posted, the payout noted, and the balance is Stripe's (spec: H1)."""
    kind = await world.sell(capacity=9, cost=1500)
    _, _, session_id = await world.bought(kind, 2)
    await world.settle(world.payments.pay(session_id))
    world.payments.refund_by_hand(session_id, 1000)
    world.payments.pay_out("EUR")
    dry = await check(world)
    assert kinds(dry) == [
        Kind.REFUND_NOT_HERE,
        Kind.PAYOUT_NOT_HERE,
        Kind.TRANSACTION_NOT_POSTED,
    ], "what belongs to the refund only follows from it; the payout's own movement does not"
    done = await check(world, commit=True)
    assert all(one.repaired for one in done.differences)
    assert await ledger_balance(world) == await world.payments.balance(stripe_account="") == {"EUR": 0}
    assert kinds(await check(world)) == []
    world.payments.fail_payout("po_1")
    assert kinds(await check(world, commit=True)) == [Kind.PAYOUT_DIFFERS, Kind.TRANSACTION_NOT_POSTED]
    # 2 tickets of 15.00, less 10.00 refunded by hand, less the fee of 0.50
    assert await ledger_balance(world) == {"EUR": 1950}


async def test_balance_that_differs(world: World) -> None:
    """A movement that our books have wrong: told to the cent, in its currency, for a person (spec: H1)."""
    await paid(world)
    async with world.sessions.begin() as session:
        await session.execute(text("ALTER TABLE ledger_transfers DISABLE TRIGGER USER"))
        await session.execute(text("UPDATE ledger_transfers SET amount = amount + 1 WHERE kind = 'gross'"))
    (difference,) = (await check(world, commit=True)).differences
    assert (difference.kind, difference.here, difference.stripe) == (
        Kind.BALANCE_DIFFERS,
        "€29.51",
        "€29.50",
    )


async def test_movement_that_stripe_does_not_know(world: World) -> None:
    """Test data deleted at Stripe, or a row made up: told."""
    await paid(world)
    world.payments.booked.clear()
    report = await check(world, commit=True)
    assert kinds(report) == [Kind.TRANSACTION_UNKNOWN, Kind.BALANCE_DIFFERS]


async def test_balance_is_compared_while_money_moves(world: World) -> None:
    """What is seconds old and not posted is included, so it is no difference. A cent that is gone still is one."""
    _, session_id, kind = await paid(world)
    _, _, young = await world.bought(kind)
    later(world, minutes=1)
    world.payments.pay(young)
    world.payments.refund_by_hand(session_id, 100)
    report = await reconcile(world.sessions, world.till, now=world.clock.now())
    assert kinds(report) == []
    booked = world.payments.booked
    booked[0] = replace(booked[0], net=booked[0].net - 1)
    report = await reconcile(world.sessions, world.till, now=world.clock.now())
    assert kinds(report) == [Kind.BALANCE_DIFFERS]


async def test_orphans_are_in_the_books(world: World) -> None:
    """Their money is in Stripe's balance: the ledger has it too, until it goes back."""
    order_id, _, _ = await paid(world)
    await forget(world, order_id)
    await check(world, commit=True)
    assert await ledger_balance(world) == {"EUR": 2950}
    await check(world, commit=True, refund_orphans=True)
    assert await ledger_balance(world) == await world.payments.balance(stripe_account="") == {"EUR": -50}


async def test_event_cancelled_and_nothing_done(world: World) -> None:
    """The sweep was dead: what was paid is refunded, what was held is given back (spec: H1)."""
    order_id, _, kind = await paid(world)
    _, held, _ = await world.bought(kind)
    async with world.sessions.begin() as session:
        entry_id = (await session.get_one(TicketType, kind)).entry_id
        await cancel_entry(session, entry_id=entry_id, actor="operator", now=world.clock.now())
    await repaired(world, Kind.EVENT_CANCELLED, Kind.EVENT_CANCELLED)
    assert [(await world.order(one)).state for one in (order_id, held)] == ["paid", "cancelled"]
    assert [(one.amount, one.state) for one in await world.refunds()] == [(3000, "succeeded")]
    assert await world.allocated(kind) == 0


async def test_tickets_cancelled_after_the_money_was_gone(world: World) -> None:
    """A dispute was lost and the places are freed, as the office asks: nothing goes out, nothing differs (spec: H1)."""
    order_id, session_id, _ = await paid(world)
    opened = world.payments.dispute(session_id)
    lost = world.payments.close_dispute(opened.id, won=False)
    async with world.sessions.begin() as session:
        await apply_dispute(session, world.till, lost, now=world.clock.now())
        tickets = await world.calendar.get_tickets_for_order(session, order_id)
        await refund_items(
            session, world.till, order_id=order_id, item_ids=[ticket.id for ticket in tickets], page_id=None,
            actor="user:x", reason=RefundReason.ORGANIZER, now=world.clock.now(),
        )  # fmt: skip
    await work(world)
    assert await world.states(order_id) == ["cancelled", "cancelled"]
    assert [refund.state for refund in await world.refunds()] == ["withdrawn"], (
        "noted, should the bank take it back"
    )
    assert kinds(await check(world)) == []
