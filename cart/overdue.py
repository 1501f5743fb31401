"""Orders whose payment is on its way for longer than any method takes: listed for the operator, who can end them.

Stripe is asked first, with nothing open, and what it says is settled. Only what is still unpaid then is ended; money
that comes later all the same goes back by itself, as for every order that is over (spec: B9, C3, H8).
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.ext.asyncio import AsyncSession

from cart import orders
from cart.models import CheckoutAttempt, Order
from cart.settle import end_unpaid, settle
from cart.till import Till
from shared.contracts.facts import SessionFacts
from shared.contracts.states import OrderState
from shared.database import Sessions
from shared.errors import Conflict, NotFound
from shared.payment_methods import SLOWEST

SHOWN = 200


class NotOverdue(Conflict):
    """This order does not wait too long for its payment. Nothing was changed."""

    code = "NOT_OVERDUE"


class NotTold(Conflict):
    """Stripe does not say clearly how this payment stands. The tickets stay held; look at it in the Dashboard."""

    code = "NOT_TOLD"


def is_overdue(now: datetime) -> ColumnElement[bool]:
    """Condition on orders: money on its way since before any method's time."""
    return and_(Order.state == OrderState.PROCESSING, Order.created_at < now - SLOWEST)


async def overdue_orders(session: AsyncSession, *, now: datetime) -> list[Order]:
    """The oldest first, `SHOWN` at most."""
    query = select(Order).where(is_overdue(now)).order_by(Order.created_at, Order.id).limit(SHOWN)
    return list(await session.scalars(query))


async def can_end(session: AsyncSession, order_id: UUID, *, now: datetime) -> bool:
    """Whether this order is one of them."""
    return await session.scalar(select(Order.id).where(Order.id == order_id, is_overdue(now))) is not None


async def end_overdue(
    sessions: Sessions, till: Till, *, order_id: UUID, actor: str, now: datetime
) -> OrderState:
    """End an order that is overdue, or settle what Stripe says of it now; returns the state it is in then.

    Raises NotFound, NotOverdue, NotTold where Stripe does not know a session of it or says what we do not understand,
    PaymentsUnavailable and PaymentsRefused: then nothing has changed.
    """
    async with sessions.reading() as session:
        if await session.get(Order, order_id) is None:
            raise NotFound
        if not await can_end(session, order_id, now=now):
            raise NotOverdue
        asked = select(CheckoutAttempt).where(
            CheckoutAttempt.order_id == order_id, CheckoutAttempt.state == "complete"
        )
        attempts = list(await session.scalars(asked.order_by(CheckoutAttempt.id)))
    told = [await _ask(till, attempt) for attempt in attempts]
    if not told:
        raise NotTold
    async with sessions.begin() as session:
        for facts in told:
            await settle(session, till, facts, now=now, failed=facts.has_failed)
        order, lines = await orders.lock_order_with_lines(session, order_id)
        if order.state == OrderState.PROCESSING:
            await end_unpaid(session, till, order, lines, actor=actor, now=now)
        return OrderState(order.state)


async def _ask(till: Till, attempt: CheckoutAttempt) -> SessionFacts:
    facts = None
    if attempt.session_id is not None:
        facts = await till.payments.retrieve_session(
            attempt.session_id, stripe_account=attempt.stripe_account
        )
    if facts is None or not facts.is_known or facts.status == "open":
        raise NotTold
    return facts
