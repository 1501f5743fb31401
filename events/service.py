"""SqlCalendarService: what events offers to the rest of the house. Put into services.calendar."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from events import checks, pending, queries, tickets
from shared.contracts.dtos import PageDTO, StockDifferenceDTO, TicketDTO
from shared.contracts.protocols import Confirmation
from shared.contracts.states import PageRole


class SqlCalendarService:
    """Implements `CalendarService`; the protocol's docstrings hold here."""

    async def pending_tickets(self, session: AsyncSession, *, user_id: UUID) -> list[TicketDTO]:
        """See CalendarService."""
        return await queries.pending_tickets(session, user_id=user_id)

    async def pending_count(self, session: AsyncSession, *, user_id: UUID) -> int:
        """See CalendarService."""
        return await pending.count(session, user_id=user_id)

    async def set_pending_quantity(
        self, session: AsyncSession, *, user_id: UUID, ticket_type_id: UUID, quantity: int, now: datetime
    ) -> int:
        """See CalendarService."""
        return await pending.set_quantity(
            session, user_id=user_id, ticket_type_id=ticket_type_id, quantity=quantity, now=now
        )

    async def add_pending_tickets(
        self, session: AsyncSession, *, user_id: UUID, chosen: Mapping[UUID, int], now: datetime
    ) -> list[UUID]:
        """See CalendarService."""
        return await pending.add_all(session, user_id=user_id, chosen=chosen, now=now)

    async def remove_pending_tickets(
        self, session: AsyncSession, *, user_id: UUID, page_id: UUID | None = None
    ) -> int:
        """See CalendarService."""
        return await pending.remove_all(session, user_id=user_id, page_id=page_id)

    async def claim_tickets_for_order(
        self,
        session: AsyncSession,
        order_id: UUID,
        user_id: UUID,
        page_id: UUID | None = None,
        *,
        ticket_ids: Sequence[UUID] | None = None,
        reserved_until: datetime,
        now: datetime,
    ) -> None:
        """See CalendarService."""
        await tickets.claim(
            session,
            order_id=order_id,
            user_id=user_id,
            page_id=page_id,
            ticket_ids=ticket_ids,
            reserved_until=reserved_until,
            now=now,
        )

    async def confirm_tickets_for_order(self, session: AsyncSession, order_id: UUID) -> Confirmation:
        """See CalendarService."""
        return await tickets.confirm(session, order_id)

    async def release_tickets_for_order(self, session: AsyncSession, order_id: UUID) -> int:
        """See CalendarService."""
        return await tickets.release(session, order_id)

    async def hold_tickets_until(
        self, session: AsyncSession, order_id: UUID, *, reserved_until: datetime | None
    ) -> None:
        """See CalendarService."""
        await tickets.hold_until(session, order_id, reserved_until=reserved_until)

    async def extend_hold(self, session: AsyncSession, order_id: UUID, *, reserved_until: datetime) -> bool:
        """See CalendarService."""
        return await tickets.extend(session, order_id, reserved_until=reserved_until)

    async def cancel_tickets(
        self, session: AsyncSession, order_id: UUID, *, ticket_ids: Sequence[UUID]
    ) -> list[UUID]:
        """See CalendarService."""
        return await tickets.cancel(session, order_id, ticket_ids=ticket_ids)

    async def block_tickets_for_order(self, session: AsyncSession, order_id: UUID, *, blocked: bool) -> int:
        """See CalendarService."""
        return await tickets.block(session, order_id, blocked=blocked)

    async def orders_of_cancelled_entries(
        self, session: AsyncSession, *, after: UUID | None = None, limit: int
    ) -> list[UUID]:
        """See CalendarService."""
        return await checks.orders_of_cancelled_entries(session, after=after, limit=limit)

    async def orders_holding_tickets(
        self, session: AsyncSession, *, after: UUID | None, limit: int
    ) -> list[UUID]:
        """See CalendarService."""
        return await checks.orders_holding_tickets(session, after=after, limit=limit)

    async def stock_differences(self, session: AsyncSession) -> list[StockDifferenceDTO]:
        """See CalendarService."""
        return await checks.stock_differences(session)

    async def recount_pools(self, session: AsyncSession, pool_ids: Sequence[UUID]) -> int:
        """See CalendarService."""
        return await checks.recount_pools(session, pool_ids)

    async def get_tickets_for_order(self, session: AsyncSession, order_id: UUID) -> list[TicketDTO]:
        """See CalendarService."""
        return (await queries.tickets_of_orders(session, [order_id]))[order_id]

    async def get_tickets_for_orders(
        self, session: AsyncSession, order_ids: Sequence[UUID]
    ) -> dict[UUID, list[TicketDTO]]:
        """See CalendarService."""
        return await queries.tickets_of_orders(session, order_ids)

    async def lapsed_orders(
        self, session: AsyncSession, *, ticket_type_ids: Sequence[UUID], now: datetime, limit: int = 5
    ) -> list[UUID]:
        """See CalendarService."""
        return await tickets.lapsed_orders(session, ticket_type_ids=ticket_type_ids, now=now, limit=limit)

    async def get_pages(self, session: AsyncSession, page_ids: Sequence[UUID]) -> dict[UUID, PageDTO]:
        """See CalendarService."""
        return await queries.pages_by_id(session, page_ids)

    async def get_page_by_slug(self, session: AsyncSession, slug: str) -> PageDTO | None:
        """See CalendarService."""
        return await queries.page_by_slug(session, slug)

    async def pages_of_member(
        self, session: AsyncSession, *, user_id: UUID
    ) -> list[tuple[PageDTO, PageRole]]:
        """See CalendarService."""
        return await queries.pages_of_member(session, user_id=user_id)

    async def members_of_pages(
        self, session: AsyncSession, page_ids: Sequence[UUID]
    ) -> list[tuple[UUID, UUID, PageRole]]:
        """See CalendarService."""
        return await queries.members_of_pages(session, page_ids)

    async def stripe_accounts(self, session: AsyncSession) -> list[str]:
        """See CalendarService."""
        return await queries.stripe_accounts(session)

    async def set_payments_stopped(
        self, session: AsyncSession, *, stripe_account: str, stopped: bool
    ) -> list[str]:
        """See CalendarService."""
        return await queries.set_payments_stopped(session, stripe_account=stripe_account, stopped=stopped)

    async def orders_by_ticket_code(self, session: AsyncSession, *, page_id: UUID, code: str) -> list[UUID]:
        """See CalendarService."""
        return await queries.orders_by_code(session, page_id=page_id, code=code)
