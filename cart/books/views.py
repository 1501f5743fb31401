"""The ledger as people read it: balances for the reconciler; a page's or an order's money by kind, and its rows.

Pure queries; whatever is shown is a sum over the ledger, never over anything else. Amounts in minor units, signed as
they move the balance at Stripe.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    and_,
    case,
    false,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncSession

from cart.books import ledger
from cart.books.ledger import STRIPE_BALANCE
from cart.books.periods import Period
from cart.books.posting import PAYMENTS_BALANCE
from cart.models import LedgerTransfer, Order
from cart.records import BalanceTransaction
from shared.contracts.dtos import PageDTO

PER_PAGE = 100


class MoneyKind(StrEnum):
    """What an organizer tells apart, in the order in which it is added up."""

    GROSS = "gross"
    FEES = "fees"
    REFUNDS = "refunds"
    DISPUTES = "disputes"
    CONVERTED = "converted"
    OTHER = "other"


MONEY_WORDS = {
    MoneyKind.GROSS: "Sold",
    MoneyKind.FEES: "Stripe's fees",
    MoneyKind.REFUNDS: "Refunded",
    MoneyKind.DISPUTES: "Disputed, with the bank's fee",
    MoneyKind.CONVERTED: "Exchanged to the account's currency",
    MoneyKind.OTHER: "Other movements",
}

_KINDS = {
    ledger.SALES: MoneyKind.GROSS,
    ledger.FEES: MoneyKind.FEES,
    ledger.REFUNDS: MoneyKind.REFUNDS,
    ledger.REFUNDS_UNALLOCATED: MoneyKind.REFUNDS,
    ledger.DISPUTES: MoneyKind.DISPUTES,
    ledger.DISPUTE_FEES: MoneyKind.DISPUTES,
    ledger.CLEARING: MoneyKind.CONVERTED,
}
"""By account; all others are OTHER."""

_INTO_BALANCE = LedgerTransfer.debit == STRIPE_BALANCE
EFFECT: ColumnElement[int] = case((_INTO_BALANCE, LedgerTransfer.amount), else_=-LedgerTransfer.amount)
"""What a transfer does to the balance at Stripe; one side of every transfer is that balance."""
ACCOUNT: ColumnElement[str] = case((_INTO_BALANCE, LedgerTransfer.credit), else_=LedgerTransfer.debit)
"""Its other side."""
KIND: ColumnElement[str] = case(
    {account: str(kind) for account, kind in _KINDS.items()}, value=ACCOUNT, else_=str(MoneyKind.OTHER)
)


@dataclass(frozen=True, slots=True)
class Sums:
    """Money in one currency: by kind the sum and how many transfers it has."""

    currency: str
    by_kind: dict[MoneyKind, tuple[int, int]]

    @property
    def net(self) -> int:
        """What is left of it all."""
        return sum(amount for amount, _ in self.by_kind.values())

    @property
    def count(self) -> int:
        """How many transfers that are."""
        return sum(count for _, count in self.by_kind.values())


@dataclass(frozen=True, slots=True)
class Row:
    """One transfer, as a page's organizer sees it."""

    id: UUID
    at: datetime
    kind: str
    """A MoneyKind."""
    amount: int
    currency: str
    order_id: UUID | None
    order_number: str | None
    email: str | None
    reference: str
    """Stripe's txn_…, or pi_… of a payment."""


# columns, not rows of the table: a file has a million of them, and each is a third of the work
_ROW = (
    LedgerTransfer.id,
    LedgerTransfer.at,
    KIND,
    EFFECT,
    LedgerTransfer.currency,
    LedgerTransfer.order_id,
    Order.number,
    Order.email,
    func.coalesce(LedgerTransfer.balance_transaction, func.split_part(LedgerTransfer.ref, ":", 1)),
)
"""In the order of Row's fields."""


async def account_sums(session: AsyncSession) -> dict[tuple[str, str, str], int]:
    """Debits minus credits, by Stripe account, ledger account and currency; for the operator."""
    debited = select(
        LedgerTransfer.stripe_account,
        LedgerTransfer.debit.label("account"),
        LedgerTransfer.currency,
        LedgerTransfer.amount,
    )
    credited = select(
        LedgerTransfer.stripe_account, LedgerTransfer.credit, LedgerTransfer.currency, -LedgerTransfer.amount
    )
    sides = union_all(debited, credited).subquery()
    key = (sides.c.stripe_account, sides.c.account, sides.c.currency)
    rows = await session.execute(select(*key, func.sum(sides.c.amount)).group_by(*key).order_by(*key))
    return {(stripe, account, currency): int(amount) for stripe, account, currency, amount in rows}


