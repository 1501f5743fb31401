"""Which orders a payment without our marks fits; it is kept as a row when there is one. Calls no one.

Used by settle.py for sessions that a webhook or a buyer brings, and by the reconciler for everything that Stripe lists.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, or_, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from cart.foreign.models import ForeignFit, ForeignPayment
from cart.models import Order, StripeCustomer
from shared.contracts.facts import ChargeFacts, IntentFacts, SessionFacts
from shared.contracts.states import OrderState
from shared.identity.users import InvalidEmail, normalise_email
from shared.ids import new_id

LAPSED_FOR = timedelta(days=7)
"""How long ago an order may have ended that the payer's customer or address fits."""
LAPSED_FOR_AMOUNT = timedelta(days=2)
"""The same, where nothing but the amount fits: many orders cost the same."""
CLOCK_SKEW = timedelta(minutes=5)
MOST_FITS = 10
_SURENESS = ("customer", "email", "amount")


@dataclass(frozen=True, slots=True)
class Seen:
    """A paid payment of this Stripe account that is not marked as ours. Minor units; `paid_at` in UTC."""

    stripe_account: str
    payment_intent: str
    session_id: str | None
    amount: int
    currency: str
    livemode: bool
    email: str | None
    customer: str | None
    paid_at: datetime


@dataclass(frozen=True, slots=True)
class Fit:
    """An order that waits or lapsed, and what of the payment is the same."""

    order: Order
    why: tuple[str, ...]


def seen_in_session(facts: SessionFacts, *, now: datetime) -> Seen | None:
    """The payment of a session; None where nothing was paid."""
    if facts.payment_status != "paid" or facts.payment_intent is None or facts.amount_total <= 0:
        return None
    return Seen(
        stripe_account=facts.stripe_account,
        payment_intent=facts.payment_intent,
        session_id=facts.id,
        amount=facts.amount_total,
        currency=facts.currency,
        livemode=facts.livemode,
        email=_normalised(facts.email),
        customer=facts.customer,
        paid_at=facts.created or now,
    )


def seen_in_intent(intent: IntentFacts, session: SessionFacts | None, charge: ChargeFacts | None) -> Seen:
    """A payment that the reconciler has listed, with its session and charge where they are listed too."""
    emails = (session and session.email, intent.email, charge and charge.email)
    return Seen(
        stripe_account=intent.stripe_account,
        payment_intent=intent.id,
        session_id=session.id if session else None,
        amount=intent.amount_received,
        currency=intent.currency,
        livemode=intent.livemode,
        email=_normalised(next((one for one in emails if one), None)),
        customer=intent.customer or (session.customer if session else None),
        paid_at=intent.created,
    )


def _normalised(email: str | None) -> str | None:
    try:
        return normalise_email(email) if email else None
    except InvalidEmail:
        return None


async def fits_of(session: AsyncSession, payments: Sequence[Seen]) -> dict[str, list[Fit]]:
    """By payment intent, the orders that each fits: the surest first. All of one Stripe account; one statement."""
    if not payments:
        return {}
    emails = {one.email for one in payments if one.email}
    customers = {one.customer for one in payments if one.customer}
    amounts = {(one.amount, one.currency) for one in payments}
    account = payments[0].stripe_account
    earliest = min(one.paid_at for one in payments)
    ended = Order.state.in_((OrderState.EXPIRED, OrderState.CANCELLED))
    same_user = and_(
        StripeCustomer.user_id == Order.user_id,
        StripeCustomer.stripe_account == Order.stripe_account,
        StripeCustomer.customer_id.in_(customers),
    )
    rows = await session.execute(
        select(Order, StripeCustomer.customer_id)
        .join(StripeCustomer, same_user, isouter=True)
        .where(
            Order.stripe_account == account,
            Order.total > 0,
            or_(
                Order.state == OrderState.PENDING,
                and_(ended, Order.closed_at >= earliest - LAPSED_FOR),
            ),
            or_(
                Order.email.in_(emails),
                StripeCustomer.customer_id.is_not(None),
                tuple_(Order.total, Order.currency).in_(amounts),
            ),
        )
        .order_by(Order.created_at.desc(), Order.id.desc())
    )
    found: dict[str, list[Fit]] = defaultdict(list)
    for order, customer in rows:
        for one in payments:
            if why := _why(one, order, customer):
                found[one.payment_intent].append(Fit(order, why))
    return {intent: sorted(fits, key=_doubt)[:MOST_FITS] for intent, fits in found.items()}


def _why(seen: Seen, order: Order, customer: str | None) -> tuple[str, ...]:
    """What is the same, the surest first; nothing where the order was made later or had ended long before."""
    if order.created_at > seen.paid_at + CLOCK_SKEW:
        return ()
    same = {
        "customer": customer is not None and customer == seen.customer,
        "email": order.email == seen.email,
        "amount": (order.total, order.currency) == (seen.amount, seen.currency),
    }
    why = tuple(name for name in _SURENESS if same[name])
    within = LAPSED_FOR_AMOUNT if why == ("amount",) else LAPSED_FOR
    lapsed_too_long = order.closed_at is not None and order.closed_at < seen.paid_at - within
    return () if lapsed_too_long else why


def _doubt(fit: Fit) -> tuple[int, int]:
    return -len(fit.why), _SURENESS.index(fit.why[0])


async def notice(session: AsyncSession, seen: Seen, *, now: datetime) -> bool:
    """Keep a payment that fits an order, once; True where it fits one. The caller has seen that it is not ours."""
    fits = (await fits_of(session, [seen])).get(seen.payment_intent, [])
    if not fits:
        return False
    made = await session.scalar(
        insert(ForeignPayment)
        .values(
            id=new_id(),
            stripe_account=seen.stripe_account,
            payment_intent=seen.payment_intent,
            session_id=seen.session_id,
            amount=seen.amount,
            currency=seen.currency,
            livemode=seen.livemode,
            email=seen.email,
            paid_at=seen.paid_at,
            noticed_at=now,
        )
        .on_conflict_do_nothing(index_elements=["stripe_account", "payment_intent"])
        .returning(ForeignPayment.id)
    )
    if made is not None:
        session.add_all(ForeignFit(payment_id=made, order_id=fit.order.id, why=list(fit.why)) for fit in fits)
        await session.flush()
    return True
