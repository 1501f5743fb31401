"""The pages about the books: an organizer's part of the last run, and everything for the operator."""

from uuid import UUID

from quart import render_template
from quart.typing import ResponseReturnValue

from cart.office import orders
from cart.reconcile import views
from cart.routes import blueprint
from shared.identity.guard import require_operator, require_user
from shared.web import db_session, shop


@blueprint.get("/organizer/<page>/books")
async def organizer_books(page: str) -> ResponseReturnValue:
    """ "The books balance", or what of this page does not; owner and staff only (spec: H1)."""
    user = await require_user()
    session = db_session()
    shown = await orders.page_for_seller(session, shop().services.calendar, user_id=user.id, slug=page)
    view = await views.books_of_page(session, shown.id)
    return await render_template("cart/reconciliation.html", page=shown, view=view)


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
        "cart/reconciliations.html", view=view, runs=await views.runs(session), is_last=run_id is None
    )
