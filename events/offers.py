"""What a ticket type offers at a moment: price, sale window, how many are left. Used by all that sells."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, bindparam, func, select, true
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, aliased

from events.models import Entry, Pool, Ticket, TicketType
from shared.contracts.dtos import SoldOutLine
from shared.contracts.sale_rules import Mine, PersonalLimits
from shared.contracts.states import EntryState
from shared.database import user_lock
from shared.identity.models import User


class SaleState(StrEnum):
    """Whether a ticket type sells at a moment, and why not."""

    ON_SALE = "on_sale"
    NOT_YET = "not_yet"
    OVER = "over"
    CLOSED = "closed"
    """The entry is not confirmed, or neither the type nor the entry has a price (spec: B3)."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A ticket type with all that decides whether it can be bought. Prices in minor units, times in UTC."""

    ticket_type_id: UUID
    entry_id: UUID
    page_id: UUID
    entry_title: str
    name: str
    price: int | None
    min_per_order: int
    max_per_order: int
    sale_starts_at: datetime | None
    sale_ends_at: datetime | None
    entry_state: str
    entry_ends_at: datetime
    closed: bool
    pool_id: UUID
    capacity: int | None
    allocated: int
    entry_pool_id: UUID
    entry_capacity: int | None
    entry_allocated: int
    max_per_user: int | None
    entry_max_per_user: int | None

    @property
    def limits(self) -> PersonalLimits:
        """How many tickets one person may have."""
        return PersonalLimits(
            self.max_per_user, self.entry_max_per_user, self.max_per_order, is_free=self.price == 0
        )

    @property
    def scarcest(self) -> UUID:
        """The type, or the entry where that is what has fewer left."""
        room_of_type = math.inf if self.capacity is None else self.capacity - self.allocated
        room = math.inf if self.entry_capacity is None else self.entry_capacity - self.entry_allocated
        return self.entry_id if room <= room_of_type else self.ticket_type_id

    @property
    def left(self) -> int | None:
        """How many can be claimed, by the type's pool and the entry's (spec: B3); None = unlimited."""
        rooms = [
            capacity - allocated
            for capacity, allocated in (
                (self.capacity, self.allocated),
                (self.entry_capacity, self.entry_allocated),
            )
            if capacity is not None
        ]
        return max(0, min(rooms)) if rooms else None

    def sale_state(self, now: datetime) -> SaleState:
        """Whether it sells at `now`. Without a sale window it sells until the entry ends."""
        if self.closed or self.entry_state != EntryState.CONFIRMED or self.price is None:
            return SaleState.CLOSED
        if self.sale_starts_at is not None and now < self.sale_starts_at:
            return SaleState.NOT_YET
        if now >= (self.sale_ends_at or self.entry_ends_at) or now >= self.entry_ends_at:
            return SaleState.OVER
        return SaleState.ON_SALE


TYPE_POOL, ENTRY_POOL = aliased(Pool), aliased(Pool)

OFFER_COLUMNS = (
    TicketType.id,
    TicketType.entry_id,
    TicketType.page_id,
    Entry.title,
    TicketType.name,
    func.coalesce(TicketType.cost, Entry.ticket_price),
    TicketType.min_per_order,
    TicketType.max_per_order,
    TicketType.sale_starts_at,
    TicketType.sale_ends_at,
    Entry.state,
    Entry.ends_at,
    TYPE_POOL.closed | ENTRY_POOL.closed,
    TYPE_POOL.id,
    TYPE_POOL.capacity,
    TYPE_POOL.allocated,
    ENTRY_POOL.id,
    ENTRY_POOL.capacity,
    ENTRY_POOL.allocated,
    TicketType.max_per_user,
    Entry.max_per_user,
)
"""In the order of Offer's fields."""


