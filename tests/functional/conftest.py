"""The shop that functional tests drive."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from shared.app import create_app
from shared.clock import ManualClock
from shared.database import Database
from shared.sandbox.stripe.running import RunningStandin
from shared.settings import Settings
from tests.cart_world import World
from tests.road import NEW, OLD, Road
from tests.shop import Shop
from tests.support import signed_in_client


@pytest.fixture
def shop(settings: Settings, database: Database, clock: ManualClock) -> Shop:
    """The whole shop on this test's database."""
    return Shop(settings, database, clock)


@pytest.fixture
async def road(
    settings: Settings, database: Database, clock: ManualClock, standin: RunningStandin
) -> AsyncIterator[Road]:
    """Two signing secrets, as during a rotation; the stand-in signs with the second."""
    app = create_app(
        replace(
            settings,
            stripe_secret_key=standin.secret_key,
            stripe_webhook_secrets=(OLD, NEW),
            stripe_api_base=standin.url,
        ),
        database=database,
        clock=clock,
    )
    world = World(database.sessions, clock)
    kind = await world.sell(capacity=10, cost=1250)
    async with app.test_app():
        yield Road(app, standin, world, await signed_in_client(app), kind)
