"""Claims and releases over overlapping pools on many connections; used by the tests here and by `make bench`."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from events.models import TicketType
from events.service import SqlCalendarService
from shared.contracts.protocols import SoldOut
from shared.database import Database, Sessions, sqlstate
from shared.ids import new_id
from tests import event_rows

NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
UNTIL = NOW + timedelta(minutes=30)
CALENDAR = SqlCalendarService()
DEADLOCK = "40P01"
ENTRIES, TYPES, LARGEST_BASKET = 3, 2, 4


@dataclass(slots=True)
class Storm:
    """What happened in one storm; `holding` are the orders that hold tickets at the moment."""

    sold: int = 0
    told: int = 0
    released: int = 0
    deadlocks: int = 0
    holding: list[UUID] = field(default_factory=list)


async def add_market(session: AsyncSession, *, room: int, slug: str = "market") -> list[TicketType]:
    """Types that overlap in their entries' pools; each has `room` places, each entry less than its types together."""
    page = await event_rows.add_page(session, slug)
    later = NOW + timedelta(days=3)
    kinds = []
    for number in range(ENTRIES):
        limit = room * TYPES * 3 // 4
        entry = await event_rows.add_entry(
            session, page, f"evening-{number}", starts_at=later, capacity=limit
        )
        kinds += [await event_rows.add_type(session, entry, capacity=room) for _ in range(TYPES)]
    return kinds


def baskets(kinds: Sequence[TicketType], number: int, chance: random.Random) -> list[list[TicketType]]:
    """What so many buyers want: one to four different types, in any order."""
    return [chance.sample(kinds, chance.randint(1, LARGEST_BASKET)) for _ in range(number)]


async def storm(
    sessions: Sessions, buyers: Sequence[UUID], *, connections: int, chance: random.Random
) -> Storm:
    """Each buyer claims their whole cart once, `connections` at a time; half as often an order is let go of."""
    result, waiting = Storm(), list(buyers)

    async def work() -> None:
        while waiting:
            try:
                await _claim(sessions, waiting.pop(), result)
                if result.holding and chance.random() < 0.5:
                    await let_go(sessions, result.holding.pop(chance.randrange(len(result.holding))))
                    result.released += 1
            except DBAPIError as error:
                if sqlstate(error) != DEADLOCK:
                    raise
                result.deadlocks += 1

    await asyncio.gather(*(work() for _ in range(connections)))
    return result


async def let_go(sessions: Sessions, order_id: UUID) -> None:
    """Release a hold; it must hold something."""
    async with sessions.begin() as session:
        assert await CALENDAR.release_tickets_for_order(session, order_id) > 0


async def _claim(sessions: Sessions, user_id: UUID, result: Storm) -> None:
    order_id = new_id()
    try:
        async with sessions.begin() as session:
            await CALENDAR.claim_tickets_for_order(session, order_id, user_id, reserved_until=UNTIL, now=NOW)
    except SoldOut:
        result.told += 1
    else:
        result.sold += 1
        result.holding.append(order_id)


async def open_connections(database: Database, number: int) -> None:
    """Have so many connections open before the race begins."""
    async with AsyncExitStack() as all_open:
        for _ in range(number):
            await all_open.enter_async_context(database.read())