def join_offer(query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """Join a query that has TicketType with what OFFER_COLUMNS need."""
    return (
        query.join(Entry, Entry.id == TicketType.entry_id)
        .join(TYPE_POOL, TYPE_POOL.id == TicketType.pool_id)
        .join(ENTRY_POOL, ENTRY_POOL.id == Entry.pool_id)
    )


def with_mine(
    query: Select[*tuple[Any, ...]], user_id: ColumnElement[UUID] | InstrumentedAttribute[UUID]
) -> Select[*tuple[Any, ...]]:
    """The same query with what the user has of each offer's event, as the three numbers of `Mine`, at its end.

    In the statement that reads the offers anyway: a limit over all orders of a person costs no round trip. Exact where
    the user was locked by a statement before.
    """
    own = aliased(Ticket, name="own")
    of_type = own.ticket_type_id == TicketType.id
    mine = (
        select(
            func.count().filter(of_type, own.state == "reserved").label("held_of_type"),
            func.count().filter(of_type).label("all_of_type"),
            func.count().label("all_of_entry"),
        )
        .where(own.user_id == user_id, own.entry_id == Entry.id)
        # written out, so that the partial index is used under a generic plan too
        .where(sql("own.state IN ('reserved', 'confirmed', 'checked_in')"))
        .lateral("mine")
    )
    return query.add_columns(mine.c.held_of_type, mine.c.all_of_type, mine.c.all_of_entry).join(mine, true())


# made once: to compose it costs as much as to send it
_OFFERS = join_offer(select(*OFFER_COLUMNS).select_from(TicketType))
_OFFERS_AND_MINE = with_mine(_OFFERS, bindparam("buyer", type_=User.id.type))


_MINE = with_mine(
    select(TicketType.id).select_from(TicketType).join(Entry, Entry.id == TicketType.entry_id),
    bindparam("buyer", type_=User.id.type),
).where(TicketType.entry_id == bindparam("entry", type_=Entry.id.type))


async def read_mine(session: AsyncSession, entry_id: UUID, *, user_id: UUID) -> dict[UUID, Mine]:
    """What a user has of each type of an entry, to be shown; the claim looks again."""
    rows = await session.execute(_MINE, {"buyer": user_id, "entry": entry_id})
    return {type_id: Mine(*numbers) for type_id, *numbers in rows}


async def read_offers(session: AsyncSession, ticket_type_ids: set[UUID]) -> dict[UUID, Offer]:
    """Offers by ticket type; unknown ids are absent."""
    rows = await session.execute(_OFFERS.where(TicketType.id.in_(ticket_type_ids)))
    return {row[0]: Offer(*row) for row in rows}


async def lock_user_and_read_offers(
    session: AsyncSession, ticket_type_ids: set[UUID], *, user_id: UUID
) -> tuple[dict[UUID, Offer], dict[UUID, Mine]]:
    """The same with what the user has of each, and with the user locked from here on; nobody where no id is known.

    All in one statement, since stock is not the user's: what was left when the wait began is as good as any. What the
    user has is a first look in the same way; the claim looks again.
    """
    query = _OFFERS_AND_MINE.add_columns(user_lock(user_id)).where(TicketType.id.in_(ticket_type_ids))
    rows = (await session.execute(query, {"buyer": user_id})).all()
    return {row[0]: Offer(*row[:-4]) for row in rows}, {row[0]: Mine(*row[-4:-1]) for row in rows}


def personal_refusals(
    offers: Mapping[UUID, Offer], mine: Mapping[UUID, Mine], wanted: Mapping[UUID, int]
) -> Iterator[tuple[Offer, str]]:
    """The offers of which a buyer may not have so many more, each with the reason in words (spec: L2)."""
    of_entry = Counter[UUID]()
    for type_id, number in wanted.items():
        of_entry[offers[type_id].entry_id] += number
    for type_id, number in wanted.items():
        offer = offers[type_id]
        reason = offer.limits.refusal(mine[type_id], of_type=number, of_entry=of_entry[offer.entry_id])
        if reason:
            yield offer, reason


async def has_lapsed_holds(session: AsyncSession, entry_id: UUID, *, now: datetime) -> bool:
    """Whether a hold on this entry lapsed and waits to be released: then "sold out" is not the last word."""
    found = await session.scalar(
        select(Ticket.id)
        # the state is written out, so that the partial index is used under a generic plan too
        .where(Ticket.entry_id == entry_id, sql("state = 'reserved'"), Ticket.reserved_until < now)
        .limit(1)
    )
    return found is not None


def shortages(
    offers: Mapping[UUID, Offer], wanted: Mapping[UUID, int], *, now: datetime
) -> list[SoldOutLine]:
    """The lines that cannot be claimed: not on sale, or more than the type's or the entry's pool has."""
    per_entry: dict[UUID, int] = {}
    for type_id, number in wanted.items():
        per_entry[offers[type_id].entry_id] = per_entry.get(offers[type_id].entry_id, 0) + number
    lines = []
    for type_id, number in wanted.items():
        offer = offers[type_id]
        closed = offer.sale_state(now) is not SaleState.ON_SALE
        entry_short = _short(per_entry[offer.entry_id], offer.entry_capacity, offer.entry_allocated)
        if closed or entry_short or _short(number, offer.capacity, offer.allocated):
            lines.append(sold_out_line(offer, number, closed=closed))
    return lines


async def add_own_holds(
    session: AsyncSession, lines: Sequence[SoldOutLine], offers: Mapping[UUID, Offer], *, user_id: UUID
) -> list[SoldOutLine]:
    """The same lines with what the buyer holds of them already: nobody is told "sold out" because of themselves."""
    entries = {offers[line.ticket_type_id].entry_id for line in lines}
    rows = await session.execute(
        select(Ticket.entry_id, Ticket.ticket_type_id).where(
            Ticket.entry_id.in_(entries), sql("state = 'reserved'"), Ticket.user_id == user_id
        )
    )
    own = Counter(place for row in rows for place in row)  # places in an entry, and of them in a type
    return [
        replace(line, yours=0 if line.closed else own[offers[line.ticket_type_id].scarcest]) for line in lines
    ]


def sold_out_line(offer: Offer, wanted: int, *, closed: bool) -> SoldOutLine:
    """What the buyer is told about a type that does not fit."""
    return SoldOutLine(
        ticket_type_id=offer.ticket_type_id,
        entry_title=offer.entry_title,
        ticket_type_name=offer.name,
        wanted=wanted,
        left=0 if closed else offer.left or 0,
        closed=closed,
        yours=0,
    )


def _short(wanted: int, capacity: int | None, allocated: int) -> bool:
    return capacity is not None and allocated + wanted > capacity
