"""What our tables say about balance transactions: a handful of statements for a whole batch. Used by books.py."""

from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from cart.books.ledger import GROSS, OWED_BACK, gross_ref
from cart.books.posting import CHARGE, CHARGE_FAILURE, Key, Known, KnownRefund, Sale
from cart.models import LedgerTransfer, Order, OrderLine, Payment, Refund, RefundLine
from cart.records import BalanceTransaction, Dispute


async def known_about(session: AsyncSession, transactions: Iterable[BalanceTransaction]) -> Known:
    """What our tables say about these transactions, in a handful of statements."""
    rows = list(transactions)
    if not rows:
        return Known()
    intents = {(one.stripe_account, one.payment_intent) for one in rows if one.payment_intent is not None}
    sources = {(one.stripe_account, one.source) for one in rows if one.source is not None}
    arrivals = await _arrivals(session, intents)
    return Known(
        sales=await _sales(session, intents),
        refunds=await _refunds(session, sources),
        disputes=await _disputes(session, sources),
        charges={_intent(one): one for one in arrivals if one.category == CHARGE},
        bounced=frozenset(_intent(one) for one in arrivals if one.category == CHARGE_FAILURE),
    )


def _intent(transaction: BalanceTransaction) -> Key:
    return transaction.stripe_account, transaction.payment_intent or ""


async def _sales(session: AsyncSession, intents: Iterable[Key]) -> dict[Key, Sale]:
    found = (
        await session.execute(
            select(Payment, Order.page_id)
            .join(Order, Order.id == Payment.order_id)
            .where(tuple_(Payment.stripe_account, Payment.payment_intent).in_(intents))
        )
    ).all()
    lines = await session.execute(
        select(OrderLine.order_id, OrderLine.page_id, func.sum(OrderLine.amount + OrderLine.tax))
        .where(OrderLine.order_id.in_({payment.order_id for payment, _ in found}))
        .group_by(OrderLine.order_id, OrderLine.page_id)
        .order_by(OrderLine.order_id, OrderLine.page_id)
    )
    weights: dict[UUID, dict[UUID, int]] = defaultdict(dict)
    for order_id, page_id, amount in lines:
        weights[order_id][page_id] = int(amount)
    back = await session.scalars(
        select(LedgerTransfer.ref).where(
            LedgerTransfer.kind == GROSS,
            LedgerTransfer.stripe_account.in_({payment.stripe_account for payment, _ in found}),
            LedgerTransfer.ref.in_([gross_ref(payment.payment_intent, OWED_BACK) for payment, _ in found]),
        )
    )
    bought_nothing = set(back)
    return {
        (payment.stripe_account, payment.payment_intent): Sale(
            order_id=payment.order_id,
            page_id=page_id,
            amount=payment.amount,
            currency=payment.currency,
            bought=gross_ref(payment.payment_intent, OWED_BACK) not in bought_nothing,
            weights=weights[payment.order_id],
        )
        for payment, page_id in found
    }


async def _refunds(session: AsyncSession, sources: Iterable[Key]) -> dict[Key, KnownRefund]:
    rows = await session.scalars(
        select(Refund).where(tuple_(Refund.stripe_account, Refund.stripe_refund_id).in_(sources))
    )
    found = {one.id: one for one in rows}
    lines = await session.execute(
        select(RefundLine.refund_id, RefundLine.page_id, func.sum(RefundLine.amount))
        .where(RefundLine.refund_id.in_(found))
        .group_by(RefundLine.refund_id, RefundLine.page_id)
        .order_by(RefundLine.refund_id, RefundLine.page_id)
    )
    by_page: dict[UUID, dict[UUID, int]] = defaultdict(dict)
    for refund_id, page_id, amount in lines:
        by_page[refund_id][page_id] = int(amount)
    return {
        (one.stripe_account, one.stripe_refund_id or ""): KnownRefund(one.amount, by_page[one.id])
        for one in found.values()
    }


async def _disputes(session: AsyncSession, sources: Iterable[Key]) -> dict[Key, int]:
    rows = await session.execute(
        select(Dispute.stripe_account, Dispute.dispute_id, Dispute.amount).where(
            tuple_(Dispute.stripe_account, Dispute.dispute_id).in_(sources)
        )
    )
    return {(account, dispute_id): amount for account, dispute_id, amount in rows}


async def _arrivals(session: AsyncSession, intents: Iterable[Key]) -> list[BalanceTransaction]:
    """By which transactions these payments arrived, or failed to."""
    rows = await session.scalars(
        select(BalanceTransaction).where(
            tuple_(BalanceTransaction.stripe_account, BalanceTransaction.payment_intent).in_(intents),
            BalanceTransaction.category.in_((CHARGE, CHARGE_FAILURE)),
        )
    )
    return list(rows)
