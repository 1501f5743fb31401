"""The rules of posting: which transfers a balance transaction of Stripe makes in the ledger. Pure; used by books.py.

Stripe's reporting categories are the cases (https://docs.stripe.com/reports/reporting-categories). Whatever the case,
the transfers of one transaction move the account's balance by exactly its net, so the ledger's is always Stripe's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from uuid import UUID

from cart.books.ledger import (
    BANK,
    BOUNCED,
    CLEARING,
    DISPUTE_FEES,
    DISPUTES,
    FEES,
    FOREIGN,
    ORPHANS,
    OTHER,
    OWED_BACK,
    REFUNDS,
    REFUNDS_UNALLOCATED,
    RESERVED,
    STRIPE_BALANCE,
    Leg,
)
from cart.models import LedgerTransfer
from cart.records import BalanceTransaction
from shared.money import split_by

CHARGE, CHARGE_FAILURE = "charge", "charge_failure"
REFUND, REFUND_FAILURE = "refund", "refund_failure"
DISPUTE, DISPUTE_REVERSAL = "dispute", "dispute_reversal"
PAYOUT, PAYOUT_REVERSAL = "payout", "payout_reversal"
OF_PAYMENTS = (CHARGE, CHARGE_FAILURE, REFUND, REFUND_FAILURE, DISPUTE, DISPUTE_REVERSAL)
WITH_THE_BANK = (PAYOUT, PAYOUT_REVERSAL, "topup", "topup_reversal")
PAYMENTS_BALANCE = "payments"  # Stripe's balance_type of what /v1/balance adds up as available and pending
OF_RESERVES = (
    "payment_network_reserve_hold", "payment_network_reserve_release", "payout_minimum_balance_hold",
    "payout_minimum_balance_release", "reserve_hold", "reserve_release", "reserve_transaction", "reserved_funds",
)  # fmt: skip
"""Types that move money between the balance and a reserve."""
OF_FEES = ("fee", "network_cost")
"""Stripe's own, and what card networks charge where Stripe passes it on (network costs)."""
FEE, CONVERSION, DISPUTE_FEE = "fee", "conversion", "dispute_fee"  # kinds besides the categories
REVERSED, ALLOCATED = (
    "_reversed",
    "_allocated",
)  # what a kind is called where a refund was allocated afterwards

Key = tuple[str, str]
"""A Stripe account and an id of Stripe within it."""

Shares = Mapping[UUID | None, int]
"""An amount by page, in minor units; None where it is no page's."""


@dataclass(frozen=True, slots=True)
class Sale:
    """A payment that is booked here, and what it was for."""

    order_id: UUID
    page_id: UUID | None
    """Set where the whole order is one page's."""
    amount: int
    currency: str
    bought: bool
    """False: it came twice, late or wrong, and bought nothing."""
    weights: Mapping[UUID, int]
    """The order's lines by page."""


@dataclass(frozen=True, slots=True)
class KnownRefund:
    """A refund that stands here: its amount in the payment's currency, and by page where its lines are known."""

    amount: int
    lines: Mapping[UUID, int]


@dataclass(frozen=True, slots=True)
class Known:
    """What our tables say about a batch of transactions, by Stripe's ids."""

    sales: Mapping[Key, Sale] = field(default_factory=dict)
    """By payment intent."""
    refunds: Mapping[Key, KnownRefund] = field(default_factory=dict)
    disputes: Mapping[Key, int] = field(default_factory=dict)
    """What is disputed, in the payment's currency."""
    charges: Mapping[Key, BalanceTransaction] = field(default_factory=dict)
    """The transaction by which a payment arrived, by payment intent."""
    bounced: frozenset[Key] = frozenset()
    """Payment intents whose delayed payment failed."""


def sale_of(transaction: BalanceTransaction, known: Known) -> Sale | None:
    """The payment that a transaction is about, where we have booked it."""
    if transaction.payment_intent is None or transaction.category not in OF_PAYMENTS:
        return None
    return known.sales.get((transaction.stripe_account, transaction.payment_intent))


def legs_of(transaction: BalanceTransaction, known: Known) -> list[Leg] | None:
    """The transfers of a transaction; None while what it belongs to is not known here: never a guess."""
    if transaction.balance_type != PAYMENTS_BALANCE:
        return []  # the other side of a move that the payments balance has a transaction of its own for
    if transaction.type in OF_RESERVES:
        return _plain(transaction, RESERVED, RESERVED)
    if transaction.category in WITH_THE_BANK:
        return _plain(transaction, transaction.category, BANK)
    if transaction.category in OF_FEES:
        return _plain(transaction, FEE, FEES)
    if transaction.category not in OF_PAYMENTS:
        return _plain(transaction, OTHER, OTHER)
    sale = sale_of(transaction, known)
    if sale is None:
        account = _without_sale(transaction, known)
        return None if account is None else whole_legs(transaction, account)
    if transaction.category == CHARGE:
        return _charge(transaction, sale)
    return _taken(transaction, sale, known)


def whole_legs(transaction: BalanceTransaction, account: str) -> list[Leg]:
    """The net of a transaction against one account: for what is not, or not any more, ours to break down."""
    return [Leg(account, STRIPE_BALANCE, account, transaction.net, transaction.currency)]


