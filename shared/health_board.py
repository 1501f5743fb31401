"""The facts as one process last read them: a few seconds old at most, so that asking often costs little.

Used by health.py (pages, /health/ready, the log at the start) and by the worker's metrics.
"""

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared.health_facts import Fact, Level

if TYPE_CHECKING:
    from shared.web import Tillgate

log = structlog.get_logger()

FRESH = timedelta(seconds=5)
SECONDS = 5.0  # who asks for facts must not wait for a database that is busy with something else


class FactBoard:
    """All facts, the worst first; whoever asks while they are being read waits for that reading."""

    def __init__(self, app: "Tillgate") -> None:
        self._app = app
        self._facts: list[Fact] = []
        self._read_at: datetime | None = None
        self._reading = asyncio.Lock()

    async def facts(self, now: datetime) -> list[Fact]:
        """The facts, at most five seconds old."""
        async with self._reading:
            if self._read_at is None or not timedelta(0) <= now - self._read_at < FRESH:
                self._facts = await self.read(now)
                self._read_at = now
            return self._facts

    def forget(self) -> None:
        """Read anew at the next question: something was done about a fact."""
        self._read_at = None

    async def read(self, now: datetime) -> list[Fact]:
        """The facts as they are now. One that cannot be read is a fact itself and hides no other."""
        found: list[Fact] = []
        for name, finder in self._app.health_facts.items():
            try:
                async with asyncio.timeout(SECONDS), self._app.database.sessions.reading() as session:
                    found += await finder(session, now)
            except (SQLAlchemyError, OSError) as error:  # a time-out is an OSError
                log.warning("facts not read", of=name, error=str(error))
                words = "Could not be read: the database does not answer, or is not migrated."
                found.append(Fact(f"{name}_unreadable", f"Facts of {name}", words, Level.ALARM))
        return sorted(found, key=lambda fact: -fact.level)


def screen(facts: list[Fact]) -> str:
    """All facts as one readable block, for the log of a developer's terminal."""
    marks = {Level.OK: "ok   ", Level.WARN: "warn ", Level.ALARM: "ALARM"}
    width = max((len(fact.title) for fact in facts), default=0)
    return "\n".join(f"  {marks[fact.level]}  {fact.title:{width}}  {fact.words}" for fact in facts)
