"""The one clock. Rules take `now`; only routes, jobs and commands ask a clock for it."""

from datetime import UTC, datetime, timedelta
from typing import Protocol


def comes_twice(local: datetime) -> bool:
    """Whether the clocks of its place show this time a second time, an hour later: in the night when they go back."""
    return local.utcoffset() != local.replace(fold=1 - local.fold).utcoffset()


class Clock(Protocol):
    """Something that knows the time."""

    def now(self) -> datetime:
        """The present moment, timezone-aware, UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present moment, UTC."""
        return datetime.now(UTC)


class ManualClock:
    """A clock that tests and tools move by hand."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime.now(UTC)

    def now(self) -> datetime:
        """The moment it was set to, UTC."""
        return self._now

    def advance(self, **delta: float) -> datetime:
        """Move forward, e.g. `advance(minutes=31)`; returns the new moment."""
        self._now += timedelta(**delta)
        return self._now
