"""What is owed is sent: asked for at Stripe by the worker, looked at until it is settled, held while a dispute runs."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cart import orders
from cart.mails import warn_of_failed_refund
from cart.models import Payment, Refund
from cart.records import Dispute
from cart.refunds import owing
from cart.refunds.given import withdraw_given
from cart.till import Till
from shared.contracts.facts import RefundFacts
from shared.contracts.payment_errors import (
    ChargeDisputed,
    PaymentsRefused,
    PaymentsUnavailable,
)
from shared.contracts.protocols import Payments
from shared.database import Sessions
from shared.installation import installation_id, mark
from shared.jobs import nudge

LEASE = timedelta(minutes=5)  # while one worker asks Stripe, no other takes the row
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(hours=6)


async def send_due(sessions: Sessions, till: Till, *, now: datetime) -> int:
    """Carry out all refunds that are due, one after the other; returns how many were asked for."""
    handled = 0
    while (taken := await _take(sessions, now=now)) is not None:
        await _send(sessions, till, taken, now=now)
        handled += 1
    return handled


async def _take(sessions: Sessions, *, now: datetime) -> UUID | None:
    """Lease the oldest due refund: a worker that dies leaves it to the next one."""
    async with sessions.begin() as session:
        refund = await session.scalar(
            select(Refund)
            .where(Refund.state.in_(("due", "sent")), Refund.next_try_at <= now)
            .order_by(Refund.next_try_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if refund is None:
            return None
        refund.next_try_at = now + LEASE
        refund.tries += 1
        return refund.id


async def _send(sessions: Sessions, till: Till, refund_id: UUID, *, now: datetime) -> None:
    async with sessions.reading() as session:
        refund = await session.get_one(Refund, refund_id)
        payment = await session.get_one(Payment, refund.payment_id)
        installation = await installation_id(session)
    try:
        if refund.stripe_refund_id is None:
            ours = {**mark(installation), "order_id": str(refund.order_id)}
            facts = await till.payments.refund(
                refund_id=refund_id,
                payment_intent=payment.payment_intent,
                amount=refund.amount,
                stripe_account=refund.stripe_account,
                metadata=ours,
            )
        else:
            facts = await _look(till.payments, refund, payment)
    except (PaymentsUnavailable, PaymentsRefused) as error:
        await _not_sent(sessions, till, refund_id, error, now=now)
        return
    async with sessions.begin() as session:
        refund = await _lock(session, refund_id)
        if await owing.apply_facts(session, refund, facts, now=now) and refund.state == "failed":
            await warn_of_failed_refund(session, till, refund, now=now)


async def _look(payments: Payments, refund: Refund, payment: Payment) -> RefundFacts:
    """A refund that is on its way, as it stands: never made again, also where it was made by hand."""
    listed = payments.refunds(stripe_account=refund.stripe_account, payment_intent=payment.payment_intent)
    async for facts in listed:
        if facts.id == refund.stripe_refund_id:
            return facts
    raise PaymentsUnavailable  # it has been there before: Stripe's list is not complete now


async def _lock(session: AsyncSession, refund_id: UUID) -> Refund:
    """The refund as it is now, its order locked."""
    refund = await session.get_one(Refund, refund_id)
    await orders.lock_order(session, refund.order_id)
    await session.refresh(refund)
    return refund


async def _not_sent(
    sessions: Sessions,
    till: Till,
    refund_id: UUID,
    error: PaymentsUnavailable | PaymentsRefused,
    *,
    now: datetime,
) -> None:
    """No answer: later. Disputed: when the dispute is over. Refused for any other reason: a person has to look."""
    async with sessions.begin() as session:
        refund = await _lock(session, refund_id)
        if refund.state not in ("due", "sent"):
            return  # the webhook was faster
        refund.last_error = error.for_office
        refund.next_try_at = now + min(FIRST_WAIT * 2 ** min(refund.tries - 1, 10), LONGEST_WAIT)
        if isinstance(error, ChargeDisputed):
            await _refused_as_disputed(session, refund, now=now)
        elif isinstance(error, PaymentsRefused):
            await owing.move(session, refund, "failed", now=now)
        if refund.state == "failed":
            await warn_of_failed_refund(session, till, refund, now=now)


async def _refused_as_disputed(session: AsyncSession, refund: Refund, *, now: datetime) -> None:
    """It waits for the dispute; where all are over and lost, the bank has paid the buyer, or a person has to look."""
    disputes = await _ended(session, refund.payment_id)
    if disputes is None:
        await owing.move(session, refund, "waiting_dispute", now=now)
    elif given := sum(one.given_since(refund.created_at) for one in disputes):
        await withdraw_given(session, refund, min(refund.amount, given), now=now)
    elif any(one.is_given_away for one in disputes):
        await owing.move(session, refund, "failed", now=now)


async def _ended(session: AsyncSession, payment_id: UUID) -> list[Dispute] | None:
    """The disputes of a payment; None while Stripe has not told how each of them ended."""
    disputes = list(await session.scalars(select(Dispute).where(Dispute.payment_id == payment_id)))
    return disputes if disputes and all(dispute.closed_at for dispute in disputes) else None


async def end_waiting(session: AsyncSession, payment_id: UUID, *, now: datetime) -> None:
    """Let go of the refunds that waited for a dispute of this payment, once all are over. The order is locked.

    Won: they are due again. Lost: what the bank has given the buyer is not owed any more, the rest still is.
    """
    if (disputes := await _ended(session, payment_id)) is None:
        return
    waiting = await session.scalars(
        select(Refund)
        .where(Refund.payment_id == payment_id, Refund.state == "waiting_dispute")
        .order_by(Refund.created_at, Refund.id)
    )
    given = 0
    for refund in waiting:
        covered = min(refund.amount, sum(one.given_since(refund.created_at) for one in disputes) - given)
        if covered > 0:
            given += covered
            await withdraw_given(session, refund, covered, now=now)
            continue
        refund.next_try_at = now
        await nudge(session, "refunds")
        await owing.move(session, refund, "due", now=now)
