"""Not too often: what may be done a few times in a while for each key, counted by this process (spec: L9).

For calls outside that somebody can cause by reloading a page. In memory on purpose: a limit that costs a statement
would make the common road dearer, and with a few processes it is a few calls more.
"""

from datetime import datetime, timedelta

MOST_KEYS = 10_000


class Seldom:
    """At most `times` within a time, by key."""

    def __init__(self, times: int, within: timedelta) -> None:
        self._times, self._within = times, within
        self._done: dict[object, list[datetime]] = {}

    def may(self, key: object, now: datetime) -> bool:
        """True, and counted, where it was not done too often recently."""
        recent = self._recent(key, now)
        if len(recent) >= self._times:
            return False
        if len(self._done) >= MOST_KEYS:
            self._done = {other: kept for other in self._done if (kept := self._recent(other, now))}
        self._done[key] = [*recent, now]
        return True

    def _recent(self, key: object, now: datetime) -> list[datetime]:
        return [at for at in self._done.get(key, ()) if timedelta(0) <= now - at < self._within]
