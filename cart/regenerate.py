"""New payment pages for pending orders whose page is broken (spec: F2); used by scripts/regenerate_orders.py.

An open session is kept where it belongs to its order and asks for its amount. Nothing is minted for an order that is
paid, or whose session is: that is settled instead. The new session is made by checkout.hand_over, as for any buyer.
"""

from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Select, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from cart import attempts, checkout
from cart.complete import settle_at_once
from cart.models import CheckoutAttempt, Order, OrderLine
from cart.settle import Settled
from cart.till import Till
from shared.contracts.facts import SessionFacts
from shared.contracts.payment_errors import (
    PaymentsRefused,
    PaymentsUnavailable,
)
from shared.contracts.states import OrderState
from shared.database import Sessions
from shared.errors import AppError, Conflict, NotFound
from shared.ids import parse_id
from shared.installation import installation_id, mark


class Health(StrEnum):
    """What a pending order's payment page is like."""

    GOOD = "good"
    NONE = "none"
    """The buyer has not gone to pay, or the last page is over: one is made when they do."""
    LAPSED = "lapsed"
    """The hold is over: the worker gives the stock back."""
    NOT_ASKED = "not_asked"
    UNANSWERED = "unanswered"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    WRONG_ORDER = "wrong_order"
    WRONG_AMOUNT = "wrong_amount"
    COMPLETE = "complete"


