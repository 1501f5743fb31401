"""Each domain runs in a browser beside a stub of the other (spec: A4)."""

from datetime import timedelta

import pytest

from shared.alone import fill_empty_slot
from shared.app import create_app
from shared.clock import ManualClock
from shared.database import Database
from shared.identity.challenge import fresh_link
from shared.settings import Settings
from shared.web import Tillgate
from tests.support import Browser, browser


async def alone(only: str, settings: Settings, database: Database, clock: ManualClock) -> Tillgate:
    """What `serve --only` serves."""
    app = create_app(settings, (only,), database=database, clock=clock)
    fill_empty_slot(app, only)
    return app


async def sign_in_by_link(app: Tillgate) -> Browser:
    """As a person does with the link on the terminal."""
    async with app.database.sessions.begin() as session:
        link = await fresh_link(
            session, app.settings, email="ada@example.org", now=app.clock.now(), life=timedelta(hours=1)
        )
    client = browser(app)
    answer = await client.post(link.removeprefix(app.settings.public_url))
    assert answer.status_code == 303
    return client


async def test_cart_alone(settings: Settings, database: Database, clock: ManualClock) -> None:
    """Whoever signs in finds the stub's tickets in the cart, of two pages."""
    client = await sign_in_by_link(await alone("cart", settings, database, clock))
    page = await (await client.get("/cart")).get_data(as_text=True)
    assert "Late Set" in page
    assert "First Print" in page
    assert (await client.get("/organizer")).status_code == 404, "events is not here"


@pytest.mark.parametrize("path", ["/", "/organizer"])
async def test_events_alone(settings: Settings, database: Database, clock: ManualClock, path: str) -> None:
    """Shop window and office work with nothing sold."""
    client = await sign_in_by_link(await alone("events", settings, database, clock))
    assert (await client.get(path)).status_code == 200
    assert (await client.get("/orders")).status_code == 404, "cart is not here"
