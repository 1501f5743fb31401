"""The organizer's pages about orders; only for owner and staff of the page, 404 for everybody else."""

from uuid import UUID

from quart import render_template, request
from quart.typing import ResponseReturnValue

from cart import office
from cart.routes import blueprint
from shared.contracts.states import OrderState
from shared.identity.guard import require_user
from shared.ids import parse_id
from shared.web import db_session, shop


@blueprint.get("/organizer/<page>/orders")
async def organizer_orders(page: str) -> ResponseReturnValue:
    """A page's orders, searched by e-mail, number or ticket code, filtered by state; all of it in the address."""
    user = await require_user()
    session, calendar = db_session(), shop().services.calendar
    shown = await office.page_for_seller(session, calendar, user_id=user.id, slug=page)
    search = request.args.get("q", "")[:200]
    state = _state(request.args.get("state", ""))
    rows = await office.list_orders(
        session,
        calendar,
        page_id=shown.id,
        search=search,
        state=state,
        before=parse_id(request.args.get("before", "")),
    )
    return await render_template(
        "cart/organizer_orders.html",
        page=shown,
        rows=rows[: office.PER_PAGE],
        more=rows[office.PER_PAGE - 1].order.id if len(rows) > office.PER_PAGE else None,
        search=search,
        state=state,
        states=list(OrderState),
    )


def _state(text: str) -> OrderState | None:
    return next((state for state in OrderState if state == text), None)


@blueprint.get("/organizer/<page>/orders/<uuid:order_id>")
async def organizer_order(page: str, order_id: UUID) -> ResponseReturnValue:
    """One order with its lines, tickets, money and history."""
    user = await require_user()
    session, calendar = db_session(), shop().services.calendar
    shown = await office.page_for_seller(session, calendar, user_id=user.id, slug=page)
    detail = await office.order_detail(session, calendar, page_id=shown.id, order_id=order_id)
    return await render_template(
        "cart/organizer_order.html",
        page=shown,
        detail=detail,
        order=detail.order,
        deeds=office.DEEDS,
        actors=office.ACTORS,
    )
