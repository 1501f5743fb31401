"""An event was cancelled: each order that holds its tickets is released or refunded; the sweep `cancelled_entries`.

Stripe is asked first, order by order, since a buyer may be paying at this moment.
"""

from datetime import datetime
from uuid import UUID

import structlog

from cart.models import Order
from cart.refunds.by_line import refund_items
from cart.refunds.owing import RefundReason
from cart.release import release
from cart.till import Till
from shared.contracts.states import OrderState
from shared.database import Sessions, retrying

log = structlog.get_logger()

AT_ONCE = 50


async def unwind(sessions: Sessions, till: Till, *, now: datetime) -> int:
    """Go through all orders that hold tickets of cancelled entries; one failure does not stop the rest.

    Returns how many were looked at. Those that Stripe has no answer about come again with the next sweep.
    """
    handled, after = 0, None
    while True:
        async with sessions.reading() as session:
            found = await till.calendar.orders_of_cancelled_entries(session, after=after, limit=AT_ONCE)
        if not found:
            return handled
        for order_id in found:
            try:
                await _unwind(sessions, till, order_id, now=now)
            except Exception:
                log.exception("order of a cancelled event not unwound", order_id=str(order_id))
        handled, after = handled + len(found), found[-1]


async def _unwind(sessions: Sessions, till: Till, order_id: UUID, *, now: datetime) -> None:
    """Pending: its session is closed and its stock goes back. Paid: refunded. Processing: settling will refuse it."""
    async with sessions.reading() as session:
        order = await session.get_one(Order, order_id)
    if order.state == OrderState.PENDING:
        await release(sessions, till, order_id=order_id, now=now, to=OrderState.CANCELLED)
    elif order.state == OrderState.PAID:
        await retrying(_refund, sessions, till, order_id, now=now)


async def _refund(sessions: Sessions, till: Till, order_id: UUID, *, now: datetime) -> None:
    async with sessions.begin() as session:
        tickets = await till.calendar.get_tickets_for_order(session, order_id)
        await refund_items(
            session,
            till,
            order_id=order_id,
            item_ids=[ticket.id for ticket in tickets if ticket.entry_cancelled],
            page_id=None,
            actor="worker",
            reason=RefundReason.ENTRY_CANCELLED,
            now=now,
        )
