"""The books: find the transactions of a payment, the payouts, and refunds that nobody has allocated yet."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index(
        "ix_balance_transactions_payment_intent", "balance_transactions", ["stripe_account", "payment_intent"]
    )
    op.create_index(
        "ix_balance_transactions_payouts",
        "balance_transactions",
        ["stripe_account", "source"],
        postgresql_where=sa.text("category = 'payout'"),
    )
    op.create_index(
        "ix_ledger_transfers_unallocated",
        "ledger_transfers",
        ["stripe_account", "balance_transaction"],
        postgresql_where=sa.text("debit = 'refunds_unallocated' OR credit = 'refunds_unallocated'"),
    )
