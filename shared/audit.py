"""The audit log: who, what, before, after. Written in the transaction that makes the change."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database import new_row, write_at_commit
from shared.models import AuditEntry


async def record(
    session: AsyncSession,
    *,
    at: datetime,
    actor: str,
    subject: str,
    subject_id: UUID,
    what: str,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Note one change; `at` in UTC, `before` and `after` JSON-clean."""
    entry = AuditEntry(
        at=at,
        actor=actor,
        subject=subject,
        subject_id=subject_id,
        what=what,
        before=before,
        after=after,
    )
    await write_at_commit(session, new_row(entry))


async def history(session: AsyncSession, subject_id: UUID) -> list[AuditEntry]:
    """All that happened to one row, oldest first."""
    rows = await session.scalars(
        select(AuditEntry).where(AuditEntry.subject_id == subject_id).order_by(AuditEntry.at, AuditEntry.id)
    )
    return list(rows)
