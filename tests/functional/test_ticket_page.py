"""A ticket's own page and its calendar file."""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote
from uuid import UUID

import pytest

from events.models import Page, Ticket
from events.ticket_code import qr_image
from shared.clock import ManualClock
from shared.contracts.states import TicketState
from shared.database import Sessions
from shared.formats import fours
from shared.ids import new_door_code, new_id
from shared.web import Tillgate
from tests import event_rows
from tests.shop import page_of
from tests.support import browser, signed_in_client


async def add_ticket(sessions: Sessions, clock: ManualClock, state: TicketState, user_id: UUID) -> Ticket:
    held = state in (TicketState.RESERVED, TicketState.CONFIRMED, TicketState.CHECKED_IN)
    paid = state in (TicketState.CONFIRMED, TicketState.CHECKED_IN, TicketState.CANCELLED)
    async with sessions.begin() as session:
        page = await event_rows.add_page(session, "hall", time_zone="Asia/Tokyo")
        starts_at = datetime(2027, 3, 5, 10, 0, tzinfo=UTC)
        entry = await event_rows.add_entry(
            session, page, "long-night", starts_at=starts_at, title="Long; Night, with\\a tail " + "ä" * 60
        )
        kind = await event_rows.add_type(session, entry, "Balcony")
        ticket = Ticket(
            id=new_id(),
            ticket_type_id=kind.id,
            entry_id=entry.id,
            page_id=page.id,
            user_id=user_id,
            state=state,
            order_id=new_id() if held else None,
            reserved_until=clock.now() + timedelta(minutes=5) if state is TicketState.RESERVED else None,
            code=new_door_code() if paid else None,
        )
        session.add(ticket)
    return ticket


@pytest.mark.parametrize("state", list(TicketState))
async def test_who_sees_what(
    app: Tillgate, sessions: Sessions, clock: ManualClock, state: TicketState
) -> None:
    """spec: B7, D10; unpaid tickets for their owner only, the code on confirmed ones only, never stored."""
    owner, stranger, visitor = (
        await signed_in_client(app),
        await signed_in_client(app, "b@c.org"),
        browser(app),
    )
    ticket = await add_ticket(sessions, clock, state, owner.user_id)
    paid = state in (TicketState.CONFIRMED, TicketState.CHECKED_IN)
    public = paid or state is TicketState.CANCELLED
    own = state in (TicketState.PENDING, TicketState.RESERVED)
    for client, sees in ((owner, public or own), (stranger, public), (visitor, public)):
        for path in (f"/tickets/{ticket.id}", f"/tickets/{ticket.id}/calendar.ics"):
            answer = await client.get(path)
            assert answer.status_code == (200 if sees else 404)
            if sees:
                assert answer.headers["Cache-Control"] == "no-store"
                assert "noindex" in answer.headers["X-Robots-Tag"]
        body = await (await client.get(f"/tickets/{ticket.id}")).get_data(as_text=True)
        assert ("data:image/svg" in body) is (paid and sees)
        assert bool(ticket.code and fours(ticket.code) in body) is (paid and sees)


@pytest.mark.parametrize(
    "address", ["not-an-id", "018f0000-0000-7000-8000-000000000000", "00000000-0000-0000-0000-000000000000"]
)
async def test_no_such_ticket(app: Tillgate, address: str) -> None:
    """404, whatever is asked for."""
    assert (await browser(app).get(f"/tickets/{address}")).status_code == 404


async def test_times_are_the_pages(app: Tillgate, sessions: Sessions, clock: ManualClock) -> None:
    """The ticket says when in its page's time zone, and names it."""
    owner = await signed_in_client(app)
    ticket = await add_ticket(sessions, clock, TicketState.CONFIRMED, owner.user_id)
    body = await (await browser(app).get(f"/tickets/{ticket.id}")).get_data(as_text=True)
    assert "19:00" in body
    assert "Tokyo" in body


async def test_calendar_file(app: Tillgate, sessions: Sessions, clock: ManualClock) -> None:
    """RFC 5545: CRLF, lines of at most 75 octets, commas and semicolons escaped, times in UTC."""
    owner = await signed_in_client(app)
    ticket = await add_ticket(sessions, clock, TicketState.CONFIRMED, owner.user_id)
    answer = await browser(app).get(f"/tickets/{ticket.id}/calendar.ics")
    body = await answer.get_data(as_text=False)
    lines = body.split(b"\r\n")
    assert answer.headers["Content-Type"] == "text/calendar; charset=utf-8; method=PUBLISH"
    assert lines[-1] == b""
    assert b"\n" not in body.replace(b"\r\n", b"")
    assert max(len(line) for line in lines) <= 75
    whole = body.decode().replace("\r\n ", "")
    assert "DTSTART:20270305T100000Z\r\n" in whole
    assert "SUMMARY:Long\\; Night\\, with\\\\a tail " + "ä" * 60 in whole
    assert f"URL:http://shop.test/tickets/{ticket.id}\r\n" in whole
    assert 'ORGANIZER;CN="Hall":mailto:tickets@tillgate.example\r\n' in whole


