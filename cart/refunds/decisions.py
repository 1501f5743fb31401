"""What about money needs a person: refunds that failed, refunds made by hand at Stripe, disputes to be answered.

Listed in the organizer's office and for the operator; settled here by what that person decides.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ColumnElement, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from cart import orders
from cart.mails import owe_refund_mail
from cart.models import Order, OrderLine, Payment, Refund, RefundLine
from cart.records import Dispute
from cart.refunds import owing
from cart.refunds.by_line import NoTickets, NotRefundable, TooMuch, note_cancelled, plan_refund
from cart.refunds.owing import Part, RefundReason
from cart.till import Till
from cart.words import DISPUTE_STATES, TO_ANSWER
from shared.errors import Conflict, Invalid, NotFound
from shared.jobs import nudge
from shared.money import Money, split_by

LONGEST_NOTE = 500
GONE_OTHERWISE = "The money of this payment went back another way."


class Action(StrEnum):
    """What can be decided about a refund."""

    AGAIN = "again"
    OTHERWISE = "otherwise"
    NOT_OWED = "not_owed"
    ALLOCATE = "allocate"
    KEEP = "keep"


class Decided(Conflict):
    """This was decided already, perhaps by somebody else. Nothing was changed."""

    code = "DECIDED"


class NoNote(Invalid):
    """Please write down how the money was paid back."""

    code = "NO_NOTE"


class StillOwed(Conflict):
    """All of this refund is still left of what the buyer paid, so it is owed. Nothing was changed."""

    code = "STILL_OWED"


class SpansPages(TooMuch):
    """More was refunded than is left of your tickets: whoever runs this shop says for which pages’ tickets it was."""

    code = "SPANS_PAGES"


class BankDecides(Conflict):
    """The buyer’s bank is looking into this payment and may give the money back itself: wait for what it decides."""

    code = "BANK_DECIDES"


class PaidForOthers(Conflict):
    """This refund was for other pages’ tickets too: whoever runs this shop writes down how it was paid back."""

    code = "PAID_FOR_OTHERS"


@dataclass(frozen=True, slots=True)
class OpenDecision:
    """One thing that waits for a person, and the order it is about."""

    order: Order
    refund: Refund | None = None
    dispute: Dispute | None = None

    @property
    def is_failed(self) -> bool:
        """A refund that failed; else one made by hand that is not allocated, or a dispute."""
        return self.refund is not None and self.refund.state == "failed"


_FAILED = (Refund.state == "failed") & Refund.solved_at.is_(None)
_UNALLOCATED = Refund.unallocated & (Refund.state != "failed")
_TO_ANSWER = or_(Dispute.status.in_(TO_ANSWER), Dispute.status.not_in(tuple(DISPUTE_STATES)))
"""A state that we have no words for needs somebody's look."""


async def open_decisions(session: AsyncSession, *, page_id: UUID | None = None) -> list[OpenDecision]:
    """All that waits for a person, oldest first: of one page, or of every page for the operator."""
    failed = await session.execute(
        select(Order, Refund)
        .join(Refund, Refund.order_id == Order.id)
        .where(or_(_FAILED, _UNALLOCATED), _of_page(page_id), concerns(page_id))
        .order_by(Refund.created_at, Refund.id)
    )
    disputed = await session.execute(
        select(Order, Dispute)
        .join(Dispute, Dispute.order_id == Order.id)
        .where(_TO_ANSWER, _of_page(page_id))
        .order_by(Dispute.opened_at, Dispute.id)
    )
    return [
        *(OpenDecision(order, dispute=dispute) for order, dispute in disputed),
        *(OpenDecision(order, refund=refund) for order, refund in failed),
    ]


def concerns(page_id: UUID | None) -> ColumnElement[bool]:
    """Whether a refund is the page's business (None = anybody's): it has a part in it, or nobody has a part yet."""
    lines = exists().where(RefundLine.refund_id == Refund.id)
    return or_(~lines, lines if page_id is None else lines.where(RefundLine.page_id == page_id))


def _of_page(page_id: UUID | None) -> ColumnElement[bool]:
    part = exists().where(OrderLine.order_id == Order.id)
    return part if page_id is None else part.where(OrderLine.page_id == page_id)


@dataclass(frozen=True, slots=True)
class ToDecide:
    """What of one order's refunds waits for a person, and what they need to know of it; amounts in minor units."""

    failed: list[Refund]
    left_of_payments: dict[UUID, int]
    """What can still go back, of the payment of each that failed."""
    unallocated: list[Refund]
    left_of_lines: int
    """What was not refunded yet of the lines that one made by hand can have been for."""

    def left_of(self, failed: Refund) -> int:
        """What can still go back of the payment of one that failed."""
        return self.left_of_payments[failed.payment_id]


