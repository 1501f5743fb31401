"""Whether each Stripe account may charge: asked at the start and daily, after events about accounts, and told by a 403.

While one may not, its pages sell nothing that costs money. The sweep `accounts` runs it (spec: L9).
"""

from datetime import datetime, timedelta

import structlog
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from cart.records import StripeAccount
from cart.till import Till
from shared.contracts.facts import AccountFacts
from shared.contracts.payment_errors import (
    AccountUnavailable,
    PaymentsRefused,
    PaymentsUnavailable,
)
from shared.contracts.protocols import CalendarService
from shared.database import Sessions

log = structlog.get_logger()

EVERY, SOON = timedelta(days=1), timedelta(hours=1)
"""Asked so often while an account may charge, and while it may not."""
OVER_AFTER = timedelta(days=1)
"""An order whose account can no longer be asked is over so long after the last moment at which it could be paid."""
ASKED_AGAIN = timedelta(minutes=10)
"""Until then such an order is left alone: each look is a call that is refused."""


class AccountSweep:
    """The sweep `accounts`: takes its first turn at once, the others when they are due."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._started = False

    async def run(self, till: Till, now: datetime) -> int:
        """Ask about the accounts that are due; returns how many were asked about."""
        async with self._sessions.reading() as session:
            used = await till.calendar.stripe_accounts(session)
            known = {row.stripe_account: row for row in await session.scalars(select(StripeAccount))}
        if unused := known.keys() - set(used):  # no page is paid into it any more: nobody needs to know
            async with self._sessions.begin() as session:
                await session.execute(delete(StripeAccount).where(StripeAccount.stripe_account.in_(unused)))
        due = [one for one in used if not self._started or one not in known or _is_due(known[one], now)]
        for stripe_account in due:
            await ask(self._sessions, till, stripe_account, now=now)
        self._started = True
        return len(due)


def _is_due(row: StripeAccount, now: datetime) -> bool:
    return row.asked_at <= now - (EVERY if row.charges_enabled else SOON)


async def ask(sessions: Sessions, till: Till, stripe_account: str, *, now: datetime) -> None:
    """Ask Stripe about an account and follow the answer; without one, nothing changes."""
    try:
        facts = await till.payments.account(stripe_account=stripe_account)
    except (PaymentsUnavailable, PaymentsRefused) as error:
        log.warning("stripe account not asked", stripe_account=stripe_account, reason=error.for_office)
        return
    async with sessions.begin() as session:
        await follow(session, till.calendar, facts, now=now)


async def close(
    sessions: Sessions, till: Till, refused: AccountUnavailable, stripe_account: str, *, now: datetime
) -> None:
    """A call was told that the account no longer lets us in: its pages stop now, not at the next look."""
    facts = AccountFacts(stripe_account, charges_enabled=False, reason=refused.for_office)
    async with sessions.begin() as session:
        await follow(session, till.calendar, facts, now=now)


async def follow(
    session: AsyncSession, calendar: CalendarService, facts: AccountFacts, *, now: datetime
) -> list[str]:
    """Note what is known of an account; its pages stop or resume. Returns the names of those that changed."""
    known = {"charges_enabled": facts.charges_enabled, "reason": facts.reason, "asked_at": now}
    row = insert(StripeAccount).values(stripe_account=facts.stripe_account, **known)
    await session.execute(row.on_conflict_do_update(index_elements=["stripe_account"], set_=known))
    changed = await calendar.set_payments_stopped(
        session, stripe_account=facts.stripe_account, stopped=not facts.charges_enabled
    )
    if changed:
        log.warning("pages and payments", charges_enabled=facts.charges_enabled, pages=changed)
    return changed
