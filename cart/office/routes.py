"""The organizer's pages about orders; only for owner and staff of the page, 404 for everybody else."""

from typing import Any
from uuid import UUID

from quart import Response, flash, jsonify, render_template, request
from quart.typing import ResponseReturnValue
from quart_rate_limiter import rate_limit

from cart import words
from cart.books.views import MONEY_WORDS, money_of_order
from cart.office import orders
from cart.office.asked import asked_of_page
from cart.office.evidence import evidence
from cart.office.evidence_pdf import render as draw
from cart.office.numbers import by_number
from cart.orders import lines_of
from cart.refunds import by_line, decisions
from cart.refunds.owing import RefundReason
from cart.routes import REFUND_LIMIT, REFUND_PERIOD, blueprint, till
from shared.contracts.dtos import PageDTO
from shared.contracts.states import OrderStanding, OrderState
from shared.errors import AppError, Conflict, Invalid
from shared.identity.guard import CurrentUser, require_user
from shared.ids import new_id, parse_id
from shared.money import NoAmount, format_minor, read_minor, whole
from shared.web import db_session, let_go, now, see_other, shop

STANDINGS = (
    *OrderState,
    OrderStanding.REFUNDED,
    OrderStanding.PARTLY_REFUNDED,
    OrderStanding.DISPUTED,
    OrderStanding.DISPUTE_LOST,
)
"""What the list can be narrowed to."""


async def seller(page: str) -> tuple[CurrentUser, PageDTO]:
    """Who is asking and the page whose sales they see. Raises NotFound for any other."""
    user = await require_user()
    shown = await orders.page_for_seller(db_session(), shop().services.calendar, user_id=user.id, slug=page)
    return user, shown


@blueprint.get("/organizer/<page>/orders")
async def organizer_orders(page: str) -> ResponseReturnValue:
    """A page's orders, searched by e-mail, number or ticket code, filtered by state and event; all in the address."""
    _, shown = await seller(page)
    session = db_session()
    search = request.args.get("q", "")[:200]
    state = next((one for one in STANDINGS if one == request.args.get("state", "")), "")
    entry_id = parse_id(request.args.get("entry", ""))
    rows = await orders.list_orders(
        session,
        shop().services.calendar,
        page_id=shown.id,
        search=search,
        standing=state,
        entry_id=entry_id,
        before=parse_id(request.args.get("before", "")),
    )
    return await render_template(
        "cart/organizer_orders.html",
        page=shown,
        rows=rows[: orders.PER_PAGE],
        more=rows[orders.PER_PAGE - 1].order.id if len(rows) > orders.PER_PAGE else None,
        search=search,
        state=state,
        entry=entry_id or "",
        entry_name=await orders.name_of_entry(session, page_id=shown.id, entry_id=entry_id),
        states=STANDINGS,
        decisions=await asked_of_page(session, shown),
        words=words,
    )


@blueprint.get("/organizer/<page>/orders/<uuid:order_id>")
async def organizer_order(page: str, order_id: UUID) -> ResponseReturnValue:
    """One order with its lines, tickets, money and history, and what can be done about it."""
    _, shown = await seller(page)
    return await _show_order(shown, order_id)


async def _show_order(page: PageDTO, order_id: UUID, *, error: AppError | None = None) -> ResponseReturnValue:
    detail = await orders.order_detail(
        db_session(), shop().services.calendar, page_id=page.id, order_id=order_id
    )
    body = await render_template(
        "cart/organizer_order.html",
        page=page,
        detail=detail,
        order=detail.order,
        words=words,
        books=await money_of_order(db_session(), page, order_id),
        kinds=MONEY_WORDS,
        notice=error.message if error else "",
    )
    return body, error.status if error else 200


@blueprint.get("/organizer/<page>/orders/<uuid:order_id>/refund")
async def organizer_refund(page: str, order_id: UUID) -> ResponseReturnValue:
    """What a refund would do, to be confirmed: of the chosen tickets, or of an amount for a line. Changes nothing."""
    _, shown = await seller(page)
    try:
        return (
            await _confirm_amount(shown, order_id)
            if "line" in request.args
            else await _confirm(shown, order_id)
        )
    except (Invalid, by_line.NotRefundable) as error:
        return await _show_order(shown, order_id, error=error)


async def _confirm(page: PageDTO, order_id: UUID) -> ResponseReturnValue:
    session, calendar = db_session(), shop().services.calendar
    detail = await orders.order_detail(session, calendar, page_id=page.id, order_id=order_id)
    chosen = by_number(detail.order.lines, request.args.getlist("item"))
    if not chosen:
        raise by_line.NoTickets
    plan = await by_line.plan_refund(
        session, calendar, order=detail.order, lines=detail.lines, item_ids=chosen
    )
    if not plan.tickets:
        raise by_line.NotRefundable
    return await render_template(
        "cart/organizer_refund.html",
        page=page,
        order=detail.order,
        plan=plan,
        numbers=detail.numbers,
        form_id="",
        line=None,
    )


