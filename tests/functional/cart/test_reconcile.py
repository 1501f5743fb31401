"""The reconciler with Stripe in memory: what it finds, what it repairs, what it leaves alone."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, text, update

from cart import refunds
from cart.models import CheckoutAttempt, Order, Payment
from cart.reconcile.differences import Kind
from cart.reconcile.run import Report, reconcile, reconcile_hourly
from cart.records import Reconciliation
from shared.contracts.facts import SessionFacts
from shared.contracts.protocols import PaymentsRefused
from shared.contracts.states import OrderState
from tests.cart_world import World
from tests.shop import all_rows


@pytest.fixture(autouse=True)
def one_clock(world: World) -> None:
    """Stripe's clock is ours."""
    world.payments.now = world.clock.now()


async def check(world: World, *, commit: bool = False, refund_orphans: bool = False) -> Report:
    """A run, some minutes later: nothing is young any more."""
    world.clock.advance(minutes=3)
    return await reconcile(
        world.sessions, world.till, now=world.clock.now(), commit=commit, refund_orphans=refund_orphans
    )


def kinds(report: Report) -> list[Kind]:
    """What differed."""
    return [difference.kind for difference in report.differences]


async def repaired(world: World, *expected: Kind) -> Report:
    """Dry run and commit find exactly this; the dry run writes nothing but its own row, a last run finds nothing."""
    before = await all_rows(world.sessions, besides=("reconciliations",))
    dry = await check(world)
    assert kinds(dry) == list(expected)
    assert await all_rows(world.sessions, besides=("reconciliations",)) == before, "a dry run writes nothing"
    done = await check(world, commit=True)
    assert kinds(done) == list(expected)
    assert all(one.repaired for one in done.differences), [one.done for one in done.differences]
    assert kinds(await check(world, commit=True)) == []
    return done


async def test_nothing_differs(world: World) -> None:
    """A shop in order: no difference, a row that says what was compared (spec: H1)."""
    kind = await world.sell(capacity=5)
    _, _, session_id = await world.bought(kind, 2)
    await world.settle(world.payments.pay(session_id))
    await world.bought(kind)
    report = await check(world)
    assert (kinds(report), report.errors) == ([], [])
    assert (report.compared["sessions"], report.compared["payment intents"]) == (2, 1)
    async with world.sessions() as session:
        row = (await session.scalars(select(Reconciliation))).one()
    assert (row.differences, row.committed, row.error, row.actor) == ([], False, None, "operator")
    assert row.finished_at is not None
    assert row.compared["sessions"] == 2


async def test_paid_and_never_told(world: World) -> None:
    """The webhook never came, the buyer never came back: the order is paid by the reconciler (spec: C5, H1)."""
    kind = await world.sell(capacity=5, cost=1500)
    _, order_id, session_id = await world.bought(kind, 2)
    world.payments.pay(session_id)
    report = await repaired(world, Kind.SESSION_NOT_SETTLED)
    assert (await world.order(order_id)).state == OrderState.PAID
    assert await world.states(order_id) == ["confirmed", "confirmed"]
    difference = report.differences[0]
    assert difference.order_id == order_id
    assert "€30.00" in difference.stripe
    assert difference.done == "settled: the order is paid"


async def test_paid_by_a_session_whose_id_was_never_stored(world: World) -> None:
    """The incident of spec F1, with a crash in between: found by the metadata."""
    _, order_id, session_id = await world.bought(await world.sell())
    async with world.sessions.begin() as session:
        await session.execute(update(CheckoutAttempt).values(session_id=None, state="creating"))
    world.payments.pay(session_id)
    await repaired(world, Kind.SESSION_NOT_SETTLED)
    assert (await world.order(order_id)).state == OrderState.PAID


async def test_delayed_payment_whose_news_are_lost(world: World) -> None:
    """Complete and unpaid, then failed: the tickets are held with no clock, then they go back (medusa 16398)."""
    kind = await world.sell(capacity=1, delayed_methods=True)
    user_id, order_id, session_id = await world.bought(kind)
    world.payments.pay(session_id, paid=False)
    await repaired(world, Kind.PAYMENT_ON_ITS_WAY)
    assert (await world.order(order_id)).state == OrderState.PROCESSING
    world.payments.bounce(session_id)
    await repaired(world, Kind.DELAYED_FAILED)
    assert (await world.order(order_id)).state == OrderState.FAILED
    assert (await world.allocated(kind), await world.in_cart(user_id)) == (0, 1)


async def test_delayed_payment_that_failed_after_the_usual_time(world: World) -> None:
    """Its session is older than what is listed: it is asked about all the same."""
    kind = await world.sell(capacity=1, delayed_methods=True)
    _, order_id, session_id = await world.bought(kind)
    await world.settle(world.payments.pay(session_id, paid=False))
    world.clock.advance(days=10)
    assert kinds(await check(world)) == []
    world.payments.bounce(session_id)
    await repaired(world, Kind.DELAYED_FAILED)
    assert (await world.order(order_id)).state == OrderState.FAILED


