"""What the visitor of an event's page holds of it already, by orders that are not paid yet. Used by routes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from events.views import EntryView
from shared.contracts.dtos import HoldDTO


@dataclass(frozen=True, slots=True)
class OwnHold:
    """An order with tickets of this event. `what`: 2 × Standard and 1 × Balcony."""

    hold: HoldDTO
    what: str

    def kind(self, now: datetime) -> str:
        """held | over | on_its_way: whether its clock runs, has run out, or money is on its way."""
        if self.hold.reserved_until is None:
            return "on_its_way"
        return "held" if self.hold.reserved_until > now else "over"


def of_entry(entry: EntryView, holds: Sequence[HoldDTO]) -> list[OwnHold]:
    """The holds that have tickets of this event."""
    names = {kind.offer.ticket_type_id: kind.offer.name for kind in entry.types}
    own = []
    for hold in holds:
        parts = [
            f"{hold.quantities[type_id]} × {name}"
            for type_id, name in names.items()
            if type_id in hold.quantities
        ]
        if parts:
            own.append(OwnHold(hold, " and ".join(parts)))
    return own


def numbers(entry: EntryView, holds: Sequence[HoldDTO], now: datetime) -> dict[UUID, int]:
    """How many of each of the event's ticket types are held and not over; types without are absent."""
    holding = [hold for hold in holds if hold.reserved_until is None or hold.reserved_until > now]
    kinds = (kind.offer.ticket_type_id for kind in entry.types)
    held = {type_id: sum(hold.quantities.get(type_id, 0) for hold in holding) for type_id in kinds}
    return {type_id: number for type_id, number in held.items() if number}
