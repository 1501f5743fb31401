"""How many more tickets of an event its visitor may have, said before the form is sent. Used by routes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from events.offers import Offer, read_mine
from events.views import EntryView, Stand
from shared.contracts.sale_rules import Mine


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one person has of an event; nothing for whoever is not signed in."""

    mine: Mapping[UUID, Mine] = field(default_factory=dict)
    of_entry: str = ""
    """What is to be said of the event as a whole."""

    def words(self, offer: Offer) -> str:
        """What is to be said of a type; '' where nobody is limited, or the order's own limit says it."""
        mine = self._of(offer)
        if offer.max_per_user is None and not mine.all_of_type:
            return ""
        return _words(offer.limits.largest_of_type, mine.all_of_type, "of these")

    def stand(self, offer: Offer, stand: Stand) -> Stand:
        """How the sale of a type stands for this person."""
        more = offer.limits.more(self._of(offer))
        if more is None or not stand.can_choose:
            return stand
        if more < offer.min_per_order:
            return replace(stand, kind="all_yours")
        return replace(stand, most=min(stand.most, more))

    def _of(self, offer: Offer) -> Mine:
        return self.mine.get(offer.ticket_type_id, Mine())


async def read_allowance(session: AsyncSession, entry: EntryView, user_id: UUID | None) -> Allowance:
    """One statement, for who is signed in and only where the event limits what one person may have."""
    if not entry.types:
        return Allowance()
    limits = [kind.offer.limits for kind in entry.types]
    limited = any(limit.largest_of_type is not None or limit.of_entry is not None for limit in limits)
    mine = await read_mine(session, entry.id, user_id=user_id) if user_id and limited else {}
    has = max((one.all_of_entry for one in mine.values()), default=0)
    return Allowance(mine, _words(limits[0].of_entry, has, "tickets of this event"))


def _words(largest: int | None, has: int, what: str) -> str:
    if largest is None:
        return ""
    more = max(0, largest - has)
    if not has:
        return f"At most {largest} {what} for each person."
    what = what.replace("tickets", "ticket") if has == 1 else what
    if not more:
        return f"You have {has} {what} already: the most for each person."
    return f"You have {has} {what} already, {more} more {'is' if more == 1 else 'are'} possible."
