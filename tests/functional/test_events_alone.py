"""events without cart, beside a stub of it."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from shared.app import create_app
from shared.clock import ManualClock
from shared.contracts.dtos import EntrySalesDTO, HoldDTO
from shared.contracts.protocols import CartService
from shared.contracts.states import OrderState, PageRole
from shared.contracts.stub_cart import StubCartService
from shared.database import Database, Sessions
from shared.ids import new_id
from shared.services import Services
from shared.settings import Settings
from shared.web import Tillgate
from tests import event_rows
from tests.support import browser, signed_in_client


@pytest.fixture
def cart() -> StubCartService:
    return StubCartService()


@pytest.fixture
async def app(
    settings: Settings, database: Database, clock: ManualClock, cart: StubCartService
) -> AsyncIterator[Tillgate]:
    """The events blueprint on its own."""
    slot: CartService = cart
    made = create_app(settings, ("events",), database=database, clock=clock, services=Services(cart=slot))
    async with made.test_app():
        yield made


async def test_shop_and_office_alone(
    app: Tillgate, sessions: Sessions, clock: ManualClock, cart: StubCartService
) -> None:
    """spec: A3, A4: shown, bought, and the revenue comes from whoever fills the slot."""
    client = await signed_in_client(app)
    async with sessions.begin() as session:
        page = await event_rows.add_page(session, "hall")
        await event_rows.add_member(session, page, client.user_id, PageRole.OWNER)
        entry = await event_rows.add_entry(
            session, page, "concert", starts_at=clock.now() + timedelta(days=1)
        )
        kind = await event_rows.add_type(session, entry)
    cart.sales[page.id] = {entry.id: EntrySalesDTO(entry.id, revenue_minor=12345, orders=2)}
    cart.holds[client.user_id] = [
        HoldDTO(new_id(), "/orders/the-open-one", OrderState.PROCESSING, None, {kind.id: 1})
    ]
    for path in ("/", "/p/hall", "/p/hall/concert"):
        assert (await browser(app).get(path)).status_code == 200
    answer = await client.post("/p/hall/concert/buy", form={f"quantity-{kind.id}": "2"})
    assert answer.status_code == 303
    assert "/orders/the-open-one" in await (await client.get("/p/hall/concert")).get_data(as_text=True)
    body = await (await client.get("/organizer/hall")).get_data(as_text=True)
    assert body.count("€123.45") == 2  # its row and the foot
