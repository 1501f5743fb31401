"""Checkout sessions against attempts and orders: what was paid, failed, expired or left open without our noting it."""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cart.attempts import ACTIVE, CLOCK_SKEW
from cart.models import CheckoutAttempt
from cart.reconcile import repairs
from cart.reconcile.differences import NEEDS_A_PERSON, Difference, Kind, Scope
from cart.reconcile.listing import Listed
from cart.reconcile.reading import AttemptBrief, OrderBrief, attempts_of, booked_intents, orders_by_id
from shared.contracts.facts import SessionFacts
from shared.contracts.states import OrderState
from shared.formats import state_words
from shared.money import format_minor

UNSETTLED = (OrderState.PENDING, OrderState.PROCESSING)


async def compare_sessions(session: AsyncSession, listed: Listed, scope: Scope) -> list[Difference]:
    """Every session of ours that is over at Stripe against its attempt and order. Orphans' part: no attempt."""
    return await _compare(session, listed, scope, are_open=False)


async def compare_open_sessions(session: AsyncSession, listed: Listed, scope: Scope) -> list[Difference]:
    """Those that can still be paid; after the others, since settling one may leave another without a use."""
    return await _compare(session, listed, scope, are_open=True)


async def _compare(
    session: AsyncSession, listed: Listed, scope: Scope, *, are_open: bool
) -> list[Difference]:
    ours = [
        one
        for one in listed.sessions.values()
        if scope.is_ours(one.metadata) and (one.status == "open") == are_open
    ]
    known = await attempts_of(session, listed.account, {one.id: one.metadata for one in ours})
    booked = await booked_intents(
        session, listed.account, [one.payment_intent for one in ours if one.payment_intent]
    )
    found = []
    for facts in ours:
        attempt = known.get(facts.id)
        if attempt is None or _is_on_its_way(facts, attempt, listed, scope):
            continue
        found.append(_judge(facts, attempt, is_booked=facts.payment_intent in booked))
    return [difference for difference in found if difference is not None]


def _is_on_its_way(facts: SessionFacts, attempt: AttemptBrief, listed: Listed, scope: Scope) -> bool:
    """Whether what was just made, paid or closed may still be being processed by a request or a webhook."""
    charge = listed.charges.get(facts.payment_intent or "")
    moments = (facts.created, attempt.order.closed_at, charge.created if charge else None)
    return any(scope.is_young(moment) for moment in moments)


def _judge(facts: SessionFacts, attempt: AttemptBrief, *, is_booked: bool) -> Difference | None:
    if not facts.is_known:
        return _difference(Kind.SESSION_STATE, facts, attempt, NEEDS_A_PERSON, None)
    if facts.status == "open":
        return _judge_open(facts, attempt)
    if facts.status == "expired":
        ended = attempt.state not in ACTIVE
        is_copy = attempt.session_id not in (None, facts.id)
        return (
            None
            if ended or is_copy
            else _difference(Kind.SESSION_EXPIRED, facts, attempt, "end it, free its stock")
        )
    if facts.payment_status == "paid":
        return None if is_booked else _difference(Kind.SESSION_NOT_SETTLED, facts, attempt, "settle it")
    if facts.payment_status == "unpaid" and attempt.order.state in UNSETTLED:
        if facts.has_failed:
            return _difference(Kind.DELAYED_FAILED, facts, attempt, "end the order, free its stock")
        if attempt.order.state == OrderState.PENDING:
            return _difference(Kind.PAYMENT_ON_ITS_WAY, facts, attempt, "hold the tickets until it arrives")
    return None


def _judge_open(facts: SessionFacts, attempt: AttemptBrief) -> Difference | None:
    order = attempt.order
    if attempt.state == "complete" and attempt.session_id == facts.id:
        return None  # it was paid since Stripe was asked
    if order.state != OrderState.PENDING or attempt.state not in ACTIVE:
        return _difference(Kind.SESSION_OF_NO_USE, facts, attempt, "close it", repairs.close_session)
    if (facts.amount_total, facts.currency) != (order.total, order.currency):
        return _difference(Kind.SESSION_AMOUNT, facts, attempt, "close it", repairs.close_session)
    if attempt.session_id is None:
        adopt = partial(repairs.adopt_session, attempt_id=attempt.id)
        return _difference(Kind.ATTEMPT_UNANSWERED, facts, attempt, "note its address", adopt)
    return None


def _difference(
    kind: Kind,
    facts: SessionFacts,
    attempt: AttemptBrief,
    remedy: str,
    repair: Callable[..., Coroutine[Any, Any, str]] | None = repairs.settle_session,
) -> Difference:
    order, amount = attempt.order, format_minor(facts.amount_total, facts.currency)
    return Difference(
        kind=kind,
        about=order.words,
        here=f"{state_words(order.state, 'order')}, {format_minor(order.total, order.currency)}",
        stripe=f"{facts.status}, {facts.payment_status.replace('_', ' ')}, {amount}",
        remedy=remedy,
        repair=partial(repair, facts=facts) if repair else None,
        stripe_account=facts.stripe_account,
        reference=facts.id,
        payment_intent=facts.payment_intent,
        order_id=order.id,
        page_ids=order.page_ids,
    )


async def compare_attempts(session: AsyncSession, listed: Listed, scope: Scope) -> list[Difference]:
    """Attempts of ours that may still be paid, made since the scope's beginning, against the sessions at Stripe."""
    rows = list(
        await session.scalars(
            select(CheckoutAttempt).where(
                CheckoutAttempt.stripe_account == listed.account,
                CheckoutAttempt.state.in_(ACTIVE),
                CheckoutAttempt.livemode == scope.livemode,
                CheckoutAttempt.created_at.between(scope.since + CLOCK_SKEW, scope.now - scope.grace),
            )
        )
    )
    orders = await orders_by_id(session, {row.order_id for row in rows})
    seen = {one.metadata.get("attempt_id") for one in listed.sessions.values()}
    return [
        _missing(row, orders[row.order_id])
        for row in rows
        if str(row.id) not in seen and not _has_lapsed(orders[row.order_id], scope)
    ]


def _has_lapsed(order: OrderBrief, scope: Scope) -> bool:
    """Then its release asks Stripe anyway: see orders.py."""
    return order.reserved_until is None or order.reserved_until <= scope.now


def _missing(attempt: CheckoutAttempt, order: OrderBrief) -> Difference:
    unanswered = attempt.session_id is None
    ask_again = partial(repairs.ask_again, order_id=order.id, user_id=order.user_id)
    return Difference(
        kind=Kind.ATTEMPT_UNANSWERED if unanswered else Kind.SESSION_UNKNOWN,
        about=order.words,
        here="asked for, no answer" if unanswered else "open",
        stripe="nothing",
        remedy="ask again under the same key" if unanswered else NEEDS_A_PERSON,
        repair=ask_again if unanswered else None,
        stripe_account=attempt.stripe_account,
        reference=attempt.session_id or "",
        order_id=order.id,
        page_ids=order.page_ids,
    )
