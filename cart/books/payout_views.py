"""Payouts as an organizer sees them: what of each is their page's, and the orders it is made of.

A payout of the platform mixes pages: each sees its own part only. A page with its own Stripe account sees the whole.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, Subquery, and_, func, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from cart.books.ledger import GROSS, OWED_BACK
from cart.books.posting import CHARGE, PAYOUT_REVERSAL
from cart.books.views import EFFECT, KIND, MoneyKind, of_page
from cart.models import LedgerTransfer, Order
from cart.records import BalanceTransaction, Payout
from shared.contracts.dtos import PageDTO
from shared.errors import NotFound

PAYOUT_WORDS = {
    "pending": "On its way",
    "in_transit": "On its way",
    "paid": "Paid out",
    "canceled": "Cancelled",
    "failed": "Sent back by the bank",
}
OVER = ("canceled", "failed")


@dataclass(frozen=True, slots=True)
class PayoutRow:
    """A payout and the page's part of it, in minor units of its currency."""

    payout: Payout
    part: int

    @property
    def is_over(self) -> bool:
        """Whether its money is back at Stripe."""
        return self.payout.status in OVER


@dataclass(frozen=True, slots=True)
class PayoutOrder:
    """What a payout holds of one order (None: of no order), by kind."""

    order_id: UUID | None
    number: str | None
    by_kind: Mapping[MoneyKind, int]

    @property
    def net(self) -> int:
        """What is left of it."""
        return sum(self.by_kind.values())


@dataclass(frozen=True, slots=True)
class PayoutDetail:
    """What the page's part of a payout is made of; all of it adds up to `row.part`."""

    row: PayoutRow
    orders: list[PayoutOrder]
    returned: list[PayoutRow]
    """Earlier payouts that came back and are part of this one."""
    rest: int
    """Of an own account: what is in the payout and not (yet) in the books."""

    @property
    def kinds(self) -> list[MoneyKind]:
        """Those that occur, in their order."""
        return [kind for kind in MoneyKind if any(kind in one.by_kind for one in self.orders)]

    def sum_of(self, kind: MoneyKind) -> int:
        """What a kind adds up to over all orders."""
        return sum(one.by_kind.get(kind, 0) for one in self.orders)


def _parts(page: PageDTO) -> Subquery:
    """Every transfer of the page that belongs to a transaction in a payout; the gross by its payment's charge."""
    columns = (
        BalanceTransaction.payout_id,
        LedgerTransfer.order_id,
        KIND.label("kind"),
        EFFECT.label("amount"),
    )
    same_account = BalanceTransaction.stripe_account == LedgerTransfer.stripe_account
    in_payout = and_(
        same_account,
        BalanceTransaction.payout_id.is_not(None),
        LedgerTransfer.currency == BalanceTransaction.currency,
    )
    posted = and_(in_payout, LedgerTransfer.balance_transaction == BalanceTransaction.id)
    gross = and_(
        in_payout,
        BalanceTransaction.category == CHARGE,
        LedgerTransfer.kind == GROSS,
        or_(
            *(
                LedgerTransfer.ref == BalanceTransaction.payment_intent + f":{part}"
                for part in (page.id, OWED_BACK)
            )
        ),
    )
    mine = of_page(page)
    account = BalanceTransaction.stripe_account == page.stripe_account
    halves = [
        select(*columns).select_from(BalanceTransaction).join(LedgerTransfer, joined).where(mine, account)
        for joined in (posted, gross)
    ]
    return union_all(*halves).subquery()


async def payouts_of_page(session: AsyncSession, page: PageDTO, *, currency: str) -> list[PayoutRow]:
    """The payouts that hold money of the page, newest first."""
    rows = await _rows(session, page, Payout.currency == currency)
    return [row for row in rows if row.part or page.stripe_account]


async def _rows(session: AsyncSession, page: PageDTO, condition: ColumnElement[bool]) -> list[PayoutRow]:
    chosen = and_(Payout.stripe_account == page.stripe_account, condition)
    found = await session.scalars(select(Payout).where(chosen).order_by(Payout.created_at.desc(), Payout.id))
    payouts = list(found)
    if page.stripe_account:
        return [PayoutRow(payout, payout.amount) for payout in payouts]
    shares = await _shares(session, page)
    return [PayoutRow(payout, shares.get(payout.id, 0)) for payout in payouts]


async def _shares(session: AsyncSession, page: PageDTO) -> dict[str, int]:
    """The page's part of every payout; one that came back is part of the next one that was made."""
    parts = _parts(page)
    rows = await session.execute(
        select(parts.c.payout_id, func.sum(parts.c.amount)).group_by(parts.c.payout_id)
    )
    shares: dict[str, int] = defaultdict(int, {payout_id: int(amount) for payout_id, amount in rows})
    for later, earlier in await _came_back(session, page.stripe_account):
        shares[later] += shares.get(earlier, 0)
    return shares


async def _came_back(session: AsyncSession, stripe_account: str) -> Sequence[tuple[str, str]]:
    """Payouts that hold the money of an earlier one which came back, oldest first."""
    rows = await session.execute(
        select(BalanceTransaction.payout_id, BalanceTransaction.source)
        .where(
            BalanceTransaction.stripe_account == stripe_account,
            BalanceTransaction.category == PAYOUT_REVERSAL,
            BalanceTransaction.payout_id.is_not(None),
            BalanceTransaction.source.is_not(None),
        )
        .order_by(BalanceTransaction.created_at)
    )
    return [(later, earlier) for later, earlier in rows if later is not None and earlier is not None]


async def payout_detail(session: AsyncSession, page: PageDTO, payout_id: str) -> PayoutDetail:
    """One payout by its orders. Raises NotFound where it holds nothing of the page."""
    rows = await _rows(session, page, Payout.id == payout_id)
    if not rows or not (rows[0].part or page.stripe_account):
        raise NotFound
    (row,) = rows
    orders = await _orders(session, page, payout_id)
    earlier = [
        before for later, before in await _came_back(session, page.stripe_account) if later == payout_id
    ]
    returned = await _rows(session, page, Payout.id.in_(earlier))
    explained = sum(one.net for one in orders) + sum(one.part for one in returned)
    return PayoutDetail(row, orders, returned, row.part - explained)


async def _orders(session: AsyncSession, page: PageDTO, payout_id: str) -> list[PayoutOrder]:
    parts = _parts(page)
    rows = await session.execute(
        select(parts.c.order_id, Order.number, parts.c.kind, func.sum(parts.c.amount))
        .outerjoin(Order, Order.id == parts.c.order_id)
        .where(parts.c.payout_id == payout_id)
        .group_by(parts.c.order_id, Order.number, parts.c.kind)
        .order_by(parts.c.order_id)
    )
    found: dict[tuple[UUID | None, str | None], dict[MoneyKind, int]] = defaultdict(dict)
    for order_id, number, kind, amount in rows:
        found[order_id, number][MoneyKind(kind)] = int(amount)
    return [PayoutOrder(order_id, number, kinds) for (order_id, number), kinds in found.items()]
