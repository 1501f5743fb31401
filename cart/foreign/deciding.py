"""What the operator says of a payment without our marks: it is this order's, it goes back, or it is not ours.

Once each: the row is locked, and a decision is final. Money is booked by the functions that book every payment.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cart import attempts, orders
from cart.complete import settle_at_once
from cart.foreign.models import ForeignPayment
from cart.models import CheckoutAttempt, Order
from cart.refunds.owing import RefundReason
from cart.settle import Settled, send_back, settle
from cart.till import Till
from shared import audit
from shared.contracts.facts import SessionFacts
from shared.contracts.states import OrderState
from shared.database import Sessions, retrying
from shared.errors import Conflict, Invalid, NotFound
from shared.formats import state_words
from shared.ids import new_id
from shared.installation import installation_id, mark
from shared.jobs import nudge
from shared.money import format_minor

PAYABLE = (OrderState.PENDING, OrderState.EXPIRED)


class AlreadyDecided(Conflict):
    """Somebody has already decided about this payment. Nothing was changed."""


class HasGoneBack(Conflict):
    """Money of this payment has gone back at Stripe. Give back there what is left, then choose “Not ours” here."""


class PageBeingMade(Conflict):
    """The buyer is just being sent to the payment page of this order. Nothing was changed; try again in a minute."""


async def assign(
    sessions: Sessions, till: Till, *, payment_id: UUID, number: str, actor: str, now: datetime
) -> str:
    """Say that a payment is an order's: booked and settled like any other, its tickets claimed again if they went back.

    Returns what became of it, in words; where the tickets are gone, the money goes back. Raises NotFound, Invalid for
    an unknown order, Conflict where this payment can't be this order's (nothing changes then), PaymentsUnavailable.
    """
    order = await _look_first(sessions, till, payment_id=payment_id, number=number, must_fit=True)
    await _end_own_page(sessions, till, order, now=now)

    async def once() -> str:
        async with sessions.begin() as session:
            row = await _open_row(session, payment_id)
            locked = await orders.lock_order(session, order.id)
            assert locked is not None
            _refuse_what_does_not_fit(row, locked)
            _, facts = await _as_ours(session, row, locked, now=now)
            settled = await settle(session, till, facts, now=now)
            await _decide(session, row, "assigned", order=locked, actor=actor, now=now, result=settled)
            return _words(settled, row, locked)

    return await retrying(once)


async def return_money(
    sessions: Sessions, till: Till, *, payment_id: UUID, number: str, actor: str, now: datetime
) -> str:
    """Send a payment back, booked with the order whose buyer made it, who gets a mail; returns that in words.

    Raises NotFound, Invalid for an unknown order, Conflict, PaymentsUnavailable.
    """
    order = await _look_first(sessions, till, payment_id=payment_id, number=number, must_fit=False)

    async def once() -> str:
        async with sessions.begin() as session:
            row = await _open_row(session, payment_id)
            attempt, facts = await _as_ours(session, row, order, now=now)
            reason = RefundReason.OUTSIDE_CHECKOUT
            settled = await send_back(session, till, attempt, facts, reason=reason, now=now)
            await _decide(session, row, "sent_back", order=order, actor=actor, now=now, result=settled)
            return f"{format_minor(row.amount, row.currency)} goes back; the buyer of order {order.number} gets a mail."

    return await retrying(once)


async def dismiss(sessions: Sessions, *, payment_id: UUID, actor: str, now: datetime) -> str:
    """Say that a payment is none of ours: it stays where it is. Raises NotFound, Conflict."""
    async with sessions.begin() as session:
        row = await _open_row(session, payment_id)
        await _decide(session, row, "dismissed", order=None, actor=actor, now=now, result=None)
    return "Set aside as not ours. Nothing was booked and nothing goes back."


async def _look_first(
    sessions: Sessions, till: Till, *, payment_id: UUID, number: str, must_fit: bool
) -> Order:
    """The order, with everything refused that can be seen before anything is locked; Stripe is asked for refunds."""
    async with sessions.reading() as session:
        row = await session.get(ForeignPayment, payment_id)
        order: Order | None = await session.scalar(
            select(Order).where(Order.number == number.strip().upper())
        )
    if row is None:
        raise NotFound
    if row.state != "open":
        raise AlreadyDecided
    if order is None:
        raise Invalid("There is no order with this number.", field="number")
    if order.stripe_account != row.stripe_account:
        raise Conflict(f"Order {order.number} is paid to another Stripe account than this payment.")
    if must_fit:
        _refuse_what_does_not_fit(row, order)
    refunds = till.payments.refunds(stripe_account=row.stripe_account, payment_intent=row.payment_intent)
    if [one async for one in refunds if one.status not in ("failed", "canceled")]:
        raise HasGoneBack
    return order


def _refuse_what_does_not_fit(row: ForeignPayment, order: Order) -> None:
    """Raises Conflict, in words, where settling could do nothing but send the money back."""
    if order.state not in PAYABLE:
        state = state_words(order.state, "order")
        raise Conflict(
            f"Order {order.number} is “{state}” and can’t be paid by this. You can send the money back."
        )
    if (order.total, order.currency) != (row.amount, row.currency):
        paid, asked = format_minor(row.amount, row.currency), format_minor(order.total, order.currency)
        raise Conflict(f"{paid} was paid; order {order.number} costs {asked}. You can send the money back.")


async def _end_own_page(sessions: Sessions, till: Till, order: Order, *, now: datetime) -> None:
    """Close the order's own payment page, so that nobody pays twice; what it says is settled."""
    async with sessions.reading() as session:
        attempt = await attempts.active_attempt(session, order.id)
    if attempt is None:
        return
    if attempt.session_id is None:
        raise PageBeingMade
    closed = await till.payments.expire_session(attempt.session_id, stripe_account=attempt.stripe_account)
    await settle_at_once(sessions, till, closed, now=now)


