"""The life of tickets that an order holds: claim, confirm, release, hold. Used by SqlCalendarService."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncSession

from events import stock
from events.models import Entry, Ticket, TicketType
from events.offers import (
    OFFER_COLUMNS,
    Offer,
    add_own_holds,
    join_offer,
    personal_refusals,
    read_offers,
    shortages,
    with_mine,
)
from events.pending import check_per_order
from shared.contracts.dtos import counts_by_type
from shared.contracts.protocols import Confirmation, SoldOut
from shared.contracts.sale_rules import Mine
from shared.contracts.states import EntryState, TicketState, sources_of
from shared.errors import Conflict, Invalid
from shared.ids import new_door_code


class CartChanged(Conflict):
    """Your cart has changed in the meantime. No money was taken; please look at it again."""


async def claim(
    session: AsyncSession,
    *,
    order_id: UUID,
    user_id: UUID,
    page_id: UUID | None,
    ticket_ids: Sequence[UUID] | None,
    reserved_until: datetime,
    now: datetime,
) -> None:
    """`pending` → `reserved`, all or none, in two statements (spec: B8).

    Raises CartChanged where one of `ticket_ids` is not pending, Invalid where a type's smallest or largest number
    or a limit for each person is broken, SoldOut where tickets do not fit or are not on sale. Nothing is written
    before it is known that everything fits: each leaves the transaction as it was.
    """
    conditions: list[Any] = [Ticket.user_id == user_id, sql("tickets.state = 'pending'")]
    if page_id is not None:
        conditions.append(Ticket.page_id == page_id)
    if ticket_ids is not None:
        conditions.append(Ticket.id.in_(ticket_ids))
    rows = (await session.execute(_LOCKED_OFFERS_AND_MINE.where(*conditions))).all()
    tickets = {row[0]: Offer(*row[1:-3]) for row in rows}
    if ticket_ids is not None and len(tickets) != len(set(ticket_ids)):
        raise CartChanged
    if not tickets:
        return
    offers = {offer.ticket_type_id: offer for offer in tickets.values()}
    mine = {row[1]: Mine(*row[-3:]) for row in rows}
    wanted = counts_by_type(offer.ticket_type_id for offer in tickets.values())
    for type_id, number in wanted.items():
        check_per_order(offers[type_id], number)
    lines = shortages(offers, wanted, now=now)
    # that it is no longer on sale is the reason, whatever a person may have
    if not any(line.closed for line in lines):
        for offer, reason in personal_refusals(offers, mine, wanted):
            raise Invalid(f"{offer.entry_title}, {offer.name}: {reason}")
    if lines:
        raise SoldOut(await add_own_holds(session, lines, offers, user_id=user_id))
    if not await stock.take(
        session,
        ticket_ids=list(tickets),
        offers=tickets.values(),
        order_id=order_id,
        reserved_until=reserved_until,
    ):
        # somebody was faster between the two statements; the pools are locked now, so this reading is exact
        offers = await read_offers(session, set(wanted))
        lines = shortages(offers, wanted, now=now)
        raise SoldOut(await add_own_holds(session, lines, offers, user_id=user_id))


async def confirm(session: AsyncSession, order_id: UUID) -> Confirmation:
    """`reserved` → `confirmed` with door codes, or CLOSED where an entry is cancelled (spec: B7)."""
    rows = (
        await session.execute(
            select(Ticket.id, Ticket.state, Entry.state.label("entry_state"))
            .join(Entry, Entry.id == Ticket.entry_id)
            .where(Ticket.order_id == order_id)
            .order_by(Ticket.id)
            .with_for_update(of=Ticket, key_share=True)
        )
    ).all()
    reserved = [row for row in rows if row.state == TicketState.RESERVED]
    if any(row.state == TicketState.CANCELLED for row in rows) or any(
        row.entry_state == EntryState.CANCELLED for row in reserved
    ):
        return Confirmation.CLOSED
    if reserved:
        await session.execute(
            sql(
                "UPDATE tickets t"
                " SET state = 'confirmed', code = c.code, confirmed_at = now(), reserved_until = NULL"
                " FROM unnest(CAST(:ids AS uuid[]), CAST(:codes AS text[])) AS c(id, code)"
                " WHERE t.id = c.id AND t.state = 'reserved'"
            ),
            {"ids": [row.id for row in reserved], "codes": [new_door_code() for _ in reserved]},
        )
    return Confirmation.CONFIRMED


async def release(session: AsyncSession, order_id: UUID) -> int:
    """`reserved` → `pending`, stock back (spec: B9); returns how many, 0 where the order holds nothing."""
    tickets = await _lock(session, Ticket.order_id == order_id, sql("tickets.state = 'reserved'"))
    if not tickets:
        return 0
    return await stock.give_back(session, ticket_ids=list(tickets), offers=tickets.values())


async def cancel(session: AsyncSession, order_id: UUID, *, ticket_ids: Sequence[UUID]) -> list[UUID]:
    """Cancel these tickets of an order as far as they hold stock, and give it back; returns those cancelled now."""
    holding = Ticket.state.in_(sources_of(TicketState.CANCELLED))
    tickets = await _lock(session, Ticket.order_id == order_id, Ticket.id.in_(ticket_ids), holding)
    if tickets:
        await stock.cancel(session, ticket_ids=list(tickets), offers=tickets.values(), order_id=order_id)
    return list(tickets)


async def block(session: AsyncSession, order_id: UUID, *, blocked: bool) -> int:
    """Put the overlay of a dispute on an order's tickets, or take it off; returns how many changed (spec: H4)."""
    ids = await session.scalars(
        select(Ticket.id)
        .where(Ticket.order_id == order_id, Ticket.blocked != blocked)
        .order_by(Ticket.id)
        .with_for_update(key_share=True)
    )
    changed = await session.execute(
        update(Ticket).where(Ticket.id.in_(ids.all())).values(blocked=blocked).returning(Ticket.id)
    )
    return len(changed.all())


