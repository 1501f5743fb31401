"""Settle and release: what Stripe says becomes the state of an order, whoever says it, how often and in which order."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import DBAPIError

from cart.models import CheckoutAttempt, LedgerTransfer, Order, OrderLine, Payment, Refund
from cart.orders import lapsed_orders
from cart.refunds import sending
from cart.release import release_lapsed
from cart.settle import Settled
from events.models import Entry, Pool, TicketType
from shared.contracts.states import EntryState, OrderState
from shared.database import OpenTransaction
from shared.models import OutgoingMail
from tests.cart_world import World


async def pay_and_settle(world: World, session_id: str) -> Settled:
    """The buyer pays and the news arrives."""
    return await world.settle(world.payments.pay(session_id))


async def test_paid_confirms_tickets_once(world: World) -> None:
    """One payment booked, tickets confirmed, one ledger row, one mail; again changes nothing (spec: B7, C3–C5)."""
    kind = await world.sell(capacity=5, cost=1500)
    _, order_id, session_id = await world.bought(kind, 2)
    facts = world.payments.pay(session_id)
    assert await world.settle(facts) == Settled.PAID
    assert await world.settle(facts) == Settled.ALREADY
    order = await world.order(order_id)
    assert (order.state, order.reserved_until) == (OrderState.PAID, None)
    assert await world.states(order_id) == ["confirmed", "confirmed"]
    assert await world.allocated(kind) == 2
    assert await world.attempt_states(order_id) == ["complete"]
    assert [await world.count(table) for table in (Payment, LedgerTransfer, OutgoingMail)] == [1, 1, 1]
    async with world.sessions() as session:
        transfer = (await session.scalars(select(LedgerTransfer))).one()
    assert (transfer.debit, transfer.credit, transfer.amount) == ("stripe_balance", "sales", 3000)


async def test_session_never_stored_is_found_by_its_metadata(world: World) -> None:
    """A crash before the session's id was stored: the payment still finds its order (spec: F1)."""
    kind = await world.sell()
    _, order_id, session_id = await world.bought(kind)
    async with world.sessions.begin() as session:
        await session.execute(update(CheckoutAttempt).values(session_id=None, state="creating"))
    assert await pay_and_settle(world, session_id) == Settled.PAID
    assert (await world.order(order_id)).state == OrderState.PAID
    async with world.sessions() as session:
        assert (await session.scalars(select(CheckoutAttempt.session_id))).one() == session_id


async def test_delayed_payment_arrives(world: World) -> None:
    """Complete is not paid: processing with no clock, then paid days later (spec: C3)."""
    kind = await world.sell(capacity=1, delayed_methods=True)
    _, order_id, session_id = await world.bought(kind)
    assert await world.settle(world.payments.pay(session_id, paid=False)) == Settled.PROCESSING
    world.clock.advance(days=3)
    assert await release_lapsed(world.sessions, world.till, now=world.clock.now()) == 0
    assert await world.states(order_id) == ["reserved"]
    assert await world.settle(world.payments.arrive(session_id)) == Settled.PAID
    assert await world.states(order_id) == ["confirmed"]


async def test_delayed_payment_fails(world: World) -> None:
    """The tickets go back to the cart and the stock to everybody; the buyer gets a mail."""
    kind = await world.sell(capacity=1, delayed_methods=True)
    user_id, order_id, session_id = await world.bought(kind)
    facts = world.payments.pay(session_id, paid=False)
    await world.settle(facts)
    assert await world.settle(facts, failed=True) == Settled.FAILED
    assert await world.settle(facts, failed=True) == Settled.FAILED
    assert (await world.order(order_id)).state == OrderState.FAILED
    assert await world.in_cart(user_id) == 1
    assert await world.allocated(kind) == 0
    assert await world.count(OutgoingMail) == 1


async def test_failure_overtakes_completion(world: World) -> None:
    """Events come in any order: failed first, the late `completed` changes nothing any more."""
    kind = await world.sell(capacity=1, delayed_methods=True)
    _, order_id, session_id = await world.bought(kind)
    facts = world.payments.pay(session_id, paid=False)
    assert await world.settle(facts, failed=True) == Settled.FAILED
    await world.settle(facts)
    assert (await world.order(order_id)).state == OrderState.FAILED
    assert await world.allocated(kind) == 0


async def test_paid_overtakes_completed_unpaid(world: World) -> None:
    """Events come in any order: paid first, the late `completed` changes nothing any more."""
    kind = await world.sell(delayed_methods=True)
    _, order_id, session_id = await world.bought(kind)
    unpaid = world.payments.pay(session_id, paid=False)
    await world.settle(world.payments.arrive(session_id))
    await world.settle(unpaid)
    assert (await world.order(order_id)).state == OrderState.PAID
    assert await world.states(order_id) == ["confirmed"]


