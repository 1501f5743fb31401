"""Two ways to set up the same shop, so that one suite runs over the SQL service and the stub."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from events.cancelling import cancel_entry
from events.models import Entry, Page, Pool, TicketType
from events.service import SqlCalendarService
from shared.contracts.protocols import CalendarService
from shared.contracts.states import EntryState, PageRole
from shared.contracts.stubs import StubCalendarService, StubEntry
from shared.database import Sessions
from shared.ids import new_id
from shared.money import to_minor
from tests import event_rows


@dataclass
class Terms:
    """What a ticket type in a test says; the rest is as both shops have it."""

    cost: Decimal | None = Decimal("20.00")
    capacity: int | None = None
    min_per_order: int = 1
    max_per_order: int = 10
    max_per_user: int | None = None
    sale_starts_at: datetime | None = None
    sale_ends_at: datetime | None = None
    hold_minutes: int | None = None


class Shop(ABC):
    """A calendar service and the means to fill it."""

    calendar: CalendarService

    @abstractmethod
    @asynccontextmanager
    def transaction(self) -> AsyncIterator[AsyncSession]:
        """A transaction that commits."""

    @abstractmethod
    async def user(self) -> UUID:
        """Somebody who buys."""

    @abstractmethod
    async def page(self, slug: str = "page", *, currency: str = "EUR", hold_minutes: int = 30) -> UUID:
        """A page."""

    @abstractmethod
    async def member(self, page_id: UUID, user_id: UUID, role: PageRole) -> None:
        """Somebody who works for a page."""

    @abstractmethod
    async def entry(
        self,
        page_id: UUID,
        *,
        starts_at: datetime,
        capacity: int | None = None,
        state: EntryState = EntryState.CONFIRMED,
        title: str = "Event",
        max_per_user: int | None = None,
    ) -> UUID:
        """An event of three hours."""

    @abstractmethod
    async def kind(self, entry_id: UUID, terms: Terms | None = None) -> UUID:
        """A ticket type."""

    @abstractmethod
    async def cancel_entry(self, entry_id: UUID) -> None:
        """The event does not take place."""

    @abstractmethod
    async def allocated(self, type_id: UUID) -> int:
        """How many of a type hold stock."""


class SqlShop(Shop):
    """On PostgreSQL."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.calendar = SqlCalendarService()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        async with self.sessions.begin() as session:
            yield session

    async def user(self) -> UUID:
        async with self.sessions.begin() as session:
            return await event_rows.add_user(session)

    async def page(self, slug: str = "page", *, currency: str = "EUR", hold_minutes: int = 30) -> UUID:
        async with self.sessions.begin() as session:
            page = await event_rows.add_page(session, slug, currency=currency, hold_minutes=hold_minutes)
            return page.id

    async def member(self, page_id: UUID, user_id: UUID, role: PageRole) -> None:
        async with self.sessions.begin() as session:
            await event_rows.add_member(session, await session.get_one(Page, page_id), user_id, role)

    async def entry(
        self,
        page_id: UUID,
        *,
        starts_at: datetime,
        capacity: int | None = None,
        state: EntryState = EntryState.CONFIRMED,
        title: str = "Event",
        max_per_user: int | None = None,
    ) -> UUID:
        async with self.sessions.begin() as session:
            page = await session.get_one(Page, page_id)
            entry = await event_rows.add_entry(
                session,
                page,
                title.lower(),
                starts_at=starts_at,
                capacity=capacity,
                state=state,
                title=title,
                max_per_user=max_per_user,
            )
            return entry.id

    async def kind(self, entry_id: UUID, terms: Terms | None = None) -> UUID:
        terms = terms or Terms()
        async with self.sessions.begin() as session:
            entry = await session.get_one(Entry, entry_id)
            page = await session.get_one(Page, entry.page_id)
            made = await event_rows.add_type(
                session,
                entry,
                capacity=terms.capacity,
                cost=None if terms.cost is None else to_minor(terms.cost, page.currency),
                min_per_order=terms.min_per_order,
                max_per_order=terms.max_per_order,
                max_per_user=terms.max_per_user,
                sale_starts_at=terms.sale_starts_at,
                sale_ends_at=terms.sale_ends_at,
                hold_minutes=terms.hold_minutes,
            )
            return made.id

    async def cancel_entry(self, entry_id: UUID) -> None:
        async with self.sessions.begin() as session:
            await cancel_entry(session, entry_id=entry_id, actor="operator", now=datetime.now(UTC))

    async def allocated(self, type_id: UUID) -> int:
        async with self.sessions.begin() as session:
            assert await event_rows.pools_agree(session)
            kind = await session.get_one(TicketType, type_id)
            return (await session.get_one(Pool, kind.pool_id)).allocated


class StubShop(Shop):
    """In memory."""

    def __init__(self) -> None:
        self.calendar = self.stub = StubCalendarService()
        self.entries: dict[UUID, StubEntry] = {}

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        yield AsyncSession()

    async def user(self) -> UUID:
        return new_id()

    async def page(self, slug: str = "page", *, currency: str = "EUR", hold_minutes: int = 30) -> UUID:
        return self.stub.add_page(slug, name=slug.title(), currency=currency, hold_minutes=hold_minutes).id

    async def member(self, page_id: UUID, user_id: UUID, role: PageRole) -> None:
        self.stub.members.append((user_id, page_id, role))

    async def entry(
        self,
        page_id: UUID,
        *,
        starts_at: datetime,
        capacity: int | None = None,
        state: EntryState = EntryState.CONFIRMED,
        title: str = "Event",
        max_per_user: int | None = None,
    ) -> UUID:
        made = self.stub.add_entry(
            self.stub.pages[page_id],
            title,
            starts_at=starts_at,
            capacity=capacity,
            state=state,
            max_per_user=max_per_user,
        )
        self.entries[made.id] = made
        return made.id

    async def kind(self, entry_id: UUID, terms: Terms | None = None) -> UUID:
        return self.stub.add_type(self.entries[entry_id], **vars(terms or Terms())).id

    async def cancel_entry(self, entry_id: UUID) -> None:
        self.entries[entry_id].state = EntryState.CANCELLED

    async def allocated(self, type_id: UUID) -> int:
        return self.stub.allocated(self.stub.types[type_id])
