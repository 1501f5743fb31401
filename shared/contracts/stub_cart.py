"""An in-memory CartService, for events on its own: tests, and `serve --only events`. Put in what it shall answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.dtos import CartSummaryDTO, EntrySalesDTO


@dataclass
class StubCartService:
    """Implements `CartService`: nobody has a cart, nothing was sold, until a test says so."""

    carts: dict[UUID, CartSummaryDTO] = field(default_factory=dict)
    """By user."""
    sales: dict[UUID, dict[UUID, EntrySalesDTO]] = field(default_factory=dict)
    """By page, then by entry."""
    open_orders: dict[UUID, str] = field(default_factory=dict)
    """By user: the address of an unfinished checkout."""

    async def cart_summary(self, session: AsyncSession, *, user_id: UUID) -> CartSummaryDTO:
        """See CartService."""
        return self.carts.get(user_id, CartSummaryDTO())

    async def badge_count(self, session: AsyncSession, *, user_id: UUID) -> int:
        """See CartService."""
        return self.carts.get(user_id, CartSummaryDTO()).count

    async def entry_sales(self, session: AsyncSession, *, page_id: UUID) -> Mapping[UUID, EntrySalesDTO]:
        """See CartService."""
        return self.sales.get(page_id, {})

    async def open_order_href(self, session: AsyncSession, *, user_id: UUID) -> str | None:
        """See CartService."""
        return self.open_orders.get(user_id)
