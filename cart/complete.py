"""Coming back from Stripe's page, or going there again: the session is retrieved first (spec: C2–C4)."""

from datetime import datetime
from uuid import UUID

from cart import attempts, orders
from cart.checkout import Handover, SessionExpired
from cart.models import CheckoutAttempt, Order
from cart.order_page import OrderView, order_view
from cart.settle import Settled, settle
from cart.till import Till
from shared import audit
from shared.contracts.facts import SessionFacts
from shared.contracts.states import OrderState
from shared.database import Sessions, retrying
from shared.errors import AppError, NotFound


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
        attempt = await attempts.attempt_of_session(session, session_id)
        if attempt is None:
            raise NotFound
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
    sessions: Sessions, till: Till, *, session_id: str, order_hint: UUID | None, now: datetime
) -> UUID:
    """Settle what a returning buyer brings; returns the order's id (spec: C3).

    `order_hint` only tells which Stripe account to ask where the session's id was never stored.
    Raises NotFound where Stripe does not know the session, it is not complete, or it is not ours. A stranger's guess
    costs no call: Stripe is asked only about a session or an order that we know.
    """
    async with sessions.reading() as session:
        attempt = await attempts.attempt_of_session(session, session_id)
        hinted = await session.get(Order, order_hint) if attempt is None and order_hint else None
    known = attempt or hinted
    if known is None:
        raise NotFound
    facts = await till.payments.retrieve_session(session_id, stripe_account=known.stripe_account)
    if facts is None or facts.status != "complete":
        raise NotFound
    settled = await settle_at_once(sessions, till, facts, now=now)
    order_id = (
        UUID(facts.metadata["order_id"]) if settled not in (Settled.FOREIGN, Settled.UNMATCHED) else None
    )
    if order_id is None:
        raise NotFound
    return order_id


async def check(sessions: Sessions, till: Till, *, order_id: UUID, user_id: UUID, now: datetime) -> OrderView:
    """An own order to be shown, brought up to date first if it is still pending; the same on every visit (spec: C4).

    Raises NotFound for another's order, NotComplete where the checkout has not been completed.
    """
    view = await _read_view(sessions, till, order_id=order_id, user_id=user_id)
    if view.order.state != OrderState.PENDING:
        return view
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
