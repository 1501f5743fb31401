"""What is sold while things fall apart: two pages in two currencies, much of it scarce; used by soak.py."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from events.models import Entry, Page
from shared.contracts.states import PageRole
from shared.database import Sessions
from tests import event_rows

ROOM = 1_000_000
SCARCE = 12
OWNER = "owner@town.example"
ANNEX = "acct_1Annex"
"""The Stripe account of the page that has one of its own."""


@dataclass(frozen=True, slots=True)
class Sale:
    """A ticket type: where it is sold, and the name of its field in the form."""

    href: str
    field: str


@dataclass(frozen=True, slots=True)
class Matinee:
    """An event that its organizer will cancel, whoever has bought or is just paying."""

    slug: str
    title: str
    starts_at: datetime
    sale: Sale


@dataclass(slots=True)
class Town:
    """What is on sale now, who works here, and the matinees still to be announced."""

    owner: UUID
    sales: list[Sale]
    coming: list[Matinee]


async def found(sessions: Sessions, *, matinees: int) -> Town:
    """Two pages take euros, one of them on an account of its own, one pounds; holds last a minute.

    One event is too near for a debit; some tickets cost nothing, and of some each person may have two.
    """
    async with sessions.begin() as session:
        hall = await event_rows.add_page(
            session, "hall", hold_minutes=1, delayed_methods=True, refund_hours=24
        )
        club = await event_rows.add_page(
            session, "club", hold_minutes=1, currency="GBP", delayed_methods=True
        )
        annex = await event_rows.add_page(session, "annex", hold_minutes=1, stripe_account=ANNEX)
        owner = await event_rows.add_user(session, OWNER)
        await event_rows.add_member(session, hall, owner, PageRole.OWNER)
        later = datetime.now(UTC) + timedelta(days=30)
        concert = await event_rows.add_entry(session, hall, "concert", starts_at=later, capacity=ROOM)
        recital = await event_rows.add_entry(session, hall, "recital", starts_at=later, capacity=SCARCE)
        soon = datetime.now(UTC) + timedelta(days=3)
        premiere = await event_rows.add_entry(session, hall, "premiere", starts_at=soon, capacity=ROOM)
        reading = await event_rows.add_entry(session, annex, "reading", starts_at=later)
        gig = await event_rows.add_entry(session, club, "gig", starts_at=later)
        sales = [
            await _sale(session, hall, concert, cost=2000),
            await _sale(session, hall, concert, cost=3350),
            await _sale(session, hall, concert, cost=1650, max_per_user=2),
            await _sale(session, hall, premiere, cost=2990),
            await _sale(session, annex, reading, cost=1100),
            await _sale(session, hall, recital, cost=4505),
            await _sale(session, hall, recital, cost=1999, capacity=SCARCE),
            await _sale(session, club, gig, cost=1250),
            await _sale(session, club, gig, cost=799, capacity=SCARCE),
            await _sale(session, club, gig, cost=0, capacity=ROOM),
        ]
        coming = [await _matinee(session, hall, number, later) for number in range(matinees)]
        return Town(owner, sales, coming)


async def _matinee(session: AsyncSession, page: Page, number: int, later: datetime) -> Matinee:
    entry = await event_rows.add_entry(session, page, f"matinee-{number}", starts_at=later, capacity=ROOM)
    return Matinee(entry.slug, entry.title, later, await _sale(session, page, entry, cost=1500))


async def _sale(session: AsyncSession, page: Page, entry: Entry, **values: int) -> Sale:
    kind = await event_rows.add_type(session, entry, **values)  # type: ignore[arg-type]
    return Sale(f"/p/{page.slug}/{entry.slug}", f"quantity-{kind.id}")


async def add_places(sessions: Sessions) -> None:
    """The organizer lets a few more in where all is taken, so that there are always last tickets to fight for."""
    more = "UPDATE pools SET capacity = allocated + 3 WHERE capacity < :room AND allocated >= capacity"
    async with sessions.begin() as session:
        await session.execute(text(more), {"room": ROOM})


_LAPSE = (
    "WITH lapsed AS (UPDATE orders SET reserved_until = now() - interval '1 second'"
    " WHERE id = :id AND state = 'pending' RETURNING id)"
    " UPDATE tickets SET reserved_until = now() - interval '1 second'"
    " WHERE state = 'reserved' AND order_id IN (SELECT id FROM lapsed)"
)
_LATER = (
    "UPDATE orders SET releasing_until = NULL WHERE state = 'pending'",
    "UPDATE checkout_attempts SET created_at = created_at - CAST(:by AS interval) WHERE state IN ('creating', 'open')",
    "UPDATE webhook_events SET received_at = received_at - CAST(:by AS interval) WHERE processed_at IS NULL",
    "UPDATE books_looks SET looked_at = looked_at - CAST(:by AS interval)",
    "UPDATE refunds SET next_try_at = next_try_at - CAST(:by AS interval) WHERE state IN ('due', 'sent')",
    "UPDATE outgoing_mail SET next_try_at = next_try_at - CAST(:by AS interval) WHERE state = 'due'",
)


async def lapse(sessions: Sessions, *, share: float) -> None:
    """The minute of some orders is over, as the clock would have it; one after the other, so that nobody waits long."""
    async with sessions() as session:
        chosen = text("SELECT id FROM orders WHERE state = 'pending' AND random() < :share")
        ids = (await session.scalars(chosen, {"share": share})).all()
    for order_id in ids:
        async with sessions.begin() as session:
            await session.execute(text(_LAPSE), {"id": order_id})


async def pass_time(sessions: Sessions, by: timedelta) -> None:
    """All holds are over, and what waits for a time has waited so much longer."""
    await lapse(sessions, share=1)
    for statement in _LATER:
        async with sessions.begin() as session:
            await session.execute(text(statement), {"by": by} if ":by" in statement else {})
