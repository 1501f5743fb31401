"""The numbers a buyer enters on an event's page: read and checked. Used by routes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from events.pending import check_number, is_short
from events.views import EntryView, stand_of_type
from shared.contracts.protocols import SoldOut
from shared.errors import AppError, Conflict
from shared.ids import parse_id

PREFIX = "quantity-"
NOT_A_NUMBER = "Enter a whole number, such as 2."
NOTHING_CHOSEN = "Choose at least one ticket."
OF_ANOTHER_EVENT = "That ticket does not belong to this event. Please choose again."


@dataclass
class Choice:
    """What was entered and what is wrong with it. `numbers` holds only what was chosen: more than zero."""

    typed: dict[UUID, str] = field(default_factory=dict)
    numbers: dict[UUID, int] = field(default_factory=dict)
    errors: dict[UUID, str] = field(default_factory=dict)
    """What is wrong, at its field."""
    problem: str = ""
    """What is wrong with the whole form."""
    status: int = 200

    @property
    def is_wrong(self) -> bool:
        """Whether the buyer has to choose again."""
        return self.status != 200

    def refuse(self, type_id: UUID, error: AppError) -> None:
        """Note at a type's field why its number cannot be."""
        self.errors[type_id] = short_message(error)
        self.status = error.status if self.status == 200 else self.status

    def reject(self, problem: str) -> None:
        """Note what is wrong with the whole form."""
        self.problem, self.status = problem, 422


def short_message(error: AppError) -> str:
    """An error as it reads at a field, beside the ticket's name."""
    if isinstance(error, SoldOut):
        left, yours = error.lines[0].left, error.lines[0].yours
        if yours:
            return f"{yours} {'is' if yours == 1 else 'are'} held for you already, and {left or 'no'} more can be had."
        return (
            f"Only {left} left."
            if left
            else "Sold out. It may become available if another buyer does not pay."
        )
    return error.message


def read_choice(form: Mapping[str, str], entry: EntryView) -> Choice:
    """Read the form's `quantity-<ticket type>` fields; an empty one means none."""
    choice, known = Choice(), {kind.offer.ticket_type_id for kind in entry.types}
    for name, value in form.items():
        if not name.startswith(PREFIX):
            continue
        type_id, text = parse_id(name.removeprefix(PREFIX)), value.strip()
        if type_id is None or type_id not in known:
            choice.reject(OF_ANOTHER_EVENT)
            continue
        choice.typed[type_id] = text[:12]
        if not re.fullmatch(r"[0-9]{0,9}", text):
            choice.errors[type_id], choice.status = NOT_A_NUMBER, 422
        elif int(text or 0):
            choice.numbers[type_id] = int(text)
    if not choice.numbers and not choice.is_wrong:
        choice.reject(NOTHING_CHOSEN)
    return choice


def check_choice(choice: Choice, entry: EntryView, *, now: datetime) -> None:
    """Hold a visitor's choice against the page they saw; what the cart holds already is not known yet."""
    for kind in entry.types:
        number, stand = choice.numbers.get(kind.offer.ticket_type_id), stand_of_type(entry, kind, now)
        if number is None:
            continue
        try:
            check_number(kind.offer, number, now=now)
        except AppError as error:
            choice.refuse(kind.offer.ticket_type_id, error)
        else:
            if is_short(kind.offer, number) and not stand.releasable:
                left = kind.offer.left
                message = f"Only {left} left." if left else "Sold out."
                choice.refuse(kind.offer.ticket_type_id, Conflict(message))
