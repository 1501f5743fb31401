"""Disputes at Stripe against ours, and tickets against the disputes that hold their money (spec: H4)."""

from functools import partial

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from cart.reconcile import repairs
from cart.reconcile.differences import Difference, Kind, Scope
from cart.reconcile.listing import Listed
from cart.reconcile.reading import OrderBrief, among, booked_intents, orders_by_id
from cart.records import Dispute
from cart.refunds.owing import payment_of_order
from shared.contracts.facts import DisputeFacts
from shared.contracts.protocols import CalendarService
from shared.contracts.states import STOCK_STATES
from shared.money import format_minor


async def compare_disputes(session: AsyncSession, listed: Listed, scope: Scope) -> list[Difference]:
    """Every dispute at Stripe of a payment that we know."""
    facts = [
        one for one in listed.disputes.values() if one.payment_intent and not scope.is_young(one.created)
    ]
    payments = await booked_intents(session, listed.account, {one.payment_intent or "" for one in facts})
    rows = await session.scalars(
        select(Dispute).where(
            Dispute.stripe_account == listed.account, among(Dispute.dispute_id, [one.id for one in facts])
        )
    )
    known = {row.dispute_id: row for row in rows}
    briefs = await orders_by_id(session, {payment.order_id for payment in payments.values()})
    return [
        _differs(one, known.get(one.id), briefs[payments[one.payment_intent].order_id])
        for one in facts
        if one.payment_intent in payments and not _same(one, known.get(one.id))
    ]


def _same(facts: DisputeFacts, row: Dispute | None) -> bool:
    return row is not None and (row.status, row.amount, row.withdrawn, row.evidence_due_by) == (
        facts.status,
        facts.amount,
        facts.withdrawn,
        facts.evidence_due_by,
    )


def _differs(facts: DisputeFacts, row: Dispute | None, order: OrderBrief) -> Difference:
    take_in = partial(repairs.take_in_dispute, dispute_id=facts.id, stripe_account=facts.stripe_account)
    return Difference(
        kind=Kind.DISPUTE_DIFFERS if row else Kind.DISPUTE_NOT_HERE,
        about=order.words,
        here=_words(row.status, row.withdrawn, row.currency) if row else "nothing",
        stripe=_words(facts.status, facts.withdrawn, facts.currency),
        remedy="note how it stands" if row else "take it in",
        repair=take_in,
        stripe_account=facts.stripe_account,
        reference=facts.id,
        payment_intent=facts.payment_intent,
        order_id=order.id,
        page_ids=order.page_ids,
    )


def _words(status: str, withdrawn: int, currency: str) -> str:
    return f"{status.replace('_', ' ')}, {format_minor(withdrawn, currency)} withdrawn"


async def compare_blocked(session: AsyncSession, calendar: CalendarService, scope: Scope) -> list[Difference]:
    """Tickets of orders with a dispute: blocked as long as it holds the money that paid them, valid otherwise."""
    rows = await session.execute(
        select(Dispute.order_id, Dispute.payment_id, func.max(Dispute.withdrawn) > 0)
        .where(Dispute.opened_at <= scope.now - scope.grace)
        .group_by(Dispute.order_id, Dispute.payment_id)
    )
    held = {(order_id, payment_id): bool(holds) for order_id, payment_id, holds in rows}
    disputed = sorted({order_id for order_id, _ in held})
    tickets = await calendar.get_tickets_for_orders(session, disputed)
    briefs = await orders_by_id(session, disputed)
    found = []
    for order_id in disputed:
        payment = await payment_of_order(session, order_id)
        if payment is None or (order_id, payment.id) not in held:
            continue
        blocked = held[order_id, payment.id]
        wrong = [one for one in tickets[order_id] if one.state in STOCK_STATES and one.blocked != blocked]
        if wrong:
            found.append(_about_tickets(briefs[order_id], len(wrong), blocked=blocked))
    return found


def _about_tickets(order: OrderBrief, wrong: int, *, blocked: bool) -> Difference:
    return Difference(
        kind=Kind.TICKETS_BLOCKED_WRONGLY,
        about=order.words,
        here=f"{wrong} tickets {'open the door' if blocked else 'blocked'}",
        stripe="the bank holds the money" if blocked else "the bank holds nothing",
        remedy="block them" if blocked else "make them valid again",
        repair=partial(repairs.block_tickets, order_id=order.id, blocked=blocked),
        stripe_account=order.stripe_account,
        order_id=order.id,
        page_ids=order.page_ids,
    )
