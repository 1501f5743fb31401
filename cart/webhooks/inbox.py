"""The webhook as an inbox: the raw event is stored and committed first; its effect follows, once.

What an event needs and does stands in news.py.
"""

from datetime import datetime, timedelta

import structlog
from sqlalchemy import ColumnElement, and_, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from cart.models import WebhookEvent, WebhookRefusal
from cart.settle import Settled
from cart.till import Till
from cart.webhooks.news import Handler, News, handler_of, leave
from shared.contracts.facts import EventFacts
from shared.contracts.payment_errors import (
    AccountUnavailable,
    EventUnreadable,
    SignatureInvalid,
)
from shared.database import Sessions, retrying
from shared.errors import AppError
from shared.ids import new_id
from shared.installation import installation_id
from shared.payments import PING

log = structlog.get_logger()


class StateUnknown(AppError):
    """Stripe names a state that this version does not know. Nothing was changed; the event is kept and tried again."""

    status = 503
    code = "STATE_UNKNOWN"


REFUSALS_KEPT = timedelta(days=7)
PROMPT_TRIES, MOST_TRIES = 3, 15
LEFT_OVER = timedelta(
    seconds=30
)  # younger ones may still be being processed by the request that brought them


async def receive(
    sessions: Sessions, till: Till, body: bytes, signature: str | None, *, now: datetime
) -> str:
    """Verify, store and carry out one event; returns its result.

    Raises SignatureInvalid and EventUnreadable, which are counted.

    An effect that fails raises after its error was written on the row: Stripe sends again, and the worker tries too.
    """
    try:
        event = till.payments.read_event(body, signature)
    except (SignatureInvalid, EventUnreadable) as refusal:
        await _count_refusal(sessions, body, refusal.message, now=now)
        raise
    if event.type == PING:
        return "pong"  # our own check of this very address (checks.py): nothing to keep
    await _store(sessions, event, body, now=now)
    return await process(sessions, till, event, now=now)


async def _count_refusal(sessions: Sessions, body: bytes, reason: str, *, now: datetime) -> None:
    """One row for each minute and reason, however often a stranger calls (spec: L5)."""
    async with sessions.begin() as session:
        ours = str(await installation_id(session)).encode() in body
        row = insert(WebhookRefusal).values(
            id=new_id(), at=now.replace(second=0, microsecond=0), reason=reason, ours=ours
        )
        await session.execute(
            row.on_conflict_do_update(
                index_elements=["at", "reason", "ours"], set_={"count": WebhookRefusal.count + 1}
            )
        )


async def forget_refusals(sessions: Sessions, till: Till, *, now: datetime) -> int:
    """Delete the counts that nobody looks at any more; the worker's sweep."""
    async with sessions.begin() as session:
        old = delete(WebhookRefusal).where(WebhookRefusal.at < now - REFUSALS_KEPT)
        return len((await session.execute(old.returning(WebhookRefusal.id))).all())


async def _store(sessions: Sessions, event: EventFacts, body: bytes, *, now: datetime) -> None:
    async with sessions.single() as session:
        await session.execute(
            insert(WebhookEvent)
            .values(
                id=event.id,
                stripe_account=event.stripe_account,
                type=event.type,
                livemode=event.livemode,
                body=body,
                received_at=now,
            )
            .on_conflict_do_nothing(index_elements=["id"])
        )


async def process(sessions: Sessions, till: Till, event: EventFacts, *, now: datetime) -> str:
    """Carry out a stored event once: effect and `processed_at` commit together.

    What it needs is asked of Stripe before, with nothing open. What fails, a call without an answer too, is written
    on the row and raised.
    """
    handler = handler_of(event, livemode=till.payments.livemode)
    try:
        news = News(event, session=event.session)
        if handler.fetch is not None and news.session is None:
            async with sessions.reading() as session:
                row = await session.get_one(WebhookEvent, event.id)
            if row.processed_at is not None:
                return row.result or ""  # a repeat costs no call
            try:
                news = await handler.fetch(sessions, till, event)
            except AccountUnavailable:
                # nobody can ask there; should we be let in again, the books and the reconciler list what happened
                handler = leave("no_access")
        result = await retrying(_carry_out, sessions, till, handler, news, now=now)
    except Exception as error:
        async with sessions.begin() as session:
            row = await session.get_one(WebhookEvent, event.id, with_for_update=True)
            row.tries += 1
            row.last_error = f"{type(error).__name__}: {error}"[:1000]
        raise
    if result == "unmatched":
        log.error("webhook for an order we do not know", event_id=event.id, type=event.type)
    return result


async def _carry_out(sessions: Sessions, till: Till, handler: Handler, news: News, *, now: datetime) -> str:
    async with sessions.begin() as session:
        row = await session.get_one(WebhookEvent, news.event.id, with_for_update=True)
        if row.processed_at is not None:
            return row.result or ""
        result = await handler.apply(session, till, news, now)
        if result == Settled.UNKNOWN:
            raise StateUnknown
        row.result, row.tries, row.processed_at, row.last_error = result, row.tries + 1, now, None
        return result


async def process_left_over(sessions: Sessions, till: Till, *, now: datetime) -> int:
    """Carry out events whose effect failed or was cut off; the worker's sweep. One failure does not stop the rest."""
    async with sessions.reading() as session:
        rows = list(
            await session.scalars(
                select(WebhookEvent)
                .where(WebhookEvent.processed_at.is_(None), _is_due(now))
                # those that keep failing come last, so that they never starve the rest
                .order_by(WebhookEvent.tries, WebhookEvent.received_at)
                .limit(100)
            )
        )
    for row in rows:
        try:
            await process(sessions, till, till.payments.read_stored_event(row.body), now=now)
        except Exception:
            log.exception("webhook event failed again", event_id=row.id, type=row.type)
    return len(rows)


def _is_due(now: datetime) -> ColumnElement[bool]:
    """Half a minute after it came; from the fourth try on ever later; after a day and a half a person looks."""
    waited = LEFT_OVER * func.power(2, func.greatest(WebhookEvent.tries - PROMPT_TRIES, 0))
    return and_(WebhookEvent.tries < MOST_TRIES, WebhookEvent.received_at + waited < now)
