"""What the settings allow but a shop with buyers should not have, in words for the operator (spec: L4, H8).

Said in the log at the start, at /operator and in the metrics like every other fact.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy.ext.asyncio import AsyncSession

from shared.health_facts import Fact, Level
from shared.settings import Settings

if TYPE_CHECKING:
    from shared.web import Tillgate

TITLE = "Settings"


def init_app(app: "Tillgate") -> None:
    """Have the settings looked at with all other facts."""
    app.health_facts["the settings"] = partial(_facts, app)


async def _facts(app: "Tillgate", _session: AsyncSession, _now: datetime) -> list[Fact]:
    odd = [*oddities(app.settings), *_proxy_seen(app)]
    return odd or [Fact("settings_odd", TITLE, "Nothing odd.")]


def oddities(settings: Settings) -> Iterator[Fact]:
    """What is odd by itself; nothing of it is odd on a developer's machine."""
    if not settings.production:
        return
    if "_test_" in settings.stripe_secret_key[:8]:
        yield _odd("test_key", "STRIPE_SECRET_KEY is a test key: orders are paid with play money.")
    if settings.stripe_api_base:
        yield _odd(
            "stripe_elsewhere", f"Payments go to {settings.stripe_api_base}, not to Stripe (STRIPE_API_BASE)."
        )
    if not settings.operators:
        yield _odd("no_operator", "OPERATORS is empty: nobody can see this page or decide what it asks.")
    if settings.secure_cookies and settings.trusted_proxies == 0:
        words = (
            "PUBLIC_URL is https, so a proxy stands before the shop, but TRUSTED_PROXIES is 0: "
            "all buyers count as one address and share its limits."
        )
        yield _odd("untold_proxy", words)


def _proxy_seen(app: "Tillgate") -> Iterator[Fact]:
    if app.untold_proxy and not app.settings.secure_cookies:
        words = (
            "Requests come through a proxy, but TRUSTED_PROXIES is 0: all buyers count as one address and "
            "share its limits."
        )
        yield _odd("untold_proxy", words)


def _odd(name: str, words: str) -> Fact:
    return Fact(f"settings_{name}", TITLE, words, Level.WARN, 1, todo="Settings")
