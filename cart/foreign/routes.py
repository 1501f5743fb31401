"""The operator's page of payments without our marks. 404 for everybody who is not in OPERATORS."""

from uuid import UUID

from quart import flash, render_template, request
from quart.typing import ResponseReturnValue
from quart_rate_limiter import rate_limit

from cart.foreign import deciding, views
from cart.routes import REFUND_LIMIT, REFUND_PERIOD, blueprint, till
from shared.contracts.payment_errors import PaymentsUnavailable
from shared.errors import AppError, Conflict, Invalid
from shared.health import board
from shared.identity.guard import require_operator
from shared.web import db_session, now, see_other, shop

ADDRESS = "/operator/foreign"


@blueprint.get(ADDRESS)
async def operator_foreign() -> ResponseReturnValue:
    """Payments that fit an order of ours and bear no mark of it."""
    await require_operator()
    return await _show()


async def _show(*, error: AppError | None = None) -> ResponseReturnValue:
    session = db_session()
    body = await render_template(
        "operator/foreign.html",
        waiting=await views.waiting(session),
        decided=await views.decided(session),
        notice=error.message if error else "",
    )
    return body, error.status if error else 200


@blueprint.post(f"{ADDRESS}/<uuid:payment_id>")
@rate_limit(REFUND_LIMIT, REFUND_PERIOD)
async def operator_foreign_decide(payment_id: UUID) -> ResponseReturnValue:
    """It is an order's, it goes back, or it is not ours; once (spec: F4)."""
    user = await require_operator()
    form = await request.form
    sessions, actor, number = shop().database.sessions, f"user:{user.id}", form.get("number", "")
    try:
        match form.get("decision", ""):
            case "assign":
                done = await deciding.assign(
                    sessions, till(), payment_id=payment_id, number=number, actor=actor, now=now()
                )
            case "send_back":
                done = await deciding.return_money(
                    sessions, till(), payment_id=payment_id, number=number, actor=actor, now=now()
                )
            case "dismiss":
                done = await deciding.dismiss(sessions, payment_id=payment_id, actor=actor, now=now())
            case _:
                return await _show(error=Invalid("Please choose what this payment is.", field="decision"))
    except (Invalid, Conflict, PaymentsUnavailable) as error:
        return await _show(error=error)
    await flash(done, "ok")
    board(shop()).forget()
    return see_other(ADDRESS)
