"""What banks gave buyers by disputes that we owed them too: not owed any more, until a bank takes it back.

Such a refund is withdrawn and says why. An appeal that is won brings the money back to us, and so it is owed again.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from cart.models import OrderLine, Payment, Refund, RefundLine
from cart.records import Dispute, given_away
from cart.refunds import owing
from cart.refunds.owing import Part

GIVEN = "The bank has given the buyer this money."
OWED_AGAIN = "The bank had given the buyer this money, and has taken it back."
_FOR_A_BANK = (Refund.state == "withdrawn", Refund.last_error == GIVEN)


async def withdraw_given(session: AsyncSession, refund: Refund, covered: int, *, now: datetime) -> None:
    """A bank has paid the buyer `covered` of a refund; the rest of it is still owed. The order is locked."""
    refund.last_error = GIVEN
    await owing.withdraw_part(session, refund, covered, now=now)


async def given_by_banks(session: AsyncSession, payment: Payment) -> int:
    """What banks have given the buyer of a payment beyond what was withdrawn for it already, in minor units."""
    given = select(func.coalesce(func.sum(Dispute.amount), 0)).where(
        Dispute.payment_id == payment.id, given_away()
    )
    covered = select(func.coalesce(func.sum(Refund.amount), 0)).where(
        Refund.payment_id == payment.id, *_FOR_A_BANK
    )
    more = await session.scalar(select(given.scalar_subquery() - covered.scalar_subquery()))
    return max(0, int(more or 0))


async def note_given(
    session: AsyncSession, payment: Payment, parts: Sequence[Part], *, reason: str, actor: str, now: datetime
) -> None:
    """Keep a refund that is not owed only because a bank was faster: withdrawn from the first."""
    amount = sum(part.amount for part in parts)
    if amount:
        refund = await owing.add_refund(
            session, payment, amount=amount, reason=reason, actor=actor, now=now, parts=parts
        )
        await withdraw_given(session, refund, amount, now=now)


async def owe_again(session: AsyncSession, payment: Payment, *, now: datetime) -> None:
    """Once no bank has money of a payment any more: what was withdrawn for one is owed, once. The order is locked."""
    taken = exists().where(Dispute.payment_id == payment.id, Dispute.withdrawn > 0)
    if await session.scalar(select(taken)):
        return
    rows = await session.scalars(
        select(Refund)
        .where(Refund.payment_id == payment.id, *_FOR_A_BANK)
        .order_by(Refund.created_at, Refund.id)
    )
    for refund in list(rows):
        left = await owing.left_of_payment(session, payment)
        refund.last_error = OWED_AGAIN
        if left <= 0:
            continue  # all of it has gone back another way meanwhile
        again = await owing.add_refund(
            session,
            payment,
            amount=refund.amount,
            reason=refund.reason,
            actor=refund.actor,
            now=now,
            parts=await _parts_of(session, refund),
        )
        if left < again.amount:
            await owing.withdraw_part(session, again, again.amount - left, now=now)


async def _parts_of(session: AsyncSession, refund: Refund) -> list[Part]:
    rows = await session.execute(
        select(RefundLine, OrderLine)
        .join(OrderLine, OrderLine.id == RefundLine.order_line_id)
        .where(RefundLine.refund_id == refund.id)
        .order_by(OrderLine.id)
    )
    return [Part(line, row.amount, tuple(row.item_ids)) for row, line in rows]
