"""Demo data: the orders of the tickets that the seed of events has sold already, so that a new shop's books balance.

They are free ones: what was paid for would have to be at Stripe too. Used by `seed` and `demo` through cli.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cart import orders
from cart.models import Order
from cart.quote import fingerprint, quotes
from cart.summary import summary_of_tickets
from shared.contracts.dtos import TicketDTO
from shared.contracts.protocols import CalendarService
from shared.contracts.states import OrderState
from shared.database import write_now
from shared.identity.users import email_of

MOST = 1000


async def seed(session: AsyncSession, calendar: CalendarService, *, now: datetime) -> None:
    """Write a paid order for each order that holds tickets; nothing where there are orders already."""
    if await session.scalar(select(Order.id).limit(1)) is not None:
        return
    held = await calendar.orders_holding_tickets(session, after=None, limit=MOST)
    for order_id, tickets in (await calendar.get_tickets_for_orders(session, held)).items():
        await _add_paid(session, order_id, tickets, now=now)


async def _add_paid(
    session: AsyncSession, order_id: UUID, tickets: list[TicketDTO], *, now: datetime
) -> None:
    (quote,) = quotes(summary_of_tickets(tickets))
    assert quote.total == 0, "only free tickets are sold in advance"
    user_id = tickets[0].user_id
    order = await orders.add_order(
        session,
        quote,
        user_id=user_id,
        email=await email_of(session, user_id),
        fingerprint=fingerprint(quote.lines),
        now=now,
        order_id=order_id,
    )
    await write_now(session)
    await orders.move_order(session, order, OrderState.PAID, now=now, actor=f"user:{user_id}", why="free")
