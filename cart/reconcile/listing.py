"""What Stripe says of one account: its lists, read to the end with no transaction open (spec: E3)."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import select

from cart.models import CheckoutAttempt, Order
from cart.reconcile.differences import Scope
from cart.records import Dispute
from shared.contracts.facts import (
    ChargeFacts,
    DisputeFacts,
    IntentFacts,
    PayoutFacts,
    RefundFacts,
    SessionFacts,
)
from shared.contracts.protocols import Payments
from shared.contracts.states import OrderState
from shared.database import Sessions
from shared.formats import counted

T = TypeVar("T")
Progress = Callable[[str], None]
TOLD_EVERY = 500  # objects of a long list


@dataclass(frozen=True, slots=True)
class Listed:
    """Everything of one account since a moment, by Stripe's ids."""

    account: str
    sessions: dict[str, SessionFacts]
    intents: dict[str, IntentFacts]
    charges: dict[str, ChargeFacts]
    """By payment intent: the charge that brought its money."""
    refunds: dict[str, RefundFacts]
    disputes: dict[str, DisputeFacts]
    payouts: dict[str, PayoutFacts]

    def foreign(self, scope: Scope) -> int:
        """Sessions and payment intents without our installation's id: counted, never touched."""
        sessions = sum(not scope.is_ours(one.metadata) for one in self.sessions.values())
        return sessions + sum(not scope.is_ours(one.metadata) for one in self.intents.values())

    def counts(self) -> dict[str, int]:
        """How many of each were held against ours."""
        return {
            "sessions": len(self.sessions),
            "payment intents": len(self.intents),
            "charges": len(self.charges),
            "refunds": len(self.refunds),
            "disputes": len(self.disputes),
            "payouts": len(self.payouts),
        }


async def list_account(
    sessions: Sessions, payments: Payments, account: str, scope: Scope, *, progress: Progress
) -> Listed:
    """Every list of an account since the scope's beginning, and older ones that may still change.

    Raises PaymentsUnavailable, PaymentsRefused.
    """

    async def read(name: str, rows: AsyncIterator[T], key: Callable[[T], str | None]) -> dict[str, T]:
        found: dict[str, T] = {}
        async for row in rows:
            if (reference := key(row)) is not None:
                found[reference] = row
            if found and len(found) % TOLD_EVERY == 0:
                progress(f"{account or 'platform'}: {counted(len(found), name)} so far")
        progress(f"{account or 'platform'}: {counted(len(found), name)}")
        return found

    lists, since = payments, scope.since
    listed = Listed(
        account,
        sessions=await read("sessions", lists.sessions(stripe_account=account, since=since), _id),
        intents=await read("payment intents", lists.intents(stripe_account=account, since=since), _id),
        charges=await read("charges", lists.charges(stripe_account=account, since=since), _brought_by),
        refunds=await read("refunds", lists.refunds(stripe_account=account, since=since), _id),
        disputes=await read("disputes", lists.disputes(stripe_account=account, since=since), _id),
        payouts=await read("payouts", lists.payouts(stripe_account=account, since=since), _id),
    )
    for session_id in await _still_on_their_way(sessions, listed):
        facts = await _with_intent(payments, session_id, account)
        if facts is not None:
            listed.sessions[session_id] = facts
    for dispute_id in await _still_open(sessions, listed):
        dispute = await payments.retrieve_dispute(dispute_id, stripe_account=account)
        if dispute is not None:
            listed.disputes[dispute_id] = dispute
    return listed


async def _still_on_their_way(sessions: Sessions, listed: Listed) -> list[str]:
    """Sessions of orders that wait for a delayed payment, older than what was listed."""
    async with sessions.reading() as session:
        rows = await session.scalars(
            select(CheckoutAttempt.session_id)
            .join(Order, Order.id == CheckoutAttempt.order_id)
            .where(
                Order.state == OrderState.PROCESSING,
                CheckoutAttempt.stripe_account == listed.account,
                CheckoutAttempt.session_id.is_not(None),
            )
        )
        return [one for one in rows if one is not None and one not in listed.sessions]


async def _still_open(sessions: Sessions, listed: Listed) -> list[str]:
    """Disputes that the bank had not decided when we last heard, older than what was listed."""
    async with sessions.reading() as session:
        rows = await session.scalars(
            select(Dispute.dispute_id).where(
                Dispute.stripe_account == listed.account, Dispute.closed_at.is_(None)
            )
        )
        return [one for one in rows if one not in listed.disputes]


async def _with_intent(payments: Payments, session_id: str, account: str) -> SessionFacts | None:
    """A session with its payment intent's status, which tells a payment that failed from one on its way."""
    facts = await payments.retrieve_session(session_id, stripe_account=account)
    if facts is None or facts.payment_intent is None:
        return facts
    return await payments.session_of_intent(facts.payment_intent, stripe_account=account)


def _id(row: SessionFacts | IntentFacts | RefundFacts | DisputeFacts | PayoutFacts) -> str:
    return row.id


def _brought_by(charge: ChargeFacts) -> str | None:
    return charge.payment_intent if charge.status == "succeeded" else None
