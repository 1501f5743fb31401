"""What an organizer sees of their entries: capacity, and tickets by state. Used by office_routes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, case, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from events.models import Entry, Pool, Ticket, TicketType
from events.queries import pages_of_member
from shared.contracts.dtos import PageDTO
from shared.contracts.states import SELLING_ROLES, PageRole, TicketState
from shared.errors import NotFound

COUNTED = (TicketState.PENDING, TicketState.RESERVED, TicketState.CONFIRMED, TicketState.CHECKED_IN)
"""In the order of EntryRow's last fields."""


@dataclass(frozen=True, slots=True)
class EntryRow:
    """An entry in the office. `confirmed` leaves out those who are in already.

    `capacity`: the entry's, or what its types together allow where that is less; None = unlimited.
    """

    id: UUID
    slug: str
    title: str
    starts_at: datetime
    ends_at: datetime
    state: str
    capacity: int | None
    in_carts: int
    reserved: int
    confirmed: int
    checked_in: int

    @property
    def sold(self) -> int:
        """Paid for and not given back, whether or not they are in already."""
        return self.confirmed + self.checked_in


async def pages_of_seller(session: AsyncSession, *, user_id: UUID) -> list[PageDTO]:
    """The pages whose sales a user may see (owner or staff), by name."""
    members = await pages_of_member(session, user_id=user_id)
    return [page for page, role in members if role in SELLING_ROLES]


async def page_and_role(session: AsyncSession, *, user_id: UUID, slug: str) -> tuple[PageDTO, PageRole]:
    """The page at this address, and as what the user works there. Raises NotFound unless as owner or staff."""
    for page, role in await pages_of_member(session, user_id=user_id):
        if page.slug == slug and role in SELLING_ROLES:
            return page, role
    raise NotFound


async def entries_of_page(session: AsyncSession, *, page_id: UUID) -> list[EntryRow]:
    """All entries of a page, soonest first, with what became of their tickets: counted, for the office is not hot."""
    entries = (await session.execute(_entries().where(Entry.page_id == page_id))).all()
    counted = await session.execute(
        select(Ticket.entry_id, Ticket.state, func.count())
        .where(Ticket.entry_id.in_([entry.id for entry in entries]))
        .group_by(Ticket.entry_id, Ticket.state)
    )
    counts = {(entry_id, state): number for entry_id, state, number in counted}
    return [EntryRow(*entry, *(counts.get((entry.id, state), 0) for state in COUNTED)) for entry in entries]


def _entries() -> Select[*tuple[Any, ...]]:
    """Columns in the order of EntryRow's fields, up to its capacity."""
    type_pool = aliased(Pool)
    all_limited = func.bool_and(type_pool.capacity.is_not(None))
    by_types = (
        select(case((all_limited, func.sum(type_pool.capacity))))
        .join(TicketType, TicketType.pool_id == type_pool.id)
        .where(TicketType.entry_id == Entry.id)
        .correlate(Entry)
        .scalar_subquery()
    )
    return (
        select(
            Entry.id,
            Entry.slug,
            Entry.title,
            Entry.starts_at,
            Entry.ends_at,
            Entry.state,
            func.least(Pool.capacity, by_types),  # least() leaves NULLs out
        )
        .join(Pool, Pool.id == Entry.pool_id)
        .order_by(Entry.starts_at, Entry.id)
    )


async def tickets_by_state(session: AsyncSession) -> Mapping[str, float]:
    """How many tickets there are in each state; for the metrics."""
    rows = await session.execute(select(Ticket.state, func.count()).group_by(Ticket.state))
    return dict.fromkeys(TicketState, 0.0) | {state: float(count) for state, count in rows}
