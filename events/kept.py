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
    """Numbers by event, the newest last. `pays`: the event whose tickets were to be bought at once, if one is."""

    chosen: Mapping[UUID, Numbers] = field(default_factory=dict)
    pays: UUID | None = None

    def __bool__(self) -> bool:
        return bool(self.chosen)

    def __add__(self, newer: "Kept") -> "Kept":
        """Both; of one event the newer, and no more than may be kept: what is oldest goes."""
        if not newer:
            return self
        older = {event: numbers for event, numbers in self.chosen.items() if event not in newer.chosen}
        chosen: dict[UUID, Numbers] = {}
        room = MOST_LINES
        for event, numbers in islice(reversed([*older.items(), *newer.chosen.items()]), MOST_EVENTS):
            if len(numbers) > room:
                break
            chosen[event], room = numbers, room - len(numbers)
        return Kept(dict(reversed(chosen.items())), newer.pays)

    def dump(self) -> str:
        """As a text; empty where nothing is kept."""
        if not self:
            return ""
        chosen = [
            [event.hex, {kind.hex: number for kind, number in numbers.items()}]
            for event, numbers in self.chosen.items()
        ]
        pays = self.pays.hex if self.pays else ""
        return json.dumps({"chosen": chosen, "pays": pays}, separators=(",", ":"))


def read(text: str) -> Kept:
    """What `dump` wrote."""
    if not text:
        return Kept()
    plain = json.loads(text)
    chosen = {
        UUID(event): {UUID(kind): number for kind, number in numbers.items()}
        for event, numbers in plain["chosen"]
    }
    return Kept(chosen, UUID(plain["pays"]) if plain["pays"] else None)
