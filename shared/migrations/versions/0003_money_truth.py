"""Money truth: refunds by line, disputes, balance transactions, payouts; paid only as the ledger says."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "balance_transactions",
        sa.Column("stripe_account", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("category", sa.String(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("fee", sa.BigInteger(), nullable=False),
        sa.Column("net", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(length=3), nullable=False),
        sa.Column("exchange_rate", sa.Numeric(), nullable=True),
        sa.Column("source", sa.String(), nullable=True),
        sa.Column("payment_intent", sa.String(), nullable=True),
        sa.Column("ours", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("available_on", sa.DateTime(timezone=True), nullable=False),
        sa.Column("payout_id", sa.String(), nullable=True),
        sa.Column("posted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("stripe_account", "id", name=op.f("pk_balance_transactions")),
    )
    op.create_index(
        "ix_balance_transactions_created_at",
        "balance_transactions",
        ["stripe_account", "created_at"],
        unique=False,
    )
    op.create_index(
        "ix_balance_transactions_open",
        "balance_transactions",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("posted_at IS NULL"),
    )
    op.create_index(
        "ix_balance_transactions_payout_id",
        "balance_transactions",
        ["stripe_account", "payout_id"],
        unique=False,
    )
    op.create_table(
        "health_checks",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ok", sa.Boolean(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("measured", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_health_checks")),
    )
    op.create_table(
        "payouts",
        sa.Column("stripe_account", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(length=3), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("automatic", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("arrives_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("failure", sa.String(), nullable=True),
        sa.Column("contents_read_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("stripe_account", "id", name=op.f("pk_payouts")),
    )
    op.create_table(
        "reconciliations",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("committed", sa.Boolean(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("compared", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("differences", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.CheckConstraint("finished_at >= started_at", name=op.f("ck_reconciliations_times")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciliations")),
    )
    op.create_index("ix_reconciliations_started_at", "reconciliations", ["started_at"], unique=False)
    op.create_table(
        "disputes",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("stripe_account", sa.String(), nullable=False),
        sa.Column("dispute_id", sa.String(), nullable=False),
        sa.Column("payment_id", sa.UUID(), nullable=False),
        sa.Column("order_id", sa.UUID(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(length=3), nullable=False),
        sa.Column("withdrawn", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("evidence_due_by", sa.DateTime(timezone=True), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_disputes_order_id")),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fk_disputes_payment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_disputes")),
        sa.UniqueConstraint(
            "stripe_account", "dispute_id", name=op.f("uq_disputes_stripe_account_dispute_id")
        ),
    )
    op.create_index(op.f("ix_disputes_order_id"), "disputes", ["order_id"], unique=False)
    op.create_index(op.f("ix_disputes_payment_id"), "disputes", ["payment_id"], unique=False)
    op.create_table(
        "refund_lines",
        sa.Column("refund_id", sa.UUID(), nullable=False),
        sa.Column("order_line_id", sa.UUID(), nullable=False),
        sa.Column("page_id", sa.UUID(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("item_ids", postgresql.ARRAY(sa.UUID()), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_refund_lines_amount")),
        sa.ForeignKeyConstraint(
            ["order_line_id"], ["order_lines.id"], name=op.f("fk_refund_lines_order_line_id")
        ),
        sa.ForeignKeyConstraint(["refund_id"], ["refunds.id"], name=op.f("fk_refund_lines_refund_id")),
        sa.PrimaryKeyConstraint("refund_id", "order_line_id", name=op.f("pk_refund_lines")),
    )
    op.create_index(op.f("ix_refund_lines_order_line_id"), "refund_lines", ["order_line_id"], unique=False)
    op.add_column("ledger_transfers", sa.Column("balance_transaction", sa.String(), nullable=True))
    op.create_index("ix_ledger_transfers_page_id", "ledger_transfers", ["page_id", "at"], unique=False)
    op.create_index(
        "ix_ledger_transfers_transaction",
        "ledger_transfers",
        ["stripe_account", "balance_transaction"],
        unique=False,
    )
    op.add_column("pages", sa.Column("refund_hours", sa.Integer(), nullable=True))
    op.add_column("refunds", sa.Column("actor", sa.String(), server_default="stripe", nullable=False))
    op.add_column(
        "refunds", sa.Column("unallocated", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("refunds", sa.Column("solved_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("refunds", sa.Column("solved_note", sa.String(), nullable=True))
    op.add_column(
        "tickets", sa.Column("blocked", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.create_check_constraint(op.f("ck_pages_refund_hours"), "pages", "refund_hours >= 0")
    op.drop_constraint(op.f("ck_refunds_state"), "refunds")
    op.create_check_constraint(
        op.f("ck_refunds_state"),
        "refunds",
        "state IN ('due', 'sent', 'succeeded', 'failed', 'waiting_dispute', 'withdrawn')",
    )
    # Deferred: the ledger's rows come last in their transaction. A total of nothing has no row.
    op.execute("""
        CREATE FUNCTION refuse_paid_without_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NOT EXISTS (SELECT FROM ledger_transfers WHERE order_id = NEW.id AND kind = 'gross') THEN
                RAISE EXCEPTION 'order % would be paid without a row in the ledger', NEW.number
                    USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NULL;
        END $$
    """)
    op.execute("""
        CREATE CONSTRAINT TRIGGER paid_as_the_ledger_says AFTER INSERT OR UPDATE OF state ON orders
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.state = 'paid' AND NEW.total > 0)
        EXECUTE FUNCTION refuse_paid_without_ledger()
    """)
