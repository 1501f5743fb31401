"""A buyer's orders as they look for them: by event and date, what comes next first. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from uuid import UUID

from cart.models import Order
from cart.orders import by_deadline
from shared.contracts.dtos import TicketDTO
from shared.contracts.states import OrderState


@dataclass(frozen=True, slots=True)
class Alike:
    """Tickets of one type and order that are worth the same at the door: "2 × Parquet"."""

    order: Order
    tickets: tuple[TicketDTO, ...]

    @property
    def first(self) -> TicketDTO:
        """All they have in common; its page leads to the others'."""
        return self.tickets[0]


@dataclass(frozen=True, slots=True)
class Evening:
    """An event somebody has tickets of."""

    parts: tuple[Alike, ...]

    @property
    def event(self) -> TicketDTO:
        """Any of its tickets: title, place and time are the event's."""
        return self.parts[0].first


@dataclass(frozen=True, slots=True)
class Filed:
    """All orders of a buyer, each ticket once."""

    unpaid: tuple[Order, ...]
    """The one whose hold ends first is the first."""
    coming: tuple[Evening, ...]
    past: tuple[Evening, ...]
    """The last one first."""
    without_tickets: tuple[Order, ...]


def filed(orders: Sequence[Order], tickets: Mapping[UUID, Sequence[TicketDTO]], *, now: datetime) -> Filed:
    """File what `orders` hold by event."""
    unpaid = [order for order in orders if order.state == OrderState.PENDING]
    others = [order for order in orders if order.state != OrderState.PENDING]
    evenings = _evenings([part for order in others for part in _alike(order, tickets[order.id])])
    return Filed(
        unpaid=tuple(by_deadline(unpaid)),
        coming=tuple(one for one in evenings if one.event.ends_at > now),
        past=tuple(one for one in reversed(evenings) if one.event.ends_at <= now),
        without_tickets=tuple(order for order in others if not tickets[order.id]),
    )


def _alike(order: Order, tickets: Sequence[TicketDTO]) -> list[Alike]:
    groups: dict[tuple[object, ...], list[TicketDTO]] = {}
    for ticket in tickets:
        worth = (ticket.entry_id, ticket.ticket_type_name, ticket.state, ticket.blocked)
        groups.setdefault(worth, []).append(ticket)
    return [Alike(order, tuple(group)) for group in groups.values()]


def _evenings(parts: list[Alike]) -> list[Evening]:
    def place(part: Alike) -> tuple[datetime, UUID]:
        return part.first.starts_at, part.first.entry_id

    return [Evening(tuple(same)) for _, same in groupby(sorted(parts, key=place), key=place)]
