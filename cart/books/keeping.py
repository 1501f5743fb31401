"""The books: Stripe's balance transactions are mirrored, and posted to the ledger once it is known what they are about.

The sweep `books` runs it; the reconciler calls `mirror` and `post` with what it has listed itself.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy import exists, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from cart.books import looks, payouts
from cart.books.ledger import FOREIGN, ORPHANS, REFUNDS_UNALLOCATED, transfers_of
from cart.books.lookup import known_about
from cart.books.posting import REVERSED, Known, allocated_legs, legs_of, reversed_legs, sale_of, whole_legs
from cart.foreign.models import ForeignPayment
from cart.models import LedgerTransfer, Refund, RefundLine
from cart.records import BalanceTransaction
from cart.till import Till
from shared.contracts.facts import TransactionFacts
from shared.contracts.payment_errors import (
    PaymentsRefused,
    PaymentsUnavailable,
)
from shared.contracts.protocols import Payments
from shared.database import Sessions, retrying
from shared.installation import installation_id, is_marked

log = structlog.get_logger()

OVERLAP = timedelta(
    minutes=1
)  # Stripe's list may lag behind its clock; what comes later still the reconciler finds
BATCH = 200

Place = tuple[datetime, str, str]
"""Of a transaction among those that wait: when it was made, its account and its id."""


async def post_due(sessions: Sessions, till: Till, *, now: datetime) -> int:
    """The sweep: `post_new` for the accounts where it is time to look (looks.py)."""
    due = [one for one in await looks.accounts(sessions) if await looks.claim(sessions, one, now=now)]
    return await _post_new_of(sessions, till, due, now=now)


async def post_new(sessions: Sessions, till: Till, *, now: datetime) -> int:
    """Fetch what is new on every account, and post what can be posted; returns how many transactions were."""
    return await _post_new_of(sessions, till, await looks.accounts(sessions), now=now)


async def _post_new_of(sessions: Sessions, till: Till, accounts: Sequence[str], *, now: datetime) -> int:
    for account in accounts:
        try:
            await fetch(sessions, till.payments, stripe_account=account)
            await payouts.follow(sessions, till.payments, stripe_account=account, now=now)
        except (PaymentsUnavailable, PaymentsRefused) as error:
            # one account that is closed to us must not stop the books of the others
            log.warning("balance transactions not read", stripe_account=account, reason=error.for_office)
    return await post_open(sessions, now=now)


async def fetch(
    sessions: Sessions, payments: Payments, *, stripe_account: str, since: datetime | None = None
) -> int:
    """Mirror an account's transactions since a time, or since the newest that we have; returns how many were new."""
    if since is None:
        async with sessions.reading() as session:
            newest = await session.scalar(
                select(func.max(BalanceTransaction.created_at)).where(
                    BalanceTransaction.stripe_account == stripe_account
                )
            )
        since = newest - OVERLAP if newest is not None else None
    listed = [one async for one in payments.transactions(stripe_account=stripe_account, since=since)]
    # oldest first: a crash in between then leaves nothing out that is older than the newest we have
    listed.reverse()
    new = 0
    for start in range(0, len(listed), BATCH):
        async with sessions.begin() as session:
            new += await mirror(session, listed[start : start + BATCH])
    return new


async def mirror(session: AsyncSession, transactions: Sequence[TransactionFacts]) -> int:
    """Note what Stripe says of these transactions, which never change; returns how many were new."""
    if not transactions:
        return 0
    installation = await installation_id(session)
    rows = [
        {
            "stripe_account": one.stripe_account,
            "id": one.id,
            "type": one.type,
            "category": one.category,
            "balance_type": one.balance_type,
            "amount": one.amount,
            "fee": one.fee,
            "net": one.net,
            "currency": one.currency,
            "exchange_rate": one.exchange_rate,
            "source": one.source,
            "payment_intent": one.payment_intent,
            "ours": is_marked(one.metadata, installation),
            "created_at": one.created,
            "available_on": one.available_on,
        }
        for one in transactions
    ]
    added = await session.execute(
        insert(BalanceTransaction).values(rows).on_conflict_do_nothing().returning(BalanceTransaction.id)
    )
    return len(added.all())


async def post_open(sessions: Sessions, *, now: datetime) -> int:
    """Post everything that waits and can be posted, oldest first; returns how many transactions were."""
    after, posted = await retrying(_post_batch, sessions, None, now)
    while after is not None:
        after, more = await retrying(_post_batch, sessions, after, now)
        posted += more
    undone = await retrying(_take_from_foreign, sessions, now)
    posted += await retrying(_allocate, sessions, now)
    return posted + (await post_open(sessions, now=now) if undone else 0)


async def _post_batch(sessions: Sessions, after: Place | None, now: datetime) -> tuple[Place | None, int]:
    """One transaction; answers where the next one goes on (None = at the end) and how many were posted."""
    place = (BalanceTransaction.created_at, BalanceTransaction.stripe_account, BalanceTransaction.id)
    waiting = select(BalanceTransaction).where(BalanceTransaction.posted_at.is_(None)).order_by(*place)
    if after is not None:
        waiting = waiting.where(tuple_(*place) > after)
    async with sessions.begin() as session:
        rows = list(await session.scalars(waiting.limit(BATCH).with_for_update(skip_locked=True)))
        done = await post(session, rows, now=now)
    last = rows[-1] if len(rows) == BATCH else None
    return (None if last is None else (last.created_at, last.stripe_account, last.id)), done


