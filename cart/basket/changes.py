"""Changes to a cart: a line's number, emptying it, and putting back what was emptied; each said in words."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.dtos import CartSummaryDTO
from shared.contracts.protocols import CalendarService
from shared.errors import AppError
from shared.formats import cost, counted
from shared.ids import parse_id

MOST_KEPT = 40  # lines: they travel in the session's cookie, which has 4 KB

Emptied = dict[str, int]
"""How many of each ticket type were taken out at once, by its id as text."""


def emptied(before: CartSummaryDTO, page_id: UUID | None) -> Emptied:
    """What emptying takes out of this cart; nothing where it is too much to be remembered."""
    lines = [line for line in before.lines if page_id in (None, line.page_id) and not line.entry_cancelled]
    return {str(line.ref_id): line.quantity for line in lines} if len(lines) <= MOST_KEPT else {}


async def put_back(
    session: AsyncSession,
    calendar: CalendarService,
    lines: Mapping[str, int],
    *,
    user_id: UUID,
    now: datetime,
) -> list[AppError]:
    """As much of these lines as still can be had; why the rest can't."""
    refused: list[AppError] = []
    in_cart = Counter(one.ticket_type_id for one in await calendar.pending_tickets(session, user_id=user_id))
    for ref, quantity in lines.items():
        type_id = parse_id(ref)
        if type_id is None:
            continue
        try:
            # what was chosen anew since stays
            wanted = max(quantity, in_cart[type_id])
            await calendar.set_pending_quantity(
                session, user_id=user_id, ticket_type_id=type_id, quantity=wanted, now=now
            )
        except AppError as error:
            refused.append(error)
    return refused


def said(summary: CartSummaryDTO, ref: str) -> str:
    """What a change has made of the cart, for who can't see it: the line, then all of it."""
    if not summary.lines:
        return "Your cart is empty."
    totals = " and ".join(cost(total, currency) for currency, total in summary.totals.items())
    whole = f"In your cart: {counted(summary.count, 'tickets')}, {totals}."
    line = next((line for line in summary.lines if str(line.ref_id) == ref), None)
    if line is None:
        return f"Removed. {whole}" if ref else whole
    return f"{line.name}, {line.detail}: {counted(line.quantity, 'tickets')}. {whole}"
