"""Tables of cart. Tickets, types, entries and pages are plain ids here: they belong to events."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import Mapped, mapped_column, relationship

from shared.contracts.states import OrderState
from shared.database import Base, Minor, currency_type
from shared.identity.models import user_fk
from shared.ids import new_id, new_order_number


class Order(Base):
    """What a buyer owes or has paid: one currency, one Stripe account, lines that never change."""

    __tablename__ = "orders"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    number: Mapped[str] = mapped_column(unique=True, default=new_order_number)
    user_id: Mapped[UUID] = mapped_column(user_fk())
    email: Mapped[str]
    """The buyer's address when the order was made; mails go there, the organizer searches it."""
    page_id: Mapped[UUID | None]
    """Set where all lines belong to one page."""
    currency: Mapped[str] = mapped_column(currency_type())
    stripe_account: Mapped[str] = mapped_column(default="", server_default="")
    total: Mapped[int] = mapped_column(Minor)
    state: Mapped[str] = mapped_column(default=OrderState.PENDING, server_default="pending")
    fingerprint: Mapped[str]
    """Of the cart this order came from: the same cart submitted twice finds its orders by it."""
    reserved_until: Mapped[datetime | None]
    """UTC; None once settled, and while money is on its way."""
    releasing_until: Mapped[datetime | None]
    """UTC; a lease: while one process asks Stripe about this lapsed order, no other spends a call on it."""
    extensions: Mapped[int] = mapped_column(default=0, server_default="0")
    hold_minutes: Mapped[int]
    """The shortest hold of its lines: the length of the first hold and of the one extension (spec: H10)."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    closed_at: Mapped[datetime | None]
    """When it became paid, failed, expired or cancelled."""

    lines: Mapped[list["OrderLine"]] = relationship(lazy="raise", order_by="OrderLine.position")

    __table_args__ = (
        CheckConstraint(
            "state IN ('pending', 'processing', 'paid', 'failed', 'expired', 'cancelled')", name="state"
        ),
        CheckConstraint("total >= 0", name="total"),
        Index("ix_orders_user_id_created_at", "user_id", "created_at"),
        Index("ix_orders_fingerprint", "user_id", "fingerprint"),
        Index("ix_orders_lapsing", "reserved_until", postgresql_where=text("state = 'pending'")),
    )


class OrderLine(Base):
    """What was bought, as it was called and priced at that moment. Immutable: a trigger refuses changes."""

    __tablename__ = "order_lines"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), index=True)
    position: Mapped[int]
    kind: Mapped[str]
    """ticket | booking | product"""
    page_id: Mapped[UUID] = mapped_column(index=True)
    entry_id: Mapped[UUID | None]
    ref_id: Mapped[UUID]
    """Ticket type, slot or product."""
    item_ids: Mapped[list[UUID]] = mapped_column(ARRAY(PG_UUID(as_uuid=True)))
    """The very tickets whose total the buyer saw."""
    name: Mapped[str]
    detail: Mapped[str]
    starts_at: Mapped[datetime | None]
    """UTC; when, where and in which zone it was sold for (spec: L6). None for what has no time."""
    ends_at: Mapped[datetime | None]
    time_zone: Mapped[str | None]
    place: Mapped[str | None]
    quantity: Mapped[int]
    unit_amount: Mapped[int] = mapped_column(Minor)
    amount: Mapped[int] = mapped_column(Minor)
    tax: Mapped[int] = mapped_column(Minor, default=0, server_default="0")

    __table_args__ = (
        CheckConstraint("quantity > 0 AND amount = unit_amount * quantity", name="amount"),
        CheckConstraint("cardinality(item_ids) = quantity", name="items"),
    )


class CheckoutAttempt(Base):
    """One try to have an order paid at Stripe; stored before Stripe is called, so a crash can be replayed."""

    __tablename__ = "checkout_attempts"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), index=True)
    stripe_account: Mapped[str]
    state: Mapped[str]
    """creating | open | complete | expired | failed"""
    request: Mapped[dict[str, Any]]
    idempotency_key: Mapped[str] = mapped_column(unique=True)
    session_id: Mapped[str | None]
    url: Mapped[str | None]
    client_secret: Mapped[str | None]
    livemode: Mapped[bool]
    expires_at: Mapped[datetime]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        CheckConstraint("state IN ('creating', 'open', 'complete', 'expired', 'failed')", name="state"),
        # two orders for one session are impossible (spec: C2)
        UniqueConstraint("stripe_account", "session_id"),
        Index(
            "uq_checkout_attempts_active",
            "order_id",
            unique=True,
            postgresql_where=text("state IN ('creating', 'open')"),
        ),
    )


class Payment(Base):
    """Money that arrived: one row per payment intent, whatever became of the order."""

    __tablename__ = "payments"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), index=True)
    attempt_id: Mapped[UUID] = mapped_column(ForeignKey("checkout_attempts.id"))
    stripe_account: Mapped[str]
    payment_intent: Mapped[str]
    session_id: Mapped[str]
    amount: Mapped[int] = mapped_column(Minor)
    currency: Mapped[str] = mapped_column(currency_type())
    livemode: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        UniqueConstraint("stripe_account", "payment_intent"),
        Index("ix_payments_created_at", "created_at"),
    )


class Refund(Base):
    """Money that goes back: attached to a payment, carried out once, whoever asks how often."""

    __tablename__ = "refunds"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    payment_id: Mapped[UUID] = mapped_column(ForeignKey("payments.id"), index=True)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), index=True)
    amount: Mapped[int] = mapped_column(Minor)
    currency: Mapped[str] = mapped_column(currency_type())
    reason: Mapped[str]
    """One of cart.refunds.RefundReason"""
    actor: Mapped[str] = mapped_column(default="stripe", server_default="stripe")
    """Who wanted it: user:<id> | stripe | worker | operator"""
    state: Mapped[str] = mapped_column(default="due", server_default="due")
    """due | sent | succeeded | failed | waiting_dispute | withdrawn (its money went back another way)"""
    unallocated: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    """Made at Stripe by hand, for a part of the payment: nobody has said yet for which lines."""
    solved_at: Mapped[datetime | None]
    """UTC; set on one that failed, once it was tried anew or refunded outside Stripe. Until then it is shown."""
    solved_note: Mapped[str | None]
    stripe_refund_id: Mapped[str | None]
    stripe_account: Mapped[str]
    tries: Mapped[int] = mapped_column(default=0, server_default="0")
    next_try_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    settled_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint(
            "state IN ('due', 'sent', 'succeeded', 'failed', 'waiting_dispute', 'withdrawn')", name="state"
        ),
        UniqueConstraint("stripe_account", "stripe_refund_id"),
        Index("ix_refunds_due", "next_try_at", postgresql_where=text("state IN ('due', 'sent')")),
    )


class RefundLine(Base):
    """What of a refund is for which order line, and which of its tickets it cancelled."""

    __tablename__ = "refund_lines"

    refund_id: Mapped[UUID] = mapped_column(ForeignKey("refunds.id"), primary_key=True)
    order_line_id: Mapped[UUID] = mapped_column(ForeignKey("order_lines.id"), primary_key=True, index=True)
    page_id: Mapped[UUID]
    amount: Mapped[int] = mapped_column(Minor)
    item_ids: Mapped[list[UUID]] = mapped_column(ARRAY(PG_UUID(as_uuid=True)))
    """Empty where money goes back and the tickets stay."""

    __table_args__ = (CheckConstraint("amount > 0", name="amount"),)


class LedgerTransfer(Base):
    """One row is one transfer from credit to debit: it balances by construction. A trigger refuses any change."""

    __tablename__ = "ledger_transfers"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    at: Mapped[datetime]
    kind: Mapped[str]
    debit: Mapped[str]
    credit: Mapped[str]
    amount: Mapped[int] = mapped_column(Minor)
    currency: Mapped[str] = mapped_column(currency_type())
    page_id: Mapped[UUID | None]
    order_id: Mapped[UUID | None] = mapped_column(ForeignKey("orders.id"), index=True)
    stripe_account: Mapped[str]
    balance_transaction: Mapped[str | None]
    """Stripe's txn_… that this was posted from; None for the gross, which is posted when an order settles."""
    ref: Mapped[str]

    __table_args__ = (
        UniqueConstraint("kind", "stripe_account", "ref"),
        Index("ix_ledger_transfers_transaction", "stripe_account", "balance_transaction"),
        Index("ix_ledger_transfers_page_id", "page_id", "at"),
        Index(
            "ix_ledger_transfers_unallocated",
            "stripe_account",
            "balance_transaction",
            postgresql_where=text("debit = 'refunds_unallocated' OR credit = 'refunds_unallocated'"),
        ),
        CheckConstraint("debit <> credit", name="two_sides"),
        CheckConstraint("amount > 0", name="amount"),
    )


