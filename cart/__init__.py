"""Money: the cart, orders, checkout attempts, payments, refunds and the ledger. Never imports events."""

from datetime import datetime
from typing import Protocol

from cart import books, cancelled_entries, health, inbox, refunds
from cart.checks import CheckSweep
from cart.reconcile.run import reconcile_hourly
from cart.release import release_lapsed
from cart.service import SqlCartService
from cart.till import Till
from shared.database import Sessions
from shared.web import Sweep, Tillgate


class Process(Protocol):
    """Due work of the cart: looks for what is due at `now` (UTC), does it, says how much there was."""

    async def __call__(self, sessions: Sessions, till: Till, *, now: datetime) -> int: ...


def init_app(app: Tillgate) -> None:
    """Fill services.cart, register the pages and the due work."""
    from cart import (  # noqa: F401 - each registers on the blueprint
        api,
        money_routes,
        office_routes,
        operator_routes,
        routes,
        webhooks,
    )
    from cart.reconcile import office_routes as books_routes  # noqa: F401

    app.services.cart = SqlCartService(app.services)
    app.register_blueprint(routes.blueprint)
    app.context_processor(routes.add_badge)

    def till() -> Till:
        return Till(app.services.calendar, app.services.payments, app.settings.public_url)

    def due(process: Process) -> Sweep:
        async def sweep(now: datetime) -> int:
            return await process(app.database.sessions, till(), now=now)

        return sweep

    async def due_refunds(now: datetime) -> int:
        return await refunds.send_due(app.database.sessions, app.services.payments, now=now)

    check_sweep = CheckSweep(app.database.sessions, app.settings.public_url)

    async def checks(now: datetime) -> int:
        return await check_sweep.run(app.services.payments, now) if app.services.filled("payments") else 0

    app.health_facts["money"] = health.money_facts
    app.figures.update(health.FIGURES)
    app.sweeps.update(
        lapsed_orders=due(release_lapsed),
        webhooks=due(inbox.process_left_over),
        refunds=due_refunds,
        cancelled_entries=due(cancelled_entries.unwind),
        books=due(books.post_new),
        reconcile=due(reconcile_hourly),
        checks=checks,
    )
