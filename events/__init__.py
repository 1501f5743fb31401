"""What is for sale and how many are left: pages, entries, ticket types, tickets. Never imports cart."""

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.web import Tillgate


def init_app(app: "Tillgate") -> None:
    """Fill services.calendar and services.errands, register the pages and the due work."""
    # here and not above: models and rules are imported through this package and must not load quart
    from events import keeping, office_routes, pending, routes  # noqa: F401 - office_routes registers its pages
    from events.catalogue import Catalogue
    from events.office import tickets_by_state
    from events.service import SqlCalendarService
    from shared.health_facts import Figures

    async def pending_tickets(now: datetime) -> int:
        return await pending.tidy(app.database.sessions, now=now)

    async def removed_tickets(now: datetime) -> int:
        return await pending.forget_removed(app.database.sessions, now=now)

    app.services.calendar = SqlCalendarService()
    app.services.errands = keeping.ChosenTickets()
    app.extensions["catalogue"] = Catalogue(app.database)
    app.sweeps.update(pending_tickets=pending_tickets, removed_tickets=removed_tickets)
    app.figures["tickets"] = Figures("Tickets by state.", "state", tickets_by_state)
    app.register_blueprint(routes.blueprint)