async def _confirm_amount(page: PageDTO, order_id: UUID) -> ResponseReturnValue:
    detail = await orders.order_detail(
        db_session(), shop().services.calendar, page_id=page.id, order_id=order_id
    )
    line = next((line for line in detail.lines if str(line.id) == request.args["line"]), None)
    amount = read_minor(request.args.get("amount", ""), detail.order.currency)
    if line is None or not amount:
        raise NoAmount(field="amount")
    if amount > detail.left[line.id]:
        raise by_line.TooMuch
    by_line.check_payable(amount, detail.order.currency)
    return await render_template(
        "cart/organizer_refund.html",
        page=page,
        order=detail.order,
        line=line,
        amount=amount,
        form_id=new_id(),
    )


@blueprint.post("/organizer/<page>/orders/<uuid:order_id>/refund")
@rate_limit(REFUND_LIMIT, REFUND_PERIOD)
async def refund_as_organizer(page: str, order_id: UUID) -> ResponseReturnValue:
    """Cancel the chosen tickets and give their money back, or give an amount back (spec: H2)."""
    user, shown = await seller(page)
    form = await request.form
    actor = f"user:{user.id}"
    try:
        if "line" in form:
            words = await _give_amount(shown, order_id, actor)
        else:
            words = await _cancel_tickets(shown, order_id, actor)
    except (Invalid, by_line.NotRefundable, by_line.RefundChanged) as error:
        return await _show_order(shown, order_id, error=error)
    await flash(words, "ok")
    return see_other(f"/organizer/{shown.slug}/orders/{order_id}")


async def _cancel_tickets(page: PageDTO, order_id: UUID, actor: str) -> str:
    form = await request.form
    chosen = by_number(await lines_of(db_session(), order_id), form.getlist("item"))
    if not chosen:
        raise by_line.NoTickets
    plan = await by_line.refund_items(
        db_session(),
        till(),
        order_id=order_id,
        item_ids=chosen,
        page_id=page.id,
        actor=actor,
        reason=RefundReason.ORGANIZER,
        now=now(),
        seen=whole(form.get("seen", "")),
    )
    if not plan.tickets:
        return "None of these tickets can be cancelled any more. Nothing was refunded."
    number = f"{len(plan.tickets)} ticket{'' if len(plan.tickets) == 1 else 's'} cancelled"
    if not plan.amount:
        return f"{number}."
    return f"{number}; {format_minor(plan.amount, plan.order.currency)} goes back to the buyer."


async def _give_amount(page: PageDTO, order_id: UUID, actor: str) -> str:
    form = await request.form
    line_id, form_id = parse_id(form.get("line", "")), parse_id(form.get("form", ""))
    if line_id is None or form_id is None:
        raise NoAmount(field="amount")
    refund = await by_line.refund_amount(
        db_session(),
        till(),
        order_id=order_id,
        line_id=line_id,
        amount=whole(form.get("seen", "")),
        page_id=page.id,
        refund_id=form_id,
        actor=actor,
        now=now(),
    )
    return f"{format_minor(refund.amount, refund.currency)} goes back to the buyer; the tickets stay."


@blueprint.post("/organizer/<page>/orders/<uuid:order_id>/decide")
@rate_limit(REFUND_LIMIT, REFUND_PERIOD)
async def decide(page: str, order_id: UUID) -> ResponseReturnValue:
    """What becomes of a refund that failed, or for which tickets one made by hand was (spec: H2)."""
    user, shown = await seller(page)
    try:
        done = await carry_out_decision(order_id, user, page_id=shown.id)
    except (Invalid, Conflict) as error:
        return await _show_order(shown, order_id, error=error)
    await flash(done, "ok")
    return see_other(f"/organizer/{shown.slug}/orders/{order_id}")


async def carry_out_decision(order_id: UUID, user: CurrentUser, *, page_id: UUID | None) -> str:
    """What the form says about a refund, for one page or (None, the operator) for all; returns what was done."""
    form = await request.form
    return await decisions.decide(
        db_session(),
        till(),
        order_id=order_id,
        refund_id=parse_id(form.get("refund", "")),
        action=form.get("action", ""),
        item_ids=by_number(await lines_of(db_session(), order_id), form.getlist("item")),
        text=form.get("note", ""),
        page_id=page_id,
        actor=f"user:{user.id}",
        now=now(),
    )


@blueprint.get("/organizer/<page>/orders/<uuid:order_id>/evidence.json")
async def evidence_json(page: str, order_id: UUID) -> ResponseReturnValue:
    """All that is known of an order, for a dispute (spec: H4)."""
    return jsonify(await _evidence(page, order_id))


@blueprint.get("/organizer/<page>/orders/<uuid:order_id>/evidence.pdf")
async def evidence_pdf(page: str, order_id: UUID) -> ResponseReturnValue:
    """The same to send along."""
    user = await require_user()
    found = await _evidence(page, order_id)
    await let_go()
    body = await shop().drawing.of(user.id, draw, found)
    name = f"evidence-{found['order']['number']}.pdf"
    return Response(
        body,
        content_type="application/pdf",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


async def _evidence(page: str, order_id: UUID) -> dict[str, Any]:
    _, shown = await seller(page)
    return await evidence(db_session(), shop().services.calendar, page=shown, order_id=order_id, now=now())
