"""Frozen data that crosses the boundary between events and cart. Costs are Decimal major units with their currency."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from shared.contracts.states import OPENING_STATES, OrderState, TicketState


@dataclass(frozen=True, slots=True)
class PageDTO:
    """An organizer's shop, as the cart needs it."""

    id: UUID
    slug: str
    name: str
    currency: str
    time_zone: str
    hold_minutes: int
    stripe_account: str
    """'' = the platform's own account."""
    delayed_methods: bool
    accent: str
    """CSS colour such as #7a3b12, already checked for AA contrast."""
    refund_hours: int | None = None
    """A buyer may give paid tickets back until so many hours before the start; None = only the organizer refunds."""
    payments_stopped: bool = False
    """Whether its Stripe account may not charge at the moment: nothing that costs money is sold."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """When (UTC) and where something takes place, and the zone that its times are shown in."""

    starts_at: datetime
    ends_at: datetime
    time_zone: str
    place: str


@dataclass(frozen=True, slots=True)
class SoldDTO:
    """What an order's line says of each of its items: what was sold, whatever the catalogue says by now (spec: L6)."""

    name: str
    detail: str
    unit_cost: Decimal
    currency: str
    occasion: Occasion | None


@dataclass(frozen=True, slots=True)
class TicketDTO:
    """One ticket. `cost` is the ticket type's cost, else the entry's ticket price (spec: B4).

    Of one that was sold the catalogue knows no price any more: `as_sold` takes it from the order.
    """

    id: UUID
    entry_id: UUID
    ticket_type_id: UUID
    page: PageDTO
    user_id: UUID
    cost: Decimal
    calendar_container_id: UUID
    calendar_container_type: str
    code: str | None
    """The door code; None until the ticket is confirmed."""
    entry_title: str
    entry_slug: str
    ticket_type_name: str
    place: str
    starts_at: datetime
    ends_at: datetime
    state: TicketState
    order_id: UUID | None
    reserved_until: datetime | None
    hold_minutes: int
    """How long a claim of this ticket holds stock: its type's, else its page's (spec: H10)."""
    entry_cancelled: bool = False
    """The event does not take place: the ticket can't be bought, and opens no door."""
    blocked: bool = False
    """A dispute has withdrawn the money: the state stays underneath, the door stays shut (spec: H4)."""
    confirmed_at: datetime | None = None
    checked_in_at: datetime | None = None
    revision: int = 0
    """Of its entry; grows with each change of time, place, title or state (RFC 5546: SEQUENCE)."""
    was: Occasion | None = None
    """When and where it was sold for, where that has changed since."""
    max_per_order: int = 0
    """The type's largest number in one order; 0 where it is not known."""

    def as_sold(self, sold: SoldDTO) -> "TicketDTO":
        """The same ticket as it was called and priced when it was sold; the evening is when it is now (spec: L6)."""
        return replace(
            self,
            page=replace(self.page, currency=sold.currency),
            cost=sold.unit_cost,
            entry_title=sold.name,
            ticket_type_name=sold.detail,
            was=sold.occasion if sold.occasion != self.occasion else None,
        )

    @property
    def occasion(self) -> Occasion:
        """When and where it is good for, as of now."""
        return Occasion(self.starts_at, self.ends_at, self.time_zone, self.place)

    @property
    def opens_door(self) -> bool:
        """Whether it is good for the evening: paid, and neither cancelled, with its event or alone, nor blocked."""
        return self.state in OPENING_STATES and not self.entry_cancelled and not self.blocked

    @property
    def page_id(self) -> UUID:
        """The page that sells it."""
        return self.page.id

    @property
    def page_slug(self) -> str:
        """Its page's address."""
        return self.page.slug

    @property
    def page_name(self) -> str:
        """Who sells it."""
        return self.page.name

    @property
    def currency(self) -> str:
        """Of `cost`: its page's."""
        return self.page.currency

    @property
    def time_zone(self) -> str:
        """IANA name; its times are shown in its page's zone."""
        return self.page.time_zone


@dataclass(frozen=True, slots=True)
class SoldOutLine:
    """A ticket type that could not be claimed, with how many were asked for and how many are left."""

    ticket_type_id: UUID
    entry_title: str
    ticket_type_name: str
    wanted: int
    left: int
    closed: bool
    """The entry does not sell (cancelled, not confirmed, sale window over)."""
    yours: int
    """How many of the places that are missing this very buyer holds by a checkout that is not finished."""


@dataclass(frozen=True, slots=True)
class CartLineDTO:
    """Tickets, bookings or products of one kind and one price, as the cart shows them."""

    kind: str
    """ticket | booking | product"""
    page_id: UUID
    ref_id: UUID
    """Ticket type, slot or product."""
    entry_id: UUID | None
    item_ids: tuple[UUID, ...]
    name: str
    detail: str
    starts_at: datetime | None
    ends_at: datetime | None
    time_zone: str
    place: str
    href: str
    unit_cost: Decimal
    currency: str
    hold_minutes: int
    entry_cancelled: bool = False
    """The event does not take place: the line has to go before its cart can be checked out."""
    max_quantity: int = 0
    """The largest number that one order takes; 0 where it is not known."""

    @property
    def quantity(self) -> int:
        """How many items stand on this line."""
        return len(self.item_ids)

    @property
    def total(self) -> Decimal:
        """Unit cost times quantity, in major units."""
        return self.unit_cost * self.quantity


