"""What Stripe says of a payment's refunds becomes the state of ours; those made by hand in its dashboard are taken in.

Called with the same list by the webhook and by the reconciler, any number of times, in any order, at once.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cart import orders
from cart.mails import owe_refund_mail, warn_of_failed_refund
from cart.models import Order, OrderLine, Payment, Refund
from cart.refunds import owing
from cart.refunds.by_line import REFUNDABLE, note_cancelled
from cart.refunds.owing import Part, RefundReason
from cart.till import Till
from shared.contracts.facts import RefundFacts
from shared.ids import new_id, parse_id
from shared.jobs import nudge
from shared.money import Money

NOTHING_NEW = "already"
BACK_BY_HAND = "It was refunded at Stripe by hand."


async def apply_refunds(
    session: AsyncSession, till: Till, payment: Payment, facts: Sequence[RefundFacts], *, now: datetime
) -> str:
    """Bring the refunds of a payment to what Stripe says of all of them; returns what that changed, in a word or two.

    `facts` is the whole list of this payment. A refund that is none of ours was made by hand: for a part of the
    payment it waits until the organizer says which tickets it is for; once nothing is left of the payment that paid
    the order, its tickets are cancelled in this transaction.
    """
    order, lines = await orders.lock_order_with_lines(session, payment.order_id)
    known = list(await session.scalars(select(Refund).where(Refund.payment_id == payment.id)))
    paid_by_it = await owing.payment_of_order(session, order.id)
    pays = paid_by_it is not None and paid_by_it.id == payment.id
    changes, by_hand = set[str](), list[Refund]()
    for one in sorted(facts, key=lambda one: (one.created or now, one.id)):
        refund = _find(known, one)
        if refund is None:
            refund = await _take_in(session, payment, one, unallocated=pays, now=now)
            by_hand.append(refund)
            changes.add("refund_by_hand")
        elif await owing.apply_facts(session, refund, one, now=now):
            changes.add(f"refund_{refund.state}")
        else:
            continue
        if refund.state == "failed":
            await warn_of_failed_refund(session, till, refund, now=now)
    given = sum(one.amount for one in facts if owing.state_of(one) != "failed")
    await owing.withdraw_what_does_not_fit(session, payment, given=given, why=BACK_BY_HAND, now=now)
    if given >= payment.amount and pays and await _cancel_all(session, till, order, lines, payment, now=now):
        changes.add("tickets_cancelled")
    return ", ".join(sorted(changes)) or NOTHING_NEW


def _find(known: Sequence[Refund], facts: RefundFacts) -> Refund | None:
    """Ours, by the id that we sent with it, or by Stripe's once we know that."""
    own_id = parse_id(facts.metadata.get("refund_id", ""))
    return next((one for one in known if own_id == one.id or one.stripe_refund_id == facts.id), None)


async def _take_in(
    session: AsyncSession, payment: Payment, facts: RefundFacts, *, unallocated: bool, now: datetime
) -> Refund:
    """A refund that was made by hand at Stripe, as a row of ours."""
    state = owing.state_of(facts)
    refund = Refund(
        id=new_id(),
        payment_id=payment.id,
        order_id=payment.order_id,
        amount=facts.amount,
        currency=facts.currency,
        reason=RefundReason.BY_HAND,
        actor="stripe",
        state=state,
        unallocated=unallocated,
        stripe_refund_id=facts.id,
        stripe_account=payment.stripe_account,
        next_try_at=now + owing.LOOK_AGAIN,
        last_error=facts.failure_reason if state == "failed" else None,
        created_at=facts.created or now,
        settled_at=None if state == "sent" else now,
    )
    session.add(refund)
    await session.flush()
    about: dict[str, object] = {"amount": facts.amount, "stripe_refund_id": facts.id, "state": state}
    await owing.note(session, refund, "refund_by_hand", actor="stripe", now=now, after=about)
    await nudge(session, "books")
    return refund


async def _cancel_all(
    session: AsyncSession,
    till: Till,
    order: Order,
    lines: Sequence[OrderLine],
    payment: Payment,
    *,
    now: datetime,
) -> bool:
    """Nothing is left of the payment: cancel what tickets there are and say for which lines the money was.

    Only where a refund made by hand has not been allocated: our own may give all money back and leave the tickets.
    """
    waiting = list(
        await session.scalars(
            select(Refund)
            .where(Refund.payment_id == payment.id, Refund.unallocated, owing.COUNTS)
            .order_by(Refund.created_at, Refund.id)
        )
    )
    if not waiting:
        return False
    tickets = await till.calendar.get_tickets_for_order(session, order.id)
    gone = [ticket for ticket in tickets if ticket.state in REFUNDABLE]
    ids = await till.calendar.cancel_tickets(session, order.id, ticket_ids=[ticket.id for ticket in gone])
    left, to_name = await owing.left_of_lines(session, lines), set(ids)
    parts = []
    for refund in waiting:
        made = _fill(lines, left, refund.amount, to_name)
        await owing.allocate(session, refund, made, now=now)
        parts += made
    if not gone:
        return False
    await note_cancelled(session, order.id, gone, actor="stripe", reason=RefundReason.BY_HAND, now=now)
    await owe_refund_mail(
        session,
        till,
        order,
        about=waiting[-1].id,
        amount=Money(sum(refund.amount for refund in waiting), payment.currency),
        reason=RefundReason.BY_HAND,
        parts=parts,
        now=now,
    )
    return True


def _fill(lines: Sequence[OrderLine], left: dict[UUID, int], amount: int, to_name: set[UUID]) -> list[Part]:
    """Spread an amount over what is left of the lines, one after the other, naming each cancelled ticket once."""
    parts = []
    for line in lines:
        taken = min(left[line.id], amount)
        if taken:
            named = tuple(item for item in line.item_ids if item in to_name)
            to_name.difference_update(named)
            left[line.id] -= taken
            amount -= taken
            parts.append(Part(line, taken, named))
    return parts
