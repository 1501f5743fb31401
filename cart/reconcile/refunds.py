"""Refunds at Stripe against ours, both ways; and those of ours that do not get there."""

from collections import defaultdict
from datetime import timedelta
from functools import partial

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cart.attempts import CLOCK_SKEW
from cart.models import Payment, Refund
from cart.reconcile import repairs
from cart.reconcile.differences import NEEDS_A_PERSON, Difference, Kind, Repair, Scope
from cart.reconcile.listing import Listed
from cart.reconcile.reading import OrderBrief, among, booked_intents, orders_by_id
from cart.refunds.owing import agrees
from cart.words import why_failed
from shared.contracts.facts import RefundFacts
from shared.ids import parse_id
from shared.money import format_minor

LONG_OWED = timedelta(
    hours=1
)  # the worker sends them within seconds, and tries again for hours only without an answer


async def compare_refunds(session: AsyncSession, listed: Listed, scope: Scope) -> list[Difference]:
    """Every refund at Stripe of a payment that we know. All of a payment are put right together."""
    by_intent: dict[str, list[RefundFacts]] = defaultdict(list)
    for facts in listed.refunds.values():
        if facts.payment_intent is not None and not scope.is_young(facts.created):
            by_intent[facts.payment_intent].append(facts)
    payments = await booked_intents(session, listed.account, by_intent)
    rows = await session.scalars(
        select(Refund).where(among(Refund.payment_id, [payment.id for payment in payments.values()]))
    )
    known: dict[object, Refund] = {}
    for row in rows:
        known[row.id] = known[row.stripe_refund_id] = row
    briefs = await orders_by_id(session, {payment.order_id for payment in payments.values()})
    found = [
        _judge(facts, _row_of(facts, known), payment, briefs[payment.order_id])
        for intent, payment in payments.items()
        for facts in by_intent[intent]
    ]
    return [one for one in found if one is not None]


def _row_of(facts: RefundFacts, known: dict[object, Refund]) -> Refund | None:
    own_id = parse_id(facts.metadata.get("refund_id", ""))
    return known.get(facts.id) or (known.get(own_id) if own_id else None)


def _judge(facts: RefundFacts, row: Refund | None, payment: Payment, order: OrderBrief) -> Difference | None:
    difference = partial(
        Difference,
        about=order.words,
        here=_words(row) if row else "nothing",
        stripe=f"{facts.status.replace('_', ' ')}, {format_minor(facts.amount, facts.currency)}",
        stripe_account=payment.stripe_account,
        reference=facts.id,
        payment_intent=facts.payment_intent,
        order_id=order.id,
        page_ids=order.page_ids,
    )
    take_in = partial(repairs.take_in_refunds, payment_id=payment.id, stripe_refund_id=facts.id)
    if row is None:
        return difference(kind=Kind.REFUND_NOT_HERE, remedy="take it in", repair=take_in)
    if row.amount != facts.amount:
        return difference(kind=Kind.AMOUNT_DIFFERS)
    if agrees(row, facts):
        return None
    return difference(kind=Kind.REFUND_DIFFERS, remedy="note how it stands", repair=take_in)


def _words(refund: Refund) -> str:
    return f"{refund.state.replace('_', ' ')}, {format_minor(refund.amount, refund.currency)}"


async def compare_own_refunds(session: AsyncSession, listed: Listed, scope: Scope) -> list[Difference]:
    """Refunds of ours: made in the listed time and not at Stripe, owed for too long, or failed and not solved."""
    of_account = Refund.stripe_account == listed.account
    recent = Refund.created_at.between(scope.since + CLOCK_SKEW, scope.now - scope.grace)
    sent = list(
        await session.scalars(select(Refund).where(of_account, recent, Refund.stripe_refund_id.is_not(None)))
    )
    unknown = [row for row in sent if row.stripe_refund_id not in listed.refunds]
    owed = list(
        await session.scalars(
            select(Refund).where(
                of_account, Refund.state == "due", Refund.created_at < scope.now - max(scope.grace, LONG_OWED)
            )
        )
    )
    failed = list(
        await session.scalars(
            select(Refund).where(of_account, Refund.state == "failed", Refund.solved_at.is_(None))
        )
    )
    briefs = await orders_by_id(session, {row.order_id for row in (*unknown, *owed, *failed)})
    return [
        *(_own(Kind.REFUND_UNKNOWN, row, briefs[row.order_id], stripe="nothing") for row in unknown),
        *(_overdue(row, briefs[row.order_id]) for row in owed),
        *(
            _own(Kind.REFUND_FAILED, row, briefs[row.order_id], stripe=why_failed(row.last_error))
            for row in failed
        ),
    ]


def _overdue(refund: Refund, order: OrderBrief) -> Difference:
    send = partial(repairs.send_refund, refund_id=refund.id)
    why = why_failed(refund.last_error) if refund.last_error else "not asked"
    return _own(Kind.REFUND_OVERDUE, refund, order, stripe=why, remedy="send it", repair=send)


def _own(
    kind: Kind,
    refund: Refund,
    order: OrderBrief,
    *,
    stripe: str,
    remedy: str = NEEDS_A_PERSON,
    repair: Repair | None = None,
) -> Difference:
    return Difference(
        kind=kind,
        about=order.words,
        here=_words(refund),
        stripe=stripe,
        remedy=remedy,
        repair=repair,
        stripe_account=refund.stripe_account,
        reference=refund.stripe_refund_id or "",
        order_id=order.id,
        page_ids=order.page_ids,
    )