@dataclass(frozen=True, slots=True)
class CartGroupDTO:
    """The part of a cart that belongs to one page."""

    page: PageDTO
    lines: tuple[CartLineDTO, ...]

    @property
    def can_check_out(self) -> bool:
        """Whether anything here takes place: what was cancelled can only be removed."""
        return any(not line.entry_cancelled for line in self.lines)

    @property
    def ticket_count(self) -> int:
        """Tickets in this group (spec: B11)."""
        return count_of(self.lines, "ticket")

    @property
    def ticket_total(self) -> Decimal:
        """Cost of the tickets in this group, in the page's currency."""
        return sum((line.total for line in self.lines if line.kind == "ticket"), Decimal(0))

    @property
    def total(self) -> Decimal:
        """Cost of the whole group, in the page's currency."""
        return sum((line.total for line in self.lines), Decimal(0))


@dataclass(frozen=True, slots=True)
class CartSummaryDTO:
    """A user's cart: counts and totals per kind (spec: B5), and its groups by page (spec: B11)."""

    groups: tuple[CartGroupDTO, ...] = ()
    totals: dict[str, Decimal] = field(default_factory=dict)
    """Grand total per currency, in major units."""
    fingerprint: str = ""
    """What its checkout form carries: that this very cart was seen."""

    @property
    def lines(self) -> tuple[CartLineDTO, ...]:
        """All lines of all groups."""
        return tuple(line for group in self.groups for line in group.lines)

    @property
    def can_check_out(self) -> bool:
        """Whether anything in the cart takes place: what was cancelled can only be removed."""
        return any(not line.entry_cancelled for line in self.lines)

    @property
    def count(self) -> int:
        """Everything in the cart; the number on the badge."""
        return sum(line.quantity for line in self.lines)

    @property
    def currency(self) -> str | None:
        """The one currency of the cart; None for an empty cart or one with several."""
        return next(iter(self.totals)) if len(self.totals) == 1 else None

    @property
    def total(self) -> Decimal | None:
        """The grand total; None where several currencies make one sum meaningless: read `totals`."""
        return self._sum(None)

    @property
    def ticket_count(self) -> int:
        """Number of tickets."""
        return count_of(self.lines, "ticket")

    @property
    def ticket_total(self) -> Decimal | None:
        """Cost of all tickets; None where the cart holds several currencies."""
        return self._sum("ticket")

    @property
    def booking_count(self) -> int:
        """Number of bookings."""
        return count_of(self.lines, "booking")

    @property
    def booking_total(self) -> Decimal | None:
        """Cost of all bookings; None where the cart holds several currencies."""
        return self._sum("booking")

    @property
    def product_count(self) -> int:
        """Number of products."""
        return count_of(self.lines, "product")

    @property
    def product_total(self) -> Decimal | None:
        """Cost of all products; None where the cart holds several currencies."""
        return self._sum("product")

    def _sum(self, kind: str | None) -> Decimal | None:
        if len(self.totals) > 1:
            return None
        return sum((line.total for line in self.lines if kind in (None, line.kind)), Decimal(0))


def count_of(lines: Iterable[CartLineDTO], kind: str) -> int:
    """How many items of a kind stand on these lines."""
    return sum(line.quantity for line in lines if line.kind == kind)


@dataclass(frozen=True, slots=True)
class EntrySalesDTO:
    """What the cart knows of an entry's money, in minor units of the page's currency."""

    entry_id: UUID
    revenue_minor: int
    """Gross, of paid orders."""
    orders: int
    refunded_minor: int = 0
    """What of that was given back, or is about to be."""
    sold_since: int = 0
    """How many tickets of it were paid for since the moment that was asked for."""


@dataclass(frozen=True, slots=True)
class DecisionDTO:
    """What of an order's money waits for a person of its page: a sentence, and where it is decided."""

    words: str
    order_number: str
    href: str


@dataclass(frozen=True, slots=True)
class CancelCostDTO:
    """What cancelling an entry would cost, in minor units: what goes back to its buyers, and what Stripe keeps."""

    back_minor: int
    """In the page's currency."""
    fees: Mapping[str, int]
    """Of these sales, by the currency in which Stripe took them; the books' own numbers."""
    without_fee: int
    """Orders whose fee Stripe has not told yet."""


@dataclass(frozen=True, slots=True)
class WayOnDTO:
    """Where a buyer goes on, and what they should know there."""

    href: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class HoldDTO:
    """An order that holds stock for its buyer and is not paid yet."""

    order_id: UUID
    href: str
    """Its page, where the buyer goes on."""
    state: OrderState
    """pending, or processing while the money is on its way."""
    reserved_until: datetime | None
    """UTC; None while processing."""
    quantities: Mapping[UUID, int]
    """How many of each ticket type, slot or product."""


@dataclass(frozen=True, slots=True)
class StockDifferenceDTO:
    """A pool whose counter is not the number of tickets that hold a place in it."""

    pool_id: UUID
    name: str
    """The entry, or the entry and its type, that the pool belongs to."""
    page_id: UUID
    allocated: int
    tickets: int


def counts_by_type(ticket_type_ids: Iterable[UUID]) -> dict[UUID, int]:
    """How many tickets of each type, in id order: the order in which pools are locked."""
    return dict(sorted(Counter(ticket_type_ids).items()))
