"""Disputes: a buyer's bank asks for a payment back. While it holds the money, no ticket is valid for entry (spec: H4).

Called with what Stripe says of a dispute by the webhook and by the reconciler, any number of times, in any order.
"""

from datetime import datetime

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from cart import orders
from cart.mails import warn_office
from cart.models import Order, OrderLine, Payment
from cart.records import Dispute
from cart.refunds import given, owing, sending
from cart.till import Till
from shared import audit
from shared.contracts.facts import DisputeFacts
from shared.jobs import nudge
from shared.money import Money

NOTHING_NEW, UNMATCHED = "already", "unmatched"


async def apply_dispute(session: AsyncSession, till: Till, facts: DisputeFacts, *, now: datetime) -> str:
    """Bring a dispute to what Stripe says of it, with its tickets and the refunds that wait for it.

    Returns what that changed, in a word; `unmatched` where the payment is not known here.
    """
    payment = await session.scalar(
        select(Payment).where(
            Payment.stripe_account == facts.stripe_account, Payment.payment_intent == facts.payment_intent
        )
    )
    if payment is None:
        return UNMATCHED
    order, lines = await orders.lock_order_with_lines(session, payment.order_id)
    dispute = await session.scalar(
        select(Dispute)
        .where(Dispute.stripe_account == facts.stripe_account, Dispute.dispute_id == facts.id)
        .execution_options(populate_existing=True)
    )
    what = "dispute_changed"
    if dispute is None:
        dispute, what = _opened(payment, facts), "dispute_opened"
        session.add(dispute)
    elif not _moves(dispute, facts):
        dispute.asked_at = max(dispute.asked_at or facts.asked_at, facts.asked_at)
        return NOTHING_NEW
    elif facts.is_closed and dispute.status != facts.status:
        what = "dispute_closed"
    was_decided = dispute.closed_at is not None
    _update(dispute, facts, now=now)
    await session.flush()
    await _consequences(session, till, payment, dispute, what, now=now)
    await _tell(session, till, order, lines, dispute, was_decided=was_decided, now=now)
    return what


def _opened(payment: Payment, facts: DisputeFacts) -> Dispute:
    return Dispute(
        stripe_account=facts.stripe_account,
        dispute_id=facts.id,
        payment_id=payment.id,
        order_id=payment.order_id,
        withdrawn=facts.withdrawn,
        status=facts.status,
        opened_at=facts.created,
    )


def _moves(dispute: Dispute, facts: DisputeFacts) -> bool:
    """Whether this is news. No state is final: banks take back what they decided, so only the time of asking counts."""
    if dispute.asked_at is not None and facts.asked_at < dispute.asked_at:
        return False
    known = (dispute.status, dispute.withdrawn, dispute.evidence_due_by)
    return known != (facts.status, facts.withdrawn, facts.evidence_due_by)


def _update(dispute: Dispute, facts: DisputeFacts, *, now: datetime) -> None:
    if not facts.is_closed:
        dispute.closed_at = None
    elif dispute.closed_at is None or dispute.status != facts.status:
        dispute.closed_at = now
    dispute.withdrawn, dispute.amount, dispute.currency = facts.withdrawn, facts.amount, facts.currency
    dispute.status, dispute.reason = facts.status, facts.reason
    dispute.evidence_due_by, dispute.asked_at = facts.evidence_due_by, facts.asked_at


async def _consequences(
    session: AsyncSession, till: Till, payment: Payment, dispute: Dispute, what: str, *, now: datetime
) -> None:
    """Tickets blocked or not, waiting refunds let go, history and books."""
    paid_by = await owing.payment_of_order(session, payment.order_id)
    if paid_by is not None and paid_by.id == payment.id:
        held = await session.scalar(
            select(exists().where(Dispute.payment_id == payment.id, Dispute.withdrawn > 0))
        )
        await till.calendar.block_tickets_for_order(session, payment.order_id, blocked=bool(held))
    await sending.end_waiting(session, payment.id, now=now)
    if dispute.closed_at is not None:
        await given.owe_again(session, payment, now=now)
    await audit.record(
        session,
        at=now,
        actor="stripe",
        subject="order",
        subject_id=payment.order_id,
        what=what,
        after={"status": dispute.status, "amount": dispute.amount, "withdrawn": dispute.withdrawn},
    )
    await nudge(session, "books")


async def _tell(
    session: AsyncSession,
    till: Till,
    order: Order,
    lines: list[OrderLine],
    dispute: Dispute,
    *,
    was_decided: bool,
    now: datetime,
) -> None:
    """A mail to those who sell, when it opens, when it is over, and when that changes; each once."""
    amount = str(Money(dispute.amount, dispute.currency))
    if dispute.closed_at is not None:
        title, words = f"Dispute over {amount} {OUTCOMES[dispute.status]}", CLOSED_WORDS[dispute.status]
        if dispute.status == "prevented" and dispute.is_given_away:
            words = RESOLVED_WORDS
        key = f"dispute_closed:{dispute.dispute_id}"
        if was_decided:
            key = f"{key}:{dispute.status}:{dispute.withdrawn}"
    elif was_decided or dispute.status.startswith("appeal_"):
        title, words = f"The dispute over {amount} is open again", REOPENED_WORDS
        key = f"dispute_open_again:{dispute.dispute_id}:{dispute.status}"
    else:
        title, key = f"A buyer’s bank disputes {amount}", f"dispute_opened:{dispute.dispute_id}"
        words = HELD_WORDS if dispute.withdrawn > 0 else INQUIRY_WORDS
    await warn_office(session, till, order, lines, title, words, key=key, now=now)


HELD_WORDS = (
    "The bank has taken the money for now, so the tickets of this order are not valid for entry. Answer the dispute in"
    " Stripe’s dashboard before it is due; the order’s page tells until when, and has the evidence to send along."
)
INQUIRY_WORDS = (
    "The bank asks about this payment and has taken no money yet. Answer in Stripe’s dashboard before it is due; the"
    " order’s page has the evidence to send along. The tickets stay valid."
)
REOPENED_WORDS = (
    "What was decided is no longer so: there is an appeal, or the bank asks once more. See in Stripe’s dashboard"
    " whether it waits for an answer; the order’s page tells until when."
)
OUTCOMES = {
    "won": "won",
    "lost": "lost",
    "warning_closed": "closed",
    "prevented": "prevented",
}
RESOLVED_WORDS = (
    "It was settled before it became a dispute, by giving the money to the buyer. The tickets stay blocked; cancel"
    " them to free their places."
)
CLOSED_WORDS = {
    "won": "The bank gives the money back, and the tickets are valid again.",
    "lost": "The bank has given the money to the buyer. The tickets stay blocked; cancel them to free their places.",
    "warning_closed": "The bank’s question is answered. No money was taken.",
    "prevented": "It was settled before the bank took the money.",
}
