"""The ledger: one row is one transfer, so it balances by construction; the database refuses to change a row.

Settling posts the gross only. Fees, refunds and payouts are posted from Stripe's balance transactions, when they come.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from cart.models import LedgerTransfer, OrderLine, Payment
from shared.database import NewRow, new_row, write_at_commit

STRIPE_BALANCE = "stripe_balance"
SALES = "sales"
OWED_BACK = "owed_back"


async def post_sale(
    session: AsyncSession, payment: Payment, lines: Sequence[OrderLine], *, at: datetime
) -> None:
    """Gross of a paid order, one transfer per page: Stripe's balance grows by what the page has sold."""
    by_page: dict[UUID, int] = defaultdict(int)
    for line in lines:
        by_page[line.page_id] += line.amount + line.tax
    rows = [
        _transfer(payment, at=at, credit=SALES, amount=amount, page_id=page_id)
        for page_id, amount in by_page.items()
        if amount
    ]
    await write_at_commit(session, *rows)


async def post_owed_back(session: AsyncSession, payment: Payment, *, at: datetime) -> None:
    """Money that arrived and is not ours to keep: it goes back by a refund."""
    back = _transfer(payment, at=at, credit=OWED_BACK, amount=payment.amount, page_id=None)
    await write_at_commit(session, back)


def _transfer(payment: Payment, *, at: datetime, credit: str, amount: int, page_id: UUID | None) -> NewRow:
    transfer = LedgerTransfer(
        at=at,
        kind="gross",
        debit=STRIPE_BALANCE,
        credit=credit,
        amount=amount,
        currency=payment.currency,
        page_id=page_id,
        order_id=payment.order_id,
        stripe_account=payment.stripe_account,
        ref=f"{payment.payment_intent}:{page_id or OWED_BACK}",
    )
    return new_row(transfer)
