"""What it costs to cancel an event: what goes back to its buyers, and Stripe's fees, which Stripe keeps.

The sums are those that the sweep `cancelled_entries` will owe, order by order.
"""

from collections import defaultdict
from fractions import Fraction
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from cart.books.ledger import FEES
from cart.books.views import ACCOUNT, EFFECT
from cart.models import LedgerTransfer, Order, OrderLine
from cart.refunds.owing import left_of_lines
from cart.standing import gone
from shared.contracts.dtos import CancelCostDTO
from shared.contracts.states import OrderState


async def cost_of_cancelling(session: AsyncSession, *, page_id: UUID, entry_id: UUID) -> CancelCostDTO:
    """For an entry as it stands, whatever else its orders hold; three statements, however many there are.

    A fee counts in the proportion that the entry has in its page's part of an order. Of an order that has had
    everything back it is lost already, so it is none of this cost.
    """
    lines, left_of_order = await _lines(session, page_id, entry_id)
    left = await left_of_lines(session, lines)
    back: dict[UUID, int] = defaultdict(int)
    price: dict[UUID, int] = defaultdict(int)
    for line in lines:
        back[line.order_id] += left[line.id]
        price[line.order_id] += line.amount + line.tax
    owed = {order_id: min(amount, left_of_order[order_id]) for order_id, amount in back.items()}
    owed = {order_id: amount for order_id, amount in owed.items() if amount}
    fees: dict[str, Fraction] = defaultdict(Fraction)
    known = set()
    for order_id, currency, fee, of_page in await _fees(session, page_id, entry_id):
        if order_id in owed:
            known.add(order_id)
            fees[currency] += Fraction(fee * price[order_id], of_page)
    return CancelCostDTO(
        back_minor=sum(owed.values()),
        fees={currency: round(fee) for currency, fee in fees.items()},
        without_fee=len(owed) - len(known),
    )


async def _lines(
    session: AsyncSession, page_id: UUID, entry_id: UUID
) -> tuple[list[OrderLine], dict[UUID, int]]:
    """The entry's lines of paid orders, and by order what can still go back of its payment at all."""
    whole = Order.__table__.c.total
    rows = await session.execute(
        select(OrderLine, whole - gone(None, whole).for_good)
        .join(Order, Order.id == OrderLine.order_id)
        .where(OrderLine.page_id == page_id, OrderLine.entry_id == entry_id, Order.state == OrderState.PAID)
    )
    found = [(line, int(left)) for line, left in rows]
    return [line for line, _ in found], {line.order_id: left for line, left in found}


async def _fees(session: AsyncSession, page_id: UUID, entry_id: UUID) -> list[tuple[UUID, str, int, int]]:
    """Order, currency, fee and what the page's part of the order came to, as the ledger and the lines have it."""
    part = (
        select(
            OrderLine.order_id,
            func.sum(OrderLine.amount + OrderLine.tax).label("of_page"),
            func.bool_or(OrderLine.entry_id == entry_id).label("has_entry"),
        )
        .where(OrderLine.page_id == page_id)
        .group_by(OrderLine.order_id)
        .subquery()
    )
    rows = await session.execute(
        select(part.c.order_id, LedgerTransfer.currency, func.sum(-EFFECT), part.c.of_page)
        .join(part, part.c.order_id == LedgerTransfer.order_id)
        .where(part.c.has_entry, LedgerTransfer.page_id == page_id, ACCOUNT.in_((FEES,)))
        .group_by(part.c.order_id, LedgerTransfer.currency, part.c.of_page)
    )
    return [(order_id, currency, int(fee), int(of_page)) for order_id, currency, fee, of_page in rows]
