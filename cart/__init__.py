"""Money: the cart, orders, checkout attempts, payments, refunds and the ledger. Never imports events."""

from datetime import datetime

from cart import health, inbox, refunds
from cart.checks import CheckSweep
from cart.release import release_lapsed
from cart.service import SqlCartService
from cart.till import Till
from shared.web import Tillgate


def init_app(app: Tillgate) -> None:
    """Fill services.cart, register the pages and the due work."""
    from cart import api, office_routes, operator_routes, routes, webhooks  # noqa: F401 - registers on the blueprint

    app.services.cart = SqlCartService(app.services)
    app.register_blueprint(routes.blueprint)
    app.context_processor(routes.add_badge)

    def till() -> Till:
        return Till(app.services.calendar, app.services.payments, app.settings.public_url)

    async def lapsed_orders(now: datetime) -> int:
        return await release_lapsed(app.database.sessions, till(), now=now)

    async def webhooks_left_over(now: datetime) -> int:
        return await inbox.process_left_over(app.database.sessions, till(), now=now)

    async def due_refunds(now: datetime) -> int:
        return await refunds.send_due(app.database.sessions, app.services.payments, now=now)

    check_sweep = CheckSweep(app.database.sessions, app.settings.public_url)

    async def checks(now: datetime) -> int:
        return await check_sweep.run(app.services.payments, now) if app.services.filled("payments") else 0

    app.sweeps["checks"] = checks
    app.health_facts["money"] = health.money_facts
    app.figures.update(health.FIGURES)
    app.sweeps.update(lapsed_orders=lapsed_orders, webhooks=webhooks_left_over, refunds=due_refunds)
