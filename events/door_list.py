"""The list that a door works from without a network: every ticket that opens it, by its code. Used by office_routes.

Taken before the evening, on any device or on paper: what a QR code shows is looked up in it.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncSession

from events.models import Entry, Ticket, TicketType
from events.queries import pages_of_member
from shared.contracts.dtos import PageDTO
from shared.contracts.states import OPENING_STATES, EntryState
from shared.csv_file import BATCH, as_time, csv_file
from shared.database import Sessions
from shared.errors import NotFound
from shared.identity.models import User

COLUMNS = ("Code", "Ticket", "Buyer")


async def entry_of_member(
    session: AsyncSession, *, user_id: UUID, page_slug: str, slug: str
) -> tuple[PageDTO, Entry]:
    """A page and an entry of it, for whoever works there, the door included. Raises NotFound for anybody else."""
    pages = await pages_of_member(session, user_id=user_id)
    page = next((page for page, _ in pages if page.slug == page_slug), None)
    if page is not None:
        entry = await session.scalar(select(Entry).where(Entry.page_id == page.id, Entry.slug == slug))
        if entry is not None:
            return page, entry
    raise NotFound


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
        yield [(code, name, email, as_time(at, time_zone)) for code, name, email, at in rows]
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
