"""JSON for programs: the cart's summary."""

from quart import jsonify
from quart.typing import ResponseReturnValue

from cart.routes import blueprint
from shared.contracts.dtos import CartGroupDTO, CartLineDTO
from shared.identity.guard import require_user
from shared.web import db_session, shop


@blueprint.get("/api/v1/cart/summary")
async def api_cart_summary() -> ResponseReturnValue:
    """Counts, totals and lines of the cart (spec: B10). Amounts are decimal strings in major units."""
    user = await require_user()
    summary = await shop().services.cart.cart_summary(db_session(), user_id=user.id)
    return jsonify(
        count=summary.count,
        currency=summary.currency,
        total=_text(summary.total),
        totals={currency: str(total) for currency, total in summary.totals.items()},
        ticket_count=summary.ticket_count,
        ticket_total=_text(summary.ticket_total),
        product_count=summary.product_count,
        product_total=_text(summary.product_total),
        booking_count=summary.booking_count,
        booking_total=_text(summary.booking_total),
        groups=[_group(group) for group in summary.groups],
    )


def _text(amount: object | None) -> str | None:
    return None if amount is None else str(amount)


def _group(group: CartGroupDTO) -> dict[str, object]:
    return {
        "page": group.page.slug,
        "name": group.page.name,
        "currency": group.page.currency,
        "ticket_count": group.ticket_count,
        "ticket_total": str(group.ticket_total),
        "total": str(group.total),
        "lines": [_line(line) for line in group.lines],
    }


def _line(line: CartLineDTO) -> dict[str, object]:
    return {
        "kind": line.kind,
        "ref_id": str(line.ref_id),
        "name": line.name,
        "detail": line.detail,
        "quantity": line.quantity,
        "unit_cost": str(line.unit_cost),
        "total": str(line.total),
    }
