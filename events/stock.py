"""The capacity pools: the one place where `allocated` changes. Used by tickets.

`allocated` = tickets in reserved, confirmed and checked_in. One statement locks all pools of a claim in id
order (two claims can then never wait for each other), decides, and moves the tickets together with the
counters: all or none. The caller has locked the tickets before: tickets by id, then pools by id.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from events.offers import Offer
from shared.contracts.states import TicketState, sources_of

# Giving back (n < 0) is always possible, from a closed pool too. All values are read from `locked`: who waited for a
# lock sees there what the other has committed, while `p` is first tried as it was when the statement began: with
# `p.allocated` a place given back in between would be missed, and the CHECK would fail on a row long out of date.
_MOVE = text("""
WITH wanted AS (
    SELECT * FROM unnest(CAST(:pool_ids AS uuid[]), CAST(:numbers AS int[])) AS w(id, n)
), locked AS MATERIALIZED (
    SELECT id, capacity, allocated, closed FROM pools
    WHERE id = ANY(CAST(:pool_ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE
), fits AS (
    SELECT bool_and(n < 0 OR (NOT closed AND (capacity IS NULL OR allocated + n <= capacity))) AS ok
    FROM locked JOIN wanted USING (id)
), counted AS (
    UPDATE pools p SET allocated = l.allocated + w.n FROM wanted w JOIN locked l ON l.id = w.id
    WHERE p.id = w.id AND (SELECT ok FROM fits) RETURNING p.id
)
UPDATE tickets SET state = :target, order_id = :order_id, reserved_until = :reserved_until
WHERE id = ANY(CAST(:ticket_ids AS uuid[])) AND state = ANY(CAST(:sources AS text[]))
AND (SELECT count(*) FROM counted) = cardinality(CAST(:pool_ids AS uuid[]))
RETURNING id
""")


async def take(
    session: AsyncSession,
    *,
    ticket_ids: Sequence[UUID],
    offers: Iterable[Offer],
    order_id: UUID,
    reserved_until: datetime,
) -> bool:
    """Reserve locked pending tickets for an order; False where a pool is short, and then nothing changed.

    `offers` has one for each ticket.
    """
    numbers = _pool_numbers(offers)
    moved = await _move(session, numbers, ticket_ids, TicketState.RESERVED, order_id, reserved_until)
    return moved == len(ticket_ids)


async def give_back(session: AsyncSession, *, ticket_ids: Sequence[UUID], offers: Iterable[Offer]) -> int:
    """Make locked reserved tickets pending again, without an order; returns how many."""
    numbers = {pool_id: -number for pool_id, number in _pool_numbers(offers).items()}
    return await _move(session, numbers, ticket_ids, TicketState.PENDING, None, None)


async def cancel(
    session: AsyncSession, *, ticket_ids: Sequence[UUID], offers: Iterable[Offer], order_id: UUID
) -> int:
    """Cancel locked tickets of an order that hold stock, and give their places back; returns how many."""
    numbers = {pool_id: -number for pool_id, number in _pool_numbers(offers).items()}
    return await _move(session, numbers, ticket_ids, TicketState.CANCELLED, order_id, None)


async def _move(
    session: AsyncSession,
    numbers: dict[UUID, int],
    ticket_ids: Sequence[UUID],
    target: TicketState,
    order_id: UUID | None,
    reserved_until: datetime | None,
) -> int:
    rows = await session.execute(
        _MOVE,
        {
            "pool_ids": list(numbers),
            "numbers": list(numbers.values()),
            "ticket_ids": list(ticket_ids),
            "target": target.value,
            "sources": [state.value for state in sources_of(target)],
            "order_id": order_id,
            "reserved_until": reserved_until,
        },
    )
    return len(rows.all())


def _pool_numbers(offers: Iterable[Offer]) -> dict[UUID, int]:
    """How many places each pool must give: a ticket takes one of its type's and one of its entry's."""
    return dict(Counter(pool_id for offer in offers for pool_id in (offer.pool_id, offer.entry_pool_id)))