def _plain(transaction: BalanceTransaction, kind: str, account: str) -> list[Leg]:
    """No payment's: the amount against one account, Stripe's fee for it against fees."""
    rest = Leg(kind, account, STRIPE_BALANCE, -transaction.amount, transaction.currency)
    # a fee's own kind, so that it never meets a leg of the kind above
    return [rest, Leg("fee_of_other", FEES, STRIPE_BALANCE, transaction.fee, transaction.currency)]


def _without_sale(transaction: BalanceTransaction, known: Known) -> str | None:
    """Where a movement of a payment belongs that is not booked here; None while it may still be."""
    key = (transaction.stripe_account, transaction.payment_intent or "")
    charge = transaction if transaction.category == CHARGE else known.charges.get(key)
    if charge is None or not charge.ours:
        return None if transaction.ours else FOREIGN
    if key in known.bounced:
        return BOUNCED
    return ORPHANS if charge.posted_at is not None else None


def _charge(transaction: BalanceTransaction, sale: Sale) -> list[Leg]:
    """The gross stands since the order was settled: what is left is the fee, and the other currency."""
    fees = _by_page(transaction.fee, sale)
    legs = [Leg(FEE, FEES, STRIPE_BALANCE, share, transaction.currency, page) for page, share in fees.items()]
    if transaction.currency != sale.currency:
        return legs + _converted(transaction, sale, _by_page(-sale.amount, sale))
    surplus = transaction.amount - sale.amount
    return [*legs, Leg(OTHER, STRIPE_BALANCE, OTHER, surplus, sale.currency, sale.page_id)]


def _taken(transaction: BalanceTransaction, sale: Sale, known: Known) -> list[Leg] | None:
    """Refunds, disputes and failures: out of the balance, or back into it; and what Stripe wants for it."""
    found = _where_to(transaction, sale, known)
    if found is None:
        return None
    account, shares = found
    legs = [
        Leg(transaction.category, account, STRIPE_BALANCE, share, sale.currency, page)
        for page, share in shares.items()
    ]
    if transaction.currency != sale.currency:
        legs += _converted(transaction, sale, shares)
    disputed = transaction.category in (DISPUTE, DISPUTE_REVERSAL)
    kind, fees = (DISPUTE_FEE, DISPUTE_FEES) if disputed else (FEE, FEES)
    return legs + [
        Leg(kind, fees, STRIPE_BALANCE, share, transaction.currency, page)
        for page, share in _by_page(transaction.fee, sale).items()
    ]


def _where_to(transaction: BalanceTransaction, sale: Sale, known: Known) -> tuple[str, Shares] | None:
    """The account, and what each page's part is in the payment's currency; None while a row of ours is missing."""
    key = (transaction.stripe_account, transaction.source or "")
    refund = known.refunds.get(key)
    if transaction.category in (REFUND, REFUND_FAILURE):
        if refund is None:
            return None
        amount = _in_currency_of(sale, transaction, refund.amount)
        if refund.lines:
            return REFUNDS, _spread(amount, refund.lines)
        return (REFUNDS_UNALLOCATED, {sale.page_id: amount}) if sale.bought else (OWED_BACK, {None: amount})
    in_full = sale.amount
    if transaction.category != CHARGE_FAILURE and transaction.currency != sale.currency:
        if key not in known.disputes:
            return None
        in_full = known.disputes[key]
    amount = _in_currency_of(sale, transaction, in_full)
    if not sale.bought:
        return OWED_BACK, {None: amount}
    return (BOUNCED if transaction.category == CHARGE_FAILURE else DISPUTES), _by_page(amount, sale)


def _in_currency_of(sale: Sale, transaction: BalanceTransaction, in_full: int) -> int:
    """What leaves the balance (negative: comes back) in the payment's currency; `in_full` where Stripe converted."""
    if transaction.currency == sale.currency:
        return -transaction.amount
    return in_full if transaction.amount < 0 else -in_full


def _converted(transaction: BalanceTransaction, sale: Sale, shares: Shares) -> list[Leg]:
    """`shares` left the balance (negative: came) in the payment's currency; really it moved in the account's."""
    weights = {page: abs(share) for page, share in shares.items()}
    settled = _spread(-transaction.amount, weights)
    undone = [
        Leg(CONVERSION, STRIPE_BALANCE, CLEARING, share, sale.currency, page)
        for page, share in shares.items()
    ]
    return undone + [
        Leg(CONVERSION, CLEARING, STRIPE_BALANCE, share, transaction.currency, page)
        for page, share in settled.items()
    ]


def reversed_legs(posted: Iterable[LedgerTransfer]) -> list[Leg]:
    """What undoes these transfers: a correction is a row of its own."""
    return [
        Leg(f"{row.kind}{REVERSED}", row.credit, row.debit, row.amount, row.currency, row.page_id)
        for row in posted
    ]


def allocated_legs(legs: Iterable[Leg]) -> list[Leg]:
    """The transfers of a refund whose lines became known after it was posted, as kinds of their own."""
    return [replace(leg, kind=f"{leg.kind}{ALLOCATED}") for leg in legs]


def _by_page(amount: int, sale: Sale) -> Shares:
    return _spread(amount, sale.weights)


def _spread(amount: int, weights: Shares | Mapping[UUID, int]) -> Shares:
    """In proportion, to the cent; what comes back is split exactly as it went."""
    sign = -1 if amount < 0 else 1
    shares = split_by(abs(amount), list(weights.values()))
    return {page: sign * share for page, share in zip(weights, shares, strict=True)}
