"""The operator's pages about money: events, stuck refunds, any order. 404 for everybody who is not in OPERATORS."""

from uuid import UUID

from quart import flash, render_template, request
from quart.typing import ResponseReturnValue
from quart_rate_limiter import rate_limit

from cart import overdue, words
from cart.office.asked import asked_of_operator
from cart.office.routes import carry_out_decision
from cart.operator import checks, views
from cart.operator.event_words import EVENT_WORDS, result_words
from cart.operator.views import Show
from cart.operator.whose import orders_of
from cart.routes import REFUND_LIMIT, REFUND_PERIOD, blueprint, till
from shared.contracts.payment_errors import (
    PaymentsRefused,
    PaymentsUnavailable,
)
from shared.contracts.states import OrderState
from shared.errors import AppError, Conflict, Invalid
from shared.health import board
from shared.identity.guard import require_operator
from shared.web import db_session, let_go, now, see_other, shop


@blueprint.get("/operator/events")
async def operator_events() -> ResponseReturnValue:
    """Stripe's events, newest first."""
    await require_operator()
    show = next((one for one in Show if one == request.args.get("show", "")), Show.ALL)
    rows = await views.list_events(db_session(), show=show, before=request.args.get("before", ""))
    return await render_template(
        "operator/events.html",
        rows=rows[: views.PER_PAGE],
        orders=await orders_of(db_session(), rows),
        more=rows[views.PER_PAGE - 1].id if len(rows) > views.PER_PAGE else None,
        show=show,
        words=views.SHOW_WORDS,
        meanings=EVENT_WORDS,
        result_words=result_words,
    )


@blueprint.get("/operator/events/<event_id>")
async def operator_event(event_id: str) -> ResponseReturnValue:
    """One event: what it did and what it says."""
    await require_operator()
    event = await views.event_detail(db_session(), event_id)
    return await render_template(
        "operator/event.html",
        event=event,
        order=(await orders_of(db_session(), [event])).get(event.id),
        body=views.readable(event.body),
        meanings=EVENT_WORDS,
        result_words=result_words,
    )


@blueprint.post("/operator/events/<event_id>/again")
async def operator_event_again(event_id: str) -> ResponseReturnValue:
    """Carry it out once more."""
    await require_operator()
    result = await views.process_again(shop().database.sessions, till(), event_id=event_id, now=now())
    if result is None:
        await flash("It failed again. The reason stands below.", "error")
    else:
        await flash(f"Done again: {result_words(result)}.", "ok")
    board(shop()).forget()
    return see_other(f"/operator/events/{event_id}")


@blueprint.get("/operator/refunds")
async def operator_refunds() -> ResponseReturnValue:
    """Refunds that have not arrived, and what else about money waits for a person."""
    await require_operator()
    rows = await views.stuck_refunds(db_session())
    return await render_template(
        "operator/refunds.html",
        rows=rows,
        decisions=await asked_of_operator(db_session()),
        words=words,
        now=now(),
    )


@blueprint.get("/operator/overdue")
async def operator_overdue() -> ResponseReturnValue:
    """Orders whose payment is on its way for longer than any method takes."""
    await require_operator()
    rows = await overdue.overdue_orders(db_session(), now=now())
    return await render_template("operator/overdue.html", rows=rows)


@blueprint.get("/operator/orders/<uuid:order_id>")
async def operator_order(order_id: UUID) -> ResponseReturnValue:
    """Any order, with all its lines, sessions, payments and history."""
    await require_operator()
    return await _show_order(order_id)


async def _show_order(order_id: UUID, *, error: AppError | None = None) -> ResponseReturnValue:
    view = await views.order_view(db_session(), shop().services.calendar, order_id)
    body = await render_template(
        "operator/order.html",
        view=view,
        order=view.order,
        words=words,
        can_end=await overdue.can_end(db_session(), order_id, now=now()),
        notice=error.message if error else "",
    )
    return body, error.status if error else 200


ENDED = {
    OrderState.PAID: "Stripe says that it was paid: the order is paid, its tickets are confirmed.",
    OrderState.FAILED: "The order is over and its tickets are free. Money that comes all the same goes back by itself.",
}


@blueprint.post("/operator/orders/<uuid:order_id>/end")
@rate_limit(REFUND_LIMIT, REFUND_PERIOD)
async def operator_end(order_id: UUID) -> ResponseReturnValue:
    """End an order whose payment does not come; Stripe is asked first."""
    user = await require_operator()
    await let_go()  # Stripe is waited for with nothing held
    try:
        state = await overdue.end_overdue(
            shop().database.sessions, till(), order_id=order_id, actor=f"user:{user.id}", now=now()
        )
    except (Conflict, PaymentsUnavailable, PaymentsRefused) as error:
        return await _show_order(order_id, error=error)
    await flash(ENDED[state], "ok")
    board(shop()).forget()
    return see_other(f"/operator/orders/{order_id}")


@blueprint.post("/operator/orders/<uuid:order_id>/decide")
@rate_limit(REFUND_LIMIT, REFUND_PERIOD)
async def operator_decide(order_id: UUID) -> ResponseReturnValue:
    """What becomes of a refund that failed, or for which tickets of all pages one made by hand was (spec: H2)."""
    user = await require_operator()
    try:
        done = await carry_out_decision(order_id, user, page_id=None)
    except (Invalid, Conflict) as error:
        return await _show_order(order_id, error=error)
    await flash(done, "ok")
    board(shop()).forget()
    return see_other(f"/operator/orders/{order_id}")


@blueprint.post("/operator/checks")
async def operator_checks() -> ResponseReturnValue:
    """Have the worker ask Stripe and our webhook's address again, now."""
    await require_operator()
    await checks.check_anew(db_session(), now=now())
    board(shop()).forget()
    await flash(
        "The worker checks now; until it has, the last results stand. Reload this page in a few seconds.",
        "info",
    )
    return see_other("/operator")
