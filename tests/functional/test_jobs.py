"""Nudges and the worker: sooner with a job, never lost without one (spec: D7)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from asyncpg import InternalClientError
from pgqueuer.qm import QueueManager
from sqlalchemy import text

from shared import worker as worker_module
from shared.app import create_app
from shared.clock import ManualClock
from shared.database import Database, Sessions
from shared.jobs import nudge
from shared.models import Heartbeat
from shared.settings import Settings
from shared.web import Tillgate
from shared.worker import SharedRun, Worker
from tests.eventually import eventually


class Counting:
    """A sweep that counts its runs, and fails when told to."""

    def __init__(self) -> None:
        self.runs: list[datetime] = []
        self.failure: Exception | None = None

    async def __call__(self, now: datetime) -> int:
        self.runs.append(now)
        if self.failure is not None:
            raise self.failure
        return 1


@pytest.fixture
def sweep() -> Counting:
    return Counting()


@pytest.fixture
def app(settings: Settings, database: Database, clock: ManualClock, sweep: Counting) -> Tillgate:
    app = create_app(settings, domains=(), database=database, clock=clock)
    app.sweeps = {"counting": sweep}
    return app


@asynccontextmanager
async def working(app: Tillgate) -> AsyncIterator[Worker]:
    """A worker that has done its first round; stopped and waited for afterwards."""
    worker = Worker(app)
    task = asyncio.create_task(worker.run())

    async def listens() -> bool:
        return task.done() or await number(app.database.sessions, LISTENERS) > 0

    try:
        await eventually(listens)
        yield worker
    finally:
        worker.stop.set()
        await asyncio.wait_for(task, 20)


LISTENERS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND (query LIKE 'LISTEN%' OR query LIKE '%pgqueuer%')"
)


async def number(sessions: Sessions, query: str) -> int:
    async with sessions.begin() as session:
        return await session.scalar(text(query)) or 0


async def jobs(sessions: Sessions, status: str) -> int:
    async with sessions.begin() as session:
        query = text("SELECT count(*) FROM pgqueuer WHERE status::text = :status")
        return await session.scalar(query, {"status": status}) or 0


async def test_nudge_is_rolled_back_with_its_transaction(sessions: Sessions) -> None:
    """Also as the first act of the transaction: nothing happened, so nothing is to be swept."""
    async with sessions() as session:
        await nudge(session, "mail")
        await session.rollback()
    assert await jobs(sessions, "queued") == 0
    async with sessions.begin() as session:
        await nudge(session, "mail")
    assert await jobs(sessions, "queued") == 1


async def test_nudges_do_not_wait_for_each_other(sessions: Sessions) -> None:
    """Two checkouts that owe a mail at the same time: neither waits for the other's end."""
    async with sessions.begin() as first, sessions.begin() as second:
        await nudge(first, "mail")
        await asyncio.wait_for(nudge(second, "mail"), 3)


async def test_nudge_runs_the_sweep(app: Tillgate, sweep: Counting) -> None:
    """Between two rounds a committed nudge is enough."""
    async with working(app):
        await eventually(lambda: _at_least(sweep, 1))
        async with app.database.sessions.begin() as session:
            await nudge(session, "counting")
        await eventually(lambda: _at_least(sweep, 2))
        await eventually(lambda: _empty(app))


async def test_nudge_made_before_the_worker_started(app: Tillgate, sweep: Counting) -> None:
    """A job survives a restart."""
    async with app.database.sessions.begin() as session:
        await nudge(session, "counting")
        await nudge(session, "a sweep of another release")
    async with working(app):
        await eventually(lambda: _empty(app))
    assert sweep.runs


async def test_failing_sweep_is_tried_again_then_held(app: Tillgate, sweep: Counting) -> None:
    """The job goes back to the queue with its tries counted; after the fifth it is kept for a person to see."""
    sessions = app.database.sessions
    sweep.failure = RuntimeError("out of order")
    async with working(app):
        async with sessions.begin() as session:
            await nudge(session, "counting")
        await eventually(
            lambda: _more_than(0, sessions, "SELECT max(attempts) FROM pgqueuer WHERE status = 'queued'")
        )
        async with sessions.begin() as session:
            await session.execute(text("UPDATE pgqueuer SET attempts = 5, execute_after = now()"))
        await eventually(
            lambda: _more_than(0, sessions, "SELECT count(*) FROM pgqueuer WHERE status = 'failed'")
        )


