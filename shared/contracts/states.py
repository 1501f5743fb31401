"""States seen across the boundary and their one table of transitions; SQL guards take their sources from here."""

from enum import StrEnum


class TicketState(StrEnum):
    """The life of a ticket. Only `reserved`, `confirmed` and `checked_in` hold stock."""

    PENDING = "pending"
    RESERVED = "reserved"
    CONFIRMED = "confirmed"
    CHECKED_IN = "checked_in"
    REMOVED = "removed"
    CANCELLED = "cancelled"


class OrderState(StrEnum):
    """The life of an order. `processing`: complete at Stripe, money on its way."""

    PENDING = "pending"
    PROCESSING = "processing"
    PAID = "paid"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class OrderStanding(StrEnum):
    """What became of the money of an order that was paid: said instead of "paid". Never stored."""

    DISPUTED = "disputed"
    DISPUTE_LOST = "dispute_lost"
    REFUNDED = "refunded"
    PARTLY_REFUNDED = "partly_refunded"
    GIVEN_BACK = "given_back"
    """Its tickets are cancelled, and there was nothing to refund."""


class EntryState(StrEnum):
    """Only confirmed entries sell; the pool of any other is closed."""

    DRAFT = "draft"
    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"


class PageRole(StrEnum):
    """What a user may do on a page: the owner everything, staff the sales, door the check-in."""

    OWNER = "owner"
    STAFF = "staff"
    DOOR = "door"


SELLING_ROLES = (PageRole.OWNER, PageRole.STAFF)
"""Those who see a page's sales and hear of what needs a decision."""

TICKET_TRANSITIONS: dict[TicketState, frozenset[TicketState]] = {
    TicketState.PENDING: frozenset({TicketState.RESERVED, TicketState.REMOVED}),
    TicketState.RESERVED: frozenset({TicketState.CONFIRMED, TicketState.PENDING, TicketState.CANCELLED}),
    TicketState.CONFIRMED: frozenset({TicketState.CHECKED_IN, TicketState.CANCELLED}),
    TicketState.CHECKED_IN: frozenset({TicketState.CONFIRMED, TicketState.CANCELLED}),
    TicketState.REMOVED: frozenset(),
    TicketState.CANCELLED: frozenset(),
}

ORDER_TRANSITIONS: dict[OrderState, frozenset[OrderState]] = {
    OrderState.PENDING: frozenset(
        {OrderState.PROCESSING, OrderState.PAID, OrderState.EXPIRED, OrderState.CANCELLED}
    ),
    OrderState.PROCESSING: frozenset({OrderState.PAID, OrderState.FAILED}),
    OrderState.EXPIRED: frozenset({OrderState.PAID}),
    OrderState.PAID: frozenset(),
    OrderState.FAILED: frozenset(),
    OrderState.CANCELLED: frozenset(),
}

STOCK_STATES: frozenset[TicketState] = frozenset(
    {TicketState.RESERVED, TicketState.CONFIRMED, TicketState.CHECKED_IN}
)

OPENING_STATES = (TicketState.CONFIRMED, TicketState.CHECKED_IN)
"""Paid for and not given back: the door code exists."""


def sources_of(target: TicketState) -> tuple[TicketState, ...]:
    """The ticket states from which `target` may be reached; for `UPDATE … WHERE state IN (…)`."""
    return tuple(source for source, targets in TICKET_TRANSITIONS.items() if target in targets)


def order_sources_of(target: OrderState) -> tuple[OrderState, ...]:
    """The order states from which `target` may be reached."""
    return tuple(source for source, targets in ORDER_TRANSITIONS.items() if target in targets)
