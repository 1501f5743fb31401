"""The world that tests of the cart live in."""

import pytest

from shared.clock import ManualClock
from shared.database import Sessions
from tests.cart_world import World


@pytest.fixture
def world(sessions: Sessions, clock: ManualClock) -> World:
    """A till on this test's database."""
    return World(sessions, clock)
