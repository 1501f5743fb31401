"""A line of the benchmark's table, and how long a run takes; used by measures, claims and __main__."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """How long a run takes."""

    rounds: int
    seconds: float
    purchases: int
    lines: int
    """Of the file that is taken."""


QUICK = Scale(rounds=1, seconds=1.0, purchases=100, lines=50_000)
FULL = Scale(rounds=5, seconds=3.0, purchases=600, lines=1_000_000)


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table; `met` is None where there is no aim."""

    name: str
    value: str
    aim: str = ""
    met: bool | None = None
