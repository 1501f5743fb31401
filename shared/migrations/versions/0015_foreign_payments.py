"""Payments without our marks that fit an order, and the orders that each fits."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "foreign_payments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("stripe_account", sa.String(), nullable=False),
        sa.Column("payment_intent", sa.String(), nullable=False),
        sa.Column("session_id", sa.String(), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(length=3), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("email", sa.String(), nullable=True),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("noticed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(), server_default="open", nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("actor", sa.String(), nullable=True),
        sa.CheckConstraint("amount > 0", name=op.f("ck_foreign_payments_amount")),
        sa.CheckConstraint(
            "state IN ('open', 'assigned', 'sent_back', 'dismissed')", name=op.f("ck_foreign_payments_state")
        ),
        sa.CheckConstraint(
            "(order_id IS NOT NULL) = (state IN ('assigned', 'sent_back'))",
            name=op.f("ck_foreign_payments_booked_with"),
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_foreign_payments_order_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_foreign_payments")),
        sa.UniqueConstraint(
            "stripe_account", "payment_intent", name=op.f("uq_foreign_payments_stripe_account_payment_intent")
        ),
    )
    op.create_index("ix_foreign_payments_session_id", "foreign_payments", ["session_id"], unique=False)
    op.create_index(
        "ix_foreign_payments_open",
        "foreign_payments",
        ["noticed_at"],
        unique=False,
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "foreign_fits",
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("why", postgresql.ARRAY(sa.TEXT()), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_foreign_fits_order_id")),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["foreign_payments.id"], name=op.f("fk_foreign_fits_payment_id")
        ),
        sa.PrimaryKeyConstraint("payment_id", "order_id", name=op.f("pk_foreign_fits")),
    )
    op.create_index(op.f("ix_foreign_fits_order_id"), "foreign_fits", ["order_id"], unique=False)
