"""The organizer's pages of events: only their own, with numbers that are right."""

from dataclasses import replace
from datetime import timedelta

import pytest

from cart.disputes import apply_dispute
from events.models import Ticket
from shared.clock import ManualClock
from shared.contracts.states import EntryState, PageRole, TicketState
from shared.database import Sessions
from shared.formats import clock_time
from shared.ids import new_door_code, new_id
from shared.web import Tillgate
from tests import event_rows
from tests.shop import Shop, page_of
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
    assert ('href="/organizer/hall"' in body) is sees
    # whoever stands at the door has a page of their own, and no other
    assert ("/organizer/hall/door" in body) is (role == "door")
    assert (await client.get("/organizer/hall/door")).status_code == (404 if role is None else 200)


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
    assert "<strong>67</strong> of 777" in row
    assert 'Standard <span class="num">67</span>' in row
    cells = [
        cell.split(">", 1)[1].split("</td>")[0] for cell in row.split("<td")[1:] if 'class="num"' in cell
    ]
    assert cells[1:] == ["32", "31", "34", "€0.00", "€0.00"]
    assert ">Draft</span>" in body.split("Later")[1]
    entry_page = await (await client.get("/organizer/hall/entries/concert")).get_data(as_text=True)
    assert "<strong>67</strong> of 777" in entry_page
    assert 'data-label="Being paid" class="num">32<' in entry_page
    assert (await client.get("/organizer/hall/entries/nothing")).status_code == 404


async def test_how_an_entry_stands(app: Tillgate, sessions: Sessions, clock: ManualClock) -> None:
    """In the office as in the shop: nothing is "on sale" that is not open yet, sold out, over or cancelled."""
    client = await signed_in_client(app)
    now = clock.now()
    async with sessions.begin() as session:
        page = await event_rows.add_page(session, "hall")
        await event_rows.add_member(session, page, client.user_id, PageRole.STAFF)
        for slug, days, state, values in (
            ("sells", 3, EntryState.CONFIRMED, {"capacity": 20}),
            ("opens", 3, EntryState.CONFIRMED, {"sale_starts_at": now + timedelta(days=1)}),
            ("gone", 3, EntryState.CONFIRMED, {"capacity": 0}),
            ("ended", 3, EntryState.CONFIRMED, {"sale_ends_at": now - timedelta(days=1)}),
            ("yesterday", -1, EntryState.CONFIRMED, {}),
            ("off", 3, EntryState.CANCELLED, {}),
            ("idea", 3, EntryState.DRAFT, {}),
        ):
            entry = await event_rows.add_entry(
                session, page, slug, starts_at=now + timedelta(days=days), state=state
            )
            await event_rows.add_type(session, entry, **values)
    body = await (await client.get("/organizer/hall")).get_data(as_text=True)
    opens = f"{clock_time(now + timedelta(days=1), 'Europe/Vienna')}"
    for title, words in (
        ("Sells", "On sale"),
        ("Opens", opens),
        ("Gone", "Sold out"),
        ("Ended", "Sale over"),
        ("Yesterday", "Over"),
        ("Off", "Cancelled"),
        ("Idea", "Draft"),
    ):
        row = body.split(f">{title}</a>")[1].split("</tr>")[0]
        shown = row.split('data-label="State">')[1].split("</td>")[0]
        assert words in shown, title
        assert ("On sale" in shown) is (title == "Sells")
        page_of_entry = await client.get(f"/organizer/hall/entries/{title.lower()}")
        assert words in (await page_of_entry.get_data(as_text=True)).split("</h1>")[1].split("</p>")[0]


async def test_start_says_numbers_and_what_to_decide(shop: Shop) -> None:
    """Sold today and in all, net of refunds, the next event; what needs a decision first, in words with its zone."""
    kind = await shop.world.sell(capacity=9, cost=1000)
    owner = await shop.buyer("owner@example.org")
    await shop.world.employ(kind, owner.user_id)
    await shop.paid_order_of(await shop.buyer_with(kind, 2, email="a@buyer.example"))
    shop.clock.advance(days=2)
    order_id, session_id = await shop.order_of(await shop.buyer_with(kind, 3, email="b@buyer.example"))
    await shop.world.settle(shop.payments.pay(session_id))
    async with shop.database.sessions.begin() as session:
        await apply_dispute(
            session,
            shop.world.till,
            replace(shop.payments.dispute(session_id), evidence_due_by=shop.clock.now() + timedelta(days=3)),
            now=shop.clock.now(),
        )
    start = await page_of(await owner.get("/organizer"))
    assert [part.split("</dd>")[0] for part in start.split("<dd>")[1:3]] == ["3", "5"]
    assert "€50.00" in start
    assert "/organizer/hall/entries/concert" in start
    decision = start.split("Needs a decision")[1].split("</section>")[0]
    assert "Dispute over €30.00" in decision
    assert "(Vienna)" in decision
    assert f"/organizer/hall/orders/{order_id}" in decision
    assert start.index("Needs a decision") < start.index("Sold today")


async def test_the_door_s_own_page(shop: Shop) -> None:
    """Which evenings come and how many are expected, each with its list; no money and no orders."""
    kind = await shop.world.sell(capacity=9, cost=1000)
    door = await shop.buyer("door@example.org")
    await shop.world.employ(kind, door.user_id, PageRole.DOOR)
    await shop.paid_order_of(await shop.buyer_with(kind, 2, email="a@buyer.example"))
    assert "/organizer/hall/door" in await page_of(await door.get("/organizer"))
    page = await page_of(await door.get("/organizer/hall/door"))
    assert "2 tickets are valid" in page
    assert "/organizer/hall/entries/concert/door-list.csv" in page
    assert "€" not in page
    for path in ("", "/orders", "/money", "/entries/concert"):
        assert (await door.get(f"/organizer/hall{path}")).status_code == 404
    await shop.world.cancel(kind)
    assert "No evening is coming" in await page_of(await door.get("/organizer/hall/door"))


@pytest.mark.parametrize(
    ("of_entry", "of_types", "shown"),
    [
        (None, [], "no limit"),
        (None, [5, None], "no limit"),
        (None, [5, 6], "of 11"),
        (8, [5, 6], "of 8"),
        (80, [5, 6], "of 11"),
        (8, [None, 6], "of 8"),
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
    assert shown in body.split("<strong>0</strong>")[1].split("</td>")[0]


async def test_page_without_entries(app: Tillgate, sessions: Sessions) -> None:
    """A clear empty state."""
    client = await signed_in_client(app)
    async with sessions.begin() as session:
        page = await event_rows.add_page(session, "hall")
        await event_rows.add_member(session, page, client.user_id, PageRole.STAFF)
    assert "No events yet" in await (await client.get("/organizer/hall")).get_data(as_text=True)
