"""The ways to put a difference right: each goes through the function that requests, webhooks and sweeps use too.

Each says in words what became of it, and raises NotRepaired where it could not. All are safe to repeat.
"""

from datetime import datetime
from uuid import UUID, uuid5

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cart import attempts, cancelled_entries, checkout, orders, release
from cart.books import keeping
from cart.books.payouts import apply_payout
from cart.books.posting import CHARGE
from cart.complete import settle_at_once
from cart.disputes import apply_dispute
from cart.models import CheckoutAttempt, Payment, Refund
from cart.reconcile.differences import NotRepaired
from cart.records import BalanceTransaction
from cart.refunds import owing, sending
from cart.refunds.news import apply_refunds
from cart.refunds.owing import RefundReason, owe_refund
from cart.settle import Settled
from cart.till import Till
from cart.words import why_failed
from shared.contracts.facts import IntentFacts, PayoutFacts, SessionFacts, TransactionFacts
from shared.contracts.protocols import Confirmation
from shared.contracts.states import STOCK_STATES, OrderState
from shared.database import Sessions, retrying
from shared.formats import state_words
from shared.ids import parse_id

OLDER = "what Stripe says is older than what stands here"
OVER = (OrderState.FAILED, OrderState.EXPIRED, OrderState.CANCELLED)
ORPHANS = UUID("6f0b1c5e-6d0f-5a55-9c1e-3d1d1f0e9a41")
"""The namespace of refund ids that are derived from payment intents; never to be changed."""

SETTLED_WORDS = {
    Settled.PAID: "settled: the order is paid",
    Settled.PROCESSING: "noted: the payment is on its way",
    Settled.FAILED: "noted: the payment failed, the stock is free",
    Settled.EXPIRED: "noted: the payment page is over",
    Settled.REFUND_DUE: "settled: the money goes back",
    Settled.ALREADY: "had been settled in the meantime",
}


async def settle_session(sessions: Sessions, till: Till, *, facts: SessionFacts, now: datetime) -> str:
    """Settle what Stripe says of a session, as its webhook would have."""
    settled = await settle_at_once(sessions, till, facts, now=now)
    if settled not in SETTLED_WORDS:
        raise NotRepaired(f"settling said {settled.value}")
    return SETTLED_WORDS[settled]


async def close_session(sessions: Sessions, till: Till, *, facts: SessionFacts, now: datetime) -> str:
    """Expire a session that nobody should pay any more; where somebody just did, that is settled."""
    closed = await till.payments.expire_session(facts.id, stripe_account=facts.stripe_account)
    if closed.status == "open":
        raise NotRepaired("Stripe did not close it")
    return await settle_session(sessions, till, facts=closed, now=now)


async def adopt_session(
    sessions: Sessions, till: Till, *, attempt_id: UUID, facts: SessionFacts, now: datetime
) -> str:
    """Store the id of a session whose answer was lost; where its order is over, close it."""
    async with sessions.single() as session:
        stored = await attempts.store_session(session, attempt_id, facts)
    if stored:
        return "its address is known now"
    return await close_session(sessions, till, facts=facts, now=now)


async def ask_again(sessions: Sessions, till: Till, *, order_id: UUID, user_id: UUID, now: datetime) -> str:
    """Send the stored request of an order's attempt once more; the same key gives the same session."""
    handover = await checkout.hand_over(sessions, till, order_id=order_id, user_id=user_id, now=now)
    return "asked again: the payment page stands" if handover.session_id else "there was nothing to ask for"


async def release_order(sessions: Sessions, till: Till, *, order_id: UUID, now: datetime) -> str:
    """Give a lapsed order's stock back, after asking Stripe."""
    state = await release.release(sessions, till, order_id=order_id, now=now)
    if state == OrderState.PENDING:
        raise NotRepaired("Stripe has no answer about its payment page; the stock stays held")
    return f"asked Stripe: the order is now “{state_words(state, 'order')}”"


