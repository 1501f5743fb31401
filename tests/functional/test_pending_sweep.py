"""Tickets left in carts are tidied."""

from datetime import timedelta

from sqlalchemy import select

from events.models import Ticket
from shared.clock import ManualClock
from shared.database import Sessions
from shared.web import Tillgate
from tests import event_rows
from tests.shop import Shop


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


async def test_removed_tickets_are_deleted(app: Tillgate, sessions: Sessions, clock: ManualClock) -> None:
    """Adding and removing in a loop leaves nothing for ever; what somebody has stays (spec: L5)."""
    async with sessions.begin() as session:
        page = await event_rows.add_page(session)
        entry = await event_rows.add_entry(session, page, starts_at=clock.now() + timedelta(days=30))
        kind = await event_rows.add_type(session, entry)
        user = await event_rows.add_user(session)
        for state, hours in (("removed", 25), ("removed", 23), ("pending", 25), ("cancelled", 25)):
            session.add(
                Ticket(
                    ticket_type_id=kind.id,
                    entry_id=entry.id,
                    page_id=page.id,
                    user_id=user,
                    state=state,
                    created_at=clock.now() - timedelta(hours=hours),
                )
            )
    assert [await app.sweeps["removed_tickets"](clock.now()) for _ in range(2)] == [1, 0]
    async with sessions.begin() as session:
        states = sorted((await session.scalars(select(Ticket.state))).all())
    assert states == ["cancelled", "pending", "removed"]


async def test_a_loop_of_changes_is_slowed(shop: Shop) -> None:
    """Nobody presses a hundred times a minute; one account made 163 rows a second (spec: L5)."""
    kind = await shop.world.sell()
    client = await shop.buyer_with(kind)
    answers = [
        (await client.post("/cart/lines", form={"ref": str(kind), "quantity": str(turn % 2)})).status_code
        for turn in range(125)
    ]
    assert set(answers[:120]) == {303}
    assert set(answers[120:]) == {429}
    shop.clock.advance(minutes=1)
    assert (await client.post("/cart/lines", form={"ref": str(kind), "quantity": "1"})).status_code == 303
