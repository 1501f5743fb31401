"""The world that tests of the cart live in."""

import pytest

from shared.clock import ManualClock
from shared.database import Sessions
from shared.web import Tillgate
from tests.cart_world import World
from tests.support import Browser, signed_in_client


@pytest.fixture
def world(sessions: Sessions, clock: ManualClock) -> World:
    """A till on this test's database."""
    return World(sessions, clock)


@pytest.fixture
async def buyer(app: Tillgate, world: World) -> Browser:
    """A signed-in buyer of a shop whose payments are the world's."""
    app.services.payments = world.payments
    return await signed_in_client(app)