async def test_failing_sweep_stops_no_other(
    app: Tillgate, sweep: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One fails in every round; the other, and the heartbeat, go on."""
    monkeypatch.setattr(worker_module, "ROUND", timedelta(milliseconds=5))
    failing = Counting()
    failing.failure = RuntimeError("out of order")
    app.sweeps["failing"] = failing
    async with working(app):
        await eventually(lambda: _at_least(failing, 3))
        await eventually(lambda: _at_least(sweep, 3))
    async with app.database.sessions() as session:
        beat = await session.get(Heartbeat, "worker")
    assert beat is not None
    assert beat.at == app.clock.now()


async def test_lost_connection_is_made_again(
    app: Tillgate, sweep: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database throws the listener out; nudges work again soon."""
    monkeypatch.setattr(worker_module, "RECONNECT_AFTER", timedelta(milliseconds=5))
    async with working(app):
        await eventually(lambda: _at_least(sweep, 1))
        await number(
            app.database.sessions,
            LISTENERS.replace("count(*)", "count(pg_terminate_backend(pid))"),
        )
        async with app.database.sessions.begin() as session:
            await nudge(session, "counting")
        await eventually(lambda: _at_least(sweep, 2))


async def test_listener_that_breaks_in_the_middle_does_not_end_the_worker(
    app: Tillgate, sweep: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database killed in the middle of an answer: asyncpg then raises what is none of its usual errors."""
    monkeypatch.setattr(worker_module, "RECONNECT_AFTER", timedelta(milliseconds=5))
    listen, broken = QueueManager.run, [InternalClientError("cannot switch to state 12")]

    async def run(queue: QueueManager, *args: Any, **options: Any) -> None:
        if broken:
            raise broken.pop()
        await listen(queue, *args, **options)

    monkeypatch.setattr(QueueManager, "run", run)
    async with working(app):
        await eventually(lambda: _more_than(0, app.database.sessions, LISTENERS))
        async with app.database.sessions.begin() as session:
            await nudge(session, "counting")
        await eventually(lambda: _at_least(sweep, 2))


async def test_askers_share_the_next_run(clock: ManualClock) -> None:
    """Who asks while a run is on gets one that begins afterwards, together with all others who asked."""
    gate, started = asyncio.Event(), asyncio.Event()
    runs = 0

    async def slow(now: datetime) -> int:
        nonlocal runs
        runs += 1
        started.set()
        await gate.wait()
        return runs

    run = SharedRun(slow, clock.now)
    first = asyncio.create_task(run.join())
    await started.wait()
    others = [asyncio.create_task(run.join()) for _ in range(5)]
    gate.set()
    assert await first == 1
    assert await asyncio.gather(*others) == [2] * 5


async def test_old_jobs_are_tidied(app: Tillgate, sweep: Counting, clock: ManualClock) -> None:
    """PgQueuer's log does not grow for ever."""
    sessions = app.database.sessions
    async with sessions.begin() as session:
        await nudge(session, "counting")
    async with sessions.begin() as session:
        await session.execute(text("UPDATE pgqueuer SET status = 'failed'"))
        await session.execute(
            text(
                "INSERT INTO pgqueuer_log (job_id, status, priority, entrypoint)"
                " SELECT id, status, priority, entrypoint FROM pgqueuer"
            )
        )
    await worker_module.tidy(sessions, clock.now())
    assert await number(sessions, "SELECT count(*) FROM pgqueuer_log") == 1
    await worker_module.tidy(sessions, clock.advance(days=8))
    assert await number(sessions, "SELECT count(*) FROM pgqueuer_log") == 0
    assert await number(sessions, "SELECT count(*) FROM pgqueuer") == 0


async def _at_least(sweep: Counting, runs: int) -> bool:
    return len(sweep.runs) >= runs


async def _empty(app: Tillgate) -> bool:
    return await number(app.database.sessions, "SELECT count(*) FROM pgqueuer") == 0


async def _more_than(least: int, sessions: Sessions, query: str) -> bool:
    return await number(sessions, query) > least
