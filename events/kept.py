"""What a visitor chose at one event or at several, as a text until they have signed in. Used by keeping.py."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from uuid import UUID

MOST_EVENTS = 10
MOST_LINES = 30
"""Of all events together; the text has to fit into a cookie, and a cart has no room for many more."""

Numbers = Mapping[UUID, int]
"""How many of each ticket type."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Numbers by event, the newest last."""

    chosen: Mapping[UUID, Numbers] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.chosen)

    def __add__(self, newer: "Kept") -> "Kept":
        """Both; of one event the newer, and no more than may be kept: what is oldest goes."""
        older = {event: numbers for event, numbers in self.chosen.items() if event not in newer.chosen}
        chosen: dict[UUID, Numbers] = {}
        room = MOST_LINES
        for event, numbers in islice(reversed([*older.items(), *newer.chosen.items()]), MOST_EVENTS):
            if len(numbers) > room:
                break
            chosen[event], room = numbers, room - len(numbers)
        return Kept(dict(reversed(chosen.items())))

    def dump(self) -> str:
        """As a text; empty where nothing is kept."""
        plain = [
            [event.hex, {kind.hex: number for kind, number in numbers.items()}]
            for event, numbers in self.chosen.items()
        ]
        return json.dumps(plain, separators=(",", ":")) if plain else ""


def read(text: str) -> Kept:
    """What `dump` wrote."""
    plain = json.loads(text) if text else []
    return Kept(
        {UUID(event): {UUID(kind): number for kind, number in numbers.items()} for event, numbers in plain}
    )
