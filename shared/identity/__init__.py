"""Users, sign-in by mailed link and code, sessions. Knows nothing of pages, tickets or orders."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

if TYPE_CHECKING:
    from shared.web import Tillgate

SignInCallback = Callable[[AsyncSession, UUID], Awaitable[str | None]]
"""Runs inside the sign-in's transaction; a returned path replaces the one the user was going to."""


def on_sign_in(app: "Tillgate", callback: SignInCallback) -> None:
    """Have `callback` run at every sign-in. An AppError it raises is logged and undoes only its own work."""
    app.extensions.setdefault("on_sign_in", []).append(callback)


def init_app(app: "Tillgate") -> None:
    """Register the guard, the limits and the pages of signing in."""
    # here and not above: models of both domains are imported through this package and must not load quart
    from shared import ratelimit
    from shared.identity import guard, routes

    ratelimit.init_app(app)
    guard.init_guard(app)
    routes.init_routes(app)