async def test_lapse_puts_tickets_back_in_the_cart(world: World) -> None:
    """The session is expired at Stripe first, then stock and tickets go back (spec: B9)."""
    kind = await world.sell(capacity=2)
    user_id, order_id, session_id = await world.bought(kind, 2)
    assert await world.release(order_id) == OrderState.PENDING, "a hold that has not lapsed stays"
    world.clock.advance(minutes=31)
    assert await release_lapsed(world.sessions, world.till, now=world.clock.now()) == 1
    assert world.payments.known[session_id].status == "expired"
    assert (await world.order(order_id)).state == OrderState.EXPIRED
    assert await world.in_cart(user_id) == 2
    assert await world.allocated(kind) == 0
    assert await world.attempt_states(order_id) == ["expired"]


async def test_no_answer_keeps_the_stock(world: World) -> None:
    """Unknown is not expired: the tickets stay held and it is tried again."""
    kind = await world.sell(capacity=1)
    _, order_id, _ = await world.bought(kind)
    world.clock.advance(minutes=31)
    world.payments.lost_answers = 1
    assert await world.release(order_id) == OrderState.PENDING
    assert await world.allocated(kind) == 1
    calls = len(world.payments.calls)
    assert await world.release(order_id) == OrderState.PENDING
    assert len(world.payments.calls) == calls, "asked about at most every half minute"
    world.clock.advance(seconds=30)
    assert await world.release(order_id) == OrderState.EXPIRED
    assert await world.allocated(kind) == 0


async def test_attempt_cut_off_before_its_session_was_stored(world: World) -> None:
    """A crash before step 3: the stored request is replayed under its key, and the session it finds is expired."""
    kind = await world.sell(capacity=1)
    user_id = await world.buyer()
    await world.put(user_id, kind, 1)
    (order_id,) = await world.start(user_id)
    world.payments.lost_answers = 1
    with pytest.raises(Exception, match="did not answer"):
        await world.hand_over(user_id, order_id)
    world.clock.advance(minutes=31)
    assert await world.release(order_id) == OrderState.EXPIRED
    assert [facts.status for facts in world.payments.known.values()] == ["expired"]


async def test_attempt_older_than_its_key_is_looked_up(world: World) -> None:
    """After 24 hours a replay would make a second session: list by customer and time instead."""
    kind = await world.sell(capacity=1)
    _, order_id, session_id = await world.bought(kind)
    async with world.sessions.begin() as session:
        await session.execute(update(CheckoutAttempt).values(session_id=None, state="creating"))
    world.payments.pay(session_id)
    world.clock.advance(hours=30)
    assert await world.release(order_id) == OrderState.PAID
    assert "find" in world.payments.calls
    assert len(world.payments.known) == 1


async def test_giving_the_tickets_back(world: World) -> None:
    """The buyer ends the checkout: the session can't be paid any more, the stock is free."""
    kind = await world.sell(capacity=1)
    _, order_id, session_id = await world.bought(kind)
    assert await world.release(order_id, to=OrderState.CANCELLED) == OrderState.CANCELLED
    assert world.payments.known[session_id].status == "expired"
    assert await world.allocated(kind) == 0


async def test_giving_back_what_was_just_paid(world: World) -> None:
    """Paid in the other tab: settled instead of given back."""
    kind = await world.sell(capacity=1)
    _, order_id, session_id = await world.bought(kind)
    world.payments.pay(session_id)
    assert await world.release(order_id, to=OrderState.CANCELLED) == OrderState.PAID
    assert await world.states(order_id) == ["confirmed"]


async def test_paid_after_the_hold_lapsed_is_claimed_again(world: World) -> None:
    """Stock is left and the tickets are still in the cart: the buyer gets them (spec: H2)."""
    kind = await world.sell(capacity=1)
    user_id, order_id, session_id = await world.lapsed(kind)
    assert await pay_and_settle(world, session_id) == Settled.PAID
    assert await world.states(order_id) == ["confirmed"]
    assert await world.in_cart(user_id) == 0
    assert await world.allocated(kind) == 1


