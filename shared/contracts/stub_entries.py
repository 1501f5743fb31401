"""What StubCalendarService sells: events and their ticket types, as plain objects that a test changes."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from shared.contracts.dtos import PageDTO, TicketDTO
from shared.contracts.sale_rules import PersonalLimits
from shared.contracts.states import EntryState, TicketState
from shared.ids import new_id


@dataclass
class StubEntry:
    """An event; change its fields to cancel it or to shrink it."""

    id: UUID
    page: PageDTO
    title: str
    slug: str
    starts_at: datetime
    ends_at: datetime
    capacity: int | None
    state: EntryState
    max_per_user: int | None = None


@dataclass
class StubType:
    """A ticket type of an entry; change its fields to change what is on sale."""

    id: UUID
    entry: StubEntry
    name: str
    position: int
    cost: Decimal | None = Decimal(20)
    capacity: int | None = None
    min_per_order: int = 1
    max_per_order: int = 10
    max_per_user: int | None = None
    sale_starts_at: datetime | None = None
    sale_ends_at: datetime | None = None
    hold_minutes: int | None = None

    @property
    def limits(self) -> PersonalLimits:
        """How many tickets one person may have."""
        return PersonalLimits(
            self.max_per_user, self.entry.max_per_user, self.max_per_order, is_free=self.cost == 0
        )

    def sells(self, now: datetime) -> bool:
        """Whether it is on sale."""
        opens, closes = self.sale_starts_at or now, self.sale_ends_at or self.entry.ends_at
        confirmed = self.entry.state is EntryState.CONFIRMED and self.cost is not None
        return confirmed and opens <= now < min(closes, self.entry.ends_at)


def stub_ticket(kind: StubType, user_id: UUID) -> TicketDTO:
    """A new ticket of this type in a user's cart."""
    entry, page = kind.entry, kind.entry.page
    return TicketDTO(
        id=new_id(),
        entry_id=entry.id,
        ticket_type_id=kind.id,
        page=page,
        user_id=user_id,
        cost=kind.cost or Decimal(0),
        calendar_container_id=page.id,
        calendar_container_type="page",
        code=None,
        entry_title=entry.title,
        entry_slug=entry.slug,
        ticket_type_name=kind.name,
        place="Stub Hall",
        starts_at=entry.starts_at,
        ends_at=entry.ends_at,
        state=TicketState.PENDING,
        order_id=None,
        reserved_until=None,
        hold_minutes=kind.hold_minutes or page.hold_minutes,
        max_per_order=kind.max_per_order,
    )
