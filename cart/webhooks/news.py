"""What each kind of event from Stripe needs to have fetched, and what it then does; the one table of it (spec: C5).

An event only says that something has happened; what is applied is how the thing stands at Stripe now. So events may
come twice, in any order and days late. Used by inbox.py.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cart import accounts
from cart.books.payouts import apply_payout
from cart.disputes import apply_dispute
from cart.models import Payment
from cart.refunds.news import apply_refunds
from cart.settle import Settled, settle
from cart.till import Till
from shared.contracts.facts import (
    AccountFacts,
    DisputeFacts,
    EventFacts,
    PayoutFacts,
    RefundFacts,
    SessionFacts,
)
from shared.database import Sessions
from shared.installation import installation_id, is_marked


@dataclass(frozen=True, slots=True)
class News:
    """An event with what was fetched for it."""

    event: EventFacts
    session: SessionFacts | None = None
    """The session that the payment belongs to; where it is needed, and the payment is not known here yet."""
    refunds: tuple[RefundFacts, ...] = ()
    dispute: DisputeFacts | None = None
    payout: PayoutFacts | None = None
    account: AccountFacts | None = None


Fetch = Callable[[Sessions, Till, EventFacts], Awaitable[News]]
Apply = Callable[[AsyncSession, Till, News, datetime], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Handler:
    """`fetch` asks Stripe, with no transaction open; `apply` runs inside one and returns what it did, in a word."""

    fetch: Fetch | None
    """None where nothing has to be asked; where the event holds its session, it is not called either."""
    apply: Apply


async def _session(_sessions: Sessions, till: Till, event: EventFacts) -> News:
    """The session as it is now; asked for only where the event itself does not hold all of it."""
    if not event.session_id:
        return News(event)
    found = await till.payments.retrieve_session(event.session_id, stripe_account=event.stripe_account)
    return News(event, session=found)


async def _intent(sessions: Sessions, till: Till, event: EventFacts) -> News:
    """The session of a payment intent, with the intent's state as it is now; a stranger's failure costs no call."""
    async with sessions.reading() as session:
        installation = await installation_id(session)
    if not is_marked(event.metadata, installation):
        return News(event)
    return News(event, session=await _session_of_intent(till, event))


async def _session_of_intent(till: Till, event: EventFacts) -> SessionFacts | None:
    if event.payment_intent is None:
        return None
    return await till.payments.session_of_intent(event.payment_intent, stripe_account=event.stripe_account)


async def _unknown_payment(sessions: Sessions, till: Till, event: EventFacts) -> SessionFacts | None:
    """The session of a payment that we have not booked: this event was faster than the one that it is paid."""
    async with sessions.reading() as session:
        known = await _payment(session, event)
    return None if known else await _session_of_intent(till, event)


async def _refunds(sessions: Sessions, till: Till, event: EventFacts) -> News:
    """All refunds of the payment."""
    if event.payment_intent is None:
        return News(event)
    session = await _unknown_payment(sessions, till, event)
    listed = till.payments.refunds(stripe_account=event.stripe_account, payment_intent=event.payment_intent)
    return News(event, session=session, refunds=tuple([one async for one in listed]))


async def _dispute(sessions: Sessions, till: Till, event: EventFacts) -> News:
    """The dispute with its balance transactions."""
    session = await _unknown_payment(sessions, till, event)
    dispute = await till.payments.retrieve_dispute(event.subject_id, stripe_account=event.stripe_account)
    return News(event, session=session, dispute=dispute)


async def _payout(_sessions: Sessions, till: Till, event: EventFacts) -> News:
    """The payout as it stands."""
    found = await till.payments.retrieve_payout(event.subject_id, stripe_account=event.stripe_account)
    return News(event, payout=found)


async def _account(_sessions: Sessions, till: Till, event: EventFacts) -> News:
    """Whether the account may charge, as it is now."""
    return News(event, account=await till.payments.account(stripe_account=event.stripe_account))


async def _payment(session: AsyncSession, event: EventFacts) -> Payment | None:
    payment: Payment | None = await session.scalar(
        select(Payment).where(
            Payment.stripe_account == event.stripe_account, Payment.payment_intent == event.payment_intent
        )
    )
    return payment


async def _settle(session: AsyncSession, till: Till, news: News, now: datetime) -> str:
    if news.session is None:
        return "ignored"  # of a kind that does not pay
    return await settle(session, till, news.session, now=now)


async def _settle_failed(session: AsyncSession, till: Till, news: News, now: datetime) -> str:
    """A delayed payment has failed for good."""
    if news.session is None:
        return "ignored"
    return await settle(session, till, news.session, now=now, failed=True)


async def _settle_intent(session: AsyncSession, till: Till, news: News, now: datetime) -> str:
    """A payment failed: a card that was declined leaves the session open, a delayed method ends it."""
    if news.session is None:
        return Settled.FOREIGN
    return await settle(session, till, news.session, now=now, failed=news.session.has_failed)


async def _booked(session: AsyncSession, till: Till, news: News, now: datetime) -> Payment | str:
    """The payment that an event is about, booked first where it is not yet; or why there is none."""
    if (payment := await _payment(session, news.event)) is not None:
        return payment
    if news.session is None:
        return Settled.FOREIGN
    settled = await settle(session, till, news.session, now=now)
    return await _payment(session, news.event) or settled


async def _apply_refunds(session: AsyncSession, till: Till, news: News, now: datetime) -> str:
    payment = await _booked(session, till, news, now)
    if isinstance(payment, str):
        return payment
    return await apply_refunds(session, till, payment, news.refunds, now=now)


async def _apply_dispute(session: AsyncSession, till: Till, news: News, now: datetime) -> str:
    payment = await _booked(session, till, news, now)
    if isinstance(payment, str):
        return payment
    if news.dispute is None:
        return Settled.UNMATCHED
    return await apply_dispute(session, till, news.dispute, now=now)


async def _apply_payout(session: AsyncSession, _till: Till, news: News, now: datetime) -> str:
    if news.payout is None:
        return Settled.UNMATCHED
    return await apply_payout(session, news.payout, now=now)


async def _follow_account(session: AsyncSession, till: Till, news: News, now: datetime) -> str:
    assert news.account is not None
    changed = await accounts.follow(session, till.calendar, news.account, now=now)
    return "applied" if changed else "unchanged"


_SETTLING, _FAILING = Handler(_session, _settle), Handler(_session, _settle_failed)
_REFUNDING, _DISPUTING = Handler(_refunds, _apply_refunds), Handler(_dispute, _apply_dispute)
_OF_ACCOUNT = Handler(_account, _follow_account)
_PAYING_OUT = Handler(_payout, _apply_payout)

HANDLERS = {
    "checkout.session.completed": _SETTLING,
    "checkout.session.async_payment_succeeded": _SETTLING,
    "checkout.session.async_payment_failed": _FAILING,
    "checkout.session.expired": _SETTLING,
    "payment_intent.payment_failed": Handler(_intent, _settle_intent),
    "charge.refunded": _REFUNDING,
    "refund.created": _REFUNDING,
    "refund.updated": _REFUNDING,
    "refund.failed": _REFUNDING,
    "charge.dispute.created": _DISPUTING,
    "charge.dispute.updated": _DISPUTING,
    "charge.dispute.funds_withdrawn": _DISPUTING,
    "charge.dispute.funds_reinstated": _DISPUTING,
    "charge.dispute.closed": _DISPUTING,
    "payout.paid": _PAYING_OUT,
    "payout.failed": _PAYING_OUT,
    "account.updated": _OF_ACCOUNT,
    "capability.updated": _OF_ACCOUNT,
    "account.application.deauthorized": _OF_ACCOUNT,
    "account.application.authorized": _OF_ACCOUNT,
}
"""By event type: those that the endpoint at Stripe should be set to send. Any other is stored and ignored."""

OF_ACCOUNTS = tuple(name for name, handler in HANDLERS.items() if handler is _OF_ACCOUNT)
"""Welcome and not missed: accounts are asked about daily, and not every endpoint can be set to send these."""


def handler_of(event: EventFacts, *, livemode: bool) -> Handler:
    """What to do about an event: nothing where it is of the other mode, or of a kind that we do not follow."""
    if event.livemode != livemode:
        return leave("other_mode")
    return HANDLERS.get(event.type) or leave("ignored")


def leave(result: str) -> Handler:
    async def apply(_session: AsyncSession, _till: Till, _news: News, _now: datetime) -> str:
        return result

    return Handler(None, apply)