async def test_calendar_file_of_a_cancelled_ticket(
    app: Tillgate, sessions: Sessions, clock: ManualClock
) -> None:
    """RFC 5546: strikes out what the same link gave before, by the same UID and a higher number; nobody offers it."""
    owner = await signed_in_client(app)
    ticket = await add_ticket(sessions, clock, TicketState.CONFIRMED, owner.user_id)
    link = f"/tickets/{ticket.id}/calendar.ics"
    files = []
    for state, offered in ((TicketState.CONFIRMED, True), (TicketState.CANCELLED, False)):
        async with sessions.begin() as session:
            (await session.get_one(Ticket, ticket.id)).state = state
        assert (link in await page_of(await browser(app).get(f"/tickets/{ticket.id}"))) is offered
        answer = await browser(app).get(link)
        files.append(
            (answer.headers["Content-Type"].rsplit("; ")[-1], set((await page_of(answer)).split("\r\n")))
        )
    (valid_type, valid), (cancelled_type, cancelled) = files
    assert (valid_type, cancelled_type) == ("method=PUBLISH", "method=CANCEL")
    assert valid - cancelled == {"METHOD:PUBLISH", "SEQUENCE:0", "STATUS:CONFIRMED"}
    assert cancelled - valid == {"METHOD:CANCEL", "SEQUENCE:1", "STATUS:CANCELLED"}


async def test_calendar_file_of_a_page_with_an_odd_name(
    app: Tillgate, sessions: Sessions, clock: ManualClock
) -> None:
    """Its name ends neither the parameter nor the line that it stands in."""
    owner = await signed_in_client(app)
    ticket = await add_ticket(sessions, clock, TicketState.CONFIRMED, owner.user_id)
    async with sessions.begin() as session:
        (await session.get_one(Page, ticket.page_id)).name = 'The "Hall":;,\r\nATTENDEE:x'
    whole = (await page_of(await browser(app).get(f"/tickets/{ticket.id}/calendar.ics"))).replace("\r\n ", "")
    assert "ORGANIZER;CN=\"The 'Hall':;, ATTENDEE:x\":mailto:tickets@tillgate.example\r\n" in whole


async def test_blocked_ticket(app: Tillgate, sessions: Sessions, clock: ManualClock) -> None:
    """A dispute has withdrawn the money: no code, and why, until it is decided (spec: H4)."""
    owner = await signed_in_client(app)
    ticket = await add_ticket(sessions, clock, TicketState.CONFIRMED, owner.user_id)
    for blocked in (True, False):
        async with sessions.begin() as session:
            (await session.get_one(Ticket, ticket.id)).blocked = blocked
        body = await (await browser(app).get(f"/tickets/{ticket.id}")).get_data(as_text=True)
        assert ("has asked for the money back" in body, "Blocked" in body) == (blocked, blocked)
        assert ("data:image/svg" in body) is not blocked
        assert (fours(str(ticket.code)) in body) is not blocked
        # nothing to add to a calendar; but what is in one stays, since the ticket may be valid again
        assert (f"/tickets/{ticket.id}/calendar.ics" in body) is not blocked
        file = await page_of(await browser(app).get(f"/tickets/{ticket.id}/calendar.ics"))
        assert "STATUS:CONFIRMED" in file


def test_qr_holds_the_door_code() -> None:
    """Same code, same picture; other code, other picture."""
    code, other = new_door_code(), new_door_code()
    assert qr_image(code).startswith("data:image/svg+xml")
    assert qr_image(code) == qr_image(code) != qr_image(other)


def test_the_code_brings_its_own_ground() -> None:
    """On a dark card or in forced colours it still has light modules and a quiet zone of four (jquery-qrcode 47)."""
    picture = unquote(qr_image("ABCD-EFGH-JKMN-PQRS"))
    width = re.search(r"width=['\"](\d+)", picture)
    assert width is not None
    modules = int(width[1]) // 8 - 2 * 4
    assert modules in range(21, 60, 4), "a QR code is 21 modules wide, or 25, or 29"
    assert "#fff" in picture
