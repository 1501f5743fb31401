"""Money health: what the operator should know of webhooks, refunds and books, in words (spec: H8).

Registered as `app.health_facts["money"]`; what needs a call to the outside was found before, by checks.py.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy import and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from cart.foreign.models import ForeignPayment
from cart.models import Order, Payment, Refund, WebhookEvent, WebhookRefusal
from cart.operator import checks
from cart.overdue import is_overdue
from cart.records import Reconciliation, StripeAccount
from shared.contracts.states import OrderState
from shared.health_facts import Fact, Figures, Level, counted, lasted, level_of, waiting
from shared.models import HealthCheck
from shared.stripe_calls import allotted, calls_since

PAYING = ("checkout.session.completed", "checkout.session.async_payment_succeeded")
"""Events that say that a buyer has paid."""
TOGETHER = timedelta(minutes=2)
"""The return page and the webhook of one payment come within this time, in either order."""
UNTOLD, LONG_UNTOLD = timedelta(minutes=10), timedelta(minutes=30)
REFUSED_IN_A_ROW = 3
REFUND_STUCK = timedelta(hours=1)
UNMATCHED_SHOWN = timedelta(days=7)
BOOKS_LATE, BOOKS_VERY_LATE = timedelta(hours=2), timedelta(hours=6)
CLOCK_ALARM_SECONDS = 150  # half of what Stripe's signatures allow
CHECK_LATE = timedelta(hours=3)

ACCOUNTS, READS = "An account that may not charge", "More calls to Stripe than are allotted"
OVERDUE = "A payment that is on its way for too long"
NO_WEBHOOKS, ROTATED, CLOCK = "Webhook down", "Key rotated", "Clock wrong"
REFUND_FAILED, BOOKS, UNMATCHED, WITHOUT_MARKS = (
    "A refund failed",
    "The books do not balance",
    "An event that matches nothing",
    "Paid without our marks",
)


async def money_facts(session: AsyncSession, now: datetime) -> list[Fact]:
    """All facts about money; reads only."""
    return [
        await webhook_silence(session, now),
        await signatures(session, now),
        await left_over(session, now),
        await unmatched(session, now),
        await paid_without_marks(session, now),
        await _lapsed(session, now),
        await overdue(session, now),
        await _refunds_due(session, now),
        await refunds_stuck(session, now),
        await books(session, now),
        await accounts(session),
        await stripe_reads(session, now),
        *await _checked(session, now),
    ]


async def webhook_silence(session: AsyncSession, now: datetime) -> Fact:
    """Payments keep coming, webhooks do not. A night without either is quiet, not broken."""
    last = await session.scalar(
        select(WebhookEvent.received_at)
        .where(WebhookEvent.type.in_(PAYING))
        .order_by(WebhookEvent.received_at.desc())
        .limit(1)
    )
    untold = select(func.count(), func.min(Payment.created_at))
    if last is not None:
        untold = untold.where(Payment.created_at > last + TOGETHER)
    count, oldest = (await session.execute(untold)).one()
    heard = (
        f"The last webhook about a payment came {lasted(now - last)} ago"
        if last
        else "No webhook about a payment has ever come"
    )
    name, title, href = "payments_untold_seconds", "Webhooks about payments", "/operator/events"
    if oldest is None or now - oldest <= TOGETHER:
        return Fact(name, title, f"{heard}; no payment waits for one.", value=0, since=last, href=href)
    age = now - oldest
    words = (
        f"{heard}, and {counted(count, 'order was', 'orders were')} paid since: no webhook for {lasted(age)}."
    )
    level = level_of(age, UNTOLD, LONG_UNTOLD)
    return Fact(name, title, words, level, age.total_seconds(), oldest, NO_WEBHOOKS, href)


async def signatures(session: AsyncSession, now: datetime) -> Fact:
    """Calls to the webhook with a wrong signature: a stranger's, or all of Stripe's after a rotation.

    Only what names this installation is Stripe's: a stranger alone must not turn this page (spec: L5). Where those of
    Stripe's are refused that name nothing of ours, the silence is told: payments of which no webhook has spoken.
    """
    hour = and_(WebhookRefusal.ours, WebhookRefusal.at > now - timedelta(hours=1))
    query = select(
        func.coalesce(func.sum(WebhookRefusal.count).filter(~WebhookRefusal.ours), 0),
        func.coalesce(func.sum(WebhookRefusal.count).filter(WebhookRefusal.ours), 0),
        func.coalesce(func.sum(WebhookRefusal.count).filter(hour), 0),
        func.min(WebhookRefusal.at).filter(hour),
    ).where(WebhookRefusal.at > now - timedelta(days=1))
    strangers, in_day, in_hour, first = (await session.execute(query)).one()
    name, title = "signatures_refused_last_hour", "Webhook signatures"
    if not in_hour:
        words = f"No event of ours was refused within the hour, {in_day} within the day; {strangers} of strangers."
        return Fact(name, title, words, value=0)
    good = await session.scalar(
        select(func.count()).select_from(
            select(WebhookEvent.id).where(WebhookEvent.received_at > first).limit(1).subquery()
        )
    )
    words = f"{counted(in_hour, 'event')} of ours refused within the hour, {in_day} within the day"
    if in_hour >= REFUSED_IN_A_ROW and not good:
        words += ", and not one was good since: the signing secret is not the endpoint's."
        return Fact(name, title, words, Level.ALARM, in_hour, first, ROTATED)
    return Fact(name, title, f"{words}; good ones arrive.", Level.WARN, in_hour, first, ROTATED)


async def left_over(session: AsyncSession, now: datetime) -> Fact:
    """Events that were stored and not yet carried out."""
    query = select(func.count(), func.min(WebhookEvent.received_at)).where(
        WebhookEvent.processed_at.is_(None)
    )
    count, oldest = (await session.execute(query)).one()
    return waiting("webhooks", "event", "events", count, oldest, now, href="/operator/events?show=open")


async def unmatched(session: AsyncSession, now: datetime) -> Fact:
    """Events about orders of ours that this database does not have."""
    query = select(func.count(), func.max(WebhookEvent.received_at)).where(
        WebhookEvent.result == "unmatched", WebhookEvent.received_at > now - UNMATCHED_SHOWN
    )
    count, last = (await session.execute(query)).one()
    name, title, href = "events_unmatched", "Events that match nothing", "/operator/events?show=unmatched"
    if not count:
        return Fact(name, title, "Nothing within the week.", value=0, href=href)
    words = (
        f"{counted(count, 'event')} of the last week name an order that is not here: was a backup restored?"
    )
    return Fact(name, title, words, Level.WARN, count, last, UNMATCHED, href)


async def _lapsed(session: AsyncSession, now: datetime) -> Fact:
    query = select(func.count(), func.min(Order.reserved_until)).where(
        Order.state == OrderState.PENDING, Order.reserved_until <= now
    )
    count, oldest = (await session.execute(query)).one()
    return waiting("lapsed_orders", "lapsed hold", "lapsed holds", count, oldest, now)


async def overdue(session: AsyncSession, now: datetime) -> Fact:
    """Tickets held, without a clock, for money that will hardly come."""
    query = select(func.count(), func.min(Order.created_at)).where(is_overdue(now))
    count, oldest = (await session.execute(query)).one()
    name, title, href = "orders_overdue", "Payments on their way", "/operator/overdue"
    if not count:
        return Fact(name, title, "No payment takes longer than its method can.", value=0, href=href)
    words = (
        f"{counted(count, 'order waits', 'orders wait')} longer than any method takes, the oldest for "
        f"{lasted(now - oldest)}: tickets are held for money that will hardly come."
    )
    return Fact(name, title, words, Level.WARN, count, oldest, OVERDUE, href)


async def _refunds_due(session: AsyncSession, now: datetime) -> Fact:
    query = select(func.count(), func.min(Refund.next_try_at)).where(
        Refund.state.in_(("due", "sent")), Refund.next_try_at <= now
    )
    count, oldest = (await session.execute(query)).one()
    return waiting("refunds", "refund", "refunds", count, oldest, now, href="/operator/refunds")


async def paid_without_marks(session: AsyncSession, now: datetime) -> Fact:
    """Payments made by hand at Stripe that fit an order: a buyer has paid and has no tickets (spec: F4)."""
    query = select(func.count(), func.min(ForeignPayment.noticed_at)).where(ForeignPayment.state == "open")
    count, oldest = (await session.execute(query)).one()
    name, title, href = "paid_without_marks", "Payments without our marks", "/operator/foreign"
    if not count:
        return Fact(
            name,
            title,
            "All payments at Stripe that fit an order came from our checkout.",
            value=0,
            href=href,
        )
    words = (
        f"{counted(count, 'payment fits an order', 'payments fit orders')} and did not come from our checkout, "
        f"the oldest for {lasted(now - oldest)}: say what it is."
    )
    return Fact(name, title, words, Level.ALARM, count, oldest, WITHOUT_MARKS, href)


async def refunds_stuck(session: AsyncSession, now: datetime) -> Fact:
    """Money that buyers wait for: refused by Stripe or a bank, not gone out for an hour, or held up by a dispute."""
    failed = and_(Refund.state == "failed", Refund.solved_at.is_(None))
    slow = and_(Refund.state == "due", Refund.created_at <= now - REFUND_STUCK)
    disputed = Refund.state == "waiting_dispute"
    query = select(
        func.count().filter(failed),
        func.count().filter(slow),
        func.count().filter(disputed),
        func.min(Refund.created_at),
    ).where(or_(failed, slow, disputed))
    of_each = (await session.execute(query)).one()
    name, title, href = "refunds_stuck", "Refunds that are stuck", "/operator/refunds"
    kinds = ("failed", "due for over an hour", "waiting for a dispute")
    parts = [f"{count} {kind}" for count, kind in zip(of_each[:3], kinds, strict=True) if count]
    if not parts:
        return Fact(name, title, "Nothing is stuck.", value=0, href=href)
    level = Level.ALARM if of_each[0] else Level.WARN
    return Fact(name, title, f"{', '.join(parts)}.", level, sum(of_each[:3]), of_each[3], REFUND_FAILED, href)


async def books(session: AsyncSession, now: datetime) -> Fact:
    """What the last reconciliation found, and when that was (spec: H1)."""
    last = await session.scalar(
        select(Reconciliation)
        .where(Reconciliation.finished_at.is_not(None))
        .order_by(Reconciliation.started_at.desc())
        .limit(1)
    )
    name, title, href = "books_differences", "The books", "/operator/books"
    if last is None or last.finished_at is None:
        words = "Never held against Stripe's so far."
        return Fact(name, title, words, Level.WARN, todo=BOOKS, href=href)
    age = now - last.finished_at
    left = [one for one in last.differences if not one.get("repaired")]
    level, words = level_of(age, BOOKS_LATE, BOOKS_VERY_LATE), f"They balanced {lasted(age)} ago."
    if last.error:
        level = max(level, Level.WARN)
        words = f"Not all could be looked at {lasted(age)} ago: {last.error}"
    elif left:
        # what a run with repairs leaves over, no function of ours can put right
        level = Level.ALARM if last.committed else max(level, Level.WARN)
        words = f"{counted(len(left), 'difference')} {lasted(age)} ago."
    elif last.differences:
        words = f"{counted(len(last.differences), 'difference')} found and fixed {lasted(age)} ago."
    return Fact(name, title, words, level, len(left), last.finished_at, BOOKS, href)


async def accounts(session: AsyncSession) -> Fact:
    """Whether every account that pages are paid into may charge."""
    rows = list(await session.scalars(select(StripeAccount).order_by(StripeAccount.stripe_account)))
    name, title = "stripe_accounts_stopped", "Stripe accounts"
    stopped = [row for row in rows if not row.charges_enabled]
    if not stopped:
        words = (
            f"{counted(len(rows), 'account takes', 'accounts take')} payments." if rows else "Not asked yet."
        )
        return Fact(name, title, words, value=0)
    said = " ".join(f"{row.stripe_account or 'The platform’s own'}: {row.reason}" for row in stopped)
    words = f"{said} Its pages sell only what is free."
    return Fact(name, title, words, Level.ALARM, len(stopped), min(row.asked_at for row in stopped), ACCOUNTS)


async def stripe_reads(session: AsyncSession, now: datetime) -> Fact:
    """How often each account was read this month, against what Stripe allots (spec: L9)."""
    month = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    calls = await calls_since(session, month.date())
    rows = await session.execute(
        select(Payment.stripe_account, func.count())
        .where(Payment.created_at >= month)
        .group_by(Payment.stripe_account)
    )
    payments = {row[0]: row[1] for row in rows}
    name, title = "stripe_reads_this_month", "Calls to Stripe"
    reads = {account: count for (account, kind), count in calls.items() if kind == "read"}
    if not reads:
        return Fact(name, title, "No call this month.", value=0)
    allotment = {account: allotted(payments.get(account, 0)) for account in reads}
    fullest = max(reads, key=lambda account: reads[account] / allotment[account])
    words = (
        f"{reads[fullest]:,} of {allotment[fullest]:,} reads a month that Stripe allots to "
        f"{fullest or 'the platform’s account'}; {sum(calls.values()):,} calls this month in all."
    )
    level = Level.WARN if reads[fullest] > allotment[fullest] else Level.OK
    return Fact(name, title, words, level, reads[fullest], todo=READS)


TITLES = {
    checks.CLOCK: ("Stripe: key and clock", CLOCK),
    checks.ADDRESS: ("Our webhook address", NO_WEBHOOKS),
    checks.ENDPOINT: ("Stripe's webhook endpoint", NO_WEBHOOKS),
    checks.VERSION: ("Stripe's API version", NO_WEBHOOKS),
}


async def _checked(session: AsyncSession, now: datetime) -> list[Fact]:
    """What the worker's last checks found."""
    rows = {
        row.name: row
        for row in await session.scalars(select(HealthCheck).where(HealthCheck.name.in_(checks.NAMES)))
    }
    return [_check_fact(name, rows.get(name), now) for name in checks.NAMES]


