"""The organizer's pages of events: only their own, with numbers that are right."""

from datetime import timedelta

import pytest

from events.models import Ticket
from shared.clock import ManualClock
from shared.contracts.states import EntryState, PageRole, TicketState
from shared.database import Sessions
from shared.ids import new_door_code, new_id
from shared.web import Tillgate
from tests import event_rows
from tests.support import browser, signed_in_client

NUMBERS = {
    TicketState.PENDING: 31,
    TicketState.RESERVED: 32,
    TicketState.CONFIRMED: 33,
    TicketState.CHECKED_IN: 34,
    TicketState.REMOVED: 35,
    TicketState.CANCELLED: 36,
}


async def test_no_pages(app: Tillgate) -> None:
    """A clear empty state."""
    client = await signed_in_client(app)
    body = await (await client.get("/organizer")).get_data(as_text=True)
    assert "You do not sell on any page yet" in body


async def test_visitors_sign_in_first(app: Tillgate) -> None:
    """spec: D10"""
    for path in ("/organizer", "/organizer/hall"):
        answer = await browser(app).get(path)
        assert answer.status_code == 303
        assert answer.headers["Location"].startswith("/sign-in?next=%2Forganizer")


@pytest.mark.parametrize(("role", "sees"), [("owner", True), ("staff", True), ("door", False), (None, False)])
async def test_only_own_pages(app: Tillgate, sessions: Sessions, role: str | None, sees: bool) -> None:
    """spec: A5; anything else is 404, as if it were not there."""
    client = await signed_in_client(app)
    async with sessions.begin() as session:
        page = await event_rows.add_page(session, "hall")
        if role is not None:
            await event_rows.add_member(session, page, client.user_id, PageRole(role))
    assert (await client.get("/organizer/hall")).status_code == (200 if sees else 404)
    assert (await client.get("/organizer/nothing")).status_code == 404
    body = await (await client.get("/organizer")).get_data(as_text=True)
    assert ("/organizer/hall" in body) is sees


async def test_numbers_of_an_entry(app: Tillgate, sessions: Sessions, clock: ManualClock) -> None:
    """Capacity, in carts, reserved, confirmed, checked in; drafts too; removed and cancelled tickets count nowhere."""
    client = await signed_in_client(app)
    async with sessions.begin() as session:
        page = await event_rows.add_page(session, "hall")
        await event_rows.add_member(session, page, client.user_id, PageRole.OWNER)
        starts_at = clock.now() + timedelta(days=1)
        entry = await event_rows.add_entry(session, page, "concert", starts_at=starts_at, capacity=777)
        await event_rows.add_entry(session, page, "later", starts_at=starts_at, state=EntryState.DRAFT)
        kind = await event_rows.add_type(session, entry)
        for state, number in NUMBERS.items():
            for _ in range(number):
                session.add(
                    Ticket(
                        ticket_type_id=kind.id,
                        entry_id=entry.id,
                        page_id=page.id,
                        user_id=client.user_id,
                        state=state,
                        order_id=new_id(),
                        code=new_door_code(),
                    )
                )
    body = await (await client.get("/organizer/hall")).get_data(as_text=True)
    row = body.split("Concert")[1].split("</tr>")[0]
    cells = [cell.split("</td>")[0] for cell in row.split('<td class="num">')[1:]]
    assert cells == ["777", "31", "32", "33", "34", "€0.00", "€0.00"]
    assert "Later" in body
    assert "No limit" in body


@pytest.mark.parametrize(
    ("of_entry", "of_types", "shown"),
    [
        (None, [], "No limit"),
        (None, [5, None], "No limit"),
        (None, [5, 6], "11"),
        (8, [5, 6], "8"),
        (80, [5, 6], "11"),
        (8, [None, 6], "8"),
    ],
)
async def test_capacity_of_an_entry(
    app: Tillgate,
    sessions: Sessions,
    clock: ManualClock,
    of_entry: int | None,
    of_types: list[int | None],
    shown: str,
) -> None:
    """spec: B3: on the entry, on the types, on both, or on neither."""
    client = await signed_in_client(app)
    async with sessions.begin() as session:
        page = await event_rows.add_page(session, "hall")
        await event_rows.add_member(session, page, client.user_id, PageRole.OWNER)
        starts_at = clock.now() + timedelta(days=1)
        entry = await event_rows.add_entry(session, page, "concert", starts_at=starts_at, capacity=of_entry)
        for capacity in of_types:
            await event_rows.add_type(session, entry, capacity=capacity)
    body = await (await client.get("/organizer/hall")).get_data(as_text=True)
    assert body.split('<td class="num">')[1].split("</td>")[0] == shown


async def test_page_without_entries(app: Tillgate, sessions: Sessions) -> None:
    """A clear empty state."""
    client = await signed_in_client(app)
    async with sessions.begin() as session:
        page = await event_rows.add_page(session, "hall")
        await event_rows.add_member(session, page, client.user_id, PageRole.STAFF)
    assert "No entries yet" in await (await client.get("/organizer/hall")).get_data(as_text=True)
