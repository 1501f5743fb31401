"""What the pages say of the books: the last run for an organizer, every run for the operator. Reads only."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cart.reconcile.asking import LONGEST
from cart.records import Reconciliation
from shared.errors import NotFound

RUNS_SHOWN = 50
SHARED = "shared with other sellers"


@dataclass(frozen=True, slots=True)
class BooksView:
    """A run as it is shown: what is still open, and what it has put right. Differences as they stand in its row."""

    run: Reconciliation
    left: list[dict[str, Any]]
    repaired: list[dict[str, Any]]

    @property
    def checked_at(self) -> datetime:
        """When it was over (UTC); its beginning, where it was cut off."""
        return self.run.finished_at or self.run.started_at

    def is_running(self, now: datetime) -> bool:
        """Whether it may still come to its end; one that takes longer was cut off."""
        return self.run.finished_at is None and self.run.started_at > now - LONGEST

    @property
    def balances(self) -> bool:
        """Whether nothing is open, and everything could be looked at."""
        return self.run.finished_at is not None and not self.left and not self.run.error

    @property
    def by_account(self) -> list[tuple[str, list[dict[str, Any]]]]:
        """What is open per Stripe account, the platform's ('') first."""
        accounts = sorted({difference["stripe_account"] for difference in self.left})
        return [(one, [row for row in self.left if row["stripe_account"] == one]) for one in accounts]


async def last_run(session: AsyncSession) -> Reconciliation | None:
    """The newest run that came to its end."""
    runs = await session.scalars(
        select(Reconciliation)
        .where(Reconciliation.finished_at.is_not(None))
        .order_by(Reconciliation.started_at.desc())
        .limit(1)
    )
    return runs.first()


async def books_of_page(session: AsyncSession, page_id: UUID) -> BooksView | None:
    """The last run, only with what concerns this page; None before the first."""
    run = await last_run(session)
    if run is None:
        return None
    rows = [_for_page(row) for row in run.differences if str(page_id) in row["page_ids"]]
    return _view(run, rows)


def _for_page(row: dict[str, Any]) -> dict[str, Any]:
    """What was paid in all, where other pages sold in the order too, is not one organizer's to see."""
    return row | {"here": SHARED, "stripe": ""} if len(row["page_ids"]) > 1 else row


async def books_of_run(session: AsyncSession, run_id: UUID | None) -> BooksView | None:
    """One run with all it found, or the last one; None before the first. Raises NotFound."""
    run = await session.get(Reconciliation, run_id) if run_id else await last_run(session)
    if run is None and run_id is not None:
        raise NotFound
    return None if run is None else _view(run, run.differences)


def _view(run: Reconciliation, rows: list[dict[str, Any]]) -> BooksView:
    return BooksView(
        run,
        left=[row for row in rows if not row["repaired"]],
        repaired=[row for row in rows if row["repaired"]],
    )


async def runs(session: AsyncSession) -> list[BooksView]:
    """The last runs, newest first."""
    rows = await session.scalars(
        select(Reconciliation).order_by(Reconciliation.started_at.desc()).limit(RUNS_SHOWN)
    )
    return [_view(row, row.differences) for row in rows]
