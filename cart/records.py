"""Tables of what Stripe told us about money beyond payments: disputes, balance transactions, payouts; and of checks.

Each row is the last state we were told, found by Stripe's own id together with its account.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    Index,
    Numeric,
    UniqueConstraint,
    and_,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from shared.database import Base, Minor, currency_type
from shared.ids import new_id

GIVEN_AWAY = ("lost", "prevented")
"""How a dispute ends whose money, if any was taken, is the buyer's: decided, or settled before it was one."""


class Dispute(Base):
    """A buyer's bank asks for a payment back. Amounts come from its balance transactions (spec: E4)."""

    __tablename__ = "disputes"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    stripe_account: Mapped[str]
    dispute_id: Mapped[str]
    """Stripe's dp_…"""
    payment_id: Mapped[UUID] = mapped_column(ForeignKey("payments.id"), index=True)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), index=True)
    amount: Mapped[int] = mapped_column(Minor)
    """What is disputed, in the payment's currency."""
    currency: Mapped[str] = mapped_column(currency_type())
    withdrawn: Mapped[int] = mapped_column(Minor, default=0, server_default="0")
    """What the bank holds now, without fees, in the currency it settles in; 0 for an inquiry, or once given back."""
    reason: Mapped[str]
    status: Mapped[str]
    """Stripe's: needs_response | under_review | won | lost | prevented | appeal_… | warning_…, or a new one."""
    evidence_due_by: Mapped[datetime | None]
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    """When we heard of the decision that stands; None while there is none, or none any more."""
    asked_at: Mapped[datetime | None]
    """When Stripe was asked for what stands here, UTC; older answers change nothing."""

    __table_args__ = (UniqueConstraint("stripe_account", "dispute_id"),)

    @property
    def is_given_away(self) -> bool:
        """Whether the buyer has the money for good."""
        return self.status in GIVEN_AWAY and self.withdrawn > 0

    def given_since(self, moment: datetime) -> int:
        """What the bank has given the buyer for good since then, in minor units; nothing unless it was lost."""
        late = self.closed_at is not None and self.closed_at >= moment
        return self.amount if late and self.is_given_away else 0


def given_away() -> ColumnElement[bool]:
    """The same as a condition on disputes."""
    return and_(Dispute.status.in_(GIVEN_AWAY), Dispute.withdrawn > 0)


class StripeAccount(Base):
    """Whether an account that pages are paid into may charge; see accounts.py."""

    __tablename__ = "stripe_accounts"

    stripe_account: Mapped[str] = mapped_column(primary_key=True)
    charges_enabled: Mapped[bool]
    reason: Mapped[str]
    """Why it may not, in words; empty where it may."""
    asked_at: Mapped[datetime]


class BooksLook(Base):
    """When the movements of an account were last asked for; see books/looks.py."""

    __tablename__ = "books_looks"

    stripe_account: Mapped[str] = mapped_column(primary_key=True)
    looked_at: Mapped[datetime]


class BalanceTransaction(Base):
    """A movement of a Stripe balance, as Stripe has it; posted to the ledger once it is known what it belongs to."""

    __tablename__ = "balance_transactions"

    stripe_account: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    """Stripe's txn_…"""
    type: Mapped[str]
    category: Mapped[str]
    """Stripe's reporting_category."""
    balance_type: Mapped[str] = mapped_column(default="payments", server_default="payments")
    """Stripe's: the balance that it moves; see posting.py for others than payments."""
    amount: Mapped[int] = mapped_column(Minor)
    """Signed, before the fee, minor units of the currency it settles in."""
    fee: Mapped[int] = mapped_column(Minor)
    net: Mapped[int] = mapped_column(Minor)
    currency: Mapped[str] = mapped_column(currency_type())
    exchange_rate: Mapped[Decimal | None] = mapped_column(Numeric)
    source: Mapped[str | None]
    payment_intent: Mapped[str | None]
    ours: Mapped[bool]
    """Whether what it comes from carries our installation's id."""
    created_at: Mapped[datetime]
    available_on: Mapped[datetime]
    payout_id: Mapped[str | None]
    """Stripe's po_…, once a payout contains it."""
    posted_at: Mapped[datetime | None]
    """UTC; None while it is not in the ledger: what it belongs to has not settled yet."""

    __table_args__ = (
        Index("ix_balance_transactions_created_at", "stripe_account", "created_at"),
        Index("ix_balance_transactions_payout_id", "stripe_account", "payout_id"),
        Index("ix_balance_transactions_open", "created_at", postgresql_where=text("posted_at IS NULL")),
        Index("ix_balance_transactions_payment_intent", "stripe_account", "payment_intent"),
        Index(
            "ix_balance_transactions_payouts",
            "stripe_account",
            "source",
            postgresql_where=text("category = 'payout'"),
        ),
    )


class Payout(Base):
    """Money on its way from a Stripe balance to a bank."""

    __tablename__ = "payouts"

    stripe_account: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    """Stripe's po_…"""
    amount: Mapped[int] = mapped_column(Minor)
    currency: Mapped[str] = mapped_column(currency_type())
    status: Mapped[str]
    """Stripe's: pending | in_transit | paid | failed | canceled"""
    automatic: Mapped[bool]
    """Only of an automatic one does Stripe tell which transactions it contains."""
    created_at: Mapped[datetime]
    arrives_at: Mapped[datetime]
    failure: Mapped[str | None]
    contents_read_at: Mapped[datetime | None]
    """When its transactions were last listed."""


class Reconciliation(Base):
    """One run of the reconciler: what it compared, and what differed (spec: H1)."""

    __tablename__ = "reconciliations"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    since: Mapped[datetime]
    committed: Mapped[bool]
    """Whether it repaired, or only looked."""
    actor: Mapped[str]
    """worker | operator"""
    compared: Mapped[dict[str, Any]]
    """How many of each kind of object were held against ours."""
    differences: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    error: Mapped[str | None]

    __table_args__ = (
        Index("ix_reconciliations_started_at", "started_at"),
        CheckConstraint("finished_at >= started_at", name="times"),
    )


class ReconciliationRequest(Base):
    """The operator has asked for a run; the worker's next one is the answer."""

    __tablename__ = "reconciliation_requests"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    asked_at: Mapped[datetime]
    actor: Mapped[str]
    """user:<id>"""
    run_id: Mapped[UUID | None] = mapped_column(ForeignKey("reconciliations.id"))
    """None until it has begun."""

    __table_args__ = (
        Index("ix_reconciliation_requests_open", "asked_at", postgresql_where=text("run_id IS NULL")),
    )
