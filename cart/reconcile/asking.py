"""A comparison that the operator asks for: a row that is due, taken by the worker's sweep in run.py (spec: H1).

Stripe's lists may take minutes, so no request waits for them.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from cart.records import Reconciliation, ReconciliationRequest
from shared.jobs import nudge

LONGEST = timedelta(minutes=20)  # a run takes some minutes; one without an end after that was cut off


@dataclass(frozen=True, slots=True)
class Standing:
    """A comparison that is on its way: asked for, or running where `run_id` is known."""

    since: datetime
    run_id: UUID | None = None


async def lock_turns(session: AsyncSession) -> None:
    """One at a time asks for a run, or begins one; until this transaction ends."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("reconcile", 0))))


async def ask(session: AsyncSession, *, actor: str, now: datetime) -> None:
    """Have the worker compare everything soon; nothing where that is asked for or running already."""
    await lock_turns(session)
    if await standing(session, now) is None:
        session.add(ReconciliationRequest(asked_at=now, actor=actor))
        await nudge(session, "reconcile")


async def standing(session: AsyncSession, now: datetime) -> Standing | None:
    """What is on its way now: a run of the worker, or what was asked of it."""
    run = await session.scalar(
        select(Reconciliation)
        .where(
            Reconciliation.actor == "worker",
            Reconciliation.finished_at.is_(None),
            Reconciliation.started_at > now - LONGEST,
        )
        .order_by(Reconciliation.started_at.desc())
        .limit(1)
    )
    if run is not None:
        return Standing(run.started_at, run.id)
    request = await open_request(session)
    return None if request is None else Standing(request.asked_at)


async def open_request(session: AsyncSession) -> ReconciliationRequest | None:
    """What was asked for and has not begun."""
    rows = await session.scalars(
        select(ReconciliationRequest)
        .where(ReconciliationRequest.run_id.is_(None))
        .order_by(ReconciliationRequest.asked_at)
        .limit(1)
    )
    return rows.first()
