"""The shop of a contract test: once on PostgreSQL, once in memory."""

import pytest

from tests.contract.shops import Shop, SqlShop, StubShop


@pytest.fixture(params=["sql", "stub"])
def shop(request: pytest.FixtureRequest) -> Shop:
    """Every contract test runs over both."""
    if request.param == "stub":
        return StubShop()
    return SqlShop(request.getfixturevalue("sessions"))
