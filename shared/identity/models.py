"""Tables of identity: users, sign-in challenges, errands and failures."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, func
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from shared.database import Base
from shared.ids import new_id


class User(Base):
    """Somebody who signs in. `version` grows when all devices are signed out; the cookie carries it."""

    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    email: Mapped[str] = mapped_column(unique=True)
    """Normalised by identity's `normalise_email`."""
    name: Mapped[str] = mapped_column(default="", server_default="")
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class EndedSignIn(Base):
    """A browser that was signed out: its cookie holds no more, whoever has a copy. Kept while the cookie would last."""

    __tablename__ = "ended_sign_ins"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    browser: Mapped[str] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class SignInChallenge(Base):
    """One mail with a link and a code. Both are stored as HMACs only; each works once, 15 minutes, five tries."""

    __tablename__ = "sign_in_challenges"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    email: Mapped[str]
    mailbox: Mapped[str] = mapped_column(default="", server_default="")
    """Of all spellings of an address; by `limits.mailbox_of`."""
    client: Mapped[str] = mapped_column(default="", server_default="")
    """Who asked: an address, of IPv6 the /64; '' = our own command line."""
    token_hash: Mapped[str] = mapped_column(unique=True)
    code_hash: Mapped[str]
    next: Mapped[str] = mapped_column(default="/", server_default="/")
    tries: Mapped[int] = mapped_column(default=0, server_default="0")
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    """When the first of the two was used; the link is over then."""
    code_used_at: Mapped[datetime | None]
    errand_id: Mapped[UUID | None] = mapped_column(ForeignKey("sign_in_errands.id"))

    __table_args__ = (
        Index("ix_sign_in_challenges_email_created_at", "email", "created_at"),
        Index("ix_sign_in_challenges_mailbox", "mailbox", "created_at"),
        Index("ix_sign_in_challenges_created_at", "created_at"),
        Index("ix_sign_in_challenges_errand_id", "errand_id", postgresql_where=sql("errand_id IS NOT NULL")),
    )


class SignInErrand(Base):
    """What a visitor was about when they were asked to sign in; `text` is a domain's own (contracts/errands.py)."""

    __tablename__ = "sign_in_errands"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    text: Mapped[str]
    kept_at: Mapped[datetime] = mapped_column(index=True)
    """When the last mail was asked for with it."""
    done_at: Mapped[datetime | None]


class SignInFailure(Base):
    """A wrong code for an address: twenty a day, then only the link works."""

    __tablename__ = "sign_in_failures"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    email: Mapped[str]
    client: Mapped[str] = mapped_column(default="", server_default="")
    at: Mapped[datetime] = mapped_column(index=True)

    __table_args__ = (
        Index("ix_sign_in_failures_email_at", "email", "at"),
        Index("ix_sign_in_failures_client_at", "client", "at"),
    )


class RateLimit(Base):
    """Theoretical arrival time per key (GCRA); one truth for all workers."""

    __tablename__ = "rate_limits"

    key: Mapped[str] = mapped_column(primary_key=True)
    tat: Mapped[datetime]


def user_fk() -> ForeignKey:
    """Foreign key to users, for tables of either domain: identity is shared ground."""
    return ForeignKey("users.id")
