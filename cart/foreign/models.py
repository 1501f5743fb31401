"""Tables of payments that were made without our marks and fit an order of ours."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.orm import Mapped, mapped_column

from shared.database import Base, Minor, currency_type
from shared.ids import new_id


class ForeignPayment(Base):
    """Money that arrived without our metadata and fits an order that waits or lapsed; a person says what it is."""

    __tablename__ = "foreign_payments"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    stripe_account: Mapped[str]
    payment_intent: Mapped[str]
    session_id: Mapped[str | None]
    """None where it was paid without a Checkout session."""
    amount: Mapped[int] = mapped_column(Minor)
    currency: Mapped[str] = mapped_column(currency_type())
    livemode: Mapped[bool]
    email: Mapped[str | None]
    """As the payer typed it at Stripe, normalised."""
    paid_at: Mapped[datetime]
    """UTC; when it was made at Stripe."""
    noticed_at: Mapped[datetime]
    state: Mapped[str] = mapped_column(default="open", server_default="open")
    """open | assigned | sent_back | dismissed"""
    order_id: Mapped[UUID | None] = mapped_column(ForeignKey("orders.id"))
    """Which order it was booked with; set with `assigned` and `sent_back`."""
    decided_at: Mapped[datetime | None]
    actor: Mapped[str | None]
    """Who decided: user:<id>"""

    __table_args__ = (
        UniqueConstraint("stripe_account", "payment_intent"),
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("state IN ('open', 'assigned', 'sent_back', 'dismissed')", name="state"),
        CheckConstraint("(order_id IS NOT NULL) = (state IN ('assigned', 'sent_back'))", name="booked_with"),
        Index("ix_foreign_payments_session_id", "session_id"),
        Index("ix_foreign_payments_open", "noticed_at", postgresql_where=text("state = 'open'")),
    )


class ForeignFit(Base):
    """An order that such a payment fits, and why."""

    __tablename__ = "foreign_fits"

    payment_id: Mapped[UUID] = mapped_column(ForeignKey("foreign_payments.id"), primary_key=True)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), primary_key=True, index=True)
    why: Mapped[list[str]] = mapped_column(ARRAY(TEXT))
    """Of customer, email, amount: what is the same; the surest first."""