async def to_decide(session: AsyncSession, refunds: Sequence[Refund], lines: Sequence[OrderLine]) -> ToDecide:
    """What of these refunds of an order waits for whoever sells these lines of it."""
    failed = [one for one in refunds if one.state == "failed" and one.solved_at is None]
    payments = [
        await session.get_one(Payment, payment_id) for payment_id in {one.payment_id for one in failed}
    ]
    return ToDecide(
        failed=failed,
        left_of_payments={one.id: await owing.left_of_payment(session, one) for one in payments},
        unallocated=[one for one in refunds if one.unallocated and one.state != "failed"],
        left_of_lines=sum((await owing.left_of_lines(session, lines)).values()),
    )


async def decide(
    session: AsyncSession,
    till: Till,
    *,
    order_id: UUID,
    refund_id: UUID | None,
    action: str,
    item_ids: Collection[UUID],
    text: str,
    page_id: UUID | None,
    actor: str,
    now: datetime,
) -> str:
    """Carry out what a form says about a refund, for one page or (None) for all; returns what was done, in words.

    Raises Invalid for no action of ours, NotFound, NoTickets, and what the action's own function raises.
    """
    if refund_id is None or action not in list(Action):
        raise Invalid("Please choose what to do.")
    if action == Action.AGAIN:
        await try_again(
            session, order_id=order_id, refund_id=refund_id, page_id=page_id, actor=actor, now=now
        )
        return "The refund is tried again."
    if action == Action.OTHERWISE:
        await paid_otherwise(
            session, order_id=order_id, refund_id=refund_id, page_id=page_id, text=text, actor=actor, now=now
        )
        return "Noted. This refund no longer waits for a decision."
    if action == Action.NOT_OWED:
        await no_longer_owed(
            session, order_id=order_id, refund_id=refund_id, page_id=page_id, actor=actor, now=now
        )
        return "Noted. This refund is no longer owed."
    chosen = item_ids if action == Action.ALLOCATE else ()
    if action == Action.ALLOCATE and not chosen:
        raise NoTickets
    await allocate(
        session,
        till,
        order_id=order_id,
        refund_id=refund_id,
        item_ids=chosen,
        page_id=page_id,
        actor=actor,
        now=now,
    )
    return "Noted. The tickets are cancelled." if chosen else "Noted. All tickets stay valid."


async def allocate(
    session: AsyncSession,
    till: Till,
    *,
    order_id: UUID,
    refund_id: UUID,
    item_ids: Collection[UUID],
    page_id: UUID | None,
    actor: str,
    now: datetime,
) -> None:
    """Say which tickets a refund made by hand was for: they are cancelled. None at all: all tickets stay.

    The amount is spread over the lines of these tickets (of the page, if none is named) by what is left of each.
    `page_id`: only lines of this page; None for the operator, who may choose among all.
    Raises NotFound, Decided, NotRefundable (no such ticket is valid any more), TooMuch (less is left of these lines),
    SpansPages (less is left of all lines of the page).
    """
    order, lines, refund = await _lock(session, order_id, refund_id, page_id)
    if not refund.unallocated or refund.state == "failed":
        raise Decided
    if page_id is not None and refund.amount > sum((await owing.left_of_lines(session, lines)).values()):
        raise SpansPages
    plan = await plan_refund(session, till.calendar, order=order, lines=lines, item_ids=item_ids)
    if item_ids and not plan.tickets:
        raise NotRefundable
    gone = [ticket.id for ticket in plan.tickets]
    parts = await _spread(session, [part.line for part in plan.parts] or lines, refund.amount, set(gone))
    await owing.allocate(session, refund, parts, now=now)
    about: dict[str, object] = {"amount": refund.amount, "tickets": [str(item) for item in gone]}
    await owing.note(session, refund, "refund_allocated", actor=actor, now=now, after=about)
    if not gone:
        return
    await till.calendar.cancel_tickets(session, order_id, ticket_ids=gone)
    await note_cancelled(session, order_id, plan.tickets, actor=actor, reason=RefundReason.BY_HAND, now=now)
    await owe_refund_mail(
        session,
        till,
        order,
        about=refund.id,
        amount=Money(refund.amount, refund.currency),
        reason=RefundReason.BY_HAND,
        parts=parts,
        now=now,
    )


async def _spread(
    session: AsyncSession, lines: list[OrderLine], amount: int, gone: Collection[UUID]
) -> list[Part]:
    """An amount over lines in proportion to what is left of each. Raises TooMuch."""
    left = await owing.left_of_lines(session, lines)
    if amount > sum(left.values()):
        raise TooMuch("Less was paid for these tickets than was refunded. Choose more of them, or keep all.")
    amounts = split_by(amount, [left[line.id] for line in lines])
    return [
        Part(line, share, tuple(item for item in line.item_ids if item in gone))
        for line, share in zip(lines, amounts, strict=True)
    ]


