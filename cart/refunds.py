"""Refunds are rows: owed in the transaction that causes them, carried out by the worker, looked at until settled.

By line: refunding.py. What Stripe tells of them: refund_news.py. What people decide about them: decisions.py.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from cart import orders
from cart.models import Order, OrderLine, Payment, Refund, RefundLine
from cart.records import Dispute
from shared import audit
from shared.contracts.facts import RefundFacts
from shared.contracts.protocols import ChargeDisputed, Payments, PaymentsRefused, PaymentsUnavailable
from shared.contracts.states import OrderState
from shared.database import Sessions
from shared.ids import new_id
from shared.installation import installation_id
from shared.jobs import nudge
from shared.payments import APP

LEASE = timedelta(minutes=5)  # while one worker asks Stripe, no other takes the row
LOOK_AGAIN = timedelta(hours=1)  # a refund that Stripe calls pending
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(hours=6)


class RefundReason(StrEnum):
    """Why money goes back."""

    PAID_TWICE = "paid_twice"
    PAID_TOO_LATE = "paid_too_late"
    WRONG_AMOUNT = "wrong_amount"
    ENTRY_CLOSED = "entry_closed"
    ENTRY_CANCELLED = "entry_cancelled"
    ORGANIZER = "organizer"
    BUYER = "buyer"
    GOODWILL = "goodwill"
    BY_HAND = "by_hand"


BOUGHT_NOTHING = (
    RefundReason.PAID_TWICE,
    RefundReason.PAID_TOO_LATE,
    RefundReason.WRONG_AMOUNT,
    RefundReason.ENTRY_CLOSED,
)
"""Of payments that never paid their order: each has gone back whole since the moment it was booked."""

REASON_WORDS = {
    RefundReason.PAID_TWICE: "This order had already been paid; the second payment goes back in full.",
    RefundReason.PAID_TOO_LATE: "The payment came after the tickets had gone to others.",
    RefundReason.WRONG_AMOUNT: "The amount paid was not the amount of the order.",
    RefundReason.ENTRY_CLOSED: "The event was cancelled before the payment arrived.",
    RefundReason.ENTRY_CANCELLED: "The event was cancelled.",
    RefundReason.ORGANIZER: "The organizer cancelled tickets of this order.",
    RefundReason.BUYER: "You gave tickets back.",
    RefundReason.GOODWILL: "The organizer gives you money back; your tickets stay as they are.",
    RefundReason.BY_HAND: "The organizer gave you money back.",
}
"""As the buyer is told; the office's words are in office.py."""

COUNTS = or_(Refund.state.not_in(("failed", "withdrawn")), Refund.solved_note.is_not(None))
"""Refunds that count against what was paid. One that failed does not, unless it was paid back otherwise: then it has
a note; tried anew it has a successor that counts."""

_STEPS = {"sent": 1, "succeeded": 2, "failed": 3}
"""How far Stripe has come with a refund; a bank may still send back what has succeeded. The rest is before that."""


@dataclass(frozen=True, slots=True)
class Part:
    """What of a refund is for one order line, in minor units, and which tickets it cancels."""

    line: OrderLine
    amount: int
    item_ids: tuple[UUID, ...] = ()


async def payment_of_order(session: AsyncSession, order_id: UUID) -> Payment | None:
    """The payment that paid an order; None where it is not paid, or was free.

    Never one that came twice, late or wrong: to refund that one leaves the order alone.
    """
    goes_back = exists().where(Refund.payment_id == Payment.id, Refund.reason.in_(BOUGHT_NOTHING))
    paid = Order.state == OrderState.PAID
    query = select(Payment).join(Order, Order.id == Payment.order_id).where(Order.id == order_id, paid)
    payment: Payment | None = await session.scalar(query.where(~goes_back).order_by(Payment.id).limit(1))
    return payment


async def left_of_payment(session: AsyncSession, payment: Payment) -> int:
    """What can still go back of a payment, in minor units: neither refunded nor taken by a dispute that was lost."""
    given = select(func.coalesce(func.sum(Refund.amount), 0)).where(Refund.payment_id == payment.id, COUNTS)
    lost = select(func.coalesce(func.sum(Dispute.amount), 0)).where(
        Dispute.payment_id == payment.id, Dispute.status == "lost", Dispute.withdrawn > 0
    )
    gone = await session.scalar(select(given.scalar_subquery() + lost.scalar_subquery()))
    return max(0, payment.amount - int(gone or 0))


