"""What the public pages show of a page, an entry and its ticket types, and how a sale stands. Read by catalogue."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from events.offers import Offer, SaleState
from shared.contracts.states import EntryState

FEW = 10  # from here on a buyer is told how many are left


@dataclass(frozen=True, slots=True)
class PageView:
    """An organizer's page, as its visitors see it."""

    id: UUID
    slug: str
    name: str
    text: str
    currency: str
    time_zone: str
    accent: str
    payments_stopped: bool = False
    """Nothing that costs money can be bought at the moment."""


@dataclass(frozen=True, slots=True)
class TypeView:
    """A ticket type on the entry's page. `next_lapse_at`: when the first hold on it ends, if any is held."""

    offer: Offer
    text: str
    next_lapse_at: datetime | None


@dataclass(frozen=True, slots=True)
class EntryView:
    """An event with its page and ticket types."""

    page: PageView
    types: tuple[TypeView, ...]
    id: UUID
    slug: str
    title: str
    text: str
    place: str
    picture: str
    starts_at: datetime
    ends_at: datetime
    state: str

    @property
    def href(self) -> str:
        """Its address."""
        return f"/p/{self.page.slug}/{self.slug}"

    @property
    def prices(self) -> list[int]:
        """The different prices in minor units, lowest first; empty where nothing has a price."""
        return sorted({kind.offer.price for kind in self.types if kind.offer.price is not None})


@dataclass(frozen=True, slots=True)
class Stand:
    """How the sale of a type or of an entry stands.

    `kind`: on_sale | few_left | may_come_free | sold_out | not_yet | over | closed, and of an entry draft | cancelled |
    past. `releasable`: a hold on the entry
    has lapsed, and whoever claims next releases it; so it can be chosen although none is left.
    """

    kind: str
    left: int | None = None
    opens_at: datetime | None = None
    releasable: bool = False
    most: int = 0
    """The largest number that makes sense in the form of a type."""

    @property
    def can_choose(self) -> bool:
        """Whether a number can be entered."""
        return self.kind in ("on_sale", "few_left") or (self.kind == "may_come_free" and self.releasable)


def stand_of_type(entry: EntryView, kind: TypeView, now: datetime) -> Stand:
    """How the sale of one type stands."""
    state = kind.offer.sale_state(now)
    if entry.page.payments_stopped and kind.offer.price:
        return Stand("closed")
    if state is not SaleState.ON_SALE:
        return Stand(state.value, opens_at=kind.offer.sale_starts_at)
    lapses = [other.next_lapse_at for other in entry.types if other.next_lapse_at is not None]
    releasable = any(at < now for at in lapses)
    left, most = kind.offer.left, kind.offer.max_per_order
    if left is not None and not releasable:
        most = min(most, left)
    if left == 0:
        return Stand("may_come_free" if lapses else "sold_out", 0, releasable=releasable, most=most)
    few = left is not None and left <= FEW and left < max(FEW, _places(kind.offer))
    return Stand("few_left" if few else "on_sale", left, releasable=releasable, most=most)


def _places(offer: Offer) -> int:
    """How many places there are in all: "10 left" of 10 is no reason to hurry."""
    return min(places for places in (offer.capacity, offer.entry_capacity) if places is not None)


def stand_of_entry(entry: EntryView, now: datetime) -> Stand:
    """How an entry stands, for shop and office alike: the best of its types, their numbers together."""
    if entry.state != EntryState.CONFIRMED:
        return Stand(entry.state)
    if now >= entry.ends_at:
        return Stand("past")
    stands = [stand_of_type(entry, kind, now) for kind in entry.types]
    for kind in ("on_sale", "few_left", "may_come_free", "sold_out", "not_yet", "over"):
        alike = [stand for stand in stands if stand.kind == kind]
        if alike:
            opens = [stand.opens_at for stand in alike if stand.opens_at is not None]
            return Stand(kind, left_in_all(entry, alike), min(opens, default=None))
    return Stand("closed")


def left_in_all(entry: EntryView, stands: Iterable[Stand]) -> int | None:
    """How many are left over several types, within what their entry has left; None = unlimited."""
    numbers = [stand.left for stand in stands]
    together = None if None in numbers else sum(number for number in numbers if number is not None)
    offer = entry.types[0].offer
    if offer.entry_capacity is None:
        return together
    in_entry = max(0, offer.entry_capacity - offer.entry_allocated)
    return in_entry if together is None else min(together, in_entry)
