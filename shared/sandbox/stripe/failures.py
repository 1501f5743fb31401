"""Failures on demand or at random: a call is refused, or its answer gets lost before or after the effect."""

import random
from collections import deque
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

Fault = int | Literal["timeout_before", "timeout_after", "cut_before", "cut_after"]
"""A status; or no answer until the caller gives up (timeout), or a connection closed without one (cut)."""

FAULTS = ("timeout_before", "timeout_after", "cut_before", "cut_after")

RANDOM_FAULTS: dict[str, tuple[Fault, bool]] = {
    "timeout_before": ("timeout_before", True),
    "timeout_after": ("timeout_after", True),
    "cut_before": ("cut_before", True),
    "cut_after": ("cut_after", True),
    "error": (500, True),
    "gateway": (502, False),
    "rate_limit": (429, False),
}
"""What chaos may do: the fault, and whether Stripe keeps it under the idempotency key."""


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
class Chaos:
    """Random faults of every call of a path until it is switched off; the same seed throws the same dice."""

    rates: dict[str, float]
    """Probability of each of RANDOM_FAULTS; together at most 1."""
    seed: int
    path: str = "/v1/*"
    counts: dict[str, int] = field(default_factory=dict)
    """How often each has happened."""
    _dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)  # noqa: S311 - dice for a test, to be thrown again

    def take(self, path: str) -> Failure | None:
        """The failure this call must have, or None."""
        if not fnmatchcase(path, self.path):
            return None
        thrown = self._dice.random()
        for name, rate in self.rates.items():
            thrown -= rate
            if thrown < 0:
                self.counts[name] = self.counts.get(name, 0) + 1
                fault, kept = RANDOM_FAULTS[name]
                return Failure(path, fault, kept=kept)
        return None


@dataclass(slots=True)
class RateLimit:
    """How many calls an account may make in any second (https://docs.stripe.com/rate-limits)."""

    per_endpoint: int
    overall: int
    refused: int = 0
    """How many calls were one too many."""
    _calls: dict[tuple[str, str], deque[float]] = field(default_factory=dict)

    def refuses(self, account: str, endpoint: str, at: float) -> str | None:
        """Why a call at this moment (seconds of a clock that only goes on) is one too many; else it is counted."""
        counted = [
            (self._recent(account, "", at), self.overall, "global-rate"),
            (self._recent(account, endpoint, at), self.per_endpoint, "endpoint-rate"),
        ]
        for calls, most, reason in counted:
            if len(calls) >= most:
                self.refused += 1
                return reason
        for calls, _, _ in counted:
            calls.append(at)
        return None

    def _recent(self, account: str, endpoint: str, at: float) -> deque[float]:
        calls = self._calls.setdefault((account, endpoint), deque())
        while calls and calls[0] <= at - 1:
            calls.popleft()
        return calls


@dataclass(slots=True)
class Failures:
    """The wishes still open, oldest first, the chaos that comes after them, and the rate limit if it is on."""

    wishes: deque[Failure] = field(default_factory=deque)
    chaos: Chaos | None = None
    rate_limit: RateLimit | None = None

    def take(self, method: str, path: str) -> Failure | None:
        """The failure this call must have, counted down; None for nearly every call."""
        for wish in self.wishes:
            if wish.matches(method, path):
                wish.times -= 1
                if wish.times <= 0:
                    self.wishes.remove(wish)
                return wish
        return self.chaos.take(path) if self.chaos else None
