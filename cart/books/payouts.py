"""Payouts: what Stripe sends to the bank, and which balance transactions each of them contains.

Used by the books' sweep, the webhook and the reconciler.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ScalarSelect, Select, and_, case, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from cart.books.posting import PAYOUT
from cart.records import BalanceTransaction, Payout
from shared.contracts.facts import PayoutFacts
from shared.contracts.protocols import Payments
from shared.database import Sessions
from shared.jobs import nudge

LOOK_AGAIN = timedelta(hours=1)  # Stripe completes the contents of a payout some time after it is made
GIVE_UP = timedelta(days=14)
STEPS = ("pending", "in_transit", "paid", "canceled", "failed")
"""How far a payout has come; one that was paid may still be sent back by the bank."""


async def apply_payout(session: AsyncSession, facts: PayoutFacts, *, now: datetime) -> str:
    """Bring our row of a payout to what Stripe says; returns what that changed, in a word. Never a step back."""
    new = insert(Payout).values(
        stripe_account=facts.stripe_account,
        id=facts.id,
        amount=facts.amount,
        currency=facts.currency,
        status=facts.status,
        automatic=facts.automatic,
        created_at=facts.created,
        arrives_at=facts.arrives_at,
        failure=facts.failure,
    )
    told = {"status": facts.status, "arrives_at": facts.arrives_at, "failure": facts.failure}
    step = case({status: place for place, status in enumerate(STEPS)}, value=Payout.status, else_=0)
    changed = await session.execute(
        new.on_conflict_do_update(
            index_elements=["stripe_account", "id"],
            set_=told,
            where=and_(
                step <= _step(facts.status),
                or_(Payout.status != facts.status, Payout.arrives_at != facts.arrives_at),
            ),
        ).returning(Payout.id)
    )
    if changed.scalar_one_or_none() is None:
        return "already"
    await nudge(session, "books")
    return f"payout_{facts.status}"


def _step(status: str) -> int:
    return STEPS.index(status) if status in STEPS else 0


async def follow(sessions: Sessions, payments: Payments, *, stripe_account: str, now: datetime) -> None:
    """Note payouts that we see only by their transactions (a webhook was lost), and read what is not read yet."""
    async with sessions.reading() as session:
        unknown = await _unknown(session, stripe_account)
    for payout_id in unknown:
        facts = await payments.retrieve_payout(payout_id, stripe_account=stripe_account)
        if facts is not None:
            async with sessions.begin() as session:
                await apply_payout(session, facts, now=now)
    async with sessions.reading() as session:
        unread = list(await session.scalars(_to_read(stripe_account, now)))
    for payout_id in unread:
        listed = payments.transactions(stripe_account=stripe_account, payout=payout_id)
        contents = [one.id async for one in listed]
        async with sessions.begin() as session:
            await _note_contents(session, stripe_account, payout_id, contents, now=now)


async def _unknown(session: AsyncSession, stripe_account: str) -> Sequence[str]:
    known = exists().where(
        Payout.stripe_account == BalanceTransaction.stripe_account, Payout.id == BalanceTransaction.source
    )
    rows = await session.scalars(
        select(BalanceTransaction.source).where(
            BalanceTransaction.stripe_account == stripe_account,
            BalanceTransaction.category == PAYOUT,
            BalanceTransaction.source.is_not(None),
            ~known,
        )
    )
    return [source for source in rows if source is not None]


def contained() -> ScalarSelect[int]:
    """What the transactions add up to that a payout is known to contain, in minor units."""
    return (
        select(func.coalesce(func.sum(BalanceTransaction.net), 0))
        .where(
            BalanceTransaction.stripe_account == Payout.stripe_account,
            BalanceTransaction.payout_id == Payout.id,
            BalanceTransaction.category != PAYOUT,  # the payout's own movement is in the list as well
        )
        .correlate(Payout)
        .scalar_subquery()
    )


def _to_read(stripe_account: str, now: datetime) -> Select[str]:
    """Automatic payouts whose contents were not read yet, or did not add up the last time."""
    again = and_(
        Payout.contents_read_at < now - LOOK_AGAIN,
        Payout.created_at > now - GIVE_UP,
        Payout.amount != contained(),
    )
    return select(Payout.id).where(
        Payout.stripe_account == stripe_account,
        Payout.automatic,
        or_(Payout.contents_read_at.is_(None), again),
    )


async def _note_contents(
    session: AsyncSession, stripe_account: str, payout_id: str, contents: Sequence[str], *, now: datetime
) -> None:
    await session.execute(
        update(BalanceTransaction)
        .where(BalanceTransaction.stripe_account == stripe_account, BalanceTransaction.id.in_(contents))
        .values(payout_id=payout_id)
    )
    await session.execute(
        update(Payout)
        .where(Payout.stripe_account == stripe_account, Payout.id == payout_id)
        .values(contents_read_at=now)
    )
