"""Release: give an order's stock back, but only after Stripe has said that it can no longer be paid (spec: B9)."""

from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import or_, update

from cart import accounts, attempts, orders
from cart.models import CheckoutAttempt, Order
from cart.settle import give_back, settle
from cart.till import Till
from shared.contracts.facts import SessionFacts
from shared.contracts.payment_errors import (
    AccountUnavailable,
    PaymentsRefused,
    PaymentsUnavailable,
)
from shared.contracts.states import OrderState
from shared.database import Sessions

log = structlog.get_logger()

LEASE = timedelta(seconds=30)


async def release(
    sessions: Sessions,
    till: Till,
    *,
    order_id: UUID,
    now: datetime,
    to: OrderState = OrderState.EXPIRED,
    actor: str = "worker",
) -> OrderState:
    """Expire the order's session at Stripe, then follow the answer; returns the state the order is in.

    expired → stock back; paid → settled; complete and unpaid → processing; no or unknown → everything stays held.
    Where the account no longer lets us in, the stock comes back a day after the session's own end (spec: L9).
    A lapse (`to` expired) of an order whose hold was extended meanwhile, or that another process has just asked Stripe
    about, does nothing: in a rush, many find the same lapsed orders at once.
    """
    async with sessions.reading() as session:
        found = await attempts.order_with_attempt(session, order_id)
    assert found is not None
    order, attempt = found
    if order.state != OrderState.PENDING or _still_held(order, to, now):
        return OrderState(order.state)
    if to == OrderState.EXPIRED and not await _lease(sessions, order_id, now=now):
        return OrderState.PENDING
    facts = None
    if attempt is not None:
        try:
            facts = await _expire(sessions, till, order, attempt, now=now)
        except AccountUnavailable:
            # nobody can be asked any more, and no webhook will come: time alone must say that nothing will be paid
            if now < attempt.expires_at + accounts.OVER_AFTER:
                await _leave_alone(sessions, order_id, until=now + accounts.ASKED_AGAIN)
                return OrderState.PENDING
        except (PaymentsUnavailable, PaymentsRefused):
            # no answer, or a session that these keys do not know: keep the stock, try again later
            return OrderState.PENDING
    async with sessions.begin() as session:
        if facts is not None:
            await settle(session, till, facts, now=now)
        elif attempt is not None:
            await attempts.end_attempt(session, attempt.id, "failed")
        locked = await orders.lock_order(session, order_id)
        assert locked is not None
        over = await attempts.active_attempt(session, order_id) is None
        if locked.state == OrderState.PENDING and over and not _still_held(locked, to, now):
            await give_back(session, till, locked, to=to, actor=actor, now=now)
        return OrderState(locked.state)


async def _lease(sessions: Sessions, order_id: UUID, *, now: datetime) -> bool:
    """Take the order for half a minute; False where somebody else has it."""
    async with sessions.begin() as session:
        taken = await session.execute(
            update(Order)
            .where(Order.id == order_id, or_(Order.releasing_until.is_(None), Order.releasing_until <= now))
            .values(releasing_until=now + LEASE)
            .returning(Order.id)
        )
        return taken.scalar_one_or_none() is not None


async def _leave_alone(sessions: Sessions, order_id: UUID, *, until: datetime) -> None:
    async with sessions.single() as session:
        await session.execute(update(Order).where(Order.id == order_id).values(releasing_until=until))


def _still_held(order: Order, to: OrderState, now: datetime) -> bool:
    return to == OrderState.EXPIRED and order.reserved_until is not None and order.reserved_until > now


async def _expire(
    sessions: Sessions, till: Till, order: Order, attempt: CheckoutAttempt, *, now: datetime
) -> SessionFacts | None:
    """The attempt's session, no longer open; None where Stripe has never made one.

    An attempt without a session id (a crash before it was stored) is replayed under its key first, and so found.
    """
    session_id = attempt.session_id
    if session_id is None:
        try:
            found = await attempts.obtain(sessions, till.payments, order, attempt, now=now)
        except PaymentsRefused:
            return None  # a request that Stripe refuses for good has made no session
        if found is None:
            return None
        session_id = found.id
    return await till.payments.expire_session(session_id, stripe_account=attempt.stripe_account)


async def release_lapsed(sessions: Sessions, till: Till, *, now: datetime) -> int:
    """Release all orders whose hold is over; the worker's sweep. One failure does not stop the rest.

    Returns how many were looked at.
    """
    async with sessions.reading() as session:
        lapsed = await orders.lapsed_orders(session, now=now)
    for order_id in lapsed:
        try:
            await release(sessions, till, order_id=order_id, now=now)
        except Exception:
            log.exception("order not released", order_id=str(order_id))
    return len(lapsed)
