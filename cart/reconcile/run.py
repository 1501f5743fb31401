"""One run of the reconciler, from asking Stripe to the row that tells of it; used by the command and by the worker.

Comparing reads only. With `commit`, each difference is repaired before the next comparison looks, so that one mishap
is told once and one run is enough.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import structlog
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from cart.books.keeping import fetch, post_open
from cart.reconcile import books, disputes, foreign, money, orders, orphans
from cart.reconcile import refunds as of_refunds
from cart.reconcile import sessions as of_sessions
from cart.reconcile.asking import lock_turns, open_request
from cart.reconcile.differences import Difference, NotRepaired, Scope
from cart.reconcile.listing import Progress, list_account
from cart.reconcile.reading import accounts
from cart.records import Reconciliation
from cart.refunds.sending import send_due
from cart.till import Till
from shared.contracts.payment_errors import (
    PaymentsRefused,
    PaymentsUnavailable,
)
from shared.database import Sessions
from shared.errors import AppError
from shared.ids import new_id
from shared.installation import installation_id

log = structlog.get_logger()

HOUR, USUAL_TIME = timedelta(hours=1), timedelta(days=7)
GRACE = timedelta(minutes=2)  # a webhook that failed is tried again by the worker after half a minute

OF_ACCOUNT = (
    of_sessions.compare_sessions,
    of_sessions.compare_attempts,
    money.compare_intents,
    money.compare_payments,
    money.compare_ends,
    of_sessions.compare_open_sessions,
    of_refunds.compare_refunds,
    of_refunds.compare_own_refunds,
    disputes.compare_disputes,
    books.compare_payouts,
    orphans.compare_orphans,
    foreign.compare_foreign,
)
OF_SHOP = (
    orders.compare_held,
    orders.compare_cancelled,
    orders.compare_paid,
    disputes.compare_blocked,
    orders.compare_pools,
)


@dataclass(slots=True)
class Report:
    """What a run found, and what it did about it."""

    started_at: datetime
    since: datetime
    committed: bool
    id: UUID = field(default_factory=new_id)
    compared: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    silent: dict[str, str] = field(default_factory=dict)
    """Accounts that could not be looked at, and why."""

    @property
    def errors(self) -> list[str]:
        """The same in words."""
        return [f"{account or 'the platform’s account'}: {why}" for account, why in self.silent.items()]


async def reconcile(
    sessions: Sessions,
    till: Till,
    *,
    now: datetime,
    since: datetime | None = None,
    grace: timedelta = GRACE,
    commit: bool = False,
    refund_orphans: bool = False,
    progress: Progress = lambda _text: None,
) -> Report:
    """What an operator asks for: all accounts against our rows; repairs with `commit` (spec: H1). Times in UTC."""
    report = Report(now, since or now - USUAL_TIME, committed=commit)
    async with sessions.begin() as session:
        note_start(session, report, actor="operator")
    await carry_out(sessions, till, report, grace=grace, refund_orphans=refund_orphans, progress=progress)
    return report


async def reconcile_due(sessions: Sessions, till: Till, *, now: datetime) -> int:
    """The sweep: once an hour over all workers, or when the operator asks. Returns what differed.

    With repairs; orphans are never touched.
    """
    report = Report(now, now - USUAL_TIME, committed=True)
    async with sessions.begin() as session:
        await lock_turns(session)
        last = select(func.max(Reconciliation.started_at)).where(Reconciliation.actor == "worker")
        before = await session.scalar(last)
        request = await open_request(session)
        if request is None and before is not None and before > now - HOUR:
            return 0
        note_start(session, report, actor="worker")
        if request is not None:
            await session.flush()
            request.run_id = report.id
    await carry_out(sessions, till, report)
    return len(report.differences)


async def carry_out(
    sessions: Sessions,
    till: Till,
    report: Report,
    *,
    grace: timedelta = GRACE,
    refund_orphans: bool = False,
    progress: Progress = lambda _text: None,
) -> None:
    """Go through all accounts and the shop's own rows, and keep what was found."""
    started = time.monotonic()
    async with sessions.reading() as session:
        scope = Scope(
            now=report.started_at,
            since=report.since,
            grace=grace,
            installation_id=await installation_id(session),
            livemode=till.payments.livemode,
            refund_orphans=refund_orphans,
        )
        every_account = await accounts(session)
    run = Run(sessions, till, scope, report, progress)
    for account in every_account:
        await run.compare_account(account)
    await run.compare_shop()
    for account in every_account:
        await run.compare_books(account)
    async with sessions.begin() as session:
        took = timedelta(seconds=time.monotonic() - started)
        await note_end(session, report, at=report.started_at + took)


