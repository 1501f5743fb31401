"""Coming back from Stripe's page, or going there again: the session is retrieved first (spec: C2–C4)."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cart import attempts, orders
from cart.checkout import Handover, SessionExpired
from cart.foreign.views import of_session
from cart.models import CheckoutAttempt, Order
from cart.order_page import MAY_BE_LOOKED_AT, OrderView, order_view
from cart.settle import Settled, settle
from cart.till import Till
from shared import audit
from shared.contracts.facts import SessionFacts
from shared.contracts.states import OrderState
from shared.database import Sessions, retrying
from shared.errors import AppError, NotFound
from shared.seldom import Seldom
from shared.typed import shown_address

SESSION_ID = re.compile(r"cs_(test|live)_[A-Za-z0-9]{1,58}")
"""At most 66 characters (Stripe's OpenAPI document)."""
ASKED_TIMES, ASKED_WITHIN = 20, timedelta(seconds=15)
"""How often Stripe is asked about one order because somebody has come back: a person never reaches it, a loop does."""


@dataclass(frozen=True, slots=True)
class Returned:
    """An order that somebody has come back for: enough of its buyer to know one's own address by, and no more."""

    order_id: UUID
    buyer_id: UUID
    masked_email: str

    @classmethod
    def to(cls, order: Order) -> "Returned":
        """The order, with its buyer's address as a…@example.org."""
        local, _, domain = shown_address(order.email).rpartition("@")
        return cls(order.id, order.user_id, f"{local[:1]}…@{domain}")


class NotComplete(AppError):
    """Checkout is not complete"""

    status = 400
    code = "CHECKOUT_NOT_COMPLETE"


async def continue_session(
    sessions: Sessions, till: Till, *, session_id: str, user_id: UUID, now: datetime
) -> Handover:
    """Hand an open session to its owner again; any number of times, always the same order (spec: C2).

    Raises NotFound for a session that is not the user's, SessionExpired where Stripe says that it is not open; what
    it says instead is settled first, so that the page shows it when it is refreshed.
    """
    async with sessions.reading() as session:
        known = await attempts.attempt_of_session(session, session_id)
        if known is None:
            raise NotFound
        attempt, _ = known
        order = await orders.own_order(session, attempt.order_id, user_id=user_id)
    facts = await till.payments.retrieve_session(session_id, stripe_account=attempt.stripe_account)
    if facts is None:
        raise SessionExpired
    if facts.status != "open":
        await settle_at_once(sessions, till, facts, now=now)
        raise SessionExpired
    async with sessions.begin() as session:
        await audit.record(
            session,
            at=now,
            actor=f"user:{user_id}",
            subject="order",
            subject_id=order.id,
            what="handed_over",
            after={"session_id": session_id},
        )
    return Handover(order.id, OrderState(order.state), facts.id, facts.url, facts.client_secret)


async def complete(
    sessions: Sessions,
    till: Till,
    asked: Seldom,
    *,
    session_id: str,
    order_hint: UUID | None,
    user_id: UUID | None,
    now: datetime,
) -> "Returned | None":
    """Settle what a returning buyer brings; returns the order, and whose it is (spec: C3).

    None for a payment without our marks that fits an order: it was received, and a person looks at it (spec: F4).

    Raises NotFound where Stripe does not know the session, it is not complete, or it is not ours. Stripe is asked only
    about a session that can be one, of an order that we know and that is not paid yet, and seldom (spec: L9).
    """
    if not SESSION_ID.fullmatch(session_id):
        raise NotFound
    async with sessions.reading() as session:
        known = await attempts.attempt_of_session(session, session_id)
        if known is None and await _is_looked_at(session, session_id):
            return None
        about = (
            (known[0].order_id, known[0].stripe_account)
            if known
            else await _whom_to_ask(session, order_hint, user_id)
        )
    if known is not None and known[1].state == OrderState.PAID and known[0].state == "complete":
        return Returned.to(known[1])
    if about is None or not asked.may(about[0], now):
        raise NotFound
    facts = await till.payments.retrieve_session(session_id, stripe_account=about[1])
    if facts is None or facts.status != "complete":
        raise NotFound
    settled = await settle_at_once(sessions, till, facts, now=now)
    if known is not None:
        return Returned.to(known[1])  # also one without our marks that was booked by hand with this order
    async with sessions.reading() as session:
        if settled not in (Settled.FOREIGN, Settled.UNMATCHED):
            return Returned.to(await session.get_one(Order, UUID(facts.metadata["order_id"])))
        if await _is_looked_at(session, session_id):
            return None
    raise NotFound


async def own_order_of(sessions: Sessions, session_id: str, *, user_id: UUID | None) -> UUID | None:
    """The user's own order that this session is to pay: where to go on when it was not completed."""
    if user_id is None or not SESSION_ID.fullmatch(session_id):
        return None
    own = (
        select(Order.id)
        .join(CheckoutAttempt, CheckoutAttempt.order_id == Order.id)
        .where(CheckoutAttempt.session_id == session_id, Order.user_id == user_id)
    )
    async with sessions.reading() as session:
        return cast("UUID | None", await session.scalar(own.limit(1)))


async def _is_looked_at(session: AsyncSession, session_id: str) -> bool:
    foreign = await of_session(session, session_id)
    return foreign is not None and foreign.state == "open"


async def _whom_to_ask(
    session: AsyncSession, order_hint: UUID | None, user_id: UUID | None
) -> tuple[UUID, str] | None:
    """An order and the Stripe account to ask, about a session that is not known here.

    Its id was never stored, or somebody made it by hand: then it may be for the newest order of this buyer.
    """
    account = await _account_of(session, order_hint)
    if order_hint is not None and account is not None:
        return order_hint, account
    if user_id is None:
        return None
    newest = select(Order.id, Order.stripe_account).where(
        Order.user_id == user_id, Order.state.in_(MAY_BE_LOOKED_AT), Order.total > 0
    )
    row = (await session.execute(newest.order_by(Order.created_at.desc()).limit(1))).first()
    return (row[0], row[1]) if row else None


async def _account_of(session: AsyncSession, order_id: UUID | None) -> str | None:
    """The Stripe account to ask about a session whose id was never stored: of an order with an attempt in flight."""
    if order_id is None:
        return None
    unanswered = select(CheckoutAttempt.stripe_account).where(
        CheckoutAttempt.order_id == order_id, CheckoutAttempt.session_id.is_(None)
    )
    return cast("str | None", await session.scalar(unanswered.limit(1)))


async def check(
    sessions: Sessions, till: Till, asked: Seldom, *, order_id: UUID, user_id: UUID, now: datetime
) -> OrderView:
    """An own order to be shown, brought up to date first if it is still pending; the same on every visit (spec: C4).

    Raises NotFound for another's order, NotComplete where the checkout has not been completed; who reloads the page
    within seconds gets the same answer without another call to Stripe (spec: L9).
    """
    view = await _read_view(sessions, till, order_id=order_id, user_id=user_id)
    if view.order.state != OrderState.PENDING:
        return view
    if not asked.may(order_id, now):
        raise NotComplete
    await _ask_and_settle(sessions, till, view.attempt, now=now)
    return await _read_view(sessions, till, order_id=order_id, user_id=user_id)


async def _read_view(sessions: Sessions, till: Till, *, order_id: UUID, user_id: UUID) -> OrderView:
    async with sessions.reading() as session:
        return await order_view(session, till.calendar, order_id=order_id, user_id=user_id)


async def _ask_and_settle(
    sessions: Sessions, till: Till, attempt: CheckoutAttempt | None, *, now: datetime
) -> None:
    if attempt is None or attempt.session_id is None:
        raise NotComplete
    facts = await till.payments.retrieve_session(attempt.session_id, stripe_account=attempt.stripe_account)
    if facts is None or facts.status != "complete":
        raise NotComplete
    await settle_at_once(sessions, till, facts, now=now)


async def settle_at_once(sessions: Sessions, till: Till, facts: SessionFacts, *, now: datetime) -> Settled:
    """Settle what Stripe says of a session, in a transaction of its own; for whoever asked Stripe about it."""

    async def once() -> Settled:
        async with sessions.begin() as session:
            return await settle(session, till, facts, now=now, failed=facts.has_failed)

    return await retrying(once)