async def test_expired_and_never_told(world: World) -> None:
    """Expired at Stripe while its news were lost: the attempt is over, the buyer can go on with a new one."""
    user_id, order_id, session_id = await world.bought(await world.sell(hold_minutes=60))
    await world.payments.expire_session(session_id, stripe_account="")
    await repaired(world, Kind.SESSION_EXPIRED)
    assert await world.attempt_states(order_id) == ["expired"]
    assert (await world.hand_over(user_id, order_id)).session_id != session_id


async def test_payment_page_of_an_order_that_is_over(world: World) -> None:
    """It would take money for nothing: it is closed."""
    kind = await world.sell(capacity=1)
    _, order_id, session_id = await world.bought(kind)
    await world.release(order_id, to=OrderState.CANCELLED)
    world.payments.known[session_id] = replace(world.payments.known[session_id], status="open")
    await repaired(world, Kind.SESSION_OF_NO_USE)
    assert world.payments.known[session_id].status == "expired"


async def test_payment_page_with_another_amount(world: World) -> None:
    """Made by hand, or before a change: nobody pays it."""
    _, _, session_id = await world.bought(await world.sell(hold_minutes=60))
    world.payments.known[session_id] = replace(world.payments.known[session_id], amount_total=1)
    await repaired(world, Kind.SESSION_AMOUNT)
    assert world.payments.known[session_id].status == "expired"


async def test_answer_that_was_lost(world: World) -> None:
    """The session stands at Stripe, its id never reached us: it is noted."""
    _, _, session_id = await world.bought(await world.sell(hold_minutes=60))
    async with world.sessions.begin() as session:
        await session.execute(update(CheckoutAttempt).values(session_id=None, url=None, state="creating"))
    await repaired(world, Kind.ATTEMPT_UNANSWERED)
    async with world.sessions() as session:
        attempt = (await session.scalars(select(CheckoutAttempt))).one()
    assert (attempt.state, attempt.session_id) == ("open", session_id)


async def test_request_that_never_arrived(world: World) -> None:
    """Nothing stands at Stripe: the stored request is sent again under its key."""
    user_id = await world.buyer()
    await world.put(user_id, await world.sell(hold_minutes=60), 1)
    (order_id,) = await world.start(user_id)
    await repaired(world, Kind.ATTEMPT_UNANSWERED)
    assert len(world.payments.known) == 1
    assert await world.attempt_states(order_id) == ["open"]


async def test_hold_that_nobody_ended(world: World) -> None:
    """The worker was dead: the hold is over, Stripe is asked, the stock is free (spec: B9)."""
    kind = await world.sell(capacity=2)
    _, order_id, _ = await world.bought(kind, 2)
    world.clock.advance(minutes=31)
    await repaired(world, Kind.ORDER_LAPSED)
    assert (await world.order(order_id)).state == OrderState.EXPIRED
    assert await world.allocated(kind) == 0


async def paid(world: World, quantity: int = 2, **values: object) -> tuple[UUID, str, UUID]:
    """An order that is paid and settled; ids of order, session and ticket type."""
    kind = await world.sell(capacity=9, cost=1500, **values)
    _, order_id, session_id = await world.bought(kind, quantity)
    await world.settle(world.payments.pay(session_id))
    return order_id, session_id, kind


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
    await refunds.send_due(world.sessions, world.payments, now=world.clock.now())
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
    await refunds.send_due(world.sessions, world.payments, now=world.clock.now())
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
    world.clock.advance(hours=2)
    await repaired(world, Kind.REFUND_OVERDUE)
    assert [one.state for one in await world.refunds()] == ["succeeded"]


async def test_refund_that_stripe_does_not_know(world: World) -> None:
    """Said to be sent, and not there: told."""
    _, session_id, _ = await paid(world)
    await world.settle(world.payments.pay_again(session_id))
    await refunds.send_due(world.sessions, world.payments, now=world.clock.now())
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
    world.clock.advance(days=90)
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


async def blocked(world: World, order_id: UUID) -> list[bool]:
    """Whether the order's tickets are."""
    async with world.sessions() as session:
        return [one.blocked for one in await world.calendar.get_tickets_for_order(session, order_id)]


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


async def forget(world: World, order_id: UUID) -> None:
    """What a backup from before this order does not have."""
    async with world.sessions.begin() as session:
        for table in ("ledger_transfers", "order_lines"):
            await session.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        await session.execute(text("DELETE FROM tickets WHERE order_id = :order"), {"order": order_id})
        for table in ("ledger_transfers", "refunds", "payments", "checkout_attempts", "order_lines"):
            await session.execute(
                text(f"DELETE FROM {table} WHERE order_id = :order"),  # noqa: S608 - our names
                {"order": order_id},
            )
        await session.execute(text("DELETE FROM orders WHERE id = :order"), {"order": order_id})
        await session.execute(text("UPDATE pools SET allocated = 0"))
        for table in ("ledger_transfers", "order_lines"):
            await session.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))


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
    """Another program's, or another installation's, on the same account: a number, no difference (spec: H1)."""
    _, _, session_id = await world.bought(await world.sell(hold_minutes=60))
    ours = world.payments.known[session_id]
    for number, metadata in enumerate(({}, {"app": "tillgate", "installation_id": "another"})):
        foreign = replace(ours, id=f"cs_foreign_{number}", metadata=metadata)
        world.payments.known[foreign.id] = foreign
    world.payments.pay("cs_foreign_0")
    before = dict(world.payments.known)
    report = await check(world, commit=True, refund_orphans=True)
    assert kinds(report) == []
    assert report.compared["foreign"] == 3
    assert world.payments.known == before


