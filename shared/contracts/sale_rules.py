"""Rules of selling that the SQL service and the stub share: pure, on numbers (spec: B3, L2)."""

from dataclasses import dataclass

from shared.contracts.dtos import SoldOutLine


def runs_short(capacity: int | None, allocated: int) -> bool:
    """Whether less than a tenth is left: then no hold is extended, since others wait for what it may give back."""
    return capacity is not None and (capacity - allocated) * 10 < capacity


@dataclass(frozen=True, slots=True)
class Mine:
    """What a buyer has of an event already, whatever order it is in; what is in the cart does not count."""

    held_of_type: int = 0
    """Reserved, and not paid for yet: by an unfinished checkout, or by money on its way."""
    all_of_type: int = 0
    """Those, and what is theirs for good."""
    all_of_entry: int = 0


@dataclass(frozen=True, slots=True)
class PersonalLimits:
    """How many tickets one person may have; None = no limit of its own."""

    of_type: int | None
    of_entry: int | None
    per_order: int
    """Also how many may wait for payment at a time, and how many free ones a person may have, without a limit above."""
    is_free: bool

    @property
    def largest_of_type(self) -> int | None:
        """How many of the type a person may have over all orders."""
        return self.of_type if self.of_type is not None or not self.is_free else self.per_order

    def more(self, mine: Mine) -> int | None:
        """How many more of the type they may have, by its own limit and by the event's."""
        rooms = [
            largest - has
            for largest, has in (
                (self.largest_of_type, mine.all_of_type),
                (self.of_entry, mine.all_of_entry),
            )
            if largest is not None
        ]
        return max(0, min(rooms)) if rooms else None

    def refusal(self, mine: Mine, *, of_type: int, of_entry: int) -> str:
        """Why a buyer can't have so many more of a type, and of its event, in words; '' where they can.

        Counted over all orders of a person: a limit on each order is none, since the next order begins anew.
        """
        largest = self.largest_of_type
        if largest is not None and mine.all_of_type + of_type > largest:
            return f"At most {largest} of these for each person; {_has(mine.all_of_type)}."
        if self.of_entry is not None and mine.all_of_entry + of_entry > self.of_entry:
            return (
                f"At most {self.of_entry} tickets of this event for each person; {_has(mine.all_of_entry)}"
                f" and chose {of_entry} of all its types."
            )
        if mine.held_of_type + of_type > self.per_order:
            return (
                f"At most {self.per_order} of these can wait for payment at a time, and {mine.held_of_type} "
                f"{'does' if mine.held_of_type == 1 else 'do'}. Pay for those first, or end that checkout."
            )
        return ""


def _has(number: int) -> str:
    return f"you have {number} already" if number else "you have none yet"


def describe_shortage(line: SoldOutLine) -> str:
    """One sentence for the buyer about a line that could not be claimed."""
    name = f"{line.entry_title}, {line.ticket_type_name}"
    if line.closed:
        return f"{name}: no longer on sale."
    if line.yours:
        held = (
            f"{line.yours} {'is' if line.yours == 1 else 'are'} held for you by an unfinished order of yours"
        )
        return f"{name}: {held}, and {line.left or 'no'} more can be had."
    if line.left <= 0:
        return f"{name}: sold out. It may come free again if another buyer does not pay."
    return f"{name}: only {line.left} left, you chose {line.wanted}."
