"""How often Stripe is asked, kept by day and account: it allots reads by the number of payments (spec: L9).

Each process counts what goes over the wire, repeats and further pages of a list too, and adds it to one table each
minute and at its end. Shown by the operator's health and by metrics.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from datetime import date, datetime

import stripe
import structlog
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database import Sessions
from shared.models import StripeCalls
from shared.web import Tillgate

log = structlog.get_logger()

WRITTEN_EVERY = 60.0
"""Seconds; what a process that is killed has counted since is lost."""
READS_PER_PAYMENT, LEAST_READS = 500, 10_000
"""That Stripe allots to an account a month (Stripe: rate limits, API read request allocations)."""

Tally = Counter[tuple[str, str]]
"""Calls by account and kind: read or write."""


class CountingClient(stripe.HTTPXClient):
    """The SDK's client; counts each request that is sent."""

    def __init__(self, tally: Tally, timeout: float) -> None:
        super().__init__(timeout=timeout)
        self._tally = tally

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: object = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """As the SDK's."""
        kind = "read" if method.lower() == "get" else "write"
        self._tally[headers.get("Stripe-Account", ""), kind] += 1
        return await super().request_async(method, url, headers, post_data)


def keep_counting(app: Tillgate, tally: Tally) -> None:
    """Add up this app's calls each minute while it serves or works, and at its end."""
    running: list[asyncio.Task[None]] = []

    async def write() -> None:
        with suppress(SQLAlchemyError, OSError):  # a database that is away: the next time
            await write_down(app.database.sessions, tally, now=app.clock.now())

    async def each_minute() -> None:
        while True:
            await asyncio.sleep(WRITTEN_EVERY)
            await write()

    async def start() -> None:
        running.append(asyncio.create_task(each_minute()))

    async def stop() -> None:
        for task in running:
            task.cancel()
        await write()

    app.before_serving(start)
    app.after_serving(stop)


async def write_down(sessions: Sessions, tally: Tally, *, now: datetime) -> None:
    """Add the counts to their day's (UTC) rows; where that fails they stay counted here."""
    counted = dict(tally)
    if not counted:
        return
    rows = [
        {"day": now.date(), "stripe_account": account, "kind": kind, "count": count}
        # in one order: processes that write at once then wait for each other and never in a circle
        for (account, kind), count in sorted(counted.items())
    ]
    added = insert(StripeCalls).values(rows)
    async with sessions.begin() as session:
        await session.execute(
            added.on_conflict_do_update(
                index_elements=["day", "stripe_account", "kind"],
                set_={"count": StripeCalls.count + added.excluded.count},
            )
        )
    tally.subtract(counted)
    for key in [key for key, count in tally.items() if not count]:
        del tally[key]


def allotted(payments: int) -> int:
    """Reads a month that Stripe allots to an account with so many payments."""
    return max(LEAST_READS, READS_PER_PAYMENT * payments)


async def calls_since(session: AsyncSession, day: date) -> dict[tuple[str, str], int]:
    """Calls since a day (UTC), by account and kind."""
    rows = await session.execute(
        select(StripeCalls.stripe_account, StripeCalls.kind, func.sum(StripeCalls.count))
        .where(StripeCalls.day >= day)
        .group_by(StripeCalls.stripe_account, StripeCalls.kind)
    )
    return {(account, kind): int(count) for account, kind, count in rows}
