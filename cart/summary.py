"""A user's cart as lines and groups by page; pure functions over what the catalogue rooms hand over."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from uuid import UUID

from cart.quote import fingerprint
from shared.contracts.dtos import CartGroupDTO, CartLineDTO, CartSummaryDTO, PageDTO, TicketDTO


def summary_of_tickets(tickets: Sequence[TicketDTO]) -> CartSummaryDTO:
    """A cart of these pending tickets, which come sorted by page, start, type and id (spec: B6, B10)."""
    return summarise(ticket_lines(tickets), pages_of(tickets))


def pages_of(tickets: Iterable[TicketDTO]) -> dict[UUID, PageDTO]:
    """The pages that sell these tickets, in the order of the tickets."""
    return {ticket.page_id: ticket.page for ticket in tickets}


def ticket_lines(tickets: Sequence[TicketDTO]) -> list[CartLineDTO]:
    """Pending tickets as lines, one per type; the tickets come sorted by page, start and type (spec: B6)."""
    return [
        _ticket_line(list(same)) for _, same in groupby(tickets, key=lambda ticket: ticket.ticket_type_id)
    ]


def _ticket_line(tickets: list[TicketDTO]) -> CartLineDTO:
    first = tickets[0]
    return CartLineDTO(
        kind="ticket",
        page_id=first.page_id,
        ref_id=first.ticket_type_id,
        entry_id=first.entry_id,
        item_ids=tuple(ticket.id for ticket in tickets),
        name=first.entry_title,
        detail=first.ticket_type_name,
        starts_at=first.starts_at,
        ends_at=first.ends_at,
        time_zone=first.time_zone,
        place=first.place,
        href=f"/p/{first.page_slug}/{first.entry_slug}",
        unit_cost=first.cost,
        currency=first.currency,
        hold_minutes=first.hold_minutes,
        entry_cancelled=first.entry_cancelled,
        max_quantity=first.max_per_order,
    )


def summarise(lines: Iterable[CartLineDTO], pages: Mapping[UUID, PageDTO]) -> CartSummaryDTO:
    """Group lines by page (by page name) and total them per currency."""
    by_page: dict[UUID, list[CartLineDTO]] = defaultdict(list)
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for line in lines:
        by_page[line.page_id].append(line)
        totals[line.currency] += line.total
    groups = [CartGroupDTO(pages[page_id], tuple(lines)) for page_id, lines in by_page.items()]
    groups.sort(key=lambda group: (group.page.name, group.page.id))
    seen = fingerprint([line for group in groups for line in group.lines])
    return CartSummaryDTO(groups=tuple(groups), totals=dict(totals), fingerprint=seen)


def of_page(summary: CartSummaryDTO, page_id: UUID | None) -> CartSummaryDTO:
    """The part of a cart that belongs to one page; the whole cart for None."""
    if page_id is None:
        return summary
    groups = [group for group in summary.groups if group.page.id == page_id]
    return summarise(
        [line for group in groups for line in group.lines], {group.page.id: group.page for group in groups}
    )
