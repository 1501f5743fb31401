"""The organizer's first look: their pages, and the entries of one with their sales. Anything else is 404."""

from quart import render_template
from quart.typing import ResponseReturnValue

from events.office import entries_of_page, page_of_seller, pages_of_seller
from events.routes import blueprint
from shared.contracts.states import EntryState
from shared.identity.guard import require_user
from shared.web import db_session, now, shop

ENTRY_WORDS = {EntryState.DRAFT: "Draft", EntryState.CONFIRMED: "On sale", EntryState.CANCELLED: "Cancelled"}


@blueprint.get("/organizer")
async def organizer() -> ResponseReturnValue:
    """The pages this user sells on."""
    user = await require_user()
    pages = await pages_of_seller(db_session(), user_id=user.id)
    return await render_template("events/organizer.html", pages=pages)


@blueprint.get("/organizer/<page>")
async def organizer_page(page: str) -> ResponseReturnValue:
    """A page's entries: capacity, in carts, reserved, confirmed, checked in, revenue."""
    user = await require_user()
    session = db_session()
    shown = await page_of_seller(session, user_id=user.id, slug=page)
    sales = await shop().services.cart.entry_sales(session, page_id=shown.id)
    rows = await entries_of_page(session, page_id=shown.id)
    revenue = {row.id: sales[row.id].revenue_minor if row.id in sales else 0 for row in rows}
    return await render_template(
        "events/organizer_page.html",
        page=shown,
        rows=rows,
        revenue=revenue,
        state_words=ENTRY_WORDS,
        now=now(),
    )
