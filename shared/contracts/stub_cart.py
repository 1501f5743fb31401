"""An in-memory CartService, for events on its own: tests, and `serve --only events`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.dtos import CartSummaryDTO, EntrySalesDTO


@dataclass
class StubCartService:
    """Implements `CartService`: what a test puts in is what is answered."""

    summaries: dict[UUID, CartSummaryDTO] = field(default_factory=dict)
    """By user."""
    sales: dict[UUID, dict[UUID, EntrySalesDTO]] = field(default_factory=dict)
    """By page and entry."""
    open_orders: dict[UUID, str] = field(default_factory=dict)
    """Address of a user's unfinished checkout."""

    async def cart_summary(self, _session: AsyncSession, *, user_id: UUID) -> CartSummaryDTO:
        """See CartService."""
        return self.summaries.get(user_id, CartSummaryDTO())

    async def badge_count(self, session: AsyncSession, *, user_id: UUID) -> int:
        """See CartService."""
        return (await self.cart_summary(session, user_id=user_id)).count

    async def entry_sales(self, _session: AsyncSession, *, page_id: UUID) -> Mapping[UUID, EntrySalesDTO]:
        """See CartService."""
        return self.sales.get(page_id, {})

    async def open_order_href(self, _session: AsyncSession, *, user_id: UUID) -> str | None:
        """See CartService."""
        return self.open_orders.get(user_id)