HEALTH_WORDS = {
    Health.GOOD: "open, belongs to the order, asks for its amount",
    Health.NONE: "there is none; one is made when the buyer goes to pay",
    Health.LAPSED: "the hold is over; the worker gives the stock back",
    Health.UNANSWERED: "was asked for, the answer was lost",
    Health.NOT_ASKED: "Stripe did not answer",
    Health.UNKNOWN: "Stripe does not know it with these keys",
    Health.EXPIRED: "expired",
    Health.WRONG_ORDER: "does not carry this order's metadata",
    Health.WRONG_AMOUNT: "asks for another amount",
    Health.COMPLETE: "complete: to be settled, not replaced",
}
BROKEN = (Health.UNANSWERED, Health.EXPIRED, Health.WRONG_ORDER, Health.WRONG_AMOUNT)
# one that Stripe does not know may stand in an account or a mode that these keys do not reach, and be paid there
ONLY_BY_FORCE = (Health.GOOD, Health.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which orders to look at; empty = all pending ones."""

    pages: tuple[str, ...] = ()
    """By address."""
    entries: tuple[UUID, ...] = ()
    products: tuple[UUID, ...] = ()
    """Ticket types, slots or products."""
    orders: tuple[str, ...] = ()
    """By number or id."""


@dataclass(frozen=True, slots=True)
class Looked:
    """A pending order with its attempt, and what Stripe says of its session."""

    order: Order
    attempt: CheckoutAttempt | None
    facts: SessionFacts | None
    health: Health


Deed = Callable[..., Coroutine[Any, Any, str]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one order. Texts are for people."""

    order: Order
    health: Health
    deed: str
    """What was done, or would be; empty where there is nothing to do."""
    failed: bool = False


async def regenerate(
    sessions: Sessions, till: Till, *, wanted: Wanted, commit: bool, force: bool, now: datetime
) -> AsyncIterator[Outcome]:
    """Look at each wanted pending order's payment page; with `commit` make the broken ones anew.

    `force` replaces good ones too, and those that Stripe does not know. One that fails stops no other. Safe to
    repeat: what was made anew is good then. Raises NotFound for a page or an order that there is not.
    """
    async with sessions.reading() as session:
        ids = list(await session.scalars(await _pending(session, till, wanted)))
    for order_id in ids:
        looked = await look(sessions, till, order_id, now=now)
        if looked is not None:  # still pending
            yield await _treat(sessions, till, looked, commit=commit, force=force, now=now)


async def _treat(
    sessions: Sessions, till: Till, looked: Looked, *, commit: bool, force: bool, now: datetime
) -> Outcome:
    deed = _deed(looked.health, force=force)
    if deed is None or not commit:
        words = f"would {deed[0]}" if deed else ""
        return Outcome(looked.order, looked.health, words, failed=looked.health is Health.NOT_ASKED)
    try:
        return Outcome(looked.order, looked.health, await deed[1](sessions, till, looked, now=now))
    except AppError as error:
        return Outcome(looked.order, looked.health, error.for_office, failed=True)


async def _pending(session: AsyncSession, till: Till, wanted: Wanted) -> Select[UUID]:
    """Ids of the pending orders that are wanted, oldest first. Raises NotFound for an unknown page or order."""
    query = select(Order.id).where(Order.state == OrderState.PENDING, Order.total > 0).order_by(Order.id)
    for conditions in (
        [OrderLine.page_id == await _page_id(session, till, slug) for slug in wanted.pages],
        [OrderLine.entry_id == entry_id for entry_id in wanted.entries],
        [OrderLine.ref_id == product_id for product_id in wanted.products],
    ):
        if conditions:
            query = query.where(exists().where(OrderLine.order_id == Order.id, or_(*conditions)))
    if wanted.orders:
        query = query.where(Order.id.in_([await _order_id(session, text) for text in wanted.orders]))
    return query


async def _order_id(session: AsyncSession, text: str) -> UUID:
    named = or_(Order.id == parse_id(text), Order.number == text.upper())
    order_id: UUID | None = await session.scalar(select(Order.id).where(named))
    if order_id is None:
        raise NotFound(f"There is no order {text}.")
    return order_id


async def _page_id(session: AsyncSession, till: Till, slug: str) -> UUID:
    page = await till.calendar.get_page_by_slug(session, slug)
    if page is None:
        raise NotFound(f"There is no page {slug}.")
    return page.id


async def look(sessions: Sessions, till: Till, order_id: UUID, *, now: datetime) -> Looked | None:
    """Ask Stripe about the payment page of a pending order; None where it is not pending any more."""
    async with sessions.reading() as session:
        found = await attempts.order_with_attempt(session, order_id)
        installation = await installation_id(session)
    if found is None or found[0].state != OrderState.PENDING:
        return None
    order, attempt = found
    facts = None
    if attempt is not None and attempt.session_id is not None:
        try:
            facts = await till.payments.retrieve_session(
                attempt.session_id, stripe_account=attempt.stripe_account
            )
        except (PaymentsUnavailable, PaymentsRefused):
            return Looked(order, attempt, None, Health.NOT_ASKED)
    return Looked(order, attempt, facts, _judge(order, attempt, facts, installation, now=now))


def _judge(
    order: Order,
    attempt: CheckoutAttempt | None,
    facts: SessionFacts | None,
    installation: UUID,
    *,
    now: datetime,
) -> Health:
    if facts is not None and facts.status == "complete":
        return Health.COMPLETE
    if order.reserved_until is not None and order.reserved_until <= now:
        return Health.LAPSED
    if attempt is None:
        return Health.NONE
    if attempt.session_id is None:
        return Health.UNANSWERED
    if facts is None:
        return Health.UNKNOWN
    if facts.status == "expired":
        return Health.EXPIRED
    if not _belongs(facts, order, attempt, installation):
        return Health.WRONG_ORDER
    right_amount = (facts.amount_total, facts.currency) == (order.total, order.currency)
    return Health.GOOD if right_amount else Health.WRONG_AMOUNT


def _belongs(facts: SessionFacts, order: Order, attempt: CheckoutAttempt, installation: UUID) -> bool:
    """Whether a payment of this session would find its order."""
    ours = {**mark(installation), "order_id": str(order.id), "attempt_id": str(attempt.id)}
    return ours.items() <= facts.metadata.items()


def _deed(health: Health, *, force: bool) -> tuple[str, Deed] | None:
    """What to do about a page in this state, in words and as a function."""
    if health is Health.COMPLETE:
        return "settle it", _settle
    if health in BROKEN or (force and health in ONLY_BY_FORCE):
        return "make a new one", _replace
    return None


async def _settle(sessions: Sessions, till: Till, looked: Looked, *, now: datetime) -> str:
    assert looked.facts is not None
    settled = await settle_at_once(sessions, till, looked.facts, now=now)
    if settled in (Settled.FOREIGN, Settled.UNMATCHED):
        raise Conflict("It was paid without this order's metadata: a person has to look at it.")
    return f"settled: {settled.value}"


async def _replace(sessions: Sessions, till: Till, looked: Looked, *, now: datetime) -> str:
    """Close the old session, unless it was paid just now; then the order's buyer gets a new one."""
    attempt, order = looked.attempt, looked.order
    assert attempt is not None
    if looked.facts is not None:
        closed = await till.payments.expire_session(looked.facts.id, stripe_account=attempt.stripe_account)
        if closed.status != "expired":
            return await _settle(sessions, till, replace(looked, facts=closed), now=now)
        await settle_at_once(sessions, till, closed, now=now)
    if attempt.session_id is not None:
        async with sessions.single() as session:
            await attempts.end_attempt(session, attempt.id, "expired")
    handover = await checkout.hand_over(sessions, till, order_id=order.id, user_id=order.user_id, now=now)
    return (
        f"made {handover.session_id}" if handover.session_id else f"the order is {handover.state.value} now"
    )
