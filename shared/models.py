"""Tables that no domain owns: the installation, the audit log, outgoing mail, heartbeats, health checks."""

from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, CheckConstraint, Index, func
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from shared.database import Base
from shared.ids import new_id


class Installation(Base):
    """One row: the random id that marks every object we create at Stripe as ours."""

    __tablename__ = "installation"

    id: Mapped[int] = mapped_column(primary_key=True, default=1)
    installation_id: Mapped[UUID] = mapped_column(default=uuid4)

    __table_args__ = (CheckConstraint("id = 1", name="single_row"),)


class StripeCalls(Base):
    """How many calls went to Stripe on a day (UTC), by account ('' = the platform's own) and kind: read or write."""

    __tablename__ = "stripe_calls"

    day: Mapped[date] = mapped_column(primary_key=True)
    stripe_account: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)


class AuditEntry(Base):
    """Who did what to which row, and how it was before and after."""

    __tablename__ = "audit_log"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    actor: Mapped[str]
    """user:<id> | worker | stripe | operator"""
    subject: Mapped[str]
    """order | entry | page | …"""
    subject_id: Mapped[UUID]
    what: Mapped[str]
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]

    __table_args__ = (Index("ix_audit_log_subject", "subject_id", "at"),)


class OutgoingMail(Base):
    """A mail that is owed. Written in the transaction that causes it; sent by the worker, as often as it takes."""

    __tablename__ = "outgoing_mail"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    to: Mapped[str]
    subject: Mapped[str]
    text: Mapped[str]
    html: Mapped[str]
    dedupe_key: Mapped[str | None] = mapped_column(unique=True)
    """Such as `order-paid:<id>`: the same mail is never owed twice."""
    state: Mapped[str] = mapped_column(default="due", server_default="due")
    """due | sent | failed"""
    tries: Mapped[int] = mapped_column(default=0, server_default="0")
    next_try_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    sent_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    """Set for a mail that opens something (sign-in): not sent later; its text is wiped once it is out."""

    __table_args__ = (
        # sign-in mails first: they have an end
        Index(
            "ix_outgoing_mail_next",
            sql("(expires_at IS NULL)"),
            "next_try_at",
            "id",
            postgresql_where=sql("state = 'due'"),
        ),
        Index("ix_outgoing_mail_due", "next_try_at", postgresql_where=sql("state = 'due'")),
        Index("ix_outgoing_mail_failed", "created_at", postgresql_where=sql("state = 'failed'")),
    )


class Heartbeat(Base):
    """When a worker was last alive."""

    __tablename__ = "heartbeats"

    name: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]


class HealthCheck(Base):
    """The last answer to a question that costs a call to the outside, such as how far our clock is from Stripe's."""

    __tablename__ = "health_checks"

    name: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    ok: Mapped[bool]
    detail: Mapped[str]
    """In words for the operator."""
    measured: Mapped[float | None]
    """The number behind it, where there is one; its unit is part of the name."""
