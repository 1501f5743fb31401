"""The worker: runs every sweep each 15 seconds, and at once when a job nudges it. `python -m shared worker` starts it.

As many workers as wanted may run, on as many machines: sweeps take their rows with SKIP LOCKED.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta

import structlog
from pgqueuer import DatabaseRetryEntrypointExecutor, Job, PgQueuer
from sqlalchemy import func, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from shared import metrics
from shared.database import Sessions
from shared.health import announce
from shared.health_board import FactBoard
from shared.health_facts import WORKER
from shared.jobs import ENTRYPOINT
from shared.models import Heartbeat
from shared.web import Sweep, Tillgate

log = structlog.get_logger()

ROUND = timedelta(seconds=15)
RECONNECT_AFTER = timedelta(seconds=5)
FIGURES_EVERY = timedelta(minutes=1)


async def run_worker(app: Tillgate) -> None:
    """Work until SIGTERM or SIGINT; what is running then is finished first."""
    worker = Worker(app)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop.set)
    with metrics.shown(app.settings.metrics_bind):
        with suppress(SQLAlchemyError, OSError):  # a database that is away is told by the start itself
            await worker.beat()
        await app.startup()
        try:
            await worker.run()
        finally:
            await app.shutdown()


class Worker:
    """One process's rounds and its end of the job queue."""

    def __init__(self, app: Tillgate) -> None:
        self._app = app
        sweeps = {**app.sweeps, "jobs": lambda at: tidy(app.database.sessions, at)}
        self._runs = {
            name: SharedRun(metrics.timed(name, sweep), app.clock.now) for name, sweep in sweeps.items()
        }
        self._figures_read_at: datetime | None = None
        self.stop = asyncio.Event()

    async def run(self) -> None:
        """Work until `stop` is set."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._each_round("heartbeat", self.beat))
            group.create_task(self._tell_health())
            for name, run in self._runs.items():
                group.create_task(self._each_round(name, run.join))
            if self._app.settings.metrics_bind is not None:
                group.create_task(self._each_round("metrics", self._measure))
            group.create_task(self._listen())

    async def _each_round(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        """A loop for each sweep, so that a slow or failing one holds up no other."""
        while not self.stop.is_set():
            try:
                await work()
            except Exception:
                log.exception("sweep failed", sweep=name)
            await self._pause(ROUND)

    async def beat(self) -> None:
        """Say that a worker is alive."""
        beat = insert(Heartbeat).values(name=WORKER, at=self._app.clock.now())
        later = func.greatest(Heartbeat.at, beat.excluded.at)
        async with self._app.database.sessions.begin() as session:
            await session.execute(beat.on_conflict_do_update(index_elements=["name"], set_={"at": later}))

    async def _measure(self) -> None:
        """Set the gauges: facts in each round, counts over whole tables each minute."""
        now = self._app.clock.now()
        metrics.show_facts(await FactBoard(self._app).read(now))
        if self._figures_read_at is not None and now - self._figures_read_at < FIGURES_EVERY:
            return
        self._figures_read_at = now
        for name, figures in self._app.figures.items():
            async with self._app.database.sessions.reading() as session:
                metrics.show_figures(name, figures, await figures.read(session))

    async def _tell_health(self) -> None:
        """Once, after the first checks that call outside: what they found is part of it."""
        if "checks" in self._runs:
            with suppress(Exception):  # told by its own round
                await self._runs["checks"].join()
        announce(self._app.settings, await FactBoard(self._app).read(self._app.clock.now()))

    async def _listen(self) -> None:
        """Take nudges; where the connection is lost, the rounds go on and it is made again."""
        while not self.stop.is_set():
            try:
                await self._take_jobs()
            except (
                Exception
            ):  # whatever a connection that broke in the middle makes of it: the worker goes on
                log.exception("job queue lost, trying again")
                await self._pause(RECONNECT_AFTER)

    async def _take_jobs(self) -> None:
        async with self._app.database.read() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            queue = PgQueuer.from_asyncpg_connection(raw)
            queue.entrypoint(ENTRYPOINT, on_failure="hold", executor_factory=DatabaseRetryEntrypointExecutor)(
                self._take
            )
            stopping = asyncio.create_task(self._stop(queue))
            try:
                await queue.qm.run(dequeue_timeout=ROUND, shutdown_on_listener_failure=True)
            finally:
                stopping.cancel()
                # it listens to a channel by now: not one to give back to the pool
                await connection.invalidate()

    async def _stop(self, queue: PgQueuer) -> None:
        await self.stop.wait()
        queue.shutdown.set()

    async def _take(self, job: Job) -> None:
        """One nudge. A sweep that fails is asked for again, later each time; after five times the job is held."""
        name = (job.payload or b"").decode()
        run = self._runs.get(name)
        if run is None:
            log.warning("nudge for a sweep that nobody registered", sweep=name)
            return
        try:
            await run.join()
        except Exception:
            log.exception("sweep failed", sweep=name, attempt=job.attempts)
            raise

    async def _pause(self, time: timedelta) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stop.wait(), time.total_seconds())


class SharedRun:
    """A sweep that never runs twice at once; whoever asks while it waits to begin shares that run."""

    def __init__(self, sweep: Sweep, now: Callable[[], datetime]) -> None:
        self._sweep, self._now = sweep, now
        self._running = asyncio.Lock()
        self._next: asyncio.Task[int] | None = None

    async def join(self) -> int:
        """Wait for a run that begins after this call, so that it sees every row committed before."""
        if self._next is None:
            self._next = asyncio.create_task(self._run())
        return await asyncio.shield(self._next)

    async def _run(self) -> int:
        async with self._running:
            self._next = None
            return await self._sweep(self._now())


async def tidy(sessions: Sessions, now: datetime) -> int:
    """Delete what PgQueuer keeps of old jobs: its log after a day, held jobs and statistics after a week."""
    day, week = {"until": now - timedelta(days=1)}, {"until": now - timedelta(days=7)}
    async with sessions.begin() as session:
        gone = [
            await session.execute(text("DELETE FROM pgqueuer_log WHERE created < :until RETURNING 1"), day),
            await session.execute(
                text("DELETE FROM pgqueuer_statistics WHERE created < :until RETURNING 1"), week
            ),
            await session.execute(
                text("DELETE FROM pgqueuer WHERE status = 'failed' AND updated < :until RETURNING 1"), week
            ),
        ]
        return sum(len(rows.all()) for rows in gone)
