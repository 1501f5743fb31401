"""Who lets holds on an event end unpaid again and again waits before the next one (spec: L2). Used by checkout.py.

Twice a day is anybody's change of mind or empty battery, and costs nothing. After that the wait grows: a loop that
takes, lets lapse and takes again holds an event's places for a part of the time only; others get them in between.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cart.models import Order, OrderLine
from shared.errors import Conflict

REMEMBERED = timedelta(days=1)
WAITS = (timedelta(0), timedelta(0), timedelta(0), *(timedelta(minutes=wait) for wait in (2, 5, 15, 60, 240)))
"""After so many holds of the last day that ended unpaid: thrice none, 2 minutes, 5, 15, an hour, then always four."""


class HoldTooSoon(Conflict):
    """You have let reservations for this event end without paying. Please wait a little before the next one."""

    code = "HOLD_TOO_SOON"


def next_hold_at(ended: Sequence[datetime]) -> datetime | None:
    """From when (UTC) a person may hold places of an event again; None: at once. `ended`: their unpaid holds' ends."""
    wait = WAITS[min(len(ended), len(WAITS) - 1)]
    return max(ended) + wait if wait else None


async def refuse_too_soon(
    session: AsyncSession, ended: Collection[Order], wanted: Mapping[UUID, str], *, now: datetime
) -> None:
    """Raise HoldTooSoon for an event whose holds this person let end too often; a statement only for who did.

    `ended`: their orders of the last day that ended unpaid; `wanted`: titles of the events in the cart, by id.
    """
    if not next_hold_at([now] * len(ended)):
        return
    closed = {order.id: order.closed_at for order in ended if order.closed_at is not None}
    rows = await session.execute(
        select(OrderLine.entry_id, OrderLine.order_id)
        .distinct()
        .where(OrderLine.order_id.in_(closed), OrderLine.entry_id.in_(wanted))
    )
    ends: dict[UUID, list[datetime]] = {}
    for entry_id, order_id in rows:
        assert entry_id is not None, "it is one of those wanted"
        ends.setdefault(entry_id, []).append(closed[order_id])
    for entry_id, moments in ends.items():
        again_at = next_hold_at(moments)
        if again_at is not None and now < again_at:
            raise HoldTooSoon(_words(wanted[entry_id], len(moments), again_at - now))


def _words(title: str, times: int, left: timedelta) -> str:
    minutes = max(1, round(left / timedelta(minutes=1)))
    return (
        f"{title}: you have reserved tickets {times} times in the last 24 hours without paying for them. "
        f"You can reserve again in {minutes} minute{'' if minutes == 1 else 's'}; what is in your cart stays there."
    )
