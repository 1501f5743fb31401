"""The list that a door works from without a network: every ticket that opens it, by its code. Used by office_routes.

Taken before the evening, on any device or on paper: what a QR code shows is looked up in it.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from events.models import Entry, Ticket, TicketType
from events.queries import pages_of_member
from shared.contracts.dtos import PageDTO
from shared.contracts.states import OPENING_STATES, EntryState
from shared.csv_file import csv_file
from shared.errors import NotFound
from shared.identity.models import User

COLUMNS = ("Code", "Ticket", "Buyer", "Checked in")


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


async def door_list(session: AsyncSession, entry: Entry) -> Sequence[tuple[str, str, str, datetime | None]]:
    """Code, type, buyer and time of check-in (UTC) of each ticket that opens the door, by code.

    Not those that were cancelled, nor those that a dispute has blocked (spec: H4); none of a cancelled event.
    """
    if entry.state == EntryState.CANCELLED:
        return []
    rows = await session.execute(
        select(Ticket.code, TicketType.name, User.email, Ticket.checked_in_at)
        .join(TicketType, TicketType.id == Ticket.ticket_type_id)
        .join(User, User.id == Ticket.user_id)
        .where(
            Ticket.entry_id == entry.id,
            Ticket.state.in_(OPENING_STATES),
            ~Ticket.blocked,
        )
        .order_by(Ticket.code)
    )
    return [(code or "", name, email, at) for code, name, email, at in rows]


def door_file(rows: Sequence[tuple[str, str, str, datetime | None]], time_zone: str) -> str:
    """The list as a CSV file, times in the page's zone."""
    zone = ZoneInfo(time_zone)
    return csv_file(
        COLUMNS,
        (
            (code, name, email, at.astimezone(zone).isoformat(sep=" ", timespec="minutes") if at else "")
            for code, name, email, at in rows
        ),
    )
