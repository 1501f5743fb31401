"""The cart's page: its lines, their numbers, emptying it and putting back what was emptied."""

import json
from uuid import UUID

from quart import Blueprint, g, render_template, request, session
from quart.typing import ResponseReturnValue

from cart import lapsed
from cart.basket import changes
from cart.basket.changes import Emptied
from cart.quote import fingerprint
from shared.contracts.dtos import CartSummaryDTO
from shared.contracts.states import OrderState
from shared.errors import AppError, Invalid, NotFound
from shared.identity.guard import require_user
from shared.ids import parse_id
from shared.web import count_cart_change, db_session, now, see_other, shop, wants_fragment

blueprint = Blueprint("basket", __name__)

EMPTIED = "emptied"  # in the session: what the next look at the cart offers to put back
MAX_QUANTITY = 999  # what a field may say at all; the type's own limit is the calendar's to check


@blueprint.get("/cart")
async def cart() -> ResponseReturnValue:
    """The cart, grouped by page (spec: B11)."""
    return await show_cart(emptied=session.pop(EMPTIED, None))


async def show_cart(
    *,
    status: int = 200,
    errors: dict[str, str] | None = None,
    notice: str = "",
    emptied: Emptied | None = None,
    changed: str | None = None,
) -> tuple[str, int]:
    """`errors` by the line they belong to; one whose line is not in the cart is told above it.

    `emptied`: what can be put back. `changed`: the line that was changed, '' for more than one.
    """
    user = await require_user()
    summary = await _summary(user.id)
    g.badge_count = summary.count
    moment = now()
    about = await lapsed.orders_about_cart(db_session(), user.id, now=moment)
    lines = {str(line.ref_id) for line in summary.lines}
    elsewhere = (text for ref, text in (errors or {}).items() if ref not in lines)
    body = await render_template(
        "cart/_changed.html" if wants_fragment() else "cart/cart.html",
        summary=summary,
        page_fingerprints={group.page.id: fingerprint(group.lines) for group in summary.groups},
        open_orders=[order for order in about if order.state == OrderState.PENDING],
        lapses=lapsed.lapses(about, summary),
        errors=errors or {},
        notice=notice or " ".join(elsewhere),
        emptied=json.dumps(emptied) if emptied else "",
        said="" if changed is None else changes.said(summary, changed),
        now=moment,
    )
    return body, status


async def _summary(user_id: UUID) -> CartSummaryDTO:
    return await shop().services.cart.cart_summary(db_session(), user_id=user_id)


@blueprint.post("/cart/lines")
async def change_lines() -> ResponseReturnValue:
    """Change the number of a line (0 removes it), empty the cart or a page's part of it, or take that back."""
    user = await require_user()
    count_cart_change(user.id)
    form = await request.form
    if form.get("action") == "empty":
        return await _empty(user.id, await page_id_of(form.get("page", "")))
    if form.get("action") == "put_back":
        return await _put_back(user.id, form.get("lines", ""))
    ref = form.get("ref", "")
    try:
        ref_id = parse_id(ref)
        if ref_id is None:
            raise NotFound("That is not in your cart any more.")
        await shop().services.calendar.set_pending_quantity(
            db_session(),
            user_id=user.id,
            ticket_type_id=ref_id,
            quantity=_quantity(form.get("quantity", "")),
            now=now(),
        )
    except AppError as error:
        return await show_cart(status=error.status, errors={ref: describe(error)})
    return await _cart_changed(ref)


async def _empty(user_id: UUID, page_id: UUID | None) -> ResponseReturnValue:
    emptied = changes.emptied(await _summary(user_id), page_id)
    await shop().services.calendar.remove_pending_tickets(db_session(), user_id=user_id, page_id=page_id)
    return await _cart_changed("", emptied)


async def _put_back(user_id: UUID, text: str) -> ResponseReturnValue:
    lines = _read_lines(text)
    for _ in lines:
        count_cart_change(user_id)
    refused = await changes.put_back(
        db_session(), shop().services.calendar, lines, user_id=user_id, now=now()
    )
    if refused:
        # nothing is undone by this: what could be had is in the cart
        return await show_cart(notice=" ".join(describe(error) for error in refused), changed="")
    return await _cart_changed("")


def _read_lines(text: str) -> Emptied:
    """What the form gives back, as `show_cart` wrote it. Raises Invalid."""
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict) or len(read) > changes.MOST_KEPT:
        raise Invalid
    if not all(isinstance(number, int) and 0 < number <= MAX_QUANTITY for number in read.values()):
        raise Invalid
    return read


async def _cart_changed(ref: str, emptied: Emptied | None = None) -> ResponseReturnValue:
    if wants_fragment():
        return await show_cart(changed=ref, emptied=emptied)
    if emptied:
        session[EMPTIED] = emptied
    return see_other("/cart")


def _quantity(text: str) -> int:
    if not text.isdecimal() or not text.isascii():
        raise Invalid("Please enter a whole number, 0 or more.")
    if len(text) > len(str(MAX_QUANTITY)):
        raise Invalid("That is more than can be bought at once.")
    return int(text)


async def page_id_of(slug: str) -> UUID | None:
    """The id of the page named in a form; None for the whole cart."""
    if not slug:
        return None
    async with shop().database.sessions.reading() as session:
        page = await shop().services.calendar.get_page_by_slug(session, slug)
    if page is None:
        raise NotFound
    return page.id


def describe(error: AppError) -> str:
    """An error as one text: its message, and for a shortage which lines."""
    return " ".join([error.message, *error.details.get("lines", [])])
