"""The shop that functional tests drive."""

import pytest

from shared.clock import ManualClock
from shared.database import Database
from shared.settings import Settings
from tests.shop import Shop


@pytest.fixture
def shop(settings: Settings, database: Database, clock: ManualClock) -> Shop:
    """The whole shop on this test's database."""
    return Shop(settings, database, clock)