async def test_paid_after_the_stock_has_gone_is_refunded_once(world: World) -> None:
    """Refunded in full, once, with a mail that says why (spec: H2)."""
    kind = await world.sell(capacity=1, cost=1700)
    _, order_id, session_id = await world.lapsed(kind)
    await world.bought(kind)
    facts = world.payments.pay(session_id)
    assert await world.settle(facts) == Settled.REFUND_DUE
    assert await world.settle(facts) == Settled.ALREADY
    for _ in range(2):
        await sending.send_due(world.sessions, world.till, now=world.clock.now())
    (refund,) = await world.refunds()
    assert (refund.amount, refund.state, refund.reason) == (1700, "succeeded", "paid_too_late")
    assert len(world.payments.made_refunds) == 1
    assert (await world.order(order_id)).state == OrderState.EXPIRED
    assert await world.allocated(kind) == 1
    assert await world.count(OutgoingMail) == 1


async def test_paid_twice_refunds_the_second_payment_only(world: World) -> None:
    """The order and its tickets stay untouched (spec: H2)."""
    kind = await world.sell(cost=900)
    _, order_id, session_id = await world.bought(kind)
    facts = world.payments.pay(session_id)
    await world.settle(facts)
    assert await world.settle(replace(facts, payment_intent="pi_second")) == Settled.REFUND_DUE
    (refund,) = await world.refunds()
    async with world.sessions() as session:
        payment = await session.get_one(Payment, refund.payment_id)
    assert (payment.payment_intent, refund.amount, refund.reason) == ("pi_second", 900, "paid_twice")
    assert (await world.order(order_id)).state == OrderState.PAID
    assert await world.states(order_id) == ["confirmed"]


async def test_entry_cancelled_before_the_money_came(world: World) -> None:
    """Nothing is confirmed, the money goes back, the stock is not left allocated."""
    kind = await world.sell(capacity=1)
    _, order_id, session_id = await world.bought(kind)
    async with world.sessions.begin() as session:
        entry = (await session.scalars(select(Entry).join(TicketType).where(TicketType.id == kind))).one()
        entry.state = EntryState.CANCELLED
        await session.execute(update(Pool).where(Pool.id == entry.pool_id).values(closed=True))
    assert await pay_and_settle(world, session_id) == Settled.REFUND_DUE
    assert (await world.refunds())[0].reason == "entry_closed"
    assert (await world.order(order_id)).state == OrderState.CANCELLED
    assert await world.allocated(kind) == 0


async def test_unknown_order_of_ours_is_unmatched(world: World) -> None:
    """A restored database: shown to the operator, nothing written."""
    kind = await world.sell()
    _, _, session_id = await world.bought(kind)
    facts = world.payments.pay(session_id)
    lost = {**facts.metadata, "attempt_id": facts.metadata["order_id"]}
    assert await world.settle(replace(facts, id="cs_test_lost", metadata=lost)) == Settled.UNMATCHED
    assert await world.count(Payment) == 0


@pytest.mark.parametrize("metadata", [{}, {"app": "tillgate", "installation_id": "another"}])
async def test_foreign_session_is_never_touched(world: World, metadata: dict[str, str]) -> None:
    """Without our installation id it is somebody else's, even where the session id is one of ours."""
    kind = await world.sell()
    _, order_id, session_id = await world.bought(kind)
    facts = replace(world.payments.pay(session_id), metadata=metadata)
    assert await world.settle(facts) == Settled.FOREIGN
    assert (await world.order(order_id)).state == OrderState.PENDING


async def test_expired_news_of_a_held_order_ends_the_attempt_only(world: World) -> None:
    """Expired in Stripe's dashboard while the hold still runs: the buyer can go on with a new session."""
    kind = await world.sell(capacity=1)
    user_id, order_id, session_id = await world.bought(kind)
    facts = await world.payments.expire_session(session_id, stripe_account="")
    assert await world.settle(facts) == Settled.EXPIRED
    assert (await world.order(order_id)).state == OrderState.PENDING
    assert (await world.hand_over(user_id, order_id)).session_id != session_id
    assert await world.attempt_states(order_id) == ["expired", "open"]


async def test_refund_waits_and_is_tried_again(world: World) -> None:
    """Stripe does not answer: the refund stays due, and is never made twice."""
    kind = await world.sell(cost=900)
    _, _, session_id = await world.bought(kind)
    facts = world.payments.pay(session_id)
    await world.settle(facts)
    await world.settle(world.payments.pay_again(session_id))
    world.payments.lost_answers = 1
    assert await sending.send_due(world.sessions, world.till, now=world.clock.now()) == 1
    assert (await world.refunds())[0].state == "due"
    assert await sending.send_due(world.sessions, world.till, now=world.clock.now()) == 0
    world.clock.advance(minutes=10)
    assert await sending.send_due(world.sessions, world.till, now=world.clock.now()) == 1
    (refund,) = await world.refunds()
    assert (refund.state, refund.tries) == ("succeeded", 2)
    assert len(world.payments.made_refunds) == 1