def note_start(session: AsyncSession, report: Report, *, actor: str) -> None:
    """Write the row of a run that begins; one that is cut off stays without an end."""
    session.add(
        Reconciliation(
            id=report.id,
            started_at=report.started_at,
            since=report.since,
            committed=report.committed,
            actor=actor,
            compared={},
            differences=[],
        )
    )


async def note_end(session: AsyncSession, report: Report, *, at: datetime) -> None:
    """Keep what a run has found."""
    row = await session.get_one(Reconciliation, report.id)
    row.finished_at, row.compared = at, dict(report.compared)
    row.differences = [difference.as_json() for difference in report.differences]
    row.error = "; ".join(report.errors) or None


@dataclass(frozen=True, slots=True)
class Run:
    """One run under way."""

    sessions: Sessions
    till: Till
    scope: Scope
    report: Report
    progress: Progress

    async def compare_account(self, account: str) -> None:
        """Stripe's lists against our rows. An account that does not answer stops no other."""
        payments = self.till.payments
        try:
            listed = await list_account(self.sessions, payments, account, self.scope, progress=self.progress)
        except (PaymentsUnavailable, PaymentsRefused) as error:
            self.report.silent[account] = error.for_office
            return
        self.report.compared.update(listed.counts() | {"foreign": listed.foreign(self.scope)})
        for compare in OF_ACCOUNT:
            await self._step(partial(compare, listed=listed, scope=self.scope))

    async def compare_shop(self) -> None:
        """Orders, tickets and pools among themselves."""
        await self._step(partial(orders.compare_orders, scope=self.scope))
        for compare in OF_SHOP:
            await self._step(partial(compare, calendar=self.till.calendar, scope=self.scope))
        if self.report.committed:  # what our repairs owe goes out in the same run
            await send_due(self.sessions, self.till, now=self.scope.now)

    async def compare_books(self, account: str) -> None:
        """Movements and balance: last, for what was repaired before has moved money and made payments known."""
        payments = self.till.payments
        if account in self.report.silent:
            return
        try:
            since = await books.beginning(self.sessions, account, self.scope)
            listed = await books.list_transactions(payments, account, since)
            self.report.compared["balance transactions"] += len(listed)
            await self._step(
                partial(books.compare_transactions, account=account, listed=listed, scope=self.scope),
                told=self._told(),
            )
            if self.report.committed:  # what is young too: our own repairs have moved money just now
                await fetch(self.sessions, payments, stripe_account=account, since=since)
                await post_open(self.sessions, now=self.scope.now)
            self.report.differences += await books.compare_balance(
                self.sessions, payments, account, self.scope, since=since, progress=self.progress
            )
        except (PaymentsUnavailable, PaymentsRefused) as error:
            self.report.silent[account] = error.for_office

    def _told(self) -> frozenset[str]:
        """Payments that something was said about already: that their movements are missing only follows from it."""
        return frozenset(one.payment_intent for one in self.report.differences if one.payment_intent)

    async def _step(
        self,
        compare: Callable[[AsyncSession], Awaitable[list[Difference]]],
        *,
        told: frozenset[str] = frozenset(),
    ) -> None:
        async with self.sessions.reading() as session:
            found = await compare(session)
        for difference in found:
            if self.report.committed and difference.repair is not None:
                await self._repair(difference)
        self.report.differences += [one for one in found if one.payment_intent not in told]

    async def _repair(self, difference: Difference) -> None:
        """One that fails stops no other; it is found again by the next run."""
        assert difference.repair is not None
        try:
            difference.done = await difference.repair(self.sessions, self.till, now=self.scope.now)
            difference.repaired = True
        except NotRepaired as reason:
            difference.done = f"not repaired: {reason}"
        except AppError as error:
            difference.done = f"not repaired: {error.for_office}"
        except Exception as error:
            log.exception("not repaired", kind=difference.kind, about=difference.about)
            difference.done = f"not repaired: {type(error).__name__}"
        self.progress(f"{difference.about}: {difference.done}")
