"""The buyer's pages: cart, checkout, orders. A route parses, calls one function, renders."""

from datetime import timedelta
from typing import cast
from uuid import UUID

from quart import Blueprint, flash, g, jsonify, render_template, request
from quart.typing import ResponseReturnValue
from quart_rate_limiter import rate_limit

from cart import checkout, complete, orders
from cart.basket.routes import describe, page_id_of, show_cart
from cart.order_list import filed
from cart.order_page import OrderView, order_view
from cart.refunds import by_line
from cart.refunds.owing import REASON_WORDS
from cart.release import release
from cart.sold import as_sold
from cart.standing import standing_of, standings
from cart.till import Till
from shared import metrics
from shared.contracts.payment_errors import PaymentsRefused, PaymentsUnavailable
from shared.contracts.protocols import SoldOut
from shared.contracts.states import OrderState
from shared.errors import AppError, Conflict, Invalid, NotFound
from shared.identity.guard import current_user, require_user
from shared.ids import parse_id, parse_ids
from shared.money import whole
from shared.seldom import Seldom
from shared.web import db_session, now, see_other, shop, wants_fragment, wants_json

blueprint = Blueprint("cart", __name__)

NOT_GIVEN_BACK = "This order no longer waits for a payment, so its tickets can no longer be given back here."
GIVEN_BACK = (OrderState.CANCELLED, OrderState.EXPIRED)
REFUND_LIMIT, REFUND_PERIOD = (
    60,
    timedelta(minutes=10),
)  # per client address: a page's office may sit behind one


def till() -> Till:
    """What the processes work with, from the running app."""
    app = shop()
    return Till(app.services.calendar, app.services.payments, app.settings.public_url)


async def add_badge() -> dict[str, object]:
    """Template context: the number on the cart's badge; nothing is asked for visitors, fragments and error pages."""
    # before the sign-in is looked up: the database may be what failed
    if wants_fragment() or g.get("failed"):
        return {"badge_count": 0}
    user = await current_user()
    if user is None:
        return {"badge_count": 0}
    if "badge_count" not in g:
        g.badge_count = await shop().services.cart.badge_count(db_session(), user_id=user.id)
    return {"badge_count": g.badge_count}


@blueprint.post("/checkout")
async def start_checkout() -> ResponseReturnValue:
    """Claim the cart, or one page's part of it, for an order and go on to payment (spec: B7, B12, C1)."""
    user = await require_user()
    form = await request.form
    sessions, moment = shop().database.sessions, now()
    page_id = await page_id_of(form.get("page", ""))
    try:
        order_ids = await checkout.start(
            sessions, till(), user_id=user.id, seen=form.get("fingerprint", ""), page_id=page_id, now=moment
        )
    except (SoldOut, Conflict, Invalid) as error:
        metrics.CLAIMS_REFUSED.labels(error.code).inc()
        return await show_cart(status=error.status, notice=describe(error))
    if len(order_ids) > 1:
        return see_other(f"/orders/{order_ids[0]}")
    return await _go_to_payment(order_ids[0], user.id)


async def _go_to_payment(order_id: UUID, user_id: UUID) -> ResponseReturnValue:
    try:
        handover = await checkout.hand_over(
            shop().database.sessions, till(), order_id=order_id, user_id=user_id, now=now()
        )
    except PaymentsUnavailable as error:
        await flash(error.message, "error")
        return see_other(f"/orders/{order_id}")
    except PaymentsRefused as error:
        if wants_json():
            raise
        await flash(error.message, "error")
        return see_other("/cart")
    return _answer_handover(handover)


def _answer_handover(handover: checkout.Handover) -> ResponseReturnValue:
    """The way on, as a redirect, or as JSON for a page that embeds the form (spec: C1)."""
    if wants_json():
        return jsonify(
            order_id=str(handover.order_id),
            checkout_session_id=handover.session_id,
            url=handover.url,
            client_secret=handover.client_secret,
        )
    if handover.url:
        return see_other(handover.url)
    shown = f"/orders/{handover.order_id}"
    return see_other(f"{shown}/confirmation" if handover.state == OrderState.PAID else shown)