async def post(session: AsyncSession, transactions: Sequence[BalanceTransaction], *, now: datetime) -> int:
    """Write the transfers of these transactions, which the caller has locked; returns how many were posted.

    What belongs to nothing that is known here stays as it is, and is tried again.
    """
    waiting = [one for one in transactions if one.posted_at is None]
    known, done = await known_about(session, waiting), 0
    for one in waiting:
        legs, sale = legs_of(one, known), sale_of(one, known)
        if legs is not None:
            rows = transfers_of(one, legs, order_id=sale.order_id if sale else None, at=one.created_at)
            session.add_all(rows)
            one.posted_at, done = now, done + 1
    await session.flush()
    return done


async def post_orphan(session: AsyncSession, transaction: BalanceTransaction, *, now: datetime) -> bool:
    """Post a payment to this installation whose order is unknown for good, so that the balance is Stripe's.

    What follows of the same payment goes the same way. The reconciler decides that it is one.
    """
    if transaction.posted_at is not None:
        return False
    session.add_all(
        transfers_of(transaction, whole_legs(transaction, ORPHANS), order_id=None, at=transaction.created_at)
    )
    transaction.posted_at = now
    await session.flush()
    return True


async def _take_from_foreign(sessions: Sessions, now: datetime) -> int:
    """Movements of payments that bore no mark of ours and were booked by hand since: out of `foreign`, by reversing.

    They wait then as any other of our payments' and are posted to where they belong.
    """
    undone = aliased(LedgerTransfer)
    is_undone = exists().where(
        undone.stripe_account == LedgerTransfer.stripe_account,
        undone.balance_transaction == LedgerTransfer.balance_transaction,
        undone.kind == FOREIGN + REVERSED,
    )
    async with sessions.begin() as session:
        rows = await session.execute(
            select(BalanceTransaction, LedgerTransfer)
            .join(
                LedgerTransfer,
                (LedgerTransfer.stripe_account == BalanceTransaction.stripe_account)
                & (LedgerTransfer.balance_transaction == BalanceTransaction.id),
            )
            .join(
                ForeignPayment,
                (ForeignPayment.stripe_account == BalanceTransaction.stripe_account)
                & (ForeignPayment.payment_intent == BalanceTransaction.payment_intent),
            )
            .where(ForeignPayment.order_id.is_not(None), LedgerTransfer.kind == FOREIGN, ~is_undone)
            .with_for_update(of=BalanceTransaction, skip_locked=True)
        )
        found = rows.all()
        for transaction, posted in found:
            session.add_all(transfers_of(transaction, reversed_legs([posted]), order_id=None, at=now))
            transaction.posted_at = None
        return len(found)


async def _allocate(sessions: Sessions, now: datetime) -> int:
    """Refunds made by hand that were posted before anybody said for which lines: post them anew, for those."""
    later = aliased(LedgerTransfer)
    undone = exists().where(
        later.stripe_account == LedgerTransfer.stripe_account,
        later.balance_transaction == LedgerTransfer.balance_transaction,
        later.kind == LedgerTransfer.kind + REVERSED,
    )
    has_lines = exists().where(RefundLine.refund_id == Refund.id)
    of_refund = (Refund.stripe_account == BalanceTransaction.stripe_account) & (
        Refund.stripe_refund_id == BalanceTransaction.source
    )
    unallocated = (
        select(LedgerTransfer.stripe_account, LedgerTransfer.balance_transaction)
        .where(
            (LedgerTransfer.debit == REFUNDS_UNALLOCATED) | (LedgerTransfer.credit == REFUNDS_UNALLOCATED),
            ~LedgerTransfer.kind.endswith(REVERSED),
            ~undone,
        )
        .subquery()
    )
    async with sessions.begin() as session:
        transactions = await session.scalars(
            select(BalanceTransaction)
            .join(
                unallocated,
                (unallocated.c.stripe_account == BalanceTransaction.stripe_account)
                & (unallocated.c.balance_transaction == BalanceTransaction.id),
            )
            .join(Refund, of_refund)
            .where(has_lines)
            .with_for_update(of=BalanceTransaction, skip_locked=True)
        )
        rows = list(transactions)
        known = await known_about(session, rows)
        for one in rows:
            await _post_anew(session, one, known, now=now)
    return len(rows)


async def _post_anew(
    session: AsyncSession, transaction: BalanceTransaction, known: Known, *, now: datetime
) -> None:
    posted = await session.scalars(
        select(LedgerTransfer).where(
            LedgerTransfer.stripe_account == transaction.stripe_account,
            LedgerTransfer.balance_transaction == transaction.id,
        )
    )
    legs, sale = legs_of(transaction, known), sale_of(transaction, known)
    assert legs is not None, "it was posted, so it is known"
    assert sale is not None, "unallocated are only refunds of our payments"
    legs = [*reversed_legs(posted), *allocated_legs(legs)]
    session.add_all(transfers_of(transaction, legs, order_id=sale.order_id, at=now))
    await session.flush()
