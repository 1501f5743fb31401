"""The pages about the books: an organizer's part of the last run, and everything for the operator."""

from datetime import timedelta
from uuid import UUID

from quart import render_template
from quart.typing import ResponseReturnValue
from quart_rate_limiter import rate_limit

from cart.office import orders
from cart.reconcile import asking, views
from cart.routes import blueprint
from shared.identity.guard import is_operator, require_operator, require_user
from shared.web import db_session, now, see_other, shop

COMPARE_LIMIT, COMPARE_PERIOD = 10, timedelta(minutes=10)  # per client address; one at a time runs anyway


@blueprint.get("/organizer/<page>/books")
async def organizer_books(page: str) -> ResponseReturnValue:
    """ "The books balance", or what of this page does not; owner and staff only (spec: H1)."""
    user = await require_user()
    session = db_session()
    shown = await orders.page_for_seller(session, shop().services.calendar, user_id=user.id, slug=page)
    view = await views.books_of_page(session, shown.id)
    return await render_template(
        "cart/reconciliation.html",
        page=shown,
        view=view,
        standing=await asking.standing(session, now()),
        operator=await is_operator(user),
    )


@blueprint.get("/operator/books")
async def operator_books() -> ResponseReturnValue:
    """The last run with all accounts, and the runs before it."""
    return await _show_run(None)


@blueprint.get("/operator/books/<uuid:run_id>")
async def operator_books_run(run_id: UUID) -> ResponseReturnValue:
    """One run."""
    return await _show_run(run_id)


async def _show_run(run_id: UUID | None) -> ResponseReturnValue:
    await require_operator()
    session = db_session()
    view = await views.books_of_run(session, run_id)
    return await render_template(
        "cart/reconciliations.html",
        view=view,
        runs=await views.runs(session),
        is_last=run_id is None,
        standing=await asking.standing(session, now()),
        now=now(),
    )


@blueprint.post("/operator/books/compare")
@rate_limit(COMPARE_LIMIT, COMPARE_PERIOD)
async def compare_now() -> ResponseReturnValue:
    """Have the worker compare everything soon; once, however often it is asked for."""
    user = await require_operator()
    await asking.ask(db_session(), actor=f"user:{user.id}", now=now())
    return see_other("/operator/books")
