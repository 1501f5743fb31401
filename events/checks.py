"""What the reconciler asks of events: pools against tickets, and which orders hold any. Used by SqlCalendarService."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from events.models import Entry, Ticket
from shared.contracts.dtos import StockDifferenceDTO
from shared.contracts.states import STOCK_STATES, EntryState

# One statement sees one moment: pools and tickets are compared as they were together.
_DIFFERENCES = text("""
WITH held AS (
    SELECT pool_id, count(*) AS n FROM (
        SELECT tt.pool_id FROM tickets t JOIN ticket_types tt ON tt.id = t.ticket_type_id
        WHERE t.state = ANY(CAST(:holding AS text[]))
        UNION ALL
        SELECT e.pool_id FROM tickets t JOIN entries e ON e.id = t.entry_id
        WHERE t.state = ANY(CAST(:holding AS text[]))
    ) AS places GROUP BY pool_id
)
SELECT p.id, COALESCE(e.title, oe.title || ', ' || tt.name) AS name, COALESCE(e.page_id, tt.page_id) AS page_id,
    p.allocated, COALESCE(h.n, 0) AS tickets
FROM pools p LEFT JOIN held h ON h.pool_id = p.id LEFT JOIN entries e ON e.pool_id = p.id
LEFT JOIN ticket_types tt ON tt.pool_id = p.id LEFT JOIN entries oe ON oe.id = tt.entry_id
WHERE p.allocated <> COALESCE(h.n, 0) AND (e.id IS NOT NULL OR tt.id IS NOT NULL) ORDER BY p.id
""").columns()  # so it counts as a SELECT, which a session for reading carries out


async def stock_differences(session: AsyncSession) -> list[StockDifferenceDTO]:
    """Pools whose `allocated` is not the number of tickets in reserved, confirmed and checked_in (spec: H1)."""
    rows = await session.execute(_DIFFERENCES, {"holding": [state.value for state in STOCK_STATES]})
    return [StockDifferenceDTO(*row) for row in rows]


async def recount_pools(session: AsyncSession, pool_ids: Sequence[UUID]) -> int:
    """Set these pools to what their tickets hold, with the pools locked; returns how many were wrong."""
    await session.execute(
        text("SELECT FROM pools WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE"),
        {"ids": list(pool_ids)},
    )
    # tickets of a pool change only together with it: as long as we hold the pool, this count stands
    wrong = [row for row in await stock_differences(session) if row.pool_id in set(pool_ids)]
    for row in wrong:
        await session.execute(
            text("UPDATE pools SET allocated = :tickets WHERE id = :id"),
            {"tickets": row.tickets, "id": row.pool_id},
        )
    return len(wrong)


async def orders_holding_tickets(session: AsyncSession, *, after: UUID | None, limit: int) -> list[UUID]:
    """Ids of orders that hold stock, in their order, beginning after one."""
    query = select(Ticket.order_id).where(Ticket.order_id.is_not(None), Ticket.state.in_(STOCK_STATES))
    if after is not None:
        query = query.where(Ticket.order_id > after)
    rows = await session.scalars(query.distinct().order_by(Ticket.order_id).limit(limit))
    return [order_id for order_id in rows if order_id is not None]


async def orders_of_cancelled_entries(session: AsyncSession, *, after: UUID | None, limit: int) -> list[UUID]:
    """Orders that still hold tickets of a cancelled entry, by id, beginning after one."""
    query = (
        select(Ticket.order_id)
        .join(Entry, Entry.id == Ticket.entry_id)
        .where(Entry.state == EntryState.CANCELLED, Ticket.state.in_(STOCK_STATES))
    )
    if after is not None:
        query = query.where(Ticket.order_id > after)
    rows = await session.scalars(query.distinct().order_by(Ticket.order_id).limit(limit))
    return [order_id for order_id in rows if order_id is not None]
