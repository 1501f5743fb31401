"""Money: the cart, orders, checkout attempts, payments, refunds and the ledger. Never imports events."""

from datetime import datetime
from typing import Protocol

from cart import cancelled_entries, complete
from cart.accounts import AccountSweep
from cart.books import keeping
from cart.operator import health
from cart.operator.checks import CheckSweep
from cart.reconcile.run import reconcile_due
from cart.refunds import sending
from cart.release import release_lapsed
from cart.service import SqlCartService
from cart.till import Till
from cart.webhooks import inbox
from shared.database import Sessions
from shared.seldom import Seldom
from shared.web import Sweep, Tillgate


class Process(Protocol):
    """Due work of the cart: looks for what is due at `now` (UTC), does it, says how much there was."""

    async def __call__(self, sessions: Sessions, till: Till, *, now: datetime) -> int: ...


def init_app(app: Tillgate) -> None:
    """Fill services.cart, register the pages and the due work."""
    # each registers on the blueprint
    from cart import api, routes  # noqa: F401
    from cart.basket import routes as basket_routes
    from cart.foreign import routes as foreign_routes  # noqa: F401
    from cart.office import money_routes  # noqa: F401
    from cart.office import routes as office_routes  # noqa: F401
    from cart.operator import routes as operator_routes  # noqa: F401
    from cart.reconcile import routes as reconcile_routes  # noqa: F401
    from cart.webhooks import routes as webhook_routes  # noqa: F401

    app.services.cart = SqlCartService(app.services, app.settings.public_url)
    app.extensions["orders_asked"] = Seldom(complete.ASKED_TIMES, complete.ASKED_WITHIN)
    app.register_blueprint(routes.blueprint)
    app.register_blueprint(basket_routes.blueprint)
    app.context_processor(routes.add_badge)

    def till() -> Till:
        return Till(app.services.calendar, app.services.payments, app.settings.public_url)

    def due(process: Process) -> Sweep:
        async def sweep(now: datetime) -> int:
            return await process(app.database.sessions, till(), now=now)

        return sweep

    check_sweep = CheckSweep(app.database.sessions, app.settings.public_url)

    async def checks(now: datetime) -> int:
        return await check_sweep.run(app.services.payments, now) if app.services.filled("payments") else 0

    account_sweep = AccountSweep(app.database.sessions)

    async def check_accounts(now: datetime) -> int:
        return await account_sweep.run(till(), now) if app.services.filled("payments") else 0

    app.health_facts["money"] = health.money_facts
    app.figures.update(health.FIGURES)
    app.sweeps.update(
        lapsed_orders=due(release_lapsed),
        webhooks=due(inbox.process_left_over),
        webhook_refusals=due(inbox.forget_refusals),
        refunds=due(sending.send_due),
        cancelled_entries=due(cancelled_entries.unwind),
        books=due(keeping.post_due),
        reconcile=due(reconcile_due),
        checks=checks,
        accounts=check_accounts,
    )