@blueprint.post("/checkout/pending")
async def pending() -> ResponseReturnValue:
    """Hand an unfinished order to Stripe again, by its session (spec: C2) or, before it has one, by its id."""
    user = await require_user()
    form = await request.form
    order_id = parse_id(form.get("order_id", ""))
    if order_id is not None:
        return await _go_to_payment(order_id, user.id)
    handover = await complete.continue_session(
        shop().database.sessions, till(), session_id=form.get("session_id", ""), user_id=user.id, now=now()
    )
    return _answer_handover(handover)


@blueprint.get("/checkout/complete", endpoint="complete")
async def complete_checkout() -> ResponseReturnValue:
    """Back from Stripe: settle for anyone who brings a session id, show details to the owner only (spec: C3)."""
    sessions, user = shop().database.sessions, await current_user()
    session_id, user_id = request.args.get("session_id", ""), user.id if user else None
    try:
        order = await complete.complete(
            sessions,
            till(),
            _asked(),
            session_id=session_id,
            order_hint=parse_id(request.args.get("order", "")),
            user_id=user_id,
            now=now(),
        )
    except NotFound:
        unfinished = await complete.own_order_of(sessions, session_id, user_id=user_id)
        if unfinished is None:
            raise
        return see_other(f"/orders/{unfinished}")
    if order is None:
        return await render_template("cart/looked_at.html")
    if user_id != order.buyer_id:
        return await render_template("cart/complete.html", order=order, is_signed_in=user is not None)
    return see_other(f"/orders/{order.order_id}/confirmation")


@blueprint.get("/orders")
async def order_history() -> ResponseReturnValue:
    """A user's orders with their tickets and states (spec: B14)."""
    user = await require_user()
    session = db_session()
    found = await orders.orders_of_user(session, user.id)
    tickets = await shop().services.calendar.get_tickets_for_orders(session, [order.id for order in found])
    sold = {order.id: as_sold(tickets[order.id], order.lines, order.currency) for order in found}
    moment = now()
    words = await standings(session, [order.id for order in found])
    return await render_template(
        "cart/orders.html", filed=filed(found, sold, now=moment), standings=words, now=moment
    )


@blueprint.get("/orders/<uuid:order_id>")
async def order(order_id: UUID) -> ResponseReturnValue:
    """One order: the clock of its hold and the way on, or its tickets (spec: B14)."""
    return await _show_order(order_id)


@blueprint.get("/orders/<uuid:order_id>/confirmation")
async def confirmation(order_id: UUID) -> ResponseReturnValue:
    """You are in: shown any number of times with the same effect (spec: C4)."""
    user = await require_user()
    view = await complete.check(
        shop().database.sessions, till(), _asked(), order_id=order_id, user_id=user.id, now=now()
    )
    return await _render_order("cart/confirmation.html", view)


def _asked() -> Seldom:
    """Which orders Stripe was asked about just now, because their buyers had come back."""
    return cast("Seldom", shop().extensions["orders_asked"])


async def _show_order(order_id: UUID, *, status: int = 200, notice: str = "") -> ResponseReturnValue:
    user = await require_user()
    view = await order_view(db_session(), shop().services.calendar, order_id=order_id, user_id=user.id)
    standing = ""
    # of any other it is the state, and costs no statement
    if view.refunds or any(ticket.blocked for ticket in view.tickets):
        standing = await standing_of(db_session(), order_id)
    body = await _render_order("cart/order.html", view, notice=notice, standing=standing)
    return body, status


