"""Claims per second on one hot ticket type, beside the same work without stock control; used by measures.py.

In a database of its own in the house's server; the claims are made by processes of their own (claimers.py).
"""

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from events.models import TicketType
from shared import migrate
from shared.database import Database
from shared.settings import ROOT
from tests import event_rows
from tests.bench.figures import Figure, Scale
from tests.bench.house import House
from tests.concurrency.storm import UNTIL, add_market, baskets

T = TypeVar("T")
Claimer: TypeAlias = "subprocess.Popen[str]"

DATABASE = "claims"
PROCESSES = 2
CLAIMS_OF = {1: 1000, 8: 2500, 32: 3000}
"""Claims in one turn, by number of connections."""
STORM_CLAIMS, STORM_ROOM, MOST = 10_000, 800, 32
AIM_PER_SECOND, AIM_OF_CEILING = 500, 0.25


@dataclass(frozen=True, slots=True)
class Turn:
    """Claims per second, and the CPU that one took of the load and of the database."""

    per_second: float
    load_ms: float
    database_ms: float

    def __str__(self) -> str:
        return f"{self.per_second:.0f}/s, CPU {self.load_ms:.2f} + {self.database_ms:.2f} ms"


Row = dict[int, tuple[Turn, Turn]]
"""Of one round, by number of connections: with the counter, and without."""


def claims(house: House, scale: Scale) -> Iterator[Figure]:
    """The lines of the table: the storm first, since the ceiling leaves tickets that no pool has counted."""
    make_database(house)
    with _claimers(house) as claimers:
        yield from storm(house, claimers)
        yield from hot_type(house, claimers, scale)


def storm(house: House, claimers: Sequence[Claimer]) -> Iterator[Figure]:
    """Ten thousand claims of one to four tickets over overlapping pools, holds let go of meanwhile."""
    chance = random.Random(STORM_CLAIMS)

    async def fill(session: AsyncSession) -> list[UUID]:
        kinds = await add_market(session, room=STORM_ROOM)
        return await event_rows.add_buyers(session, baskets(kinds, STORM_CLAIMS, chance))

    buyers = in_market(house, fill)
    results = ask(claimers, buyers, MOST, kind="storm", seed=STORM_CLAIMS)
    sold, told, released, deadlocks = (
        sum(one[name] for one in results) for name in ("sold", "told", "released", "deadlocks")
    )
    exact = in_market(house, event_rows.pools_agree)
    yield Figure(f"{sold + told} claims, overlapping pools", f"{deadlocks} deadlocks", "0", deadlocks == 0)
    yield Figure("  sold, told, let go of", f"{sold}, {told}, {released}")
    yield Figure("  counters exact", str(exact).lower(), "true", exact)


def hot_type(house: House, claimers: Sequence[Claimer], scale: Scale) -> Iterator[Figure]:
    """One type, one ticket a claim, with and without its counters turn by turn."""
    kind = in_market(house, _add_hot_type)

    def turn(number: int, connections: int, *, counted: bool) -> Turn:
        buyers = in_market(house, lambda session: event_rows.add_buyers(session, [[kind]] * number))
        before = house.database_cpu()
        results = ask(claimers, buyers, connections, kind="claim", counted=counted)
        seconds = max(one["ended"] for one in results) - min(one["began"] for one in results)
        load = sum(one["cpu"] for one in results)
        used = house.database_cpu() - before
        return Turn(number / seconds, load * 1000 / number, used * 1000 / number)

    for connections in CLAIMS_OF:  # so that every connection is open and has its statements prepared
        turn(connections * 10, connections, counted=True)
        turn(connections * 10, connections, counted=False)
    rounds: list[Row] = [
        {
            connections: (turn(number, connections, counted=True), turn(number, connections, counted=False))
            for connections, number in CLAIMS_OF.items()
        }
        for _ in range(scale.rounds)
    ]
    for connections in CLAIMS_OF:
        yield from _lines(connections, [one[connections] for one in rounds])
    kept = median(one[MOST][0].per_second / one[1][0].per_second for one in rounds)
    yield Figure(f"claims/s at {MOST} to those at 1", f"{kept:.2f}", ">= 1", kept >= 1)


def _lines(connections: int, turns: Sequence[tuple[Turn, Turn]]) -> Iterator[Figure]:
    ours, ceiling = (
        Turn(*(median(getattr(one, name) for one in column) for name in Turn.__slots__))
        for column in zip(*turns, strict=True)
    )
    ratio = median(ours.per_second / ceiling.per_second for ours, ceiling in turns)
    aim, met, ratio_aim, ratio_met = "", None, "", None
    if connections == MOST:
        aim, met = f">= {AIM_PER_SECOND}/s", ours.per_second >= AIM_PER_SECOND
        ratio_aim, ratio_met = f">= {AIM_OF_CEILING}", ratio >= AIM_OF_CEILING
    yield Figure(f"claims, hot type, {connections} connections", f"{ours}", aim, met)
    yield Figure("  without stock control", f"{ceiling}")
    yield Figure("  of that", f"{ratio:.2f}", ratio_aim, ratio_met)


@contextmanager
def _claimers(house: House) -> Iterator[list[Claimer]]:
    command = [sys.executable, "-m", "tests.bench.claimers", house.server.url(DATABASE)]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for _ in range(PROCESSES)
    ]
    try:
        yield started
    finally:
        for claimer in started:
            claimer.communicate()  # the end of its stdin is its end


def ask(
    claimers: Sequence[Claimer], buyers: Sequence[UUID], connections: int, **task: Any
) -> list[dict[str, Any]]:
    """Have the claimers share buyers and connections evenly; their results."""
    busy = claimers[:connections]
    for place, claimer in enumerate(busy):
        mine = [str(user_id) for user_id in buyers[place :: len(busy)]]
        assert claimer.stdin is not None
        claimer.stdin.write(json.dumps(task | {"buyers": mine, "connections": connections // len(busy)}))
        claimer.stdin.write("\n")
        claimer.stdin.flush()
    results = []
    for claimer in busy:
        assert claimer.stdout is not None
        results.append(json.loads(claimer.stdout.readline()))
    return results


def in_market(house: House, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
    """One transaction in the claims' database."""

    async def run() -> T:
        database = Database(house.server.url(DATABASE))
        async with database.sessions.begin() as session:
            result = await work(session)
        await database.close()
        return result

    return asyncio.run(run())


def make_database(house: House) -> None:
    """An empty database with all tables."""
    house.query(f"CREATE DATABASE {DATABASE}")
    asyncio.run(migrate.upgrade(house.server.url(DATABASE)))


async def _add_hot_type(session: AsyncSession) -> TicketType:
    page = await event_rows.add_page(session, "hot")
    entry = await event_rows.add_entry(session, page, starts_at=UNTIL, capacity=1_000_000)
    return await event_rows.add_type(session, entry, capacity=1_000_000)
