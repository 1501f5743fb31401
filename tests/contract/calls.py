"""What the contract tests of the calendar ask of a shop, in short."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from shared.contracts.dtos import TicketDTO
from shared.ids import new_id
from tests.contract.shops import Shop, Terms

NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=30)
EVENING = NOW + timedelta(days=10)


async def put(shop: Shop, user: UUID, kind: UUID, quantity: int, *, now: datetime = NOW) -> int:
    """So many of a type in a cart; the number before."""
    async with shop.transaction() as session:
        return await shop.calendar.set_pending_quantity(
            session, user_id=user, ticket_type_id=kind, quantity=quantity, now=now
        )


async def claim(
    shop: Shop,
    user: UUID,
    order: UUID | None = None,
    *,
    page: UUID | None = None,
    ticket_ids: list[UUID] | None = None,
    until: datetime = LATER,
    now: datetime = NOW,
) -> UUID:
    """What is in a cart, or these of it, for an order; its id."""
    order = order or new_id()
    async with shop.transaction() as session:
        await shop.calendar.claim_tickets_for_order(
            session, order, user, page, ticket_ids=ticket_ids, reserved_until=until, now=now
        )
    return order


async def cart(shop: Shop, user: UUID) -> list[TicketDTO]:
    """What is in a cart."""
    async with shop.transaction() as session:
        tickets = await shop.calendar.pending_tickets(session, user_id=user)
        assert await shop.calendar.pending_count(session, user_id=user) == len(tickets)
        return tickets


async def held(shop: Shop, order: UUID) -> list[TicketDTO]:
    """What an order holds."""
    async with shop.transaction() as session:
        return await shop.calendar.get_tickets_for_order(session, order)


async def one_kind(shop: Shop, terms: Terms | None = None, *, capacity: int | None = None) -> UUID:
    """A page with one entry with one ticket type."""
    entry = await shop.entry(await shop.page(), starts_at=EVENING, capacity=capacity)
    return await shop.kind(entry, terms)
