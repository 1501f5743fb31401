"""SqlCartService: what cart offers the other rooms (contracts.protocols.CartService)."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from cart.books.cost import cost_of_cancelling
from cart.buy_now import buy_now
from cart.models import Order, OrderLine, Refund, RefundLine
from cart.office.asked import asked_of_page
from cart.refunds.owing import COUNTS
from cart.sold import sold_items
from cart.summary import summary_of_tickets
from cart.till import Till
from shared.contracts.dtos import (
    CancelCostDTO,
    CartSummaryDTO,
    DecisionDTO,
    EntrySalesDTO,
    HoldDTO,
    PageDTO,
    SoldDTO,
    WayOnDTO,
)
from shared.contracts.states import OrderState
from shared.database import Sessions
from shared.services import Services

HOLDING = (OrderState.PENDING, OrderState.PROCESSING)


class SqlCartService:
    """Reads the cart through the calendar and its own tables; runs in the caller's transaction."""

    def __init__(self, services: Services, public_url: str) -> None:
        self._services, self._public_url = services, public_url

    async def cart_summary(self, session: AsyncSession, *, user_id: UUID) -> CartSummaryDTO:
        """Lines, counts and totals of a user's cart (spec: B10)."""
        tickets = await self._services.calendar.pending_tickets(session, user_id=user_id)
        return summary_of_tickets(tickets)

    async def badge_count(self, session: AsyncSession, *, user_id: UUID) -> int:
        """The number on the cart's badge."""
        return await self._services.calendar.pending_count(session, user_id=user_id)

    async def entry_sales(
        self, session: AsyncSession, *, page_id: UUID, since: datetime
    ) -> Mapping[UUID, EntrySalesDTO]:
        """Revenue (minor units, gross), what of it was refunded, orders and recent tickets per entry of a page."""
        rows = await session.execute(
            select(
                OrderLine.entry_id,
                func.sum(OrderLine.amount).label("revenue"),
                func.count(OrderLine.order_id.distinct()).label("orders"),
                func.sum(OrderLine.quantity).filter(Order.closed_at >= since).label("recent"),
            )
            .join(Order, Order.id == OrderLine.order_id)
            .where(
                OrderLine.page_id == page_id, Order.state == OrderState.PAID, OrderLine.entry_id.is_not(None)
            )
            .group_by(OrderLine.entry_id)
        )
        refunded = await self._refunded(session, page_id)
        return {
            row.entry_id: EntrySalesDTO(
                row.entry_id,
                int(row.revenue),
                row.orders,
                refunded.get(row.entry_id, 0),
                int(row.recent or 0),
            )
            for row in rows
        }

    async def _refunded(self, session: AsyncSession, page_id: UUID) -> dict[UUID, int]:
        rows = await session.execute(
            select(OrderLine.entry_id, func.sum(RefundLine.amount))
            .join(RefundLine, RefundLine.order_line_id == OrderLine.id)
            .join(Refund, Refund.id == RefundLine.refund_id)
            .where(OrderLine.page_id == page_id, COUNTS)
            .group_by(OrderLine.entry_id)
        )
        return {entry_id: int(amount) for entry_id, amount in rows if entry_id is not None}

    async def decisions(self, session: AsyncSession, *, page: PageDTO) -> list[DecisionDTO]:
        """See CartService."""
        return await asked_of_page(session, page)

    async def cost_of_cancelling(
        self, session: AsyncSession, *, page_id: UUID, entry_id: UUID
    ) -> CancelCostDTO:
        """See CartService."""
        return await cost_of_cancelling(session, page_id=page_id, entry_id=entry_id)

    async def sold_items(self, session: AsyncSession, *, order_id: UUID) -> Mapping[UUID, SoldDTO]:
        """Each item of an order as it was sold."""
        rows = await session.execute(
            select(OrderLine, Order.currency)
            .join(Order, Order.id == OrderLine.order_id)
            .where(Order.id == order_id)
        )
        return {item: sold for line, currency in rows for item, sold in sold_items([line], currency).items()}

    async def open_holds(self, session: AsyncSession, *, user_id: UUID) -> list[HoldDTO]:
        """The user's orders that hold stock and are not paid yet, newest first."""
        rows = await session.execute(
            select(Order.id, Order.state, Order.reserved_until, OrderLine.ref_id, OrderLine.quantity)
            .join(OrderLine, OrderLine.order_id == Order.id)
            .where(Order.user_id == user_id, Order.state.in_(HOLDING))
            .order_by(Order.created_at.desc(), Order.id.desc())
        )
        holds: dict[UUID, HoldDTO] = {}
        quantities: dict[UUID, Counter[UUID]] = defaultdict(Counter)
        for order_id, state, until, ref_id, quantity in rows:
            quantities[order_id][ref_id] += quantity
            holds[order_id] = HoldDTO(
                order_id, f"/orders/{order_id}", OrderState(state), until, quantities[order_id]
            )
        return list(holds.values())

    async def buy_now(
        self, sessions: Sessions, *, user_id: UUID, chosen: Mapping[UUID, int], token: str, now: datetime
    ) -> WayOnDTO:
        """Where these tickets, held as an order of their own, are paid."""
        till = Till(self._services.calendar, self._services.payments, self._public_url)
        return await buy_now(sessions, till, user_id=user_id, chosen=chosen, token=token, now=now)
