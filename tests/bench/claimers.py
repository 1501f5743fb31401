"""Claims tickets, in a process of its own: `python -m tests.bench.claimers <database>`, for claims.py.

A line of JSON on stdin is a task, a line on stdout its result; the process and its connections stay, so that only the
first task pays for opening them.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import uvloop
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from events import stock
from events.offers import Offer
from shared.database import Database
from shared.ids import new_id
from tests.concurrency.storm import CALENDAR, NOW, UNTIL, open_connections, storm

_NO_COUNTER = text("""
UPDATE tickets SET state = 'reserved', order_id = :order_id, reserved_until = :reserved_until
WHERE id = ANY(CAST(:ticket_ids AS uuid[])) AND state = 'pending' RETURNING id
""")


class Claimers:
    """What one process does, over a kept set of connections for each number of them."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._databases: dict[int, Database] = {}

    async def claim(self, *, buyers: Sequence[str], connections: int, counted: bool) -> dict[str, float]:
        """Each buyer's cart in a transaction of its own; `counted` False leaves the pools out: the ceiling."""
        stock.take = take if counted else take_without_counter
        database, waiting = await self._database(connections), [UUID(buyer) for buyer in buyers]

        async def work() -> None:
            while waiting:
                user_id = waiting.pop()
                async with database.sessions.begin() as session:
                    await CALENDAR.claim_tickets_for_order(
                        session, new_id(), user_id, reserved_until=UNTIL, now=NOW
                    )

        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(work() for _ in range(connections)))
        return {"began": began, "ended": time.perf_counter(), "cpu": time.process_time() - cpu}

    async def storm(self, *, buyers: Sequence[str], connections: int, seed: int) -> dict[str, int]:
        """Claims and releases over overlapping pools; how many sold, told, released and deadlocked."""
        database = await self._database(connections)
        users = [UUID(buyer) for buyer in buyers]
        result = await storm(database.sessions, users, connections=connections, chance=random.Random(seed))
        return {name: getattr(result, name) for name in ("sold", "told", "released", "deadlocks")}

    async def _database(self, connections: int) -> Database:
        if connections not in self._databases:
            self._databases[connections] = Database(self._url, pool_size=connections)
            await open_connections(self._databases[connections], connections)
        return self._databases[connections]


take = stock.take


async def take_without_counter(
    session: AsyncSession,
    *,
    ticket_ids: Sequence[UUID],
    offers: Iterable[Offer],
    order_id: UUID,
    reserved_until: datetime,
) -> bool:
    """The same round trip without a pool: nobody waits for anybody, and everything is oversold."""
    values = {"ticket_ids": list(ticket_ids), "order_id": order_id, "reserved_until": reserved_until}
    return len((await session.execute(_NO_COUNTER, values)).all()) == len(ticket_ids)


def main() -> None:
    """Do what stdin says, line after line."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        claimers = Claimers(sys.argv[1])
        for line in sys.stdin:
            task: dict[str, Any] = json.loads(line)
            work = claimers.storm if task.pop("kind") == "storm" else claimers.claim
            sys.stdout.write(f"{json.dumps(runner.run(work(**task)))}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
