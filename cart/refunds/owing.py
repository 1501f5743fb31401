"""Refunds are rows: owed in the transaction that causes them, carried out by the worker, looked at until settled.

By line: by_line.py. The worker's part: sending.py. What Stripe tells of them: news.py. What people say: decisions.py.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from cart.models import Order, OrderLine, Payment, Refund, RefundLine
from cart.records import Dispute, given_away
from shared import audit
from shared.contracts.facts import RefundFacts
from shared.contracts.states import OrderState
from shared.ids import new_id
from shared.jobs import nudge

LOOK_AGAIN = timedelta(hours=1)  # a refund that Stripe calls pending


class RefundReason(StrEnum):
    """Why money goes back."""

    PAID_TWICE = "paid_twice"
    PAID_TOO_LATE = "paid_too_late"
    WRONG_AMOUNT = "wrong_amount"
    ENTRY_CLOSED = "entry_closed"
    OUTSIDE_CHECKOUT = "outside_checkout"
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
    RefundReason.OUTSIDE_CHECKOUT,
)
"""Of payments that never paid their order: each has gone back whole since the moment it was booked."""

REASON_WORDS = {
    RefundReason.PAID_TWICE: "This order had already been paid; the second payment goes back in full.",
    RefundReason.PAID_TOO_LATE: "The payment came after the tickets had gone to others.",
    RefundReason.WRONG_AMOUNT: "The amount paid was not the amount of the order.",
    RefundReason.ENTRY_CLOSED: "The event was cancelled before the payment arrived.",
    RefundReason.OUTSIDE_CHECKOUT: "The payment was not made on this order’s payment page; it goes back in full.",
    RefundReason.ENTRY_CANCELLED: "The event was cancelled.",
    RefundReason.ORGANIZER: "The organizer cancelled tickets of this order.",
    RefundReason.BUYER: "You gave tickets back.",
    RefundReason.GOODWILL: "The organizer gives you money back; your tickets stay as they are.",
    RefundReason.BY_HAND: "The organizer gave you money back.",
}
"""As the buyer is told; the office's words are in words.py."""

COUNTS = or_(Refund.state.not_in(("failed", "withdrawn")), Refund.solved_note.is_not(None))
"""Refunds that count against what was paid. One that failed does not, unless it was refunded outside Stripe: then it
has a note; tried anew it has a successor that counts."""

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
        Dispute.payment_id == payment.id, given_away()
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


def part_of_page(
    refund: Refund, parts: Iterable[RefundLine], lines: Iterable[OrderLine], *, is_shared: bool
) -> int:
    """What of a refund is one page's, in minor units: `parts` and `lines` are that page's alone.

    Where nobody has said for which lines it was, all of it; but of an order that others share, no more than it cost.
    """
    named = [part.amount for part in parts if part.refund_id == refund.id]
    if named:
        return sum(named)
    total = sum(line.amount + line.tax for line in lines)
    return min(total, refund.amount) if is_shared else refund.amount


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
    if _STEPS[state] < _STEPS.get(refund.state, 0) or (refund.state == "withdrawn" and state == "failed"):
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
        if refund.last_error:
            about["reason"] = refund.last_error
        await note(session, refund, f"refund_{state}", actor="stripe", now=now, after=about)
        await nudge(session, "books")
    return changed


def state_of(facts: RefundFacts) -> str:
    """Stripe's status of a refund as a state of ours."""
    if facts.status == "succeeded":
        return "succeeded"
    return "failed" if facts.status in ("failed", "canceled") else "sent"


def agrees(refund: Refund, facts: RefundFacts) -> bool:
    """Whether a refund stands here as Stripe says. One that failed there and is owed no longer is withdrawn here."""
    if refund.state == "withdrawn" and state_of(facts) == "failed":
        return True
    return (refund.state, refund.stripe_refund_id) == (state_of(facts), facts.id)


async def move(
    session: AsyncSession, refund: Refund, state: str, *, now: datetime, actor: str = "worker"
) -> None:
    """Bring a refund to another state, and note it in the order's history; the caller holds the order's lock."""
    if refund.state == state:
        return
    refund.state = state
    if state in ("failed", "withdrawn"):
        refund.settled_at = now
    if state == "withdrawn":
        refund.unallocated = False  # nobody has to say what it was for
    await session.flush()
    about: dict[str, object] = {"amount": refund.amount, "reason": refund.last_error}
    await note(session, refund, f"refund_{state}", actor=actor, now=now, after=about)


async def withdraw_what_does_not_fit(
    session: AsyncSession, payment: Payment, *, given: int, why: str, now: datetime
) -> None:
    """So much of a payment has gone back at Stripe: what never reached it, and can't any more, the buyer has had.

    `given` in minor units. Of a refund that fits in part the rest is owed anew. The caller holds the order's lock.
    """
    room = max(0, payment.amount - given)
    rows = await session.scalars(
        select(Refund)
        .where(
            Refund.payment_id == payment.id,
            Refund.state.in_(("due", "waiting_dispute", "failed")),
            Refund.stripe_refund_id.is_(None),
            Refund.solved_at.is_(None),
        )
        .order_by(Refund.created_at, Refund.id)
    )
    for refund in list(rows):
        fits = min(refund.amount, room)
        room -= fits
        if fits < refund.amount:
            refund.last_error = why
            await withdraw_part(session, refund, refund.amount - fits, now=now)


async def withdraw_part(session: AsyncSession, refund: Refund, covered: int, *, now: datetime) -> None:
    """The buyer has had `covered` of a refund another way: withdrawn; what is left of it is owed as one of its own."""
    rest, parts, unallocated = refund.amount - covered, [], refund.unallocated
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
    await move(session, refund, "withdrawn", now=now)
    if rest:
        payment = await session.get_one(Payment, refund.payment_id)
        await add_refund(
            session,
            payment,
            amount=rest,
            reason=refund.reason,
            actor=refund.actor,
            now=now,
            parts=parts,
            unallocated=unallocated,
        )
