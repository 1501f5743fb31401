"""Refunds the program owes: a row in state `due`, carried out once by the worker, looked at until it is settled."""

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from cart.models import Payment, Refund
from shared import audit
from shared.contracts.facts import RefundFacts
from shared.contracts.protocols import Payments, PaymentsRefused, PaymentsUnavailable
from shared.database import Sessions
from shared.installation import installation_id
from shared.jobs import nudge
from shared.payments import APP

log = structlog.get_logger()

LEASE = timedelta(minutes=5)  # while one worker asks Stripe, no other takes the row
LOOK_AGAIN = timedelta(hours=1)  # a refund that Stripe calls pending
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(hours=6)


class RefundReason(StrEnum):
    """Why the program gives money back by itself."""

    PAID_TWICE = "paid_twice"
    PAID_TOO_LATE = "paid_too_late"
    WRONG_AMOUNT = "wrong_amount"
    ENTRY_CLOSED = "entry_closed"


REASON_WORDS = {
    RefundReason.PAID_TWICE: "This order had already been paid; the second payment goes back in full.",
    RefundReason.PAID_TOO_LATE: "The payment came after the tickets had gone to others.",
    RefundReason.WRONG_AMOUNT: "The amount paid was not the amount of the order.",
    RefundReason.ENTRY_CLOSED: "The event was cancelled before the payment arrived.",
}


async def owe_refund(session: AsyncSession, payment: Payment, *, reason: RefundReason, now: datetime) -> None:
    """Owe a whole payment back. The caller holds the order's lock, so the sum can't exceed what was paid."""
    owed = await session.scalar(
        select(func.coalesce(func.sum(Refund.amount), 0)).where(
            Refund.payment_id == payment.id, Refund.state != "failed"
        )
    )
    amount = payment.amount - int(owed or 0)
    if amount <= 0:
        return
    session.add(
        Refund(
            payment_id=payment.id,
            order_id=payment.order_id,
            amount=amount,
            currency=payment.currency,
            reason=reason,
            state="due",
            stripe_account=payment.stripe_account,
            next_try_at=now,
            created_at=now,
        )
    )
    await session.flush()
    await audit.record(
        session,
        at=now,
        actor="stripe",
        subject="order",
        subject_id=payment.order_id,
        what="refund_due",
        after={"payment_intent": payment.payment_intent, "amount": amount, "reason": reason},
    )
    await nudge(session, "refunds")


async def send_due(sessions: Sessions, payments: Payments, *, now: datetime) -> int:
    """Carry out all refunds that are due, one after the other; returns how many were asked for."""
    handled = 0
    while (taken := await _take(sessions, now=now)) is not None:
        await _send(sessions, payments, taken, now=now)
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


async def _send(sessions: Sessions, payments: Payments, refund_id: UUID, *, now: datetime) -> None:
    async with sessions.reading() as session:
        refund = await session.get_one(Refund, refund_id)
        payment = await session.get_one(Payment, refund.payment_id)
        installation = await installation_id(session)
    try:
        facts = await payments.refund(
            refund_id=refund_id,
            payment_intent=payment.payment_intent,
            amount=refund.amount,
            stripe_account=refund.stripe_account,
            metadata={"app": APP, "installation_id": str(installation), "order_id": str(refund.order_id)},
        )
    except PaymentsUnavailable as error:
        wait = min(FIRST_WAIT * 2 ** min(refund.tries - 1, 10), LONGEST_WAIT)
        await _note(sessions, refund_id, now=now, next_try_at=now + wait, last_error=error.message)
    except PaymentsRefused as error:
        log.error("refund refused", refund_id=str(refund_id), reason=error.details.get("reason"))  # noqa: TRY400
        await _note(
            sessions, refund_id, now=now, state="failed", last_error=str(error.details.get("reason", ""))
        )
    else:
        await _note(sessions, refund_id, now=now, **_outcome(facts, now=now))


def _outcome(facts: RefundFacts, *, now: datetime) -> dict[str, object]:
    """Stripe's status of a refund as columns of ours."""
    if facts.status == "succeeded":
        return {"state": "succeeded", "stripe_refund_id": facts.id, "settled_at": now, "last_error": None}
    if facts.status in ("failed", "canceled"):
        return {"state": "failed", "stripe_refund_id": facts.id, "last_error": facts.failure_reason}
    return {"state": "sent", "stripe_refund_id": facts.id, "next_try_at": now + LOOK_AGAIN}


async def _note(sessions: Sessions, refund_id: UUID, *, now: datetime, **columns: object) -> None:
    async with sessions.begin() as session:
        refund = await session.get_one(Refund, refund_id, with_for_update=True)
        before = refund.state
        await session.execute(update(Refund).where(Refund.id == refund_id).values(**columns))
        if "state" in columns and columns["state"] != before:
            await audit.record(
                session,
                at=now,
                actor="worker",
                subject="order",
                subject_id=refund.order_id,
                what=f"refund_{columns['state']}",
                after={"amount": refund.amount, "stripe_refund_id": columns.get("stripe_refund_id")},
            )