async def _open_row(session: AsyncSession, payment_id: UUID) -> ForeignPayment:
    row = await session.get(ForeignPayment, payment_id, with_for_update=True)
    if row is None:
        raise NotFound
    if row.state != "open":
        raise AlreadyDecided
    return row


async def _as_ours(
    session: AsyncSession, row: ForeignPayment, order: Order, *, now: datetime
) -> tuple[CheckoutAttempt, SessionFacts]:
    """An attempt of the order that this payment is the end of, and its session as if it bore our marks."""
    attempt_id = new_id()
    metadata = {
        **mark(await installation_id(session)),
        "order_id": str(order.id),
        "attempt_id": str(attempt_id),
    }
    paid_by = row.session_id or row.payment_intent
    attempt = CheckoutAttempt(
        id=attempt_id,
        order_id=order.id,
        stripe_account=row.stripe_account,
        state="complete",
        request={"metadata": metadata},
        idempotency_key=f"foreign-{row.id}",  # sent to nobody; and once for each payment
        session_id=paid_by,
        livemode=row.livemode,
        expires_at=now,
        created_at=row.paid_at,
    )
    session.add(attempt)
    await session.flush()
    facts = SessionFacts(
        id=paid_by,
        stripe_account=row.stripe_account,
        status="complete",
        payment_status="paid",
        payment_intent=row.payment_intent,
        amount_total=row.amount,
        currency=row.currency,
        metadata=metadata,
        livemode=row.livemode,
        expires_at=now,
        created=row.paid_at,
    )
    return attempt, facts


async def _decide(
    session: AsyncSession,
    row: ForeignPayment,
    state: str,
    *,
    order: Order | None,
    actor: str,
    now: datetime,
    result: Settled | None,
) -> None:
    """Write the decision down, on the payment and in the order's history; the worker puts the books right."""
    row.state, row.order_id, row.decided_at, row.actor = state, order.id if order else None, now, actor
    await session.flush()
    after = {
        "payment_intent": row.payment_intent,
        "amount": row.amount,
        "currency": row.currency,
        "result": result.value if result else None,
    }
    what, before = f"foreign_{state}", {"state": "open"}
    await audit.record(
        session,
        at=now,
        actor=actor,
        subject="foreign_payment",
        subject_id=row.id,
        what=what,
        before=before,
        after=after,
    )
    if order is not None:
        await audit.record(
            session, at=now, actor=actor, subject="order", subject_id=order.id, what=what, after=after
        )
        await nudge(session, "books")


def _words(settled: Settled, row: ForeignPayment, order: Order) -> str:
    if settled is Settled.PAID:
        return f"Order {order.number} is paid by it, its tickets are confirmed, and the buyer gets a mail."
    amount = format_minor(row.amount, row.currency)
    return f"The tickets of order {order.number} are gone. {amount} goes back, and the buyer gets a mail."