async def left_of_lines(session: AsyncSession, lines: Sequence[OrderLine]) -> dict[UUID, int]:
    """What was not refunded yet of each line, in minor units."""
    rows = await session.execute(
        select(RefundLine.order_line_id, func.sum(RefundLine.amount))
        .join(Refund, Refund.id == RefundLine.refund_id)
        .where(RefundLine.order_line_id.in_([line.id for line in lines]), COUNTS)
        .group_by(RefundLine.order_line_id)
    )
    given = {line_id: int(amount) for line_id, amount in rows}
    return {line.id: max(0, line.amount + line.tax - given.get(line.id, 0)) for line in lines}


async def owe_refund(session: AsyncSession, payment: Payment, *, reason: RefundReason, now: datetime) -> None:
    """Owe a whole payment back. The caller holds the order's lock, so the sum can't exceed what was paid."""
    if amount := await left_of_payment(session, payment):
        await add_refund(session, payment, amount=amount, reason=reason, actor="stripe", now=now)


async def add_refund(
    session: AsyncSession,
    payment: Payment,
    *,
    amount: int,
    reason: str,
    actor: str,
    now: datetime,
    parts: Iterable[Part] = (),
    refund_id: UUID | None = None,
    unallocated: bool = False,
) -> Refund:
    """Owe `amount` (minor units) of a payment back, for these parts of the order; the worker is nudged to send it.

    The caller holds the order's lock and has seen that so much is left.
    """
    refund = Refund(
        id=refund_id or new_id(),
        payment_id=payment.id,
        order_id=payment.order_id,
        amount=amount,
        currency=payment.currency,
        reason=reason,
        actor=actor,
        state="due",
        unallocated=unallocated,
        stripe_account=payment.stripe_account,
        next_try_at=now,
        created_at=now,
    )
    session.add(refund)
    await session.flush()
    await add_lines(session, refund, parts)
    about = {"payment_intent": payment.payment_intent, "amount": amount, "reason": reason}
    await note(session, refund, "refund_due", actor=actor, now=now, after=about)
    await nudge(session, "refunds")
    return refund


async def add_lines(session: AsyncSession, refund: Refund, parts: Iterable[Part]) -> list[RefundLine]:
    """Say which lines a refund is for; a part without money needs no row."""
    lines = [
        RefundLine(
            refund_id=refund.id,
            order_line_id=part.line.id,
            page_id=part.line.page_id,
            amount=part.amount,
            item_ids=list(part.item_ids),
        )
        for part in parts
        if part.amount
    ]
    session.add_all(lines)
    await session.flush()
    return lines


async def allocate(session: AsyncSession, refund: Refund, parts: Iterable[Part], *, now: datetime) -> None:
    """Say for which lines a refund made by hand was. The caller holds the order's lock."""
    await add_lines(session, refund, parts)
    refund.unallocated = False
    await session.flush()
    await nudge(session, "books")


async def note(
    session: AsyncSession, refund: Refund, what: str, *, actor: str, now: datetime, after: dict[str, object]
) -> None:
    """Note in the order's history what became of a refund."""
    await audit.record(
        session, at=now, actor=actor, subject="order", subject_id=refund.order_id, what=what, after=after
    )


async def apply_facts(session: AsyncSession, refund: Refund, facts: RefundFacts, *, now: datetime) -> bool:
    """Bring a refund to what Stripe says of it; True where that changed its state.

    Never a step back: older news that comes later changes nothing. The caller holds the order's lock.
    """
    state = state_of(facts)
    if _STEPS[state] < _STEPS.get(refund.state, 0):
        return False
    changed = refund.state != state
    refund.state, refund.stripe_refund_id = state, facts.id
    refund.last_error = facts.failure_reason if state == "failed" else None
    if state == "sent":
        refund.next_try_at = now + LOOK_AGAIN
    elif changed:
        refund.settled_at = now
    await session.flush()
    if changed:
        about: dict[str, object] = {"amount": refund.amount, "stripe_refund_id": facts.id}
        await note(session, refund, f"refund_{state}", actor="stripe", now=now, after=about)
        await nudge(session, "books")
    return changed