class StripeCustomer(Base):
    """The one Stripe customer of a user, per account and mode (spec: E5)."""

    __tablename__ = "stripe_customers"

    user_id: Mapped[UUID] = mapped_column(user_fk(), primary_key=True)
    stripe_account: Mapped[str] = mapped_column(primary_key=True)
    livemode: Mapped[bool] = mapped_column(primary_key=True)
    customer_id: Mapped[str]


class WebhookEvent(Base):
    """The inbox: the raw event first, its effect later and once."""

    __tablename__ = "webhook_events"

    id: Mapped[str] = mapped_column(primary_key=True)
    """Stripe's evt_…"""
    stripe_account: Mapped[str]
    type: Mapped[str]
    livemode: Mapped[bool]
    body: Mapped[bytes] = mapped_column(BYTEA)
    received_at: Mapped[datetime]
    processed_at: Mapped[datetime | None]
    result: Mapped[str | None]
    """settled | processing | expired | ignored | unmatched | …"""
    tries: Mapped[int] = mapped_column(default=0, server_default="0")
    last_error: Mapped[str | None]

    __table_args__ = (
        Index("ix_webhook_events_received_at", "received_at"),
        Index("ix_webhook_events_open", "received_at", postgresql_where=text("processed_at IS NULL")),
        Index("ix_webhook_events_unmatched", "received_at", postgresql_where=text("result = 'unmatched'")),
    )


class WebhookRefusal(Base):
    """Calls to the webhook that were not Stripe's, or not readable: counted by the minute, never acted on."""

    __tablename__ = "webhook_refusals"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    at: Mapped[datetime] = mapped_column(index=True)
    """The minute (UTC): whoever calls all the time makes one row of it."""
    reason: Mapped[str]
    ours: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    """Whether the body names this installation, as Stripe's events about our objects do and no stranger's can."""
    count: Mapped[int] = mapped_column(default=1, server_default="1")

    __table_args__ = (UniqueConstraint("at", "reason", "ours"),)
