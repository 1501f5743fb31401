"""Claims on 32 real connections, held against what hurts other shops' users (peers: last ticket, freed stock)."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from events import stock
from events.offers import Offer
from shared.contracts.protocols import SoldOut
from shared.database import Database, Sessions
from shared.ids import new_id
from tests import event_rows
from tests.concurrency.storm import (
    CALENDAR,
    NOW,
    UNTIL,
    add_market,
    baskets,
    let_go,
    open_connections,
    storm,
)

CONNECTIONS = 32
SEED = 7
CLAIMS = 1000
"""In the suite; `make bench` makes ten thousand."""
HALVES = text(
    "SELECT count(*) FROM (SELECT FROM tickets GROUP BY user_id HAVING count(DISTINCT (state, order_id)) > 1) AS h"
)


@pytest.fixture
async def wide(database_url: str) -> AsyncIterator[Database]:
    """As many connections as buyers at once, all open; who waits in a circle is told so at once."""
    made = Database(database_url, pool_size=CONNECTIONS)
    async with made.read() as connection:
        name = await connection.scalar(text("SELECT current_database()"))
        await connection.execute(text(f"ALTER DATABASE {name} SET deadlock_timeout = '20ms'"))
    await made.engine.dispose()
    await open_connections(made, CONNECTIONS)
    yield made
    await made.close()


async def market(sessions: Sessions, *, claims: int, chance: random.Random) -> list[UUID]:
    """Buyers who want more than there is, one claim each."""
    async with sessions.begin() as session:
        kinds = await add_market(session, room=claims // 10)
        return await event_rows.add_buyers(session, baskets(kinds, claims, chance))


async def test_last_tickets_on_32_connections(wide: Database) -> None:
    """All see five left in a transaction of their own and go for them; five get one (spec: B8, H3; eventyay 1359)."""
    async with wide.sessions.begin() as session:
        page = await event_rows.add_page(session)
        entry = await event_rows.add_entry(session, page, starts_at=UNTIL, capacity=5)
        kind = await event_rows.add_type(session, entry)
        buyers = await event_rows.add_buyers(session, [[kind]] * CONNECTIONS)
    all_have_looked = asyncio.Barrier(CONNECTIONS)

    async def buy(user_id: UUID) -> int:
        async with wide.sessions.begin() as session:
            backend = await session.scalar(
                text("SELECT pg_backend_pid() FROM pools WHERE capacity = 5 AND allocated = 0")
            )
            assert backend is not None
            await all_have_looked.wait()
            await CALENDAR.claim_tickets_for_order(session, new_id(), user_id, reserved_until=UNTIL, now=NOW)
            return int(backend)

    answers = await asyncio.gather(*(buy(user_id) for user_id in buyers), return_exceptions=True)
    told = [answer.lines[0].left for answer in answers if isinstance(answer, SoldOut)]
    assert len({answer for answer in answers if isinstance(answer, int)}) == 5
    assert told == [0] * (CONNECTIONS - 5)
    async with wide.sessions() as session:
        assert await event_rows.pools_agree(session)


async def test_storm_over_overlapping_pools(wide: Database) -> None:
    """Carts over up to eight pools, holds let go of meanwhile: no deadlock, nothing half, exact at every moment.

    spec: B8, B9, H3; open-event-server 5569: what is let go of is for sale again, to the last place.
    """
    chance = random.Random(SEED)
    buyers = await market(wide.sessions, claims=CLAIMS, chance=chance)
    over, looked = asyncio.Event(), 0

    async def look() -> None:
        nonlocal looked
        while not over.is_set():
            async with wide.sessions() as session:
                assert await event_rows.pools_agree(session)
                assert await session.scalar(HALVES) == 0
            looked += 1

    watching = asyncio.create_task(look())
    result = await storm(wide.sessions, buyers, connections=CONNECTIONS, chance=chance)
    over.set()
    await watching
    assert looked > 10
    assert result.deadlocks == 0
    assert result.sold + result.told == CLAIMS
    assert min(result.sold, result.told, result.released) > CLAIMS / 10
    for order_id in result.holding:
        await let_go(wide.sessions, order_id)
    async with wide.sessions() as session:
        assert await session.scalar(text("SELECT sum(allocated) FROM pools")) == 0


async def take_as_they_come(
    session: AsyncSession,
    *,
    ticket_ids: Sequence[UUID],
    offers: Iterable[Offer],
    order_id: UUID,
    reserved_until: datetime,
) -> bool:
    """How it must not be done: one pool after the other, in the order of the cart."""
    pools = Counter(pool_id for offer in offers for pool_id in (offer.pool_id, offer.entry_pool_id))
    for pool_id, number in pools.items():
        taken = await session.execute(
            text(
                "UPDATE pools SET allocated = allocated + :n WHERE id = :id AND allocated + :n <= capacity RETURNING id"
            ),
            {"n": number, "id": pool_id},
        )
        if taken.first() is None:
            return False
    await session.execute(
        text(
            "UPDATE tickets SET state = 'reserved', order_id = :order_id, reserved_until = :until WHERE id = ANY(:ids)"
        ),
        {"order_id": order_id, "until": reserved_until, "ids": list(ticket_ids)},
    )
    return True


async def test_the_storm_would_show_a_deadlock(wide: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same storm without the order of locks: claims wait for each other in a circle (design: Stock)."""
    monkeypatch.setattr(stock, "take", take_as_they_come)
    chance = random.Random(SEED)
    buyers = await market(wide.sessions, claims=CONNECTIONS * 5, chance=chance)
    result = await storm(wide.sessions, buyers, connections=CONNECTIONS, chance=chance)
    assert result.deadlocks > 0