async def test_refund_that_was_looked_at_for_days_is_still_tried_again(world: World) -> None:
    """Stripe may call a refund pending for days, looked at each hour; then one call is not answered."""
    kind = await world.sell()
    _, order_id, session_id = await world.bought(kind)
    facts = world.payments.known[session_id]
    world.payments.known[session_id] = replace(facts, amount_total=facts.amount_total + 1)
    await world.settle(world.payments.pay(session_id))
    async with world.sessions.begin() as session:
        await session.execute(update(Refund).values(tries=500))
    world.payments.lost_answers = 1
    assert await sending.send_due(world.sessions, world.till, now=world.clock.now()) == 1
    (refund,) = await world.refunds()
    assert (refund.order_id, refund.state) == (order_id, "due")
    assert refund.next_try_at - world.clock.now() == timedelta(hours=6)


async def test_stripe_is_never_called_inside_a_transaction(world: World) -> None:
    """The client refuses while this task has one open."""
    async with world.sessions.begin() as session:
        await session.execute(text("SELECT 1"))
        with pytest.raises(OpenTransaction):
            await world.payments.retrieve_session("cs_test_1", stripe_account="")
    assert await world.payments.retrieve_session("cs_test_1", stripe_account="") is None


@pytest.mark.parametrize("table", [LedgerTransfer, OrderLine])
async def test_books_cannot_be_changed(world: World, table: type[LedgerTransfer] | type[OrderLine]) -> None:
    """The database refuses, to the superuser too."""
    kind = await world.sell()
    _, _, session_id = await world.bought(kind)
    await pay_and_settle(world, session_id)
    for statement in (update(table).values(amount=1), delete(table)):
        with pytest.raises(DBAPIError):
            async with world.sessions.begin() as session:
                await session.execute(statement)


async def test_lapsed_orders_are_swept_oldest_first(world: World) -> None:
    """Only those whose time is over."""
    kind = await world.sell()
    _, first, _ = await world.bought(kind)
    world.clock.advance(minutes=20)
    _, second, _ = await world.bought(kind)
    world.clock.advance(minutes=15)
    assert await release_lapsed(world.sessions, world.till, now=world.clock.now()) == 1
    assert [(await world.order(one)).state for one in (first, second)] == ["expired", "pending"]
    async with world.sessions() as session:
        left = (await session.scalars(select(Order.reserved_until).where(Order.id == second))).one()
    assert left is not None
    assert left - world.clock.now() == timedelta(minutes=15)


async def test_complete_without_a_payment_confirms_nothing(world: World) -> None:
    """Stripe's "no payment required": no money came, so no ticket goes; the hold runs on and lapses."""
    kind = await world.sell(capacity=1)
    _, order_id, session_id = await world.bought(kind)
    facts = replace(world.payments.pay(session_id), payment_status="no_payment_required", payment_intent=None)
    assert await world.settle(facts) == Settled.NOTHING_PAID
    assert await world.states(order_id) == ["reserved"]
    world.clock.advance(minutes=31)
    assert await world.release(order_id) == OrderState.EXPIRED
    assert await world.allocated(kind) == 0


async def test_order_that_cannot_be_released_stops_no_other(world: World) -> None:
    """Stripe does not know its session (other keys by now): it stays held, and the sweep goes on (spec: B9)."""
    kind = await world.sell(capacity=2)
    _, stuck, lost = await world.bought(kind)
    _, other, _ = await world.bought(kind)
    del world.payments.known[lost]
    world.clock.advance(minutes=31)
    assert await release_lapsed(world.sessions, world.till, now=world.clock.now()) == 2
    assert [(await world.order(one)).state for one in (stuck, other)] == ["pending", "expired"]
    assert await world.allocated(kind) == 1
    assert await world.release(stuck, to=OrderState.CANCELLED) == OrderState.PENDING


async def test_orders_without_an_answer_starve_no_other(world: World) -> None:
    """However many old ones Stripe says nothing about, a sweep that takes only some comes to the next (spec: B9)."""
    kind = await world.sell()
    _, stuck, _ = await world.bought(kind)
    world.clock.advance(minutes=1)
    _, other, _ = await world.bought(kind)
    world.clock.advance(minutes=31)
    world.payments.lost_answers = 1
    assert await world.release(stuck) == OrderState.PENDING
    async with world.sessions.reading() as session:
        assert await lapsed_orders(session, now=world.clock.now(), limit=1) == [other]
