"""Settle: the one function that turns what Stripe says of a session into the state of an order (spec: C3, C5).

Called with the same argument by webhook, return page and worker, any number of times, in any order, at once.
It runs inside the caller's transaction and calls no one.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ColumnElement, Update, case, exists, false, func, select, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from cart import attempts, orders
from cart.books import ledger
from cart.foreign.noticing import notice, seen_in_session
from cart.mails import owe_failed_mail, owe_paid_mail, owe_sent_back_mail, warn_office
from cart.models import CheckoutAttempt, Order, OrderLine, Payment
from cart.refunds.owing import RefundReason, owe_refund
from cart.till import Till
from shared.contracts.facts import SessionFacts
from shared.contracts.protocols import Confirmation, SoldOut
from shared.contracts.states import OrderState
from shared.database import new_row, write_now
from shared.errors import AppError
from shared.ids import new_id, parse_id
from shared.installation import installation_id, is_marked
from shared.money import Money

RECLAIM_HOLD = timedelta(minutes=1)  # a late claim is confirmed at once; the column wants a time


class Settled(StrEnum):
    """What became of a session; kept with the webhook event that brought it."""

    PAID = "paid"
    PROCESSING = "processing"
    FAILED = "failed"
    EXPIRED = "expired"
    OPEN = "open"
    REFUND_DUE = "refund_due"
    NOTHING_PAID = "nothing_paid"
    """Complete without a payment: nothing we ask for is free at Stripe, so the hold simply runs on and lapses."""
    ALREADY = "already"
    UNMATCHED = "unmatched"
    UNKNOWN = "unknown"
    """In a state that this program does not know: nothing is guessed, everything stays as it is, a person looks."""
    FOREIGN = "foreign"


async def settle(
    session: AsyncSession, till: Till, facts: SessionFacts, *, now: datetime, failed: bool = False
) -> Settled:
    """Bring the order of a session to what `facts` say; `failed`: a delayed payment has failed for good.

    Safe to repeat: a payment intent is booked once, tickets are confirmed once.
    """
    if not is_marked(facts.metadata, await installation_id(session)):
        await _keep_what_fits(session, facts, now=now)
        return Settled.FOREIGN
    if not facts.is_known:
        return Settled.UNKNOWN
    attempt, booked = await _find_attempt(session, facts)
    if attempt is None:
        return Settled.UNMATCHED
    if booked:
        return Settled.ALREADY
    order, lines = await orders.lock_order_with_lines(session, attempt.order_id)
    if facts.status == "open":
        return Settled.OPEN
    if facts.status == "expired":
        return await _expired(session, till, order, attempt, facts, now=now)
    if facts.payment_status == "paid" and facts.payment_intent is not None:
        return await _paid(session, till, order, lines, attempt, facts, now=now)
    await session.execute(_adoption(attempt, facts))
    if facts.payment_status == "unpaid":
        return await _unpaid(session, till, order, lines, failed=failed, now=now)
    return Settled.NOTHING_PAID


async def _keep_what_fits(session: AsyncSession, facts: SessionFacts, *, now: datetime) -> None:
    """Paid without our marks: never booked by itself, but kept for a person where it fits an order (spec: F4)."""
    if (seen := seen_in_session(facts, now=now)) is not None:
        await notice(session, seen, now=now)


async def send_back(
    session: AsyncSession,
    till: Till,
    attempt: CheckoutAttempt,
    facts: SessionFacts,
    *,
    reason: RefundReason,
    now: datetime,
) -> Settled:
    """Book a paid session with the attempt's order, and owe all of it back; the order stays as it is."""
    order, lines = await orders.lock_order_with_lines(session, attempt.order_id)
    payment = await _book(session, order, attempt, facts, now=now)
    if payment is None:
        return Settled.ALREADY
    await _send_back(session, till, order, lines, payment, reason, now=now)
    return Settled.REFUND_DUE


async def _find_attempt(session: AsyncSession, facts: SessionFacts) -> tuple[CheckoutAttempt | None, bool]:
    """The attempt, and whether its payment is booked: asked before any lock, since most repeats end there.

    By our metadata first: that finds a session whose id was never stored because of a crash.
    """
    booked: ColumnElement[bool] = false()
    if facts.payment_intent is not None and facts.payment_status == "paid":
        booked = exists().where(
            Payment.stripe_account == facts.stripe_account, Payment.payment_intent == facts.payment_intent
        )
    attempt_id = parse_id(facts.metadata.get("attempt_id", ""))
    known = select(CheckoutAttempt, booked).where(CheckoutAttempt.stripe_account == facts.stripe_account)
    for condition in (CheckoutAttempt.id == attempt_id, CheckoutAttempt.session_id == facts.id):
        row = (await session.execute(known.where(condition).limit(1))).first()
        if row is not None:
            return row[0], row[1]
    return None, False


