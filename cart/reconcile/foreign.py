"""Payments without our marks: those that fit an order are kept for the operator, and differ until there is a word."""

from datetime import datetime
from functools import partial

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cart.foreign.models import ForeignPayment
from cart.foreign.noticing import Fit, Seen, fits_of, notice, seen_in_intent
from cart.reconcile.differences import NEEDS_A_PERSON, Difference, Kind, NotRepaired, Scope
from cart.reconcile.listing import Listed
from cart.reconcile.reading import among, booked_intents
from cart.till import Till
from shared.database import Sessions
from shared.money import format_minor


async def compare_foreign(session: AsyncSession, listed: Listed, scope: Scope) -> list[Difference]:
    """Every payment that is nobody's here and has not gone back, against the orders that wait or lapsed."""
    by_intent = {one.payment_intent: one for one in listed.sessions.values() if one.payment_intent}
    seen = {
        one.id: seen_in_intent(one, by_intent.get(one.id), listed.charges.get(one.id))
        for one in listed.intents.values()
        if one.status == "succeeded"
        and one.livemode == scope.livemode
        and not scope.is_ours(one.metadata)
        and not scope.is_young(one.created)
        and _is_left(listed, one.id)
    }
    booked = await booked_intents(session, listed.account, seen)
    kept = await session.scalars(
        select(ForeignPayment).where(
            ForeignPayment.stripe_account == listed.account, among(ForeignPayment.payment_intent, seen)
        )
    )
    states = {row.payment_intent: row.state for row in kept}
    new = [one for intent, one in seen.items() if intent not in booked and intent not in states]
    fits = await fits_of(session, new)
    found = [_to_keep(one, fits[one.payment_intent]) for one in new if one.payment_intent in fits]
    return found + [
        _difference(seen[intent], "kept, nobody has said what it is", NEEDS_A_PERSON)
        for intent, state in states.items()
        if state == "open"
    ]


def _is_left(listed: Listed, intent: str) -> bool:
    charge = listed.charges.get(intent)
    return charge is None or charge.amount_refunded < charge.amount


def _to_keep(seen: Seen, fits: list[Fit]) -> Difference:
    here = "fits order " + ", ".join(fit.order.number for fit in fits)
    difference = _difference(seen, here, "show it to the operator")
    difference.repair = partial(keep, seen=seen)
    return difference


def _difference(seen: Seen, here: str, remedy: str) -> Difference:
    return Difference(
        kind=Kind.PAID_WITHOUT_MARKS,
        about=f"Payment {seen.payment_intent}",
        here=here,
        stripe=f"{format_minor(seen.amount, seen.currency)} received",
        remedy=remedy,
        stripe_account=seen.stripe_account,
        reference=seen.session_id or seen.payment_intent,
        payment_intent=seen.payment_intent,
    )


async def keep(sessions: Sessions, _till: Till, *, seen: Seen, now: datetime) -> str:
    """Keep it for the operator, as its webhook would have."""
    async with sessions.begin() as session:
        if not await notice(session, seen, now=now):
            raise NotRepaired("it fits no order any more")
    return "shown to the operator"
