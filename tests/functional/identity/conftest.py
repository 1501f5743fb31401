"""The app of tests of the identity."""

import pytest

from shared.app import create_app
from shared.clock import ManualClock
from shared.database import Database
from shared.settings import Settings
from shared.web import Tillgate


@pytest.fixture
def app(settings: Settings, database: Database, clock: ManualClock) -> Tillgate:
    """Identity alone, no domain."""
    return create_app(settings, domains=(), database=database, clock=clock)
