"""Failures on demand: the next such call is refused, or its answer gets lost before or after the effect."""

from collections import deque
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

Fault = int | Literal["timeout_before", "timeout_after", "cut_before", "cut_after"]
"""A status; or no answer until the caller gives up (timeout), or a connection closed without one (cut)."""

FAULTS = ("timeout_before", "timeout_after", "cut_before", "cut_after")


@dataclass(slots=True)
class Failure:
    """One wish: calls of this method and path fail this many times."""

    path: str
    """As in `/v1/checkout/sessions`; `*` stands for anything."""
    fault: Fault
    times: int = 1
    method: str | None = None
    kept: bool = True
    """Stripe keeps its own 5xx under the idempotency key; False is a gateway that fails before Stripe."""

    def matches(self, method: str, path: str) -> bool:
        """Whether this call is meant."""
        return self.method in (None, method) and fnmatchcase(path, self.path)


@dataclass(slots=True)
class Failures:
    """The wishes still open, oldest first."""

    wishes: deque[Failure] = field(default_factory=deque)

    def take(self, method: str, path: str) -> Failure | None:
        """The failure this call must have, counted down; None for nearly every call."""
        for wish in self.wishes:
            if wish.matches(method, path):
                wish.times -= 1
                if wish.times <= 0:
                    self.wishes.remove(wish)
                return wish
        return None
