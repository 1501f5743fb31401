"""Users and their addresses; used by sign-in, by orders (where mails go) and by the seed."""

import re
from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import idna
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from shared.audit import record
from shared.errors import Invalid, NotFound
from shared.identity.models import EndedSignIn, User

LONGEST_ADDRESS = 254  # RFC 5321 section 4.5.3.1.3, less the angle brackets
# RFC 5322 dot-atom, ASCII only: what every mail server takes, and nothing that could break a header.
LOCAL_PART = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*")


class InvalidEmail(Invalid):
    """Please enter an e-mail address, such as name@example.org."""


def normalise_email(text: str) -> str:
    """One spelling per mailbox: trimmed, lower case, the domain in IDNA's ASCII form. Raises InvalidEmail."""
    local, at, domain = text.strip().lower().rpartition("@")
    if not at or len(local) > 64 or not LOCAL_PART.fullmatch(local):
        raise InvalidEmail(field="email")
    try:
        ascii_domain = idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise InvalidEmail(field="email") from None
    address = f"{local}@{ascii_domain}"
    if "." not in ascii_domain.strip(".") or ascii_domain.endswith(".") or len(address) > LONGEST_ADDRESS:
        raise InvalidEmail(field="email")
    return address


async def find_or_create_user(session: AsyncSession, *, email: str) -> User:
    """The user with this address, made on the spot where there is none. Raises InvalidEmail."""
    email = normalise_email(email)
    by_email = select(User).where(User.email == email)
    user = await session.scalar(by_email)
    if user is None:
        # two first sign-ins at once: one inserts, both read the same row
        await session.execute(
            insert(User).values(email=email).on_conflict_do_nothing(index_elements=["email"])
        )
        user = (await session.scalars(by_email)).one()
    return user


async def email_of(session: AsyncSession, user_id: UUID) -> str:
    """The user's address. Raises NotFound."""
    email = await session.scalar(select(User.email).where(User.id == user_id))
    if email is None:
        raise NotFound
    return email


async def emails_of(session: AsyncSession, user_ids: Collection[UUID]) -> dict[UUID, str]:
    """The addresses of these users."""
    rows = await session.execute(select(User.id, User.email).where(User.id.in_(user_ids)))
    return {row.id: row.email for row in rows}


async def end_sign_in(session: AsyncSession, *, user_id: UUID, browser: str, expires_at: datetime) -> None:
    """Make one browser's cookie worthless, a copy of it too; `expires_at`: when it would have ended by itself."""
    row = insert(EndedSignIn).values(user_id=user_id, browser=browser, expires_at=expires_at)
    await session.execute(row.on_conflict_do_nothing())


async def sign_out_everywhere(session: AsyncSession, *, user_id: UUID, now: datetime) -> None:
    """Make every cookie of this user worthless by raising the version that cookies carry."""
    await session.execute(update(User).where(User.id == user_id).values(version=User.version + 1))
    await record(
        session,
        at=now,
        actor=f"user:{user_id}",
        subject="user",
        subject_id=user_id,
        what="signed out everywhere",
    )