async def test_what_is_young_is_no_difference(world: World) -> None:
    """Paid a minute ago: the webhook is on its way. Nothing is told, nothing is done before its time."""
    kind = await world.sell(delayed_methods=True, hold_minutes=60)
    _, _, session_id = await world.bought(kind)
    await world.bought(kind)
    world.payments.pay(session_id)
    now = world.clock.now()
    young = await reconcile(world.sessions, world.till, now=now + timedelta(minutes=1), commit=True)
    assert kinds(young) == []
    old = await reconcile(
        world.sessions, world.till, now=now + timedelta(minutes=1), grace=timedelta(0), commit=True
    )
    assert kinds(old) == [Kind.SESSION_NOT_SETTLED]


async def test_account_that_does_not_answer_stops_no_other(world: World) -> None:
    """A page's own account has let us go: said, and the others are looked at (spec: H1)."""
    own = await world.sell(page="own", stripe_account="acct_gone")
    await world.bought(own)
    kind = await world.sell()
    _, order_id, session_id = await world.bought(kind)
    world.payments.pay(session_id)
    listed = world.payments.sessions

    def refusing(*, stripe_account: str, since: datetime) -> AsyncIterator[SessionFacts]:
        if stripe_account == "acct_gone":
            raise PaymentsRefused(details={"reason": "No such account."})
        return listed(stripe_account=stripe_account, since=since)

    world.payments.sessions = refusing  # type: ignore[method-assign]
    report = await check(world, commit=True)
    assert report.errors == [
        "acct_gone: The payment provider refused this request. No money was taken. No such account."
    ]
    assert kinds(report) == [Kind.SESSION_NOT_SETTLED]
    assert (await world.order(order_id)).state == OrderState.PAID


async def test_repair_that_fails_stops_no_other(world: World) -> None:
    """It is told as not repaired, with the reason, and found again by the next run."""
    kind = await world.sell()
    _, stuck, silent = await world.bought(kind)
    _, other, _ = await world.bought(kind)
    world.payments.silent.add(silent)
    world.clock.advance(minutes=31)
    report = await check(world, commit=True)
    assert [(one.order_id, one.repaired) for one in report.differences] == [(stuck, False), (other, True)]
    assert "Stripe has no answer" in report.differences[0].done
    assert [one.order_id for one in (await check(world)).differences] == [stuck]


async def test_once_an_hour_over_all_workers(world: World) -> None:
    """Many workers ask at once, one runs; an hour later the next. It repairs, and leaves orphans alone (spec: H1)."""
    order_id, _, kind = await paid(world)
    await forget(world, order_id)
    _, other, session_id = await world.bought(kind)
    world.payments.pay(session_id)
    world.clock.advance(minutes=3)
    now = world.clock.now()
    turns = [reconcile_hourly(world.sessions, world.till, now=now) for _ in range(5)]
    assert sorted(await asyncio.gather(*turns)) == [0, 0, 0, 0, 2]
    assert (await world.order(other)).state == OrderState.PAID
    assert world.payments.made_refunds == []
    assert await reconcile_hourly(world.sessions, world.till, now=now + timedelta(minutes=59)) == 0
    assert await reconcile_hourly(world.sessions, world.till, now=now + timedelta(minutes=60)) == 1
    async with world.sessions() as session:
        rows = list(await session.scalars(select(Reconciliation)))
    assert [(row.actor, row.committed) for row in rows] == [("worker", True)] * 2


async def test_settling_races_the_reconciler(world: World) -> None:
    """Webhooks of twenty payments come while the reconciler finds the same: each is booked once (spec: C5)."""
    kind = await world.sell(capacity=20)
    made = [await world.bought(kind) for _ in range(20)]
    facts = [world.payments.pay(session_id) for _, _, session_id in made]
    world.clock.advance(minutes=3)
    await asyncio.gather(
        *(world.settle(one) for one in facts),
        *(reconcile(world.sessions, world.till, now=world.clock.now(), commit=True) for _ in range(2)),
        *(world.settle(one) for one in reversed(facts)),
    )
    assert await world.count(Payment) == await world.allocated(kind) == 20
    assert [await world.states(order_id) for _, order_id, _ in made] == [["confirmed"]] * 20
    assert (await world.refunds(), kinds(await check(world))) == ([], [])