async def _render_order(template: str, view: OrderView, *, notice: str = "", standing: str = "") -> str:
    moment = now()
    return await render_template(
        template,
        view=view,
        order=view.order,
        reasons=REASON_WORDS,
        notice=notice,
        standing=standing or view.order.state,
        now=moment,
        may_give_back=any(by_line.why_not(ticket, now=moment) is None for ticket in view.tickets),
    )


@blueprint.post("/orders/<uuid:order_id>/cancel")
async def cancel(order_id: UUID) -> ResponseReturnValue:
    """Give the tickets of an unfinished order back."""
    user = await require_user()
    app = shop()
    async with app.database.sessions.reading() as session:
        order = await orders.own_order(session, order_id, user_id=user.id)
    if order.state not in (
        OrderState.PENDING,
        *GIVEN_BACK,
    ):  # given back: pressed twice, or the worker was faster
        return await _show_order(order_id, status=409, notice=NOT_GIVEN_BACK)
    state = await release(
        app.database.sessions,
        till(),
        order_id=order_id,
        now=now(),
        to=OrderState.CANCELLED,
        actor=f"user:{user.id}",
    )
    if state in GIVEN_BACK:
        await flash(
            "The tickets are free for others again. They are in your cart if you change your mind.", "ok"
        )
        return see_other("/cart")
    if state == OrderState.PENDING:
        await flash(
            "The payment provider did not answer, so your tickets are still held. Please try again.", "error"
        )
    return see_other(f"/orders/{order_id}")


@blueprint.post("/orders/<uuid:order_id>/extend")
async def extend(order_id: UUID) -> ResponseReturnValue:
    """More time to pay, once (spec: H10)."""
    user = await require_user()
    try:
        await checkout.extend(db_session(), till(), order_id=order_id, user_id=user.id, now=now())
    except checkout.NotExtended as error:
        return await _show_order(order_id, status=error.status, notice=error.message)
    await flash("You have more time: your tickets are held a little longer.", "ok")
    return see_other(f"/orders/{order_id}")


@blueprint.get("/orders/<uuid:order_id>/refund")
async def refund(order_id: UUID) -> ResponseReturnValue:
    """Tickets to give back, and then what comes back for those that were chosen. Changes nothing."""
    return await _show_refund(order_id, request.args.getlist("item"))


async def _show_refund(
    order_id: UUID, items: list[str], *, error: AppError | None = None
) -> ResponseReturnValue:
    user = await require_user()
    session, calendar, moment = db_session(), shop().services.calendar, now()
    view = await order_view(session, calendar, order_id=order_id, user_id=user.id)
    reasons = {ticket.id: by_line.why_not(ticket, now=moment) for ticket in view.tickets}
    chosen = [ticket.id for ticket in view.tickets if str(ticket.id) in items and reasons[ticket.id] is None]
    plan = await by_line.plan_refund(
        session, calendar, order=view.order, lines=view.order.lines, item_ids=chosen
    )
    body = await render_template(
        "cart/refund.html",
        view=view,
        order=view.order,
        why_not=reasons,
        plan=plan,
        notice=error.message if error else "",
    )
    return body, error.status if error else 200


@blueprint.post("/orders/<uuid:order_id>/refund")
@rate_limit(REFUND_LIMIT, REFUND_PERIOD)
async def give_back(order_id: UUID) -> ResponseReturnValue:
    """Give tickets back within the page's policy; their money goes back (spec: H2)."""
    user = await require_user()
    form = await request.form
    items = form.getlist("item")
    try:
        plan = await by_line.refund_own_items(
            db_session(),
            till(),
            order_id=order_id,
            user_id=user.id,
            item_ids=parse_ids(items),
            seen=whole(form.get("seen", "")),
            now=now(),
        )
    except (by_line.NoTickets, by_line.NotRefundable, by_line.RefundChanged) as error:
        return await _show_refund(order_id, items, error=error)
    if plan.tickets:
        await flash(
            "Your tickets are cancelled." + (" The money is on its way." if plan.amount else ""), "ok"
        )
    return see_other(f"/orders/{order_id}")
