"""The whole road of a buyer in each blueprint alone, the other's service being a stub (spec: A4)."""

from datetime import timedelta
from decimal import Decimal

import pytest

from cart.quote import fingerprint
from shared.alone import fill_empty_slot, sample_calendar
from shared.app import create_app
from shared.clock import ManualClock
from shared.contracts.dtos import EntrySalesDTO, HoldDTO
from shared.contracts.states import OrderState, PageRole
from shared.contracts.stub_cart import StubCartService
from shared.contracts.stub_payments import StubPayments
from shared.contracts.stubs import StubCalendarService
from shared.database import Database
from shared.ids import new_id
from shared.services import EmptySlot, Services
from shared.settings import Settings
from shared.web import Tillgate
from tests import event_rows
from tests.shop import page_of
from tests.support import signed_in_client


@pytest.fixture
def calendar(clock: ManualClock) -> StubCalendarService:
    return sample_calendar(clock.now())


@pytest.fixture
def payments() -> StubPayments:
    return StubPayments()


@pytest.fixture
def cart_app(
    settings: Settings,
    database: Database,
    clock: ManualClock,
    calendar: StubCalendarService,
    payments: StubPayments,
) -> Tillgate:
    services = Services()
    services.calendar, services.payments = calendar, payments
    return create_app(settings, ("cart",), database=database, clock=clock, services=services)


async def test_cart_from_buying_to_the_confirmation(
    cart_app: Tillgate, calendar: StubCalendarService, payments: StubPayments
) -> None:
    """Choose, change, check out, pay, come back, see the tickets: no table of events is read (spec: A4, B14)."""
    client = await signed_in_client(cart_app)
    paid = next(kind for kind in calendar.types.values() if kind.cost)
    form = {"ref": str(paid.id), "quantity": "3"}
    assert (await client.post("/cart/lines", form=form)).headers["Location"] == "/cart"
    page = await page_of(await client.get("/cart"))
    assert "€73.50" in page
    assert calendar.allocated(paid) == 0
    async with cart_app.database.sessions() as session:
        seen = fingerprint((await cart_app.services.cart.cart_summary(session, user_id=client.user_id)).lines)
    answer = await client.post("/checkout", form={"fingerprint": seen})
    (facts,) = payments.known.values()
    assert (answer.status_code, answer.headers["Location"]) == (303, facts.url)
    assert calendar.allocated(paid) == 3
    payments.pay(facts.id)
    answer = await client.get(f"/checkout/complete?session_id={facts.id}", follow_redirects=True)
    page = await page_of(answer)
    assert (answer.status_code, "You are in" in page) == (200, True)
    codes = [ticket.code for ticket in calendar.tickets.values() if ticket.code]
    assert len(codes) == 3
    assert "Your cart is empty" in await page_of(await client.get("/cart"))
    assert "Paid" in await page_of(await client.get("/orders"))


async def test_cart_sells_out_beside_a_stub(
    cart_app: Tillgate, calendar: StubCalendarService, payments: StubPayments, clock: ManualClock
) -> None:
    """The stub says no as the real calendar does, and the page tells (spec: A4, B8)."""
    entry = calendar.add_entry(calendar.add_page("tiny"), "Tiny", starts_at=clock.now() + timedelta(days=1))
    last = calendar.add_type(entry, "Last", cost=Decimal(5), capacity=1)
    clients = [await signed_in_client(cart_app, f"{name}@example.org") for name in ("ada", "bob")]
    seen = []
    for client in clients:
        await client.post("/cart/lines", form={"ref": str(last.id), "quantity": "1"})
        async with cart_app.database.sessions() as session:
            summary = await cart_app.services.cart.cart_summary(session, user_id=client.user_id)
        seen.append(fingerprint(summary.lines))
    statuses = [
        (await client.post("/checkout", form={"fingerprint": one})).status_code
        for client, one in zip(clients, seen, strict=True)
    ]
    assert statuses == [303, 409]
    assert len(payments.known) == calendar.allocated(last) == 1


async def test_cart_office_alone(cart_app: Tillgate, calendar: StubCalendarService) -> None:
    """The organizer's list of orders knows its pages from the stub (spec: A4, D10)."""
    client = await signed_in_client(cart_app)
    page = next(iter(calendar.pages.values()))
    assert (await client.get(f"/organizer/{page.slug}/orders")).status_code == 404
    calendar.members.append((client.user_id, page.id, PageRole.OWNER))
    assert "No orders yet" in await page_of(await client.get(f"/organizer/{page.slug}/orders"))


async def test_events_from_the_home_page_to_the_ticket(
    settings: Settings, database: Database, clock: ManualClock
) -> None:
    """Window, shop, event, buying, ticket, office: the cart's numbers come from the stub (spec: A4, B13)."""
    app = create_app(settings, ("events",), database=database, clock=clock)
    fill_empty_slot(app, "events")
    cart = app.services.cart
    assert isinstance(cart, StubCartService)
    client = await signed_in_client(app)
    async with database.sessions.begin() as session:
        page = await event_rows.add_page(session, "hall")
        entry = await event_rows.add_entry(
            session, page, "concert", starts_at=clock.now() + timedelta(days=2)
        )
        kind = await event_rows.add_type(session, entry, capacity=9)
        await event_rows.add_member(session, page, client.user_id, PageRole.OWNER)
    for path in ("/", "/p/hall", "/p/hall/concert"):
        assert "Concert" in await page_of(await client.get(path)), path
    answer = await client.post(
        "/p/hall/concert/buy", form={f"quantity-{kind.id}": "2"}, follow_redirects=True
    )
    assert "Added to cart: 2 tickets" in await page_of(answer)
    cart.holds[client.user_id] = [
        HoldDTO(
            new_id(),
            "/orders/of-a-stub",
            OrderState.PENDING,
            clock.now() + timedelta(minutes=5),
            {kind.id: 2},
        )
    ]
    assert "/orders/of-a-stub" in await page_of(await client.get("/p/hall/concert"))
    cart.sales[page.id] = {entry.id: EntrySalesDTO(entry.id, 123_400, 7)}
    assert "€1,234.00" in await page_of(await client.get("/organizer/hall"))
    async with database.sessions() as session:
        (ticket, _) = await app.services.calendar.pending_tickets(session, user_id=client.user_id)
    assert "in your cart" in await page_of(await client.get(f"/tickets/{ticket.id}"))


async def test_empty_slot_is_named(settings: Settings, database: Database, clock: ManualClock) -> None:
    """A forgotten stub is a clear error for the developer, not a page that quietly sells nothing (spec: A4)."""
    app = create_app(settings, ("cart",), database=database, clock=clock)
    with pytest.raises(EmptySlot, match=r"services\.calendar"):
        _ = app.services.calendar
    assert (await (await signed_in_client(app)).get("/cart")).status_code == 500