async def try_again(
    session: AsyncSession, *, order_id: UUID, refund_id: UUID, page_id: UUID | None, actor: str, now: datetime
) -> Refund:
    """Owe anew what failed, for the same lines; the one that failed is solved by it.

    No more than is left of the payment. Raises NotFound, Decided, TooMuch (nothing is left).
    """
    failed, payment, left = await _lock_failed(session, order_id, refund_id, page_id)
    amount = min(failed.amount, left)
    if amount <= 0:
        raise TooMuch
    rows = await session.scalars(select(RefundLine).where(RefundLine.refund_id == failed.id))
    by_id = {line.id: line for line in await orders.lines_of(session, order_id)}
    rest = amount
    parts = []
    for row in rows:
        taken = min(row.amount, rest)
        rest -= taken
        parts.append(Part(by_id[row.order_line_id], taken, tuple(row.item_ids)))
    failed.solved_at = now
    await owing.note(session, failed, "refund_tried_again", actor=actor, now=now, after={"amount": amount})
    return await owing.add_refund(
        session,
        payment,
        amount=amount,
        reason=failed.reason,
        actor=actor,
        now=now,
        parts=parts,
        unallocated=failed.unallocated,
    )


async def paid_otherwise(
    session: AsyncSession,
    *,
    order_id: UUID,
    refund_id: UUID,
    page_id: UUID | None,
    text: str,
    actor: str,
    now: datetime,
) -> None:
    """The money of a refund that failed was given back another way: it counts as refunded from here on.

    All of it: of one that was for other pages' tickets too, only the operator can say so.
    Raises NotFound, Decided, BankDecides, PaidForOthers, NoNote, TooMuch (less is left of the payment than that).
    """
    failed, payment, left = await _lock_failed(session, order_id, refund_id, page_id)
    if await _is_disputed(session, payment):
        raise BankDecides
    if page_id is not None and await _part(session, failed, page_id) < failed.amount:
        raise PaidForOthers
    if not text.strip():
        raise NoNote(field="note")
    if left < failed.amount:
        raise TooMuch(
            "Less than this refund is left of what the buyer paid: the money has gone back another way since."
            " Nothing was changed."
        )
    failed.solved_at, failed.solved_note = now, text.strip()[:LONGEST_NOTE]
    about: dict[str, object] = {"amount": failed.amount, "note": failed.solved_note}
    await owing.note(session, failed, "refund_paid_otherwise", actor=actor, now=now, after=about)
    await nudge(session, "books")


async def _is_disputed(session: AsyncSession, payment: Payment) -> bool:
    """Whether a bank has taken money of this payment and not decided yet whose it is."""
    undecided = (Dispute.payment_id == payment.id, Dispute.closed_at.is_(None), Dispute.withdrawn > 0)
    return bool(await session.scalar(select(exists().where(*undecided))))


async def _part(session: AsyncSession, refund: Refund, page_id: UUID) -> int:
    """What of a refund is one page's, in minor units."""
    lines = await orders.lines_of(session, refund.order_id)
    own = [line for line in lines if line.page_id == page_id]
    rows = await session.scalars(
        select(RefundLine).where(RefundLine.refund_id == refund.id, RefundLine.page_id == page_id)
    )
    return owing.part_of_page(refund, list(rows), own, is_shared=len(own) < len(lines))


async def no_longer_owed(
    session: AsyncSession, *, order_id: UUID, refund_id: UUID, page_id: UUID | None, actor: str, now: datetime
) -> None:
    """Withdraw a refund that failed, because its money has gone back another way since.

    Raises NotFound, Decided, StillOwed (so much is left of the payment, so the buyer has not had it).
    """
    failed, _, left = await _lock_failed(session, order_id, refund_id, page_id)
    if left >= failed.amount:
        raise StillOwed
    failed.last_error = GONE_OTHERWISE
    await owing.move(session, failed, "withdrawn", now=now, actor=actor)
    await nudge(session, "books")


async def _lock_failed(
    session: AsyncSession, order_id: UUID, refund_id: UUID, page_id: UUID | None
) -> tuple[Refund, Payment, int]:
    """A refund that failed and is not solved, its payment, and what can still go back of that, in minor units.

    The order is locked, so no other refund takes it meanwhile. Raises NotFound, Decided.
    """
    _, _, failed = await _lock(session, order_id, refund_id, page_id)
    if failed.state != "failed" or failed.solved_at is not None:
        raise Decided
    payment = await session.get_one(Payment, failed.payment_id)
    return failed, payment, await owing.left_of_payment(session, payment)


async def _lock(
    session: AsyncSession, order_id: UUID, refund_id: UUID, page_id: UUID | None
) -> tuple[Order, list[OrderLine], Refund]:
    """The order, locked, with its lines of the page (None = all) and one of its refunds. Raises NotFound."""
    order, lines = await orders.lock_order_with_lines(session, order_id)
    lines = [line for line in lines if page_id in (None, line.page_id)]
    refund = await session.scalar(
        select(Refund)
        .where(Refund.id == refund_id, Refund.order_id == order_id, concerns(page_id))
        .execution_options(populate_existing=True)
    )
    if not lines or refund is None:
        raise NotFound
    return order, lines, refund
