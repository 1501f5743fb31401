"""An in-memory CartService, for events on its own: tests, and `serve --only events`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid5

from sqlalchemy.ext.asyncio import AsyncSession

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
from shared.database import Sessions


@dataclass
class StubCartService:
    """Implements `CartService`: what a test puts in is what is answered."""

    summaries: dict[UUID, CartSummaryDTO] = field(default_factory=dict)
    """By user."""
    sales: dict[UUID, dict[UUID, EntrySalesDTO]] = field(default_factory=dict)
    """By page and entry."""
    holds: dict[UUID, list[HoldDTO]] = field(default_factory=dict)
    """By user."""
    bought: dict[tuple[UUID, str], dict[UUID, int]] = field(default_factory=dict)
    """What was bought at once, by user and form."""

    to_decide: dict[UUID, list[DecisionDTO]] = field(default_factory=dict)
    """By page."""
    sold: dict[UUID, dict[UUID, SoldDTO]] = field(default_factory=dict)
    """By order and item."""

    async def cart_summary(self, _session: AsyncSession, *, user_id: UUID) -> CartSummaryDTO:
        """See CartService."""
        return self.summaries.get(user_id, CartSummaryDTO())

    async def badge_count(self, session: AsyncSession, *, user_id: UUID) -> int:
        """See CartService."""
        return (await self.cart_summary(session, user_id=user_id)).count

    async def entry_sales(
        self, _session: AsyncSession, *, page_id: UUID, since: datetime
    ) -> Mapping[UUID, EntrySalesDTO]:
        """See CartService."""
        return self.sales.get(page_id, {})

    async def decisions(self, _session: AsyncSession, *, page: PageDTO) -> list[DecisionDTO]:
        """See CartService."""
        return self.to_decide.get(page.id, [])

    async def cost_of_cancelling(
        self, _session: AsyncSession, *, page_id: UUID, entry_id: UUID
    ) -> CancelCostDTO:
        """See CartService."""
        sold = self.sales.get(page_id, {}).get(entry_id)
        return CancelCostDTO(sold.revenue_minor - sold.refunded_minor if sold else 0, {}, 0)

    async def sold_items(self, _session: AsyncSession, *, order_id: UUID) -> Mapping[UUID, SoldDTO]:
        """See CartService."""
        return self.sold.get(order_id, {})

    async def open_holds(self, _session: AsyncSession, *, user_id: UUID) -> list[HoldDTO]:
        """See CartService."""
        return self.holds.get(user_id, [])

    async def buy_now(
        self, _sessions: Sessions, *, user_id: UUID, chosen: Mapping[UUID, int], token: str, now: datetime
    ) -> WayOnDTO:
        """See CartService."""
        self.bought.setdefault((user_id, token), dict(chosen))
        return WayOnDTO(f"/orders/{uuid5(user_id, token)}")
