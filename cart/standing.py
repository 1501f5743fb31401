"""How an order stands: its state, and of one that was paid, what became of its money since. For every list and page.

An order that was paid stays `paid` for good (spec: C2); that its money went back, or that a bank has taken it, is read
from refunds and disputes here and nowhere else. Amounts in minor units.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, case, exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from cart.models import Order, Refund, RefundLine
from cart.records import Dispute, given_away
from cart.refunds.owing import BOUGHT_NOTHING, COUNTS
from shared.contracts.states import OrderStanding, OrderState


@dataclass(frozen=True, slots=True)
class Gone:
    """Columns over `orders`: what of an amount went back, is about to or is held by a bank, and the word for it."""

    amount: ColumnElement[int]
    for_good: ColumnElement[int]
    """The same without what a bank may still give back: no more than the rest can be refunded."""
    standing: ColumnElement[str]


async def standings(session: AsyncSession, order_ids: Sequence[UUID]) -> dict[UUID, str]:
    """The word for each of these orders, as a whole."""
    standing = gone(None, Order.total.expression).standing
    found = await session.execute(select(Order.id, standing).where(Order.id.in_(order_ids)))
    return {row[0]: row[1] for row in found}


def gone(page_id: UUID | None, amount: ColumnElement[int]) -> Gone:
    """The same for one page's part of each order (None = the whole order), which came to `amount`."""
    given, taken, lost = _given(page_id, amount), _taken(amount), _taken(amount, given_away())
    undecided = exists().where(Dispute.order_id == Order.id, Dispute.closed_at.is_(None))
    standing = case(
        (Order.state != OrderState.PAID, Order.state),
        (undecided, OrderStanding.DISPUTED.value),
        (taken > 0, OrderStanding.DISPUTE_LOST.value),
        ((given > 0) & (given >= amount), OrderStanding.REFUNDED.value),
        (given > 0, OrderStanding.PARTLY_REFUNDED.value),
        else_=OrderState.PAID.value,
    )
    return Gone(func.least(amount, given + taken), func.least(amount, given + lost), standing)


def _given(page_id: UUID | None, amount: ColumnElement[int]) -> ColumnElement[int]:
    """By the lines that refunds name; one that names none yet (made by hand at Stripe) counts as the page's own.

    Of payments that never paid the order, nothing: they were never counted as sold.
    """
    of_page = () if page_id is None else (RefundLine.page_id == page_id,)
    named = (
        select(func.coalesce(func.sum(RefundLine.amount), 0))
        .join(Refund, Refund.id == RefundLine.refund_id)
        .where(Refund.order_id == Order.id, COUNTS, *of_page)
        .correlate(Order)
        .scalar_subquery()
    )
    unnamed = (
        select(func.coalesce(func.sum(Refund.amount), 0))
        .where(
            Refund.order_id == Order.id,
            COUNTS,
            Refund.reason.not_in(BOUGHT_NOTHING),
            ~exists().where(RefundLine.refund_id == Refund.id),
        )
        .correlate(Order)
        .scalar_subquery()
    )
    return func.least(amount, named + unnamed)


def _taken(amount: ColumnElement[int], *those: ColumnElement[bool]) -> ColumnElement[int]:
    """What a bank holds, or has given to the buyer for good; of an order that pages share, by their parts of it."""
    taken = (
        select(func.coalesce(func.sum(Dispute.amount), 0))
        .where(Dispute.order_id == Order.id, Dispute.withdrawn > 0, *those)
        .correlate(Order)
        .scalar_subquery()
    )
    return func.least(amount, taken * amount / func.greatest(Order.total, 1))


async def standing_of(session: AsyncSession, order_id: UUID) -> str:
    """The word for a whole order: an OrderState or an OrderStanding."""
    return (await standings(session, [order_id]))[order_id]
