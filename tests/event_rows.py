"""Makes rows of events for tests: users, pages, entries with their pools, ticket types. They flush."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from events.models import Calendar, Entry, Page, PageMember, Pool, Ticket, TicketType
from shared.contracts.states import STOCK_STATES, EntryState, PageRole
from shared.identity.models import User
from shared.ids import new_id


async def add_user(session: AsyncSession, email: str | None = None) -> UUID:
    """Somebody who buys."""
    user = User(id=new_id(), email=email or f"{new_id().hex}@buyer.example")
    session.add(user)
    await session.flush()
    return user.id


async def add_page(session: AsyncSession, slug: str = "page", **values: object) -> Page:
    """An organizer's page with one calendar; in Vienna and euros unless said otherwise."""
    page = Page(
        **{
            "id": new_id(),
            "slug": slug,
            "name": slug.title(),
            "currency": "EUR",
            "time_zone": "Europe/Vienna",
        }
        | values
    )
    session.add(page)
    await session.flush()
    session.add(Calendar(page_id=page.id, name="Events", container_id=page.id))
    await session.flush()
    return page


async def add_member(session: AsyncSession, page: Page, user_id: UUID, role: PageRole) -> None:
    """Somebody who works for a page."""
    session.add(PageMember(page_id=page.id, user_id=user_id, role=role))
    await session.flush()


async def add_entry(
    session: AsyncSession,
    page: Page,
    slug: str = "event",
    *,
    starts_at: datetime,
    capacity: int | None = None,
    state: EntryState = EntryState.CONFIRMED,
    **values: object,
) -> Entry:
    """An event of three hours."""
    calendar_id = await session.scalar(select(Calendar.id).where(Calendar.page_id == page.id))
    pool = Pool(id=new_id(), capacity=capacity, closed=state is not EntryState.CONFIRMED)
    session.add(pool)
    await session.flush()
    entry = Entry(
        **{
            "id": new_id(),
            "calendar_id": calendar_id,
            "page_id": page.id,
            "slug": slug,
            "title": slug.replace("-", " ").title(),
            "place": "Hall",
            "starts_at": starts_at,
            "ends_at": starts_at + timedelta(hours=3),
            "state": state,
            "pool_id": pool.id,
        }
        | values
    )
    session.add(entry)
    await session.flush()
    return entry


async def add_type(
    session: AsyncSession,
    entry: Entry,
    name: str = "Standard",
    *,
    capacity: int | None = None,
    **values: object,
) -> TicketType:
    """A ticket type of 20.00 unless `cost` says otherwise."""
    pool = Pool(id=new_id(), capacity=capacity)
    session.add(pool)
    await session.flush()
    ticket_type = TicketType(
        **{
            "id": new_id(),
            "entry_id": entry.id,
            "page_id": entry.page_id,
            "name": name,
            "cost": 2000,
            "pool_id": pool.id,
        }
        | values
    )
    session.add(ticket_type)
    await session.flush()
    return ticket_type


async def pools_agree(session: AsyncSession) -> bool:
    """The invariant: `allocated` of every pool equals the tickets in stock states that point at it."""
    tickets = (await session.execute(select(Ticket.ticket_type_id, Ticket.entry_id, Ticket.state))).all()
    held = [row for row in tickets if row.state in STOCK_STATES]
    pools = {pool.id: pool.allocated for pool in await session.scalars(select(Pool))}
    types = await session.scalars(select(TicketType))
    entries = await session.scalars(select(Entry))
    return all(
        pools[kind.pool_id] == sum(row.ticket_type_id == kind.id for row in held) for kind in types
    ) and all(pools[entry.pool_id] == sum(row.entry_id == entry.id for row in held) for entry in entries)