def state_of(facts: RefundFacts) -> str:
    """Stripe's status of a refund as a state of ours."""
    if facts.status == "succeeded":
        return "succeeded"
    return "failed" if facts.status in ("failed", "canceled") else "sent"


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
        if refund.stripe_refund_id is None:
            ours = {"app": APP, "installation_id": str(installation), "order_id": str(refund.order_id)}
            facts = await payments.refund(
                refund_id=refund_id,
                payment_intent=payment.payment_intent,
                amount=refund.amount,
                stripe_account=refund.stripe_account,
                metadata=ours,
            )
        else:
            facts = await _look(payments, refund, payment)
    except (PaymentsUnavailable, PaymentsRefused) as error:
        await _not_sent(sessions, refund_id, error, now=now)
        return
    async with sessions.begin() as session:
        await apply_facts(session, await _lock(session, refund_id), facts, now=now)


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
    sessions: Sessions, refund_id: UUID, error: PaymentsUnavailable | PaymentsRefused, *, now: datetime
) -> None:
    """No answer: later. Disputed: when the dispute is over. Refused for any other reason: a person has to look."""
    async with sessions.begin() as session:
        refund = await _lock(session, refund_id)
        if refund.state not in ("due", "sent"):
            return  # the webhook was faster
        refund.last_error = str(error.details.get("reason") or error.message)
        refund.next_try_at = now + min(FIRST_WAIT * 2 ** min(refund.tries - 1, 10), LONGEST_WAIT)
        if isinstance(error, ChargeDisputed):
            await _refused_as_disputed(session, refund, now=now)
        elif isinstance(error, PaymentsRefused):
            await _move(session, refund, "failed", now=now)


async def _refused_as_disputed(session: AsyncSession, refund: Refund, *, now: datetime) -> None:
    """It waits for the dispute; where all are over and lost, the bank has paid the buyer, or a person has to look."""
    disputes = await _ended(session, refund.payment_id)
    if disputes is None:
        await _move(session, refund, "waiting_dispute", now=now)
    elif given := sum(one.given_since(refund.created_at) for one in disputes):
        await _withdraw_part(session, refund, min(refund.amount, given), now=now)
    elif any(one.status == "lost" for one in disputes):
        await _move(session, refund, "failed", now=now)


async def _move(session: AsyncSession, refund: Refund, state: str, *, now: datetime) -> None:
    if refund.state == state:
        return
    refund.state = state
    if state in ("failed", "withdrawn"):
        refund.settled_at = now
    await session.flush()
    about: dict[str, object] = {"amount": refund.amount, "reason": refund.last_error}
    await note(session, refund, f"refund_{state}", actor="worker", now=now, after=about)


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
            await _withdraw_part(session, refund, covered, now=now)
            continue
        refund.next_try_at = now
        await nudge(session, "refunds")
        await _move(session, refund, "due", now=now)


async def _withdraw_part(session: AsyncSession, refund: Refund, covered: int, *, now: datetime) -> None:
    """The bank has given the buyer `covered` of a refund: withdrawn; what is left of it is owed as one of its own."""
    rest, parts = refund.amount - covered, []
    refund.amount = covered
    rows = await session.scalars(select(RefundLine).where(RefundLine.refund_id == refund.id))
    for row in list(rows):
        kept = min(row.amount, covered)
        covered -= kept
        if row.amount > kept:
            line = await session.get_one(OrderLine, row.order_line_id)
            parts.append(Part(line, row.amount - kept, tuple(row.item_ids)))
        row.amount = kept
        if not kept:
            await session.delete(row)
    await _move(session, refund, "withdrawn", now=now)
    if rest:
        payment = await session.get_one(Payment, refund.payment_id)
        await add_refund(
            session, payment, amount=rest, reason=refund.reason, actor=refund.actor, now=now, parts=parts
        )


async def withdraw_due(session: AsyncSession, payment_id: UUID, *, why: str, now: datetime) -> None:
    """Nothing is left of a payment, so what never reached Stripe can't any more: the buyer has had it another way."""
    rows = await session.scalars(
        select(Refund).where(
            Refund.payment_id == payment_id,
            Refund.state.in_(("due", "waiting_dispute", "failed")),
            Refund.stripe_refund_id.is_(None),
            Refund.solved_at.is_(None),
        )
    )
    for refund in rows:
        refund.last_error = why
        await _move(session, refund, "withdrawn", now=now)