async def settle_intent(
    sessions: Sessions, till: Till, *, payment_intent: str, stripe_account: str, now: datetime
) -> str:
    """Find the session that a payment intent belongs to, and settle it."""
    facts = await till.payments.session_of_intent(payment_intent, stripe_account=stripe_account)
    if facts is None:
        raise NotRepaired("no payment page of ours led to it")
    return await settle_session(sessions, till, facts=facts, now=now)


async def owe_back(sessions: Sessions, till: Till, *, payment_id: UUID, now: datetime) -> str:
    """Owe a payment back that bought nothing."""
    async with sessions.begin() as session:
        payment = await session.get_one(Payment, payment_id)
        order = await orders.lock_order(session, payment.order_id)
        assert order is not None
        twice = order.state == OrderState.PAID
        reason = RefundReason.PAID_TWICE if twice else RefundReason.PAID_TOO_LATE
        await owe_refund(session, payment, reason=reason, now=now)
    return "a refund is owed"


async def confirm_tickets(sessions: Sessions, till: Till, *, order_id: UUID, now: datetime) -> str:
    """Confirm the tickets that a paid order still only holds."""
    async with sessions.begin() as session:
        order = await orders.lock_order(session, order_id)
        if order is None or order.state != OrderState.PAID:
            raise NotRepaired("the order is no longer paid")
        if await till.calendar.confirm_tickets_for_order(session, order_id) is Confirmation.CLOSED:
            raise NotRepaired("its event is cancelled: the tickets are to be refunded")
    return "the tickets are confirmed"


async def free_tickets(sessions: Sessions, till: Till, *, order_id: UUID, now: datetime) -> str:
    """Give back what an order that is over still holds."""
    async with sessions.begin() as session:
        order = await orders.lock_order(session, order_id)
        if order is None or order.state not in OVER:
            raise NotRepaired("the order is not over")
        freed = await till.calendar.release_tickets_for_order(session, order_id)
    return f"{freed} tickets are free again"


async def unwind_order(sessions: Sessions, till: Till, *, order_id: UUID, now: datetime) -> str:
    """Release or refund an order that holds tickets of a cancelled event."""
    await cancelled_entries.unwind(sessions, till, now=now)
    async with sessions.reading() as session:
        tickets = await till.calendar.get_tickets_for_order(session, order_id)
    if any(ticket.entry_cancelled and ticket.state in STOCK_STATES for ticket in tickets):
        raise NotRepaired("Stripe has no answer about its payment page")
    return "its tickets are given back, what was paid is refunded"


async def recount(sessions: Sessions, till: Till, *, pool_id: UUID, now: datetime) -> str:
    """Set a pool's counter to what its tickets hold."""
    async with sessions.begin() as session:
        await till.calendar.recount_pools(session, [pool_id])
    return "counted anew"


async def refund_orphan(
    sessions: Sessions, till: Till, *, intent: IntentFacts, left: int, now: datetime
) -> str:
    """Refund what is left of a payment that nothing here knows; its id is derived, so it goes back once for ever."""
    made = await till.payments.refund(
        refund_id=uuid5(ORPHANS, intent.id),
        payment_intent=intent.id,
        amount=left,
        stripe_account=intent.stripe_account,
        metadata={name: intent.metadata[name] for name in ("app", "installation_id", "order_id")},
    )
    if made.status in ("failed", "canceled"):
        raise NotRepaired(f"Stripe says that the refund {made.status}")
    return f"refunded ({made.id})"


async def close_orphan(sessions: Sessions, till: Till, *, facts: SessionFacts, now: datetime) -> str:
    """Close a payment page that leads to no order."""
    closed = await till.payments.expire_session(facts.id, stripe_account=facts.stripe_account)
    if closed.status != "expired":
        raise NotRepaired(f"it is {closed.status} by now")
    return "closed"


