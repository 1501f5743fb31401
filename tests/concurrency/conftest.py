"""The world that races are run in; every commit is real."""

import pytest

from shared.clock import ManualClock
from shared.database import Database, Sessions
from shared.settings import Settings
from tests.cart_world import World
from tests.shop import Shop


@pytest.fixture
def world(sessions: Sessions, clock: ManualClock) -> World:
    """A till on this test's database."""
    return World(sessions, clock)


@pytest.fixture
def shop(settings: Settings, database: Database, clock: ManualClock) -> Shop:
    """The whole shop on this test's database."""
    return Shop(settings, database, clock)
