"""Payouts and movements at Stripe against the books, and the ledger's balance against Stripe's, to the cent."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from cart.attempts import CLOCK_SKEW
from cart.books.posting import CHARGE, PAYMENTS_BALANCE
from cart.books.views import ledger_balance
from cart.models import Payment
from cart.reconcile import repairs
from cart.reconcile.differences import Difference, Kind, Scope
from cart.reconcile.listing import Listed, Progress
from cart.reconcile.reading import among
from cart.records import BalanceTransaction, Payout
from shared.contracts.facts import PayoutFacts, TransactionFacts
from shared.contracts.protocols import Payments
from shared.database import Sessions
from shared.money import format_minor

BOOKED_LATE = timedelta(days=1)  # a payment's movement may come after the payment; not as late as that
TRIES = 3


async def compare_payouts(session: AsyncSession, listed: Listed, scope: Scope) -> list[Difference]:
    """Every payout at Stripe: it is noted here, and stands as it stands there."""
    facts = [one for one in listed.payouts.values() if not scope.is_young(one.created)]
    rows = await session.scalars(
        select(Payout).where(
            Payout.stripe_account == listed.account, among(Payout.id, [one.id for one in facts])
        )
    )
    known = {row.id: row for row in rows}
    return [_payout(one, known.get(one.id)) for one in facts if not _same(one, known.get(one.id))]


def _same(facts: PayoutFacts, row: Payout | None) -> bool:
    return row is not None and (row.status, row.amount) == (facts.status, facts.amount)


def _payout(facts: PayoutFacts, row: Payout | None) -> Difference:
    return Difference(
        kind=Kind.PAYOUT_DIFFERS if row else Kind.PAYOUT_NOT_HERE,
        about=f"Payout {facts.id}",
        here=_words(row.status, row.amount, row.currency) if row else "nothing",
        stripe=_words(facts.status, facts.amount, facts.currency),
        remedy="note how it stands",
        repair=partial(repairs.take_in_payout, facts=facts),
        stripe_account=facts.stripe_account,
        reference=facts.id,
    )


def _words(status: str, amount: int, currency: str) -> str:
    return f"{status.replace('_', ' ')}, {format_minor(amount, currency)}"


async def beginning(sessions: Sessions, account: str, scope: Scope) -> datetime | None:
    """Since when movements are listed: the scope's beginning, or all (None) where we have none of this account yet."""
    async with sessions.reading() as session:
        begun = await session.scalar(select(exists().where(BalanceTransaction.stripe_account == account)))
    return scope.since if begun else None


async def list_transactions(
    payments: Payments, account: str, since: datetime | None
) -> dict[str, TransactionFacts]:
    """The movements of an account since a moment, by Stripe's ids."""
    return {one.id: one async for one in payments.transactions(stripe_account=account, since=since)}


async def compare_transactions(
    session: AsyncSession, account: str, listed: Mapping[str, TransactionFacts], scope: Scope
) -> list[Difference]:
    """Every movement at Stripe is in the ledger; every one in the ledger is at Stripe."""
    posted = select(BalanceTransaction.id).where(
        BalanceTransaction.stripe_account == account,
        BalanceTransaction.posted_at.is_not(None),
        among(BalanceTransaction.id, listed),
    )
    done = set(await session.scalars(posted))
    missing = [one for one in listed.values() if one.id not in done and not scope.is_young(one.created)]
    recent = BalanceTransaction.created_at.between(scope.since + CLOCK_SKEW, scope.now - scope.grace)
    ours = await session.scalars(
        select(BalanceTransaction).where(BalanceTransaction.stripe_account == account, recent)
    )
    unknown = [row for row in ours if row.id not in listed]
    return [
        # oldest first: what follows of a payment is posted after the payment
        *(_not_posted(one) for one in sorted(missing, key=lambda one: (one.created, one.id))),
        *(_not_at_stripe(row) for row in unknown),
    ]


