"""Money: the cart, orders, checkout attempts, payments, refunds and the ledger. Never imports events."""

from datetime import datetime

from cart import books, cancelled_entries, inbox, refunds
from cart.release import release_lapsed
from cart.service import SqlCartService
from cart.till import Till
from shared.web import Tillgate


def init_app(app: Tillgate) -> None:
    """Fill services.cart, register the pages and the due work."""
    from cart import api, office_routes, routes, webhooks  # noqa: F401 - registers on the blueprint

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

    async def orders_of_cancelled_entries(now: datetime) -> int:
        return await cancelled_entries.unwind(app.database.sessions, till(), now=now)

    async def new_transactions(now: datetime) -> int:
        return await books.post_new(app.database.sessions, app.services.payments, now=now)

    app.sweeps.update(
        lapsed_orders=lapsed_orders,
        webhooks=webhooks_left_over,
        refunds=due_refunds,
        cancelled_entries=orders_of_cancelled_entries,
        books=new_transactions,
    )