async def ledger_balance(session: AsyncSession) -> dict[tuple[str, str], int]:
    """What the ledger says each Stripe account holds, by account and currency. Equals Stripe's, less `waiting`."""
    return {
        (stripe, currency): amount
        for (stripe, account, currency), amount in (await account_sums(session)).items()
        if account == STRIPE_BALANCE
    }


async def waiting(session: AsyncSession) -> dict[tuple[str, str], int]:
    """Net of what Stripe has booked and the ledger has not, by account and currency."""
    key = (BalanceTransaction.stripe_account, BalanceTransaction.currency)
    rows = await session.execute(
        select(*key, func.sum(BalanceTransaction.net))
        .where(BalanceTransaction.posted_at.is_(None), BalanceTransaction.balance_type == PAYMENTS_BALANCE)
        .group_by(*key)
    )
    return {(stripe, currency): int(amount) for stripe, currency, amount in rows}


def of_page(page: PageDTO) -> ColumnElement[bool]:
    """Transfers that are a page's money: its part of orders; with a Stripe account of its own, all that is no page's.

    Money on its way to the bank is left out: it is still the page's.
    """
    own_account: ColumnElement[bool] = false()
    if page.stripe_account:
        own_account = and_(
            LedgerTransfer.page_id.is_(None), LedgerTransfer.stripe_account == page.stripe_account
        )
    return and_(or_(LedgerTransfer.page_id == page.id, own_account), ACCOUNT != ledger.BANK)


async def money_of_page(session: AsyncSession, page: PageDTO, period: Period) -> list[Sums]:
    """A page's money in a period, by currency and kind; the page's own currency first, and always there."""
    found = await _sums(session, and_(of_page(page), within(period)))
    first = found.pop(page.currency, Sums(page.currency, {}))
    return [first, *(found[currency] for currency in sorted(found))]


async def money_of_order(session: AsyncSession, page: PageDTO, order_id: UUID) -> list[Sums]:
    """What a page has of one order."""
    found = await _sums(session, and_(LedgerTransfer.page_id == page.id, LedgerTransfer.order_id == order_id))
    return [found[currency] for currency in sorted(found, key=lambda one: (one != page.currency, one))]


async def _sums(session: AsyncSession, condition: ColumnElement[bool]) -> dict[str, Sums]:
    rows = await session.execute(
        select(LedgerTransfer.currency, KIND, func.sum(EFFECT), func.count())
        .where(condition)
        .group_by(LedgerTransfer.currency, KIND)
    )
    found: dict[str, dict[MoneyKind, tuple[int, int]]] = defaultdict(dict)
    for currency, kind, amount, count in rows:
        found[currency][MoneyKind(kind)] = (int(amount), count)
    return {
        currency: Sums(currency, {kind: kinds[kind] for kind in MoneyKind if kind in kinds})
        for currency, kinds in found.items()
    }


def within(period: Period) -> ColumnElement[bool]:
    """Transfers of a period."""
    after = LedgerTransfer.at >= period.begins if period.begins else true()
    before = LedgerTransfer.at < period.ends if period.ends else true()
    return and_(after, before)


async def rows_of_page(
    session: AsyncSession,
    page: PageDTO,
    period: Period,
    *,
    kind: MoneyKind | None,
    currency: str,
    offset: int = 0,
    after: Row | None = None,
    limit: int = PER_PAGE,
) -> list[Row]:
    """A page's transfers of a kind (None = all), newest first; those behind `after`, or all but `offset` of them."""
    chosen = and_(of_page(page), within(period), LedgerTransfer.currency == currency)
    if kind is not None:
        chosen = and_(chosen, KIND.in_((kind,)))
    if after is not None:
        place = tuple_(LedgerTransfer.at, LedgerTransfer.id)
        chosen = and_(chosen, place < tuple_(literal(after.at), literal(after.id)))
    query = (
        select(*_ROW)
        .outerjoin(Order, Order.id == LedgerTransfer.order_id)
        .where(chosen)
        .order_by(LedgerTransfer.at.desc(), LedgerTransfer.id.desc())
        .offset(offset)
        .limit(limit)
    )
    return [Row(*found) for found in await session.execute(query)]


async def months_of_page(session: AsyncSession, page: PageDTO) -> Sequence[datetime]:
    """The months in which a page's money moved, newest first: the first moment of each, without its zone."""
    month = func.date_trunc("month", func.timezone(page.time_zone, LedgerTransfer.at))
    rows = await session.scalars(select(month).where(of_page(page)).distinct().order_by(month.desc()))
    return list(rows)
