"""What an organizer sees of their entries: how each stands, and tickets by type and state. Used by office_routes."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from events import catalogue
from events.models import Ticket
from events.queries import pages_of_member
from events.views import EntryView, Stand, TypeView, stand_of_entry, stand_of_type
from shared.contracts.dtos import DecisionDTO, EntrySalesDTO, PageDTO
from shared.contracts.states import SELLING_ROLES, PageRole, TicketState
from shared.errors import NotFound

COUNTED = (TicketState.PENDING, TicketState.RESERVED, TicketState.CONFIRMED, TicketState.CHECKED_IN)
"""In the order of the fields of Numbers."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """Tickets of a type or of an entry by what became of them; `confirmed` leaves out those who are in already."""

    in_carts: int = 0
    reserved: int = 0
    confirmed: int = 0
    checked_in: int = 0

    @property
    def sold(self) -> int:
        """Paid for and not given back, whether or not they are in already."""
        return self.confirmed + self.checked_in

    def __add__(self, other: "Numbers") -> "Numbers":
        """Both together."""
        return Numbers(*(one + two for one, two in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class TypeRow:
    """A ticket type in the office."""

    view: TypeView
    numbers: Numbers
    stand: Stand


@dataclass(frozen=True, slots=True)
class EntryRow:
    """An entry in the office, with how it stands at the moment of asking."""

    view: EntryView
    types: tuple[TypeRow, ...]
    numbers: Numbers
    stand: Stand

    @property
    def capacity(self) -> int | None:
        """The entry's, or what its types together allow where that is less; None = unlimited."""
        of_types = [kind.view.offer.capacity for kind in self.types]
        together = None if None in of_types or not of_types else sum(one or 0 for one in of_types)
        limits = [together, *(kind.view.offer.entry_capacity for kind in self.types[:1])]
        return min((limit for limit in limits if limit is not None), default=None)

    @property
    def can_be_changed(self) -> bool:
        """Whether it can still be moved or cancelled."""
        return self.stand.kind not in ("cancelled", "past", "draft")


@dataclass(frozen=True, slots=True)
class Overview:
    """A page in numbers, for its organizer's start; money in minor units of the page's currency."""

    page: PageDTO
    rows: list[EntryRow]
    sales: Mapping[UUID, EntrySalesDTO]
    decisions: list[DecisionDTO]

    @property
    def sold(self) -> int:
        """Tickets that are paid for and not given back, of all its entries."""
        return sum(row.numbers.sold for row in self.rows)

    @property
    def sold_today(self) -> int:
        """Tickets that were paid for since midnight, where the page is."""
        return sum(one.sold_since for one in self.sales.values())

    @property
    def revenue(self) -> int:
        """What was paid, less what was refunded."""
        return sum(one.revenue_minor - one.refunded_minor for one in self.sales.values())

    @property
    def next(self) -> EntryRow | None:
        """The next event, or the one that is on."""
        return next((row for row in self.rows if row.stand.kind not in ("cancelled", "past", "draft")), None)


def midnight(now: datetime, time_zone: str) -> datetime:
    """When today began in this zone, as UTC."""
    local = now.astimezone(ZoneInfo(time_zone))
    return local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0).astimezone(UTC)


async def page_and_role(session: AsyncSession, *, user_id: UUID, slug: str) -> tuple[PageDTO, PageRole]:
    """The page at this address, and as what the user works there. Raises NotFound unless as owner or staff."""
    for page, role in await pages_of_member(session, user_id=user_id):
        if page.slug == slug and role in SELLING_ROLES:
            return page, role
    raise NotFound


async def entries_of_page(session: AsyncSession, *, page_id: UUID, now: datetime) -> list[EntryRow]:
    """All entries of a page, soonest first, with what became of their tickets: counted, for the office is not hot."""
    views = await catalogue.entries_of_page(session, page_id)
    by_type = (Ticket.ticket_type_id, Ticket.state)
    counted = await session.execute(
        select(*by_type, func.count()).where(Ticket.page_id == page_id).group_by(*by_type)
    )
    counts = {(type_id, state): number for type_id, state, number in counted}
    return [_row(view, counts, now) for view in views]


def _row(view: EntryView, counts: Mapping[tuple[UUID, str], int], now: datetime) -> EntryRow:
    types = tuple(
        TypeRow(
            kind,
            Numbers(*(counts.get((kind.offer.ticket_type_id, state), 0) for state in COUNTED)),
            stand_of_type(view, kind, now),
        )
        for kind in view.types
    )
    together = sum((kind.numbers for kind in types), Numbers())
    return EntryRow(view, types, together, stand_of_entry(view, now))


async def entry_of_seller(
    session: AsyncSession, *, user_id: UUID, page_slug: str, slug: str, now: datetime
) -> tuple[PageDTO, PageRole, EntryRow]:
    """A page, the user's role there and an entry of it with its numbers. Raises NotFound as page_and_role does."""
    page, role = await page_and_role(session, user_id=user_id, slug=page_slug)
    for row in await entries_of_page(session, page_id=page.id, now=now):
        if row.view.slug == slug:
            return page, role, row
    raise NotFound


async def tickets_by_state(session: AsyncSession) -> Mapping[str, float]:
    """How many tickets there are in each state; for the metrics."""
    rows = await session.execute(select(Ticket.state, func.count()).group_by(Ticket.state))
    return dict.fromkeys(TicketState, 0.0) | {state: float(count) for state, count in rows}
