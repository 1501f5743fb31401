"""Jobs are nudges: truth is a due row, a job only makes its sweep run sooner."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


async def nudge(session: AsyncSession, sweep: str) -> None:
    """Have the worker run the named sweep as soon as this transaction commits; nothing if it rolls back."""
    await session.execute(text("SELECT pg_notify('tillgate', :sweep)"), {"sweep": sweep})