async def take_in_refunds(
    sessions: Sessions, till: Till, *, payment_id: UUID, stripe_refund_id: str, now: datetime
) -> str:
    """Bring all refunds of a payment to what Stripe says of them, as their webhook would have; this one among them."""
    async with sessions.reading() as session:
        payment = await session.get_one(Payment, payment_id)
    listed = till.payments.refunds(
        stripe_account=payment.stripe_account, payment_intent=payment.payment_intent
    )
    facts = {one.id: one async for one in listed}

    async def apply() -> Refund | None:
        async with sessions.begin() as session:
            payment = await session.get_one(Payment, payment_id)
            await apply_refunds(session, till, payment, list(facts.values()), now=now)
            return await session.scalar(
                select(Refund).where(
                    Refund.payment_id == payment_id, Refund.stripe_refund_id == stripe_refund_id
                )
            )

    refund = await retrying(apply)
    stands = facts.get(stripe_refund_id)
    if refund is None or stands is None or not owing.agrees(refund, stands):
        raise NotRepaired(OLDER)
    return f"noted: {refund.state}"


async def send_refund(sessions: Sessions, till: Till, *, refund_id: UUID, now: datetime) -> str:
    """Have what is due sent now."""
    await sending.send_due(sessions, till, now=now)
    async with sessions.reading() as session:
        refund = await session.get_one(Refund, refund_id)
    if refund.state == "due":
        raise NotRepaired(why_failed(refund.last_error) if refund.last_error else "it was tried a moment ago")
    return f"it is {refund.state.replace('_', ' ')} now"


async def take_in_dispute(
    sessions: Sessions, till: Till, *, dispute_id: str, stripe_account: str, now: datetime
) -> str:
    """Bring a dispute to what Stripe says of it, as its webhook would have."""
    facts = await till.payments.retrieve_dispute(dispute_id, stripe_account=stripe_account)
    if facts is None:
        raise NotRepaired("Stripe does not know it any more")

    async def apply() -> str:
        async with sessions.begin() as session:
            return await apply_dispute(session, till, facts, now=now)

    return _noted(await retrying(apply))


async def block_tickets(
    sessions: Sessions, till: Till, *, order_id: UUID, blocked: bool, now: datetime
) -> str:
    """Put a dispute's overlay on an order's tickets, or take it off."""
    async with sessions.begin() as session:
        await orders.lock_order(session, order_id)
        changed = await till.calendar.block_tickets_for_order(session, order_id, blocked=blocked)
    return f"{changed} tickets {'blocked' if blocked else 'valid again'}"


def _noted(result: str) -> str:
    """What applying Stripe's word has changed; where it is older than ours, nothing."""
    if result in ("already", "unmatched"):
        raise NotRepaired(OLDER)
    return f"noted: {result.replace('_', ' ')}"


async def take_in_payout(sessions: Sessions, till: Till, *, facts: PayoutFacts, now: datetime) -> str:
    """Bring a payout to what Stripe says of it, as its webhook would have."""
    async with sessions.begin() as session:
        return _noted(await apply_payout(session, facts, now=now))


async def post_transaction(sessions: Sessions, till: Till, *, facts: TransactionFacts, now: datetime) -> str:
    """Post a movement to the ledger; one of ours that no attempt here led to goes to the orphans."""
    async with sessions.begin() as session:
        await keeping.mirror(session, [facts])
        row = await session.get_one(
            BalanceTransaction, (facts.stripe_account, facts.id), with_for_update=True
        )
        if row.posted_at is None and not await keeping.post(session, [row], now=now):
            if row.category != CHARGE or not row.ours or await _has_attempt(session, facts):
                raise NotRepaired("what it belongs to is not known here")
            await keeping.post_orphan(session, row, now=now)
    return "posted"


async def _has_attempt(session: AsyncSession, facts: TransactionFacts) -> bool:
    attempt_id = parse_id(facts.metadata.get("attempt_id", ""))
    return attempt_id is not None and await session.get(CheckoutAttempt, attempt_id) is not None
