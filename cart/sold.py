"""What was sold, read from an order's lines and never from today's catalogue (spec: L6). For pages, mails, evidence."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from cart.models import OrderLine
from shared.contracts.dtos import Occasion, SoldDTO, TicketDTO
from shared.money import to_major


def sold_items(lines: Iterable[OrderLine], currency: str) -> dict[UUID, SoldDTO]:
    """Each item of these lines as it was called, priced and dated when its order was placed."""
    return {item: sold_as(line, currency) for line in lines for item in line.item_ids}


def sold_as(line: OrderLine, currency: str) -> SoldDTO:
    """A line as the facts about each of its items."""
    return SoldDTO(line.name, line.detail, to_major(line.unit_amount, currency), currency, occasion_of(line))


def occasion_of(line: OrderLine) -> Occasion | None:
    """When and where it was sold for; None for what has no time, such as a product."""
    if line.starts_at is None or line.ends_at is None:
        return None
    return Occasion(line.starts_at, line.ends_at, line.time_zone or "UTC", line.place or "")


def as_sold(tickets: Sequence[TicketDTO], lines: Iterable[OrderLine], currency: str) -> list[TicketDTO]:
    """The tickets of an order with what its lines say of them; one that is on no line stays as it is."""
    sold = sold_items(lines, currency)
    return [ticket.as_sold(sold[ticket.id]) if ticket.id in sold else ticket for ticket in tickets]
