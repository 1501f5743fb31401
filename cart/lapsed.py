"""Why tickets are in the cart again: their order was not paid in time. Read by the cart's page."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from cart.models import Order
from shared.contracts.dtos import CartGroupDTO, CartSummaryDTO
from shared.contracts.states import OrderState

TOLD_FOR = timedelta(days=1)  # by then a buyer has come back, or has forgotten them
BACK_IN_CART = (OrderState.EXPIRED, OrderState.FAILED, OrderState.CANCELLED)
TOLD = (OrderState.EXPIRED, OrderState.FAILED)  # whoever gave the tickets back knows why


@dataclass(frozen=True, slots=True)
class Lapse:
    """Tickets in the cart that an order held. `what`: 2 × Concert, Standard."""

    order: Order
    what: str
    held_until: datetime
    """UTC; to be said in `time_zone`."""
    time_zone: str


async def orders_about_cart(session: AsyncSession, user_id: UUID, *, now: datetime) -> list[Order]:
    """A user's unfinished checkouts, and those whose tickets recently returned to the cart; newest first, with lines.

    All in one statement: the cart's page is asked for often.
    """
    lately = and_(Order.state.in_(BACK_IN_CART), Order.closed_at > now - TOLD_FOR)
    rows = await session.scalars(
        select(Order)
        .where(Order.user_id == user_id, or_(Order.state == OrderState.PENDING, lately))
        .order_by(Order.created_at.desc(), Order.id.desc())
        .options(joinedload(Order.lines))
    )
    return list(rows.unique())


def lapses(orders: Sequence[Order], summary: CartSummaryDTO) -> list[Lapse]:
    """What the last order of each ticket in the cart has to say; `orders` newest first."""
    unexplained = {
        item: group
        for group in summary.groups
        for line in group.lines
        if not line.entry_cancelled  # that is the reason then, and its line says it
        for item in line.item_ids
    }
    found = []
    for order in orders:
        parts, groups = [], []
        for line in order.lines:
            back = [group for item in line.item_ids if (group := unexplained.pop(item, None))]
            if back:
                parts.append(f"{len(back)} × {line.name}, {line.detail}")
                groups += back
        if parts and order.state in TOLD:
            found.append(_lapse(order, parts, groups[0]))
    return found


def _lapse(order: Order, parts: Sequence[str], group: CartGroupDTO) -> Lapse:
    # the column is empty once an order is over; placed and extended, it was just this long
    held_for = timedelta(minutes=order.hold_minutes) * (1 + order.extensions)
    return Lapse(order, " and ".join(parts), order.created_at + held_for, group.page.time_zone)
