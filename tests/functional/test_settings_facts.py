"""What is odd in the settings is said to the operator, and a stranger cannot make it look odd (spec: L4, H8)."""

from dataclasses import replace

import pytest

from shared.app import create_app
from shared.clock import ManualClock
from shared.database import Database
from shared.health_facts import Fact, Level
from shared.settings import Settings
from shared.web import Tillgate
from tests.support import browser

SANE = {
    "environment": "production",
    "public_url": "https://shop.test",
    "stripe_secret_key": "sk_live_x",
    "stripe_webhook_secrets": ("whsec_x",),
    "operators": ("boss@example.org",),
    "trusted_proxies": 1,
}


async def settings_facts(app: Tillgate) -> list[Fact]:
    """What is told about the settings."""
    async with app.database.sessions.reading() as session:
        return await app.health_facts["the settings"](session, app.clock.now())


@pytest.mark.parametrize(
    ("odd", "name"),
    [
        ({}, "settings_odd"),
        ({"stripe_secret_key": "sk_test_x"}, "settings_test_key"),
        ({"stripe_api_base": "https://elsewhere.example"}, "settings_stripe_elsewhere"),
        ({"operators": ()}, "settings_no_operator"),
        ({"trusted_proxies": 0}, "settings_untold_proxy"),
    ],
)
async def test_each_oddity(settings: Settings, database: Database, odd: dict[str, object], name: str) -> None:
    """One fact each, in words; none where all is well (spec: L4)."""
    app = create_app(replace(settings, **{**SANE, **odd}), domains=(), database=database)
    (fact,) = await settings_facts(app)
    assert fact.name == name
    assert fact.level == (Level.WARN if odd else Level.OK)


async def test_development_is_never_odd(settings: Settings, database: Database) -> None:
    """A machine of one's own has test keys and no proxy."""
    app = create_app(settings, domains=(), database=database)
    assert [fact.level for fact in await settings_facts(app)] == [Level.OK]


@pytest.mark.parametrize(("peer", "told"), [("10.0.0.7", True), ("93.184.216.34", False)])
async def test_a_proxy_that_is_not_counted(
    settings: Settings, database: Database, clock: ManualClock, peer: str, told: bool
) -> None:
    """Its header, from an address near us, says that all buyers share a limit; a stranger's header says nothing."""
    app = create_app(settings, domains=(), database=database, clock=clock)
    async with app.test_app():
        sent = await browser(app).post(
            "/sign-in",
            form={"email": "ada@example.org"},
            headers={"X-Forwarded-For": "198.51.100.1"},
            scope_base={"client": (peer, 4000)},
        )
        assert sent.status_code < 400
        names = {fact.name for fact in await settings_facts(app)}
    assert ("settings_untold_proxy" in names) is told
