"""What StubCalendarService sells: events and their ticket types, as plain objects that a test changes."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from shared.contracts.dtos import PageDTO
from shared.contracts.states import EntryState


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


@dataclass
class StubType:
    """A ticket type of an entry; change its fields to change what is on sale."""

    id: UUID
    entry: StubEntry
    name: str
    cost: Decimal | None
    capacity: int | None
    min_per_order: int
    max_per_order: int
    sale_starts_at: datetime | None
    sale_ends_at: datetime | None
    hold_minutes: int | None
    position: int
