"""The ledger: one row is one transfer, so it balances by construction; the database refuses to change a row.

Settling posts the gross only. Fees, refunds, disputes and payouts are posted from Stripe's balance transactions, when
they come (posting.py has the rules, books.py the process).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from cart.models import LedgerTransfer, OrderLine, Payment
from cart.records import BalanceTransaction
from shared.database import NewRow, new_row, write_at_commit

STRIPE_BALANCE = "stripe_balance"
SALES = "sales"
OWED_BACK = "owed_back"
"""What arrived and bought nothing: it goes back by a refund."""
FEES = "fees"
REFUNDS = "refunds"
REFUNDS_UNALLOCATED = "refunds_unallocated"
"""Refunded at Stripe by hand; nobody has said yet for which lines."""
DISPUTES = "disputes"
DISPUTE_FEES = "dispute_fees"
BANK = "bank"
CLEARING = "clearing"
"""Between the currency of a payment and the one that its account settles in."""
BOUNCED = "bounced"
"""Delayed payments that Stripe had booked while they waited, and that failed."""
FOREIGN = "foreign"
"""Of other programs on the same Stripe account: only so that the balance is Stripe's."""
ORPHANS = "orphans"
"""Paid to this installation for an order it does not know: the database was restored from a backup."""
RESERVED = "reserved"
"""Held back by Stripe or by a card network: still the account's, but not in the balance that payments go to."""
OTHER = "other"

GROSS = "gross"  # a kind; the others stand in posting.py


@dataclass(frozen=True, slots=True)
class Leg:
    """One transfer of several that a transaction makes; a negative `amount` (minor units) goes the other way."""

    kind: str
    debit: str
    credit: str
    amount: int
    currency: str
    page_id: UUID | None = None


async def post_sale(
    session: AsyncSession, payment: Payment, lines: Sequence[OrderLine], *, at: datetime
) -> None:
    """Gross of a paid order, one transfer per page: Stripe's balance grows by what the page has sold."""
    by_page: dict[UUID, int] = defaultdict(int)
    for line in lines:
        by_page[line.page_id] += line.amount + line.tax
    rows = [
        _gross(payment, at=at, credit=SALES, amount=amount, page_id=page_id)
        for page_id, amount in by_page.items()
        if amount
    ]
    await write_at_commit(session, *rows)


async def post_owed_back(session: AsyncSession, payment: Payment, *, at: datetime) -> None:
    """Money that arrived and is not ours to keep: it goes back by a refund."""
    back = _gross(payment, at=at, credit=OWED_BACK, amount=payment.amount, page_id=None)
    await write_at_commit(session, back)


def gross_ref(payment_intent: str, part: UUID | str) -> str:
    """The `ref` of a payment's gross: of one page's part, or of OWED_BACK."""
    return f"{payment_intent}:{part}"


def _gross(payment: Payment, *, at: datetime, credit: str, amount: int, page_id: UUID | None) -> NewRow:
    transfer = LedgerTransfer(
        at=at,
        kind=GROSS,
        debit=STRIPE_BALANCE,
        credit=credit,
        amount=amount,
        currency=payment.currency,
        page_id=page_id,
        order_id=payment.order_id,
        stripe_account=payment.stripe_account,
        ref=gross_ref(payment.payment_intent, page_id or OWED_BACK),
    )
    return new_row(transfer)


def transfers_of(
    transaction: BalanceTransaction, legs: Iterable[Leg], *, order_id: UUID | None, at: datetime
) -> list[LedgerTransfer]:
    """The rows that a balance transaction makes; legs of nothing are left out."""
    return [_transfer(transaction, leg, order_id=order_id, at=at) for leg in legs if leg.amount]


def _transfer(
    transaction: BalanceTransaction, leg: Leg, *, order_id: UUID | None, at: datetime
) -> LedgerTransfer:
    debit, credit = (leg.debit, leg.credit) if leg.amount > 0 else (leg.credit, leg.debit)
    return LedgerTransfer(
        at=at,
        kind=leg.kind,
        debit=debit,
        credit=credit,
        amount=abs(leg.amount),
        currency=leg.currency,
        page_id=leg.page_id,
        order_id=order_id,
        stripe_account=transaction.stripe_account,
        balance_transaction=transaction.id,
        ref=f"{transaction.id}:{leg.currency}:{leg.page_id or 'all'}",
    )
