"""When Stripe was asked about a dispute, and which of Stripe's balances a transaction moves."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("disputes", sa.Column("asked_at", sa.DateTime(timezone=True)))
    op.add_column(
        "balance_transactions",
        sa.Column("balance_type", sa.String(), server_default="payments", nullable=False),
    )
