"""Facts of health: what an operator should know, each in words with a level; and those that no domain owns.

A domain adds its own to `app.health_facts`, and counts for the metrics to `app.figures`. Shown by health.py (the
operator's page, the log at the start) and measured by metrics.py (spec: H8).
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from sqlalchemy import ColumnElement, DateTime, Integer, Text, and_, cast, column, func, select, table
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database import APPLICATION, MOST_CONNECTIONS
from shared.models import Heartbeat, OutgoingMail

WORKER = "worker"
SILENT = timedelta(minutes=2)  # eight missed beats
LATE, VERY_LATE = timedelta(minutes=2), timedelta(minutes=15)
"""How long due work may wait: the sweeps run every 15 seconds, and what failed is due again only later."""


class Level(IntEnum):
    """How bad it is; the worst comes first on the page."""

    OK = 0
    WARN = 1
    """Somebody should look today."""
    ALARM = 2
    """Money or tickets are at stake: somebody should look now."""


_STATUS, _EXECUTE_AFTER = cast(column("status"), Text), column("execute_after", DateTime(timezone=True))
"""Of PgQueuer's own table."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing to know. `words` name no buyer: they stand in the log too."""

    name: str
    """Also the metric's label; ends in the unit of `value`."""
    title: str
    words: str
    level: Level = Level.OK
    value: float | None = None
    since: datetime | None = None
    """UTC; when what is told began."""
    todo: str = ""
    """The section of docs/runbook.md that says what to do."""
    href: str = ""
    """The page that lists the rows behind it."""
    rows: int | None = None
    """Of rows that are due: how many."""


FactFinder = Callable[[AsyncSession, datetime], Awaitable[list[Fact]]]
"""Reads facts; takes the time, writes nothing, calls nobody outside."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts for the metrics alone: the gauge's help, its one label, and how the numbers are read."""

    help: str
    label: str
    read: Callable[[AsyncSession], Awaitable[Mapping[str, float]]]


def lasted(time: timedelta) -> str:
    """A length of time as people say it: 40 seconds, 12 minutes, 3 hours, 2 days."""
    seconds = max(0, round(time.total_seconds()))
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}s"
    return f"{seconds} second{'' if seconds == 1 else 's'}"


def counted(number: int, one: str, many: str = "") -> str:
    """1 order, 2 orders."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def waiting(
    name: str, what: str, many: str, count: int, oldest: datetime | None, now: datetime, *, href: str = ""
) -> Fact:
    """Rows that are due: fine while the oldest of them has just become so."""
    title = f"Waiting: {many}"
    if oldest is None:
        return Fact(f"{name}_oldest_seconds", title, "Nothing is waiting.", value=0, rows=0, href=href)
    age = now - oldest
    return Fact(
        f"{name}_oldest_seconds",
        title,
        f"{counted(count, what, many)} due, the oldest for {lasted(age)}.",
        level_of(age, LATE, VERY_LATE),
        age.total_seconds(),
        oldest,
        "Worker dead",
        href,
        count,
    )


def level_of(age: timedelta, warn: timedelta, alarm: timedelta) -> Level:
    """OK up to `warn`, an alarm beyond `alarm`."""
    if age > alarm:
        return Level.ALARM
    return Level.WARN if age > warn else Level.OK


async def shared_facts(session: AsyncSession, now: datetime) -> list[Fact]:
    """The worker's heartbeat, the job queue and the mails."""
    return [
        await worker_fact(session, now),
        await _connections(session),
        *await _jobs(session, now),
        *await _mails(session, now),
    ]


def _setting(name: str) -> ColumnElement[int]:
    return cast(func.current_setting(name), Integer)


async def _connections(session: AsyncSession) -> Fact:
    """How many connections our processes may take together, and how many are in use by anybody."""
    clients = table("pg_stat_activity", column("application_name", Text), column("client_addr"))
    ours = func.concat(clients.c.client_addr, clients.c.application_name).distinct()
    found = await session.execute(
        select(
            _setting("max_connections") - _setting("superuser_reserved_connections"),
            func.count(),
            func.count(ours).filter(clients.c.application_name.startswith(APPLICATION)),
        )
        .select_from(clients)
        .where(column("backend_type", Text) == "client backend")
    )
    allowed, used, processes = found.one()
    together = processes * MOST_CONNECTIONS
    words = (
        f"{counted(processes, 'process', 'processes')} of ours may take {together} of {allowed}; {used} are in use. "
        f"{allowed // MOST_CONNECTIONS} fit, workers counted."
    )
    level = Level.OK
    if together > allowed or used + MOST_CONNECTIONS > allowed:
        level, words = Level.WARN, f"{words} In a rush buyers would have to wait for one."
    return Fact("database_connections", "Database connections", words, level, used, todo="Worker dead")


async def worker_fact(session: AsyncSession, now: datetime) -> Fact:
    """Whether any worker is alive: without one no mail goes out and no hold lapses (peers: Hi.Events 270, 506)."""
    name, title, todo = "worker_silent_seconds", "Worker", "Worker dead"
    at = await session.scalar(select(Heartbeat.at).where(Heartbeat.name == WORKER))
    if at is None:
        return Fact(name, title, "No worker has ever run here.", Level.ALARM, todo=todo)
    silent = now - at
    if silent > SILENT:
        words = f"No worker has been alive for {lasted(silent)}: mails, refunds and lapsed holds wait."
        return Fact(name, title, words, Level.ALARM, silent.total_seconds(), at, todo)
    return Fact(
        name, title, f"Alive {lasted(silent)} ago.", value=max(0.0, silent.total_seconds()), todo=todo
    )


async def _jobs(session: AsyncSession, now: datetime) -> list[Fact]:
    due = and_(_STATUS == "queued", now >= _EXECUTE_AFTER)
    query = select(
        func.count().filter(due),
        func.min(_EXECUTE_AFTER).filter(due),
        func.count().filter(_STATUS == "failed"),
    ).select_from(table("pgqueuer"))
    count, oldest, held = (await session.execute(query)).one()
    facts = [waiting("jobs", "job", "jobs", count, oldest, now)]
    if held:
        words = f"{counted(held, 'job')} failed five times. The sweeps go on without them; the log says why."
        facts.append(Fact("jobs_held", "Jobs given up", words, Level.WARN, held, todo="Worker dead"))
    return facts


async def _mails(session: AsyncSession, now: datetime) -> list[Fact]:
    due = select(func.count(), func.min(OutgoingMail.next_try_at)).where(
        OutgoingMail.state == "due", OutgoingMail.next_try_at <= now
    )
    count, oldest = (await session.execute(due)).one()
    refused = await session.scalar(
        select(func.count()).where(
            OutgoingMail.state == "failed", OutgoingMail.created_at > now - timedelta(days=1)
        )
    )
    facts = [waiting("mails", "mail", "mails", count, oldest, now)]
    if refused:
        words = f"{counted(refused, 'mail')} of the last day could not be delivered."
        facts.append(
            Fact("mails_failed", "Mails that failed", words, Level.WARN, refused, todo="Worker dead")
        )
    return facts
