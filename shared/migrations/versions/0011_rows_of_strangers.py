"""Refused webhooks are counted by the minute; removed tickets can be found to be deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column(
        "webhook_refusals", sa.Column("ours", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("webhook_refusals", sa.Column("count", sa.Integer(), server_default="1", nullable=False))
    op.create_unique_constraint(
        op.f("uq_webhook_refusals_at_reason_ours"), "webhook_refusals", ["at", "reason", "ours"]
    )
    op.create_index(
        "ix_tickets_removed",
        "tickets",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("state = 'removed'"),
    )