def _not_posted(facts: TransactionFacts) -> Difference:
    return Difference(
        kind=Kind.TRANSACTION_NOT_POSTED,
        about=f"{facts.category.replace('_', ' ').capitalize()} {facts.source or facts.id}",
        here="nothing",
        stripe=format_minor(facts.net, facts.currency),
        remedy="post it",
        repair=partial(repairs.post_transaction, facts=facts),
        stripe_account=facts.stripe_account,
        reference=facts.id,
        payment_intent=facts.payment_intent,
    )


def _not_at_stripe(row: BalanceTransaction) -> Difference:
    return Difference(
        kind=Kind.TRANSACTION_UNKNOWN,
        about=f"{row.category.replace('_', ' ').capitalize()} {row.source or row.id}",
        here=format_minor(row.net, row.currency),
        stripe="nothing",
        stripe_account=row.stripe_account,
        reference=row.id,
        payment_intent=row.payment_intent,
    )


async def compare_balance(
    sessions: Sessions,
    payments: Payments,
    account: str,
    scope: Scope,
    *,
    since: datetime | None,
    progress: Progress,
) -> list[Difference]:
    """The ledger's balance of an account against Stripe's, in each currency; what is not posted yet is included.

    Under sales both move: what Stripe says before and after we looked has to be the same.
    """
    for _ in range(TRIES):
        before = await payments.balance(stripe_account=account)
        listed = await list_transactions(payments, account, since)
        async with sessions() as session:
            # one moment: what is posted while we add up must not be counted twice, nor left out
            await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            ours = await _expected(session, account, listed, scope)
        if await payments.balance(stripe_account=account) == before:
            return [
                _balance(account, currency, ours.get(currency, 0), before.get(currency, 0))
                for currency in sorted({*ours, *before})
                if ours.get(currency, 0) != before.get(currency, 0)
            ]
    progress(f"{account or 'platform'}: money moves too fast to compare the balance now")
    return []


def _balance(account: str, currency: str, ours: int, stripes: int) -> Difference:
    return Difference(
        kind=Kind.BALANCE_DIFFERS,
        about=f"Balance in {currency}",
        here=format_minor(ours, currency),
        stripe=format_minor(stripes, currency),
        stripe_account=account,
    )


async def _expected(
    session: AsyncSession, account: str, listed: Mapping[str, TransactionFacts], scope: Scope
) -> dict[str, int]:
    """What Stripe's balance should be, by currency: the ledger's, and what it will be once all of this is posted.

    A reserve's own side of a move is in neither.
    """
    sums: dict[str, int] = defaultdict(int)
    for (of_account, currency), amount in (await ledger_balance(session)).items():
        if of_account == account:
            sums[currency] += amount
    waiting = await _not_posted_yet(session, account, listed)
    for one in waiting:
        if one.balance_type != PAYMENTS_BALANCE:
            continue
        sums[one.currency] += one.net
    # their gross is in the ledger already, the movement at Stripe is not, or is one of those just added
    announced = {one.payment_intent for one in waiting if one.category == CHARGE}
    for payment in await _without_movement(session, account):
        if payment.payment_intent in announced or payment.created_at > scope.now - BOOKED_LATE:
            sums[payment.currency] -= payment.amount
    return sums


async def _not_posted_yet(
    session: AsyncSession, account: str, listed: Mapping[str, TransactionFacts]
) -> list[BalanceTransaction | TransactionFacts]:
    """Movements that the ledger does not have: mirrored and waiting, or seen at Stripe just now."""
    of_account = BalanceTransaction.stripe_account == account
    open_ones = await session.scalars(
        select(BalanceTransaction).where(of_account, BalanceTransaction.posted_at.is_(None))
    )
    mirrored = set(
        await session.scalars(
            select(BalanceTransaction.id).where(of_account, among(BalanceTransaction.id, listed))
        )
    )
    return [*open_ones, *(one for one in listed.values() if one.id not in mirrored)]


async def _without_movement(session: AsyncSession, account: str) -> Sequence[Payment]:
    posted = exists().where(
        BalanceTransaction.stripe_account == Payment.stripe_account,
        BalanceTransaction.payment_intent == Payment.payment_intent,
        BalanceTransaction.category == CHARGE,
        BalanceTransaction.posted_at.is_not(None),
    )
    return (await session.scalars(select(Payment).where(Payment.stripe_account == account, ~posted))).all()
