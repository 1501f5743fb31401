"""Users, sign-in by mailed link and code, sessions. Knows nothing of pages, tickets or orders."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.web import Tillgate


def init_app(app: "Tillgate") -> None:
    """Register the guard, the limits and the pages of signing in."""
    # here and not above: models of both domains are imported through this package and must not load quart
    from shared import ratelimit
    from shared.contracts.errands import NoErrands
    from shared.identity import guard, routes

    if not app.services.filled("errands"):
        app.services.errands = NoErrands()
    ratelimit.init_app(app)
    guard.init_guard(app)
    routes.init_routes(app)
