"""Tickets of an order by their number in it, for the office's forms: a ticket's id is its public address, a secret.

The lines of an order never change, so neither does a number.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

from cart.models import OrderLine
from cart.orders import item_ids


def numbers_of(lines: Sequence[OrderLine]) -> dict[UUID, int]:
    """The number of each ticket, from 1; `lines`: all of the order's, in their order."""
    return {item: number for number, item in enumerate(item_ids(lines), 1)}


def by_number(lines: Sequence[OrderLine], texts: Iterable[str]) -> list[UUID]:
    """The tickets that a form names; what is no number of this order is left out."""
    known = {str(number): item for item, number in numbers_of(lines).items()}
    return [known[text] for text in dict.fromkeys(texts) if text in known]
