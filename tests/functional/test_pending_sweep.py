"""Tickets left in carts are tidied."""

from datetime import timedelta

from sqlalchemy import select

from events.models import Ticket
from shared.clock import ManualClock
from shared.database import Sessions
from shared.web import Tillgate
from tests import event_rows


async def test_old_pending_tickets_are_removed(app: Tillgate, sessions: Sessions, clock: ManualClock) -> None:
    """design: pending tickets per user are tidied after 7 days."""
    async with sessions.begin() as session:
        page = await event_rows.add_page(session)
        entry = await event_rows.add_entry(session, page, starts_at=clock.now() + timedelta(days=30))
        kind = await event_rows.add_type(session, entry)
        user = await event_rows.add_user(session)
        for days in (8, 6):
            session.add(
                Ticket(
                    ticket_type_id=kind.id,
                    entry_id=entry.id,
                    page_id=page.id,
                    user_id=user,
                    created_at=clock.now() - timedelta(days=days),
                )
            )
    assert [await app.sweeps["pending_tickets"](clock.now()) for _ in range(2)] == [1, 0]
    async with sessions.begin() as session:
        states = (await session.scalars(select(Ticket.state).order_by(Ticket.created_at))).all()
    assert states == ["removed", "pending"]
