"""What is for sale, as the public pages show it: plain rows in one round trip, kept for a second. Used by routes.

Availability may be a second old here and says so to nobody: the claim is exact (design: Stock).
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, and_, func, select
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncSession

from events.models import Entry, Page, Ticket, TicketType
from events.offers import ENTRY_POOL, OFFER_COLUMNS, TYPE_POOL, Offer
from events.views import EntryView, PageView, TypeView
from shared.contracts.states import EntryState
from shared.database import Database

Query = Select[*tuple[Any, ...]]

KEPT_FOR = 1.0
MOST_KEPT = 2000
MOST_ENTRIES = 100


@dataclass(slots=True)
class Snapshot:
    """What was read for one public page, and that page as rendered for a visitor, for as long as it is kept."""

    page: PageView | None
    entries: tuple[EntryView, ...]
    html: str | None = field(default=None)


class Catalogue:
    """Snapshots of the public pages of one process; a rush on one page makes one query a second."""

    def __init__(self, database: Database, *, tick: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._tick = tick
        self._kept: dict[tuple[str, ...], tuple[float, asyncio.Future[Snapshot]]] = {}

    async def coming(self, now: datetime) -> Snapshot:
        """Confirmed entries of all pages that are not over, the hundred soonest first."""
        return await self._get((), lambda: _coming(now))

    async def page(self, slug: str, now: datetime) -> Snapshot:
        """A page with its coming entries; `page` None where there is none at this address."""
        return await self._get((slug,), lambda: _of_page(slug, now))

    async def entry(self, page_slug: str, slug: str) -> Snapshot:
        """One entry that is not a draft, past or cancelled too; no entries where there is none at this address."""
        return await self._get((page_slug, slug), lambda: _one_entry(page_slug, slug))

    def forget(self) -> None:
        """Read everything anew."""
        self._kept.clear()

    async def _get(self, key: tuple[str, ...], query: Callable[[], Query]) -> Snapshot:
        """What is kept, or what the query finds; to build that costs more than to answer from what is kept."""
        until, future = self._kept.get(key, (0.0, None))
        if future is None or until <= self._tick():
            if len(self._kept) >= MOST_KEPT:
                self.forget()
            future = asyncio.ensure_future(self._read(query()))
            self._kept[key] = (self._tick() + KEPT_FOR, future)
        try:
            # shielded: the others wait for the same reading when the first asker goes away
            return await asyncio.shield(future)
        except Exception:
            self._kept.pop(key, None)
            raise

    async def _read(self, query: Query) -> Snapshot:
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return _snapshot(rows)


async def entries_of_page(session: AsyncSession, page_id: UUID) -> tuple[EntryView, ...]:
    """All entries of a page, soonest first, drafts and past ones too; read now, for the office."""
    rows = (await session.execute(_query().where(Page.id == page_id))).all()
    return _snapshot(rows).entries


_PAGE = (
    Page.id,
    Page.slug,
    Page.name,
    Page.text,
    Page.currency,
    Page.time_zone,
    Page.accent,
    Page.payments_stopped,
)
_ENTRY = (
    Entry.id,
    Entry.slug,
    Entry.title,
    Entry.text,
    Entry.place,
    Entry.picture,
    Entry.starts_at,
    Entry.ends_at,
    Entry.state,
)
# the end of one index, not a count; the state is written out so that the partial index is used
_NEXT_LAPSE = (
    select(func.min(Ticket.reserved_until))
    .where(Ticket.ticket_type_id == TicketType.id, sql("tickets.state = 'reserved'"))
    .correlate(TicketType)
    .scalar_subquery()
)
_AFTER_PAGE, _AFTER_ENTRY = len(_PAGE), len(_PAGE) + len(_ENTRY)


def _coming(now: datetime) -> Query:
    coming = select(Entry.id).where(Entry.state == EntryState.CONFIRMED, Entry.ends_at > now)
    return _query().where(Entry.id.in_(coming.order_by(Entry.starts_at, Entry.id).limit(MOST_ENTRIES)))


def _of_page(slug: str, now: datetime) -> Query:
    return _query(Entry.state == EntryState.CONFIRMED, Entry.ends_at > now).where(Page.slug == slug)


def _one_entry(page_slug: str, slug: str) -> Query:
    return _query().where(Page.slug == page_slug, Entry.slug == slug, Entry.state != EntryState.DRAFT)


def _query(*of_entries: ColumnElement[bool]) -> Query:
    """Page, entry and type side by side; a page without entries that meet the conditions is still a row."""
    return (
        select(*_PAGE, *_ENTRY, TicketType.text, _NEXT_LAPSE, *OFFER_COLUMNS)
        .select_from(Page)
        .join(Entry, and_(Entry.page_id == Page.id, *of_entries), isouter=True)
        .join(TicketType, TicketType.entry_id == Entry.id, isouter=True)
        .join(TYPE_POOL, TYPE_POOL.id == TicketType.pool_id, isouter=True)
        .join(ENTRY_POOL, ENTRY_POOL.id == Entry.pool_id, isouter=True)
        .order_by(Entry.starts_at, Entry.id, TicketType.position, TicketType.id)
    )


def _snapshot(rows: Sequence[Row[*tuple[Any, ...]]]) -> Snapshot:
    entries = []
    for entry_id, group in groupby(rows, key=lambda row: row[_AFTER_PAGE]):
        of_entry = list(group)
        if entry_id is not None:
            page, entry = PageView(*of_entry[0][:_AFTER_PAGE]), of_entry[0][_AFTER_PAGE:_AFTER_ENTRY]
            types = tuple(_type(row[_AFTER_ENTRY:]) for row in of_entry if row[_AFTER_ENTRY] is not None)
            entries.append(EntryView(page, types, *entry))
    return Snapshot(PageView(*rows[0][:_AFTER_PAGE]) if rows else None, tuple(entries))


def _type(row: Sequence[Any]) -> TypeView:
    return TypeView(Offer(*row[2:]), text=row[0], next_lapse_at=row[1])
