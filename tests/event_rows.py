"""Makes rows of events for tests: users, pages, entries with their pools, ticket types. They flush."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import insert, select, text
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


async def add_buyers(session: AsyncSession, baskets: Sequence[Sequence[TicketType]]) -> list[UUID]:
    """A buyer for each basket, who has a pending ticket of each type in it; thousands in two statements."""
    buyers = [new_id() for _ in baskets]
    await session.execute(
        insert(User), [{"id": user_id, "email": f"{user_id.hex}@buyer.example"} for user_id in buyers]
    )
    tickets = [
        {
            "id": new_id(),
            "ticket_type_id": kind.id,
            "entry_id": kind.entry_id,
            "page_id": kind.page_id,
            "user_id": user_id,
        }
        for user_id, basket in zip(buyers, baskets, strict=True)
        for kind in basket
    ]
    if tickets:
        await session.execute(insert(Ticket), tickets)
    return buyers


_WRONG_POOLS = text("""
WITH held AS (SELECT ticket_type_id, entry_id FROM tickets WHERE state = ANY(:states)),
counted AS (
    SELECT pool_id, count(*) AS n FROM (
        SELECT k.pool_id FROM held JOIN ticket_types k ON k.id = ticket_type_id
        UNION ALL SELECT e.pool_id FROM held JOIN entries e ON e.id = entry_id
    ) AS taken GROUP BY pool_id
)
SELECT count(*) FROM pools LEFT JOIN counted ON pool_id = id
WHERE allocated > capacity OR allocated <> coalesce(n, 0)
""")


async def pools_agree(session: AsyncSession) -> bool:
    """The invariant: `allocated` of every pool is within its limit and counts exactly the tickets that hold stock.

    One statement, so that it may be asked while others claim.
    """
    wrong = await session.scalar(_WRONG_POOLS, {"states": [state.value for state in STOCK_STATES]})
    return bool(wrong == 0)
