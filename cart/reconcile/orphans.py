"""What carries our installation's id at Stripe and is unknown here: a database was restored from before its time."""

from functools import partial

from sqlalchemy.ext.asyncio import AsyncSession

from cart.reconcile import repairs
from cart.reconcile.differences import Difference, Kind, Repair, Scope
from cart.reconcile.listing import Listed
from cart.reconcile.reading import attempts_of, booked_intents
from shared.contracts.facts import IntentFacts, SessionFacts
from shared.ids import parse_id
from shared.money import format_minor


async def compare_orphans(session: AsyncSession, listed: Listed, scope: Scope) -> list[Difference]:
    """Money of ours at Stripe that no attempt here led to, and open payment pages that would bring more of it."""
    intents = {
        one.id: one
        for one in listed.intents.values()
        if one.status == "succeeded" and scope.is_ours(one.metadata)
    }
    open_sessions = {
        one.id: one
        for one in listed.sessions.values()
        if one.status == "open" and scope.is_ours(one.metadata)
    }
    metadata = {one.id: one.metadata for one in intents.values()}
    metadata |= {one.id: one.metadata for one in open_sessions.values()}
    known = await attempts_of(session, listed.account, metadata)
    booked = await booked_intents(session, listed.account, intents)
    paid = [
        _paid_orphan(one, listed, scope)
        for one in intents.values()
        if one.id not in known and one.id not in booked
    ]
    still_open = [_open_orphan(one, scope) for one in open_sessions.values() if one.id not in known]
    return [one for one in (*paid, *still_open) if one is not None]


def _paid_orphan(intent: IntentFacts, listed: Listed, scope: Scope) -> Difference | None:
    charge = listed.charges.get(intent.id)
    left = intent.amount_received - (charge.amount_refunded if charge else 0)
    if left <= 0:
        return None  # it went back
    return _orphan(
        intent,
        f"{format_minor(left, intent.currency)} received and not refunded",
        scope,
        partial(repairs.refund_orphan, intent=intent, left=left),
    )


def _open_orphan(facts: SessionFacts, scope: Scope) -> Difference:
    amount = format_minor(facts.amount_total, facts.currency)
    return _orphan(facts, f"can still be paid, {amount}", scope, partial(repairs.close_orphan, facts=facts))


def _orphan(facts: IntentFacts | SessionFacts, stripe: str, scope: Scope, repair: Repair) -> Difference:
    remedy = "refund it" if isinstance(facts, IntentFacts) else "close it"
    page_id = parse_id(facts.metadata.get("page_id", ""))
    return Difference(
        kind=Kind.ORPHAN,
        about=f"Order {facts.metadata.get('order_number') or facts.metadata.get('order_id', '')}",
        here="no such order",
        stripe=stripe,
        remedy=remedy if scope.refund_orphans else f"{remedy}, only with --refund-orphans",
        repair=repair if scope.refund_orphans else None,
        stripe_account=facts.stripe_account,
        reference=facts.id,
        payment_intent=facts.id if isinstance(facts, IntentFacts) else None,
        page_ids=(page_id,) if page_id else (),
    )
