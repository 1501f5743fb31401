"""The list that a door works from without a network: every ticket that opens it, by its code. Used by office_routes.

Taken before the evening, on any device or on paper: what a QR code shows is looked up in it.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Row, and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from events.models import Entry, Ticket, TicketType
from events.queries import pages_of_member
from shared.contracts.dtos import PageDTO
from shared.contracts.states import OPENING_STATES, EntryState
from shared.csv_file import BATCH, as_time, csv_file
from shared.database import Sessions
from shared.errors import NotFound
from shared.identity.models import User
from shared.typed import shown_address

COLUMNS = ("Code", "Ticket", "Buyer")
STILL_SHOWN = timedelta(hours=12)
"""After its end: a door that is late to count still finds its list."""


async def entry_of_member(
    session: AsyncSession, *, user_id: UUID, page_slug: str, slug: str
) -> tuple[PageDTO, Entry]:
    """A page and an entry of it, for whoever works there, the door included. Raises NotFound for anybody else."""
    page = await _page_of_member(session, user_id=user_id, slug=page_slug)
    entry = await session.scalar(select(Entry).where(Entry.page_id == page.id, Entry.slug == slug))
    if entry is None:
        raise NotFound
    return page, entry


@dataclass(frozen=True, slots=True)
class DoorRow:
    """An evening as its door sees it."""

    entry: Entry
    expected: int
    """Tickets that open the door, those that are in already too."""
    inside: int


async def evenings(
    session: AsyncSession, *, user_id: UUID, page_slug: str, now: datetime
) -> tuple[PageDTO, list[DoorRow]]:
    """A page and its events that take place and are not long over, soonest first; for whoever works there.

    Raises NotFound for anybody else.
    """
    page = await _page_of_member(session, user_id=user_id, slug=page_slug)
    opens = and_(Ticket.entry_id == Entry.id, Ticket.state.in_(OPENING_STATES), ~Ticket.blocked)
    rows = await session.execute(
        select(Entry, func.count(Ticket.id), func.count(Ticket.checked_in_at))
        .outerjoin(Ticket, opens)
        .where(
            Entry.page_id == page.id, Entry.state == EntryState.CONFIRMED, Entry.ends_at > now - STILL_SHOWN
        )
        .group_by(Entry.id)
        .order_by(Entry.starts_at, Entry.id)
    )
    return page, [DoorRow(*row) for row in rows]


async def _page_of_member(session: AsyncSession, *, user_id: UUID, slug: str) -> PageDTO:
    pages = await pages_of_member(session, user_id=user_id)
    page = next((page for page, _ in pages if page.slug == slug), None)
    if page is None:
        raise NotFound
    return page


def door_file(sessions: Sessions, entry: Entry, time_zone: str) -> AsyncIterator[bytes]:
    """Code, type, buyer and time of check-in of each ticket that opens the door, by code, as a CSV file.

    Not those that were cancelled, nor those that a dispute has blocked (spec: H4); none of a cancelled event.
    """
    return csv_file((*COLUMNS, f"Checked in ({time_zone})"), _batches(sessions, entry, time_zone))


async def _batches(
    sessions: Sessions, entry: Entry, time_zone: str
) -> AsyncIterator[Sequence[Sequence[object]]]:
    last = "" if entry.state != EntryState.CANCELLED else None
    while last is not None:
        async with sessions.reading() as session:
            rows = await _behind(session, entry.id, last)
        yield [(code, name, shown_address(email), as_time(at, time_zone)) for code, name, email, at in rows]
        last = rows[-1][0] if len(rows) == BATCH else None


async def _behind(
    session: AsyncSession, entry_id: UUID, code: str
) -> Sequence[Row[str | None, str, str, datetime | None]]:
    """The next tickets behind a door code."""
    found = await session.execute(
        select(Ticket.code, TicketType.name, User.email, Ticket.checked_in_at)
        .join(TicketType, TicketType.id == Ticket.ticket_type_id)
        .join(User, User.id == Ticket.user_id)
        .where(
            Ticket.entry_id == entry_id,
            Ticket.state.in_(OPENING_STATES),
            ~Ticket.blocked,
            Ticket.code > code,
        )
        .order_by(Ticket.code)
        .limit(BATCH)
    )
    return found.all()
