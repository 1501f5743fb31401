"""The errands of visitors who are signing in (see contracts/errands.py): one row for all mails a browser asks for.

So whichever mail is used first, by link in any browser or by code, all that was chosen is carried out, and once.
"""

from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from shared.errors import AppError
from shared.identity.models import SignInChallenge, SignInErrand


class ErrandChanged(AppError):
    """What was chosen has changed since this page was shown. Please look at it again."""

    status = 409
    code = "ERRAND_CHANGED"


def mark(text: str) -> str:
    """What a page that showed this errand knows it by; nothing for none."""
    return sha256(text.encode()).hexdigest()[:16] if text else ""


KEPT_FOR = timedelta(hours=1)
"""After the last mail that was asked for with it; a new mail finds it by the browser's cookie until then."""


async def find(
    session: AsyncSession, challenge_id: UUID | None, *, now: datetime, lock: bool = False
) -> SignInErrand | None:
    """What waits behind a challenge and was not carried out yet. `lock`: nobody carries it out meanwhile."""
    if challenge_id is None:
        return None
    query = (
        select(SignInErrand)
        .join(SignInChallenge, SignInChallenge.errand_id == SignInErrand.id)
        .where(
            SignInChallenge.id == challenge_id,
            SignInErrand.done_at.is_(None),
            SignInErrand.kept_at > now - KEPT_FOR,
        )
    )
    found: SignInErrand | None = await session.scalar(
        query.with_for_update(of=SignInErrand) if lock else query
    )
    return found


async def keep(session: AsyncSession, found: SignInErrand | None, text: str, *, now: datetime) -> UUID | None:
    """Keep a text under the errand that was found and locked, else under a new one; its id."""
    if not text:
        return None
    kept = found or SignInErrand()
    kept.text, kept.kept_at = text, now
    session.add(kept)
    await session.flush()
    return kept.id


async def take(session: AsyncSession, errand_id: UUID | None, *, now: datetime) -> str:
    """The text, for the one sign-in that carries it out; nothing for all others."""
    text = await session.scalar(
        update(SignInErrand)
        .where(SignInErrand.id == errand_id, SignInErrand.done_at.is_(None))
        .values(done_at=now)
        .returning(SignInErrand.text)
    )
    return text or ""
