"""What stands in the ledger, added up row by row; for tests, which compare it with figures made by hand."""

from collections import Counter
from uuid import UUID

from sqlalchemy import select

from cart.models import LedgerTransfer
from cart.records import BalanceTransaction
from shared.database import Sessions


async def sums(
    sessions: Sessions,
    *,
    page_id: UUID | None = None,
    currency: str = "EUR",
    stripe_account: str | None = None,
) -> dict[str, int]:
    """Debits minus credits of each account, without those at nothing; of all, of one page, of one Stripe account."""
    found: Counter[str] = Counter()
    async with sessions() as session:
        for row in await session.scalars(select(LedgerTransfer).where(LedgerTransfer.currency == currency)):
            if page_id in (None, row.page_id) and stripe_account in (None, row.stripe_account):
                found[row.debit] += row.amount
                found[row.credit] -= row.amount
    return {account: amount for account, amount in found.items() if amount}


async def not_posted(sessions: Sessions) -> int:
    """How many transactions are not in the ledger yet."""
    async with sessions() as session:
        rows = await session.scalars(select(BalanceTransaction).where(BalanceTransaction.posted_at.is_(None)))
        return len(rows.all())