def _adoption(attempt: CheckoutAttempt, facts: SessionFacts) -> Update:
    """The attempt is over; a session id that was not stored yet is.

    Not by a paid copy, made by hand, of its page: that page can still be paid. A copy whose payment is on its way takes
    its place, since that is the one to be asked about for days.
    """
    awaited = facts.payment_status == "unpaid"
    own = true() if awaited else func.coalesce(CheckoutAttempt.session_id, facts.id) == facts.id
    over = case((CheckoutAttempt.state.in_(attempts.ACTIVE), "complete"), else_=CheckoutAttempt.state)
    return (
        update(CheckoutAttempt)
        .where(CheckoutAttempt.id == attempt.id, own)
        .values(session_id=facts.id, state=over)
        .execution_options(synchronize_session=False)
    )


async def _expired(
    session: AsyncSession,
    till: Till,
    order: Order,
    attempt: CheckoutAttempt,
    facts: SessionFacts,
    *,
    now: datetime,
) -> Settled:
    if attempt.session_id not in (None, facts.id):
        return Settled.EXPIRED  # a copy of it made by hand: the attempt's own session can still be paid
    await attempts.end_attempt(session, attempt.id, "expired")
    lapsed = order.reserved_until is not None and order.reserved_until <= now
    if (
        order.state == OrderState.PENDING
        and lapsed
        and await attempts.active_attempt(session, order.id) is None
    ):
        await give_back(session, till, order, to=OrderState.EXPIRED, actor="stripe", now=now)
    return Settled.EXPIRED


async def give_back(
    session: AsyncSession, till: Till, order: Order, *, to: OrderState, actor: str, now: datetime
) -> bool:
    """Stock back, tickets back in the cart, the order over. The caller has locked it; it can't be paid any more."""
    if not await orders.move_order(session, order, to, now=now, actor=actor, why="given_back"):
        return False
    await till.calendar.release_tickets_for_order(session, order.id)
    return True


async def _unpaid(
    session: AsyncSession,
    till: Till,
    order: Order,
    lines: Sequence[OrderLine],
    *,
    failed: bool,
    now: datetime,
) -> Settled:
    if failed:
        if order.state == OrderState.PENDING:  # the failure overtook the completion
            await orders.move_order(
                session, order, OrderState.PROCESSING, now=now, actor="stripe", why="on_its_way"
            )
        await end_unpaid(session, till, order, lines, actor="stripe", now=now)
        return Settled.FAILED
    if await orders.move_order(
        session, order, OrderState.PROCESSING, now=now, actor="stripe", why="on_its_way"
    ):
        # money on its way: the tickets stay held with no clock
        await till.calendar.hold_tickets_until(session, order.id, reserved_until=None)
    return Settled.PROCESSING


async def end_unpaid(
    session: AsyncSession, till: Till, order: Order, lines: Sequence[OrderLine], *, actor: str, now: datetime
) -> None:
    """The money on its way will not come: stock back, and the buyer is told, once. The caller has locked the order."""
    if await give_back(session, till, order, to=OrderState.FAILED, actor=actor, now=now):
        await owe_failed_mail(session, till, order, lines, now=now)


async def _paid(
    session: AsyncSession,
    till: Till,
    order: Order,
    lines: Sequence[OrderLine],
    attempt: CheckoutAttempt,
    facts: SessionFacts,
    *,
    now: datetime,
) -> Settled:
    payment = await _book(session, order, attempt, facts, now=now)
    if payment is None:
        return Settled.ALREADY
    late = order.state == OrderState.EXPIRED
    reason = await _why_not(session, till, order, lines, payment, now=now)
    if reason is RefundReason.WRONG_AMOUNT and attempt.session_id == facts.id:
        await _end_without_clock(session, till, order, now=now)
    if reason is not None:
        await _send_back(session, till, order, lines, payment, reason, now=now)
        return Settled.REFUND_DUE
    await orders.move_order(
        session, order, OrderState.PAID, now=now, actor="stripe", why="paid_late" if late else "paid",
        details={"payment_intent": payment.payment_intent, "amount": payment.amount},
    )  # fmt: skip
    await ledger.post_sale(session, payment, lines, at=now)
    await owe_paid_mail(session, till, order, lines, now=now, late=late)
    return Settled.PAID


async def _end_without_clock(session: AsyncSession, till: Till, order: Order, *, now: datetime) -> None:
    """An order that waited for this payment has no clock: nothing else would ever free its stock."""
    if order.state == OrderState.PROCESSING:
        await give_back(session, till, order, to=OrderState.FAILED, actor="stripe", now=now)