def _check_fact(name: str, row: HealthCheck | None, now: datetime) -> Fact:
    title, todo = TITLES[name]
    if row is None:
        return Fact(name, title, "Not checked yet: the worker does it at its start.", Level.WARN, todo=todo)
    level, words = _check_level(row), row.detail
    if now - row.at > CHECK_LATE:
        words += f" That was {lasted(now - row.at)} ago."
        level = max(level, Level.WARN)
    if row.name == checks.CLOCK and row.measured is None:
        todo = ROTATED
    return Fact(name, title, words, level, row.measured, row.at, todo)


def _check_level(row: HealthCheck) -> Level:
    if row.ok:
        return Level.OK
    if row.name == checks.VERSION or (row.measured is not None and abs(row.measured) < CLOCK_ALARM_SECONDS):
        return Level.WARN
    return Level.ALARM


async def _orders_by_state(session: AsyncSession) -> Mapping[str, float]:
    rows = await session.execute(select(Order.state, func.count()).group_by(Order.state))
    return dict.fromkeys(OrderState, 0.0) | {state: float(count) for state, count in rows}


async def _webhooks_by_result(session: AsyncSession) -> Mapping[str, float]:
    rows = await session.execute(
        select(func.coalesce(WebhookEvent.result, "open"), func.count()).group_by(WebhookEvent.result)
    )
    return {result: float(count) for result, count in rows}


FIGURES = {
    "orders": Figures("Orders by state.", "state", _orders_by_state),
    "webhook_events": Figures("Stripe's events by what they did.", "result", _webhooks_by_result),
}
