"""Payment intents and charges against payments, both ways; and payments that bought nothing and do not go back."""

from functools import partial
from uuid import UUID

from sqlalchemy import ScalarSelect, exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from cart.attempts import CLOCK_SKEW
from cart.books.ledger import SALES
from cart.models import CheckoutAttempt, LedgerTransfer, Payment, Refund
from cart.reconcile import repairs
from cart.reconcile.differences import NEEDS_A_PERSON, Difference, Kind, Repair, Scope
from cart.reconcile.listing import Listed
from cart.reconcile.reading import OrderBrief, attempts_of, booked_intents, orders_by_id
from cart.records import Dispute
from shared.contracts.facts import IntentFacts
from shared.formats import state_words
from shared.money import format_minor


async def compare_intents(session: AsyncSession, listed: Listed, scope: Scope) -> list[Difference]:
    """Every payment intent of ours that succeeded against the payments: booked, and with the same amount.

    One whose session is listed too is the sessions' part; one without an attempt here the orphans'.
    """
    with_session = {one.payment_intent for one in listed.sessions.values()}
    ours = {
        one.id: one
        for one in listed.intents.values()
        if one.status == "succeeded" and scope.is_ours(one.metadata) and not _is_young(one, listed, scope)
    }
    booked = await booked_intents(session, listed.account, ours)
    known = await attempts_of(session, listed.account, {one.id: one.metadata for one in ours.values()})
    briefs = await orders_by_id(session, {payment.order_id for payment in booked.values()})
    lost = [
        _not_booked(one, known[one.id].order)
        for one in ours.values()
        if one.id not in booked and one.id in known and one.id not in with_session
    ]
    other = [
        _about_payment(Kind.AMOUNT_DIFFERS, payment, briefs[payment.order_id], stripe=_received(ours[intent]))
        for intent, payment in booked.items()
        if (payment.amount, payment.currency) != (ours[intent].amount_received, ours[intent].currency)
    ]
    return lost + other


def _is_young(intent: IntentFacts, listed: Listed, scope: Scope) -> bool:
    charge = listed.charges.get(intent.id)
    return scope.is_young(intent.created) or (charge is not None and scope.is_young(charge.created))


def _received(intent: IntentFacts) -> str:
    return f"{format_minor(intent.amount_received, intent.currency)} received"


def _not_booked(intent: IntentFacts, order: OrderBrief) -> Difference:
    settle = partial(repairs.settle_intent, payment_intent=intent.id, stripe_account=intent.stripe_account)
    return Difference(
        kind=Kind.INTENT_WITHOUT_PAYMENT,
        about=order.words,
        here=state_words(order.state, "order"),
        stripe=_received(intent),
        remedy="find its session and settle it",
        repair=settle,
        stripe_account=intent.stripe_account,
        reference=intent.id,
        payment_intent=intent.id,
        order_id=order.id,
        page_ids=order.page_ids,
    )


async def compare_payments(session: AsyncSession, listed: Listed, scope: Scope) -> list[Difference]:
    """Payments whose attempt was made in the listed time (so their intents were too) against the intents at Stripe."""
    rows = list(
        await session.scalars(
            select(Payment)
            .join(CheckoutAttempt, CheckoutAttempt.id == Payment.attempt_id)
            .where(
                Payment.stripe_account == listed.account,
                Payment.livemode == scope.livemode,
                CheckoutAttempt.created_at >= scope.since + CLOCK_SKEW,
                Payment.created_at <= scope.now - scope.grace,
            )
        )
    )
    unknown = [row for row in rows if row.payment_intent not in listed.intents]
    briefs = await orders_by_id(session, {row.order_id for row in unknown})
    return [
        _about_payment(Kind.PAYMENT_UNKNOWN, row, briefs[row.order_id], stripe=f"no {row.payment_intent}")
        for row in unknown
    ]


async def compare_ends(session: AsyncSession, listed: Listed, scope: Scope) -> list[Difference]:
    """Every payment paid its order, or goes back, or the bank has taken it (spec: H2)."""
    sold = exists().where(
        LedgerTransfer.order_id == Payment.order_id,
        LedgerTransfer.credit == SALES,
        func.starts_with(LedgerTransfer.ref, Payment.payment_intent + ":"),
    )
    # every row counts: one that failed is shown as such until it is solved, and then by its note or its successor
    going_back = func.coalesce(_sum(Refund.amount, Refund.payment_id), 0)
    taken = func.coalesce(_sum(Dispute.withdrawn, Dispute.payment_id), 0)
    rows = list(
        await session.scalars(
            select(Payment).where(
                Payment.stripe_account == listed.account,
                Payment.created_at <= scope.now - scope.grace,
                ~sold,
                Payment.amount > going_back + taken,
            )
        )
    )
    briefs = await orders_by_id(session, {row.order_id for row in rows})
    return [
        _about_payment(
            Kind.PAYMENT_WITHOUT_END,
            row,
            briefs[row.order_id],
            stripe="received",
            remedy="refund it",
            repair=partial(repairs.owe_back, payment_id=row.id),
        )
        for row in rows
    ]


def _sum(column: InstrumentedAttribute[int], of: InstrumentedAttribute[UUID]) -> ScalarSelect[int]:
    return select(func.sum(column)).where(of == Payment.id).correlate(Payment).scalar_subquery()


def _about_payment(
    kind: Kind,
    payment: Payment,
    order: OrderBrief,
    *,
    stripe: str,
    remedy: str = NEEDS_A_PERSON,
    repair: Repair | None = None,
) -> Difference:
    paid = format_minor(payment.amount, payment.currency)
    return Difference(
        kind=kind,
        about=order.words,
        here=f"{paid} paid, {state_words(order.state, 'order')}",
        stripe=stripe,
        remedy=remedy,
        repair=repair,
        stripe_account=payment.stripe_account,
        reference=payment.payment_intent,
        payment_intent=payment.payment_intent,
        order_id=order.id,
        page_ids=order.page_ids,
    )