async def _send_back(
    session: AsyncSession,
    till: Till,
    order: Order,
    lines: Sequence[OrderLine],
    payment: Payment,
    reason: RefundReason,
    *,
    now: datetime,
) -> None:
    """A payment that buys nothing goes back whole, with a mail that says why; the order stays as it is."""
    await ledger.post_owed_back(session, payment, at=now)
    await owe_refund(session, payment, reason=reason, now=now)
    amount = Money(payment.amount, payment.currency)
    await owe_sent_back_mail(
        session, till, order, lines, about=payment.id, amount=amount, reason=reason, now=now
    )
    if reason is RefundReason.WRONG_AMOUNT:
        total = Money(sum(line.amount + line.tax for line in lines), order.currency)
        words = (
            f"{amount} arrived for an order of {total}. It goes back in full; the order is not paid by it."
        )
        await warn_office(
            session,
            till,
            order,
            lines,
            "Wrong amount paid",
            words,
            key=f"wrong_amount:{payment.id}",
            now=now,
        )


async def _book(
    session: AsyncSession, order: Order, attempt: CheckoutAttempt, facts: SessionFacts, *, now: datetime
) -> Payment | None:
    """Write the payment; None if this payment intent is booked already: the other messenger was faster."""
    assert facts.payment_intent is not None, "a paid session has a payment intent"
    payment = Payment(
        id=new_id(),
        order_id=order.id,
        attempt_id=attempt.id,
        stripe_account=facts.stripe_account,
        payment_intent=facts.payment_intent,
        session_id=facts.id,
        amount=facts.amount_total,
        currency=facts.currency,
        livemode=facts.livemode,
        created_at=now,
    )
    booked = await session.execute(
        insert(Payment)
        .values(new_row(payment).values)
        .on_conflict_do_nothing(index_elements=["stripe_account", "payment_intent"])
        .returning(Payment.id)
        .add_cte(_adoption(attempt, facts).cte("adopted"))
    )
    return payment if booked.scalar_one_or_none() is not None else None


async def _why_not(
    session: AsyncSession,
    till: Till,
    order: Order,
    lines: Sequence[OrderLine],
    payment: Payment,
    *,
    now: datetime,
) -> RefundReason | None:
    """Confirm the tickets; or the reason why this payment has to go back."""
    if order.state == OrderState.PAID:
        return RefundReason.PAID_TWICE
    if payment.amount != sum(line.amount + line.tax for line in lines) or payment.currency != order.currency:
        return RefundReason.WRONG_AMOUNT
    if order.state not in (OrderState.PENDING, OrderState.PROCESSING):
        late = order.state == OrderState.EXPIRED and await _claim_again(
            session, till, order.id, order.user_id, orders.item_ids(lines), now=now
        )
        if not late:
            return RefundReason.PAID_TOO_LATE
    if await till.calendar.confirm_tickets_for_order(session, order.id) is Confirmation.CLOSED:
        return await _closed(session, till, order, now=now)
    return None


async def _claim_again(
    session: AsyncSession, till: Till, order_id: UUID, user_id: UUID, ticket_ids: list[UUID], *, now: datetime
) -> bool:
    """Paid after the hold was given back: the same tickets again, if all are still in the cart and fit."""
    try:
        async with session.begin_nested():
            await till.calendar.claim_tickets_for_order(
                session,
                order_id,
                user_id,
                ticket_ids=ticket_ids,
                reserved_until=now + RECLAIM_HOLD,
                now=now,
            )
    except SoldOut:
        return False
    except AppError:  # no longer in the cart: removed, or part of a newer order
        return False
    return True


async def _closed(session: AsyncSession, till: Till, order: Order, *, now: datetime) -> RefundReason:
    """The entry was cancelled before the money came: nothing is confirmed, the order is over, the money goes back."""
    to = OrderState.FAILED if order.state == OrderState.PROCESSING else OrderState.CANCELLED
    if not await give_back(session, till, order, to=to, actor="stripe", now=now):
        await till.calendar.release_tickets_for_order(session, order.id)
    return RefundReason.ENTRY_CLOSED


async def settle_free(session: AsyncSession, till: Till, order: Order, *, now: datetime) -> None:
    """A total of nothing is paid and confirmed right here; the same road, without Stripe."""
    await write_now(session)
    confirmation = await till.calendar.confirm_tickets_for_order(session, order.id)
    assert confirmation is Confirmation.CONFIRMED, "the claim in this transaction had refused a closed entry"
    await orders.move_order(
        session, order, OrderState.PAID, now=now, actor=f"user:{order.user_id}", why="free"
    )
    await owe_paid_mail(session, till, order, order.lines, now=now)