async def hold_until(session: AsyncSession, order_id: UUID, *, reserved_until: datetime | None) -> None:
    """Move the hold of an order's reserved tickets (UTC); None = no clock."""
    await session.execute(
        update(Ticket)
        .where(Ticket.order_id == order_id, Ticket.state == TicketState.RESERVED)
        .values(reserved_until=reserved_until)
    )


# `runs_short` of shared/contracts/sale_rules.py, in SQL
_EXTEND = sql("""
WITH held AS (SELECT id, ticket_type_id FROM tickets WHERE order_id = :order_id AND state = 'reserved')
UPDATE tickets SET reserved_until = :until WHERE id IN (SELECT id FROM held) AND NOT EXISTS (
    SELECT FROM held JOIN ticket_types k ON k.id = held.ticket_type_id JOIN entries e ON e.id = k.entry_id
    JOIN pools p ON p.id IN (k.pool_id, e.pool_id) WHERE (p.capacity - p.allocated) * 10 < p.capacity
) RETURNING id
""")


async def extend(session: AsyncSession, order_id: UUID, *, reserved_until: datetime) -> bool:
    """Move the hold of an order's reserved tickets (UTC), unless what they are of runs short; whether it was moved."""
    moved = await session.execute(_EXTEND, {"order_id": order_id, "until": reserved_until})
    return bool(moved.all())


async def lapsed_orders(
    session: AsyncSession, *, ticket_type_ids: Sequence[UUID], now: datetime, limit: int
) -> list[UUID]:
    """Orders whose hold on these types' pools lapsed, oldest first; an entry's types share its pool."""
    entries = select(TicketType.entry_id).where(TicketType.id.in_(ticket_type_ids))
    types = select(TicketType.id).where(TicketType.entry_id.in_(entries))
    rows = await session.scalars(
        select(Ticket.order_id)
        .where(Ticket.ticket_type_id.in_(types), sql("state = 'reserved'"), Ticket.reserved_until < now)
        .group_by(Ticket.order_id)
        .order_by(func.min(Ticket.reserved_until), Ticket.order_id)
        .limit(limit)
    )
    return [order_id for order_id in rows if order_id is not None]


# made once: to compose it costs as much as to send it
_LOCKED_OFFERS = (
    join_offer(
        select(Ticket.id, *OFFER_COLUMNS)
        .select_from(Ticket)
        .join(TicketType, TicketType.id == Ticket.ticket_type_id)
    )
    .order_by(Ticket.id)
    .with_for_update(of=Ticket, key_share=True)
)

_LOCKED_OFFERS_AND_MINE = with_mine(_LOCKED_OFFERS, Ticket.user_id)


async def _lock(session: AsyncSession, *conditions: ColumnElement[Any] | Any) -> dict[UUID, Offer]:
    """Lock tickets in id order; each with the offer of its type."""
    rows = await session.execute(_LOCKED_OFFERS.where(*conditions))
    return {row[0]: Offer(*row[1:]) for row in rows}
