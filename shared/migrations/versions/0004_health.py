"""What the facts of health look for, asked every few seconds, is found by an index."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index("ix_payments_created_at", "payments", ["created_at"], unique=False)
    op.create_index("ix_webhook_events_received_at", "webhook_events", ["received_at"], unique=False)
    op.create_index(
        "ix_webhook_events_unmatched",
        "webhook_events",
        ["received_at"],
        unique=False,
        postgresql_where=sa.text("result = 'unmatched'"),
    )
    op.create_index(op.f("ix_webhook_refusals_at"), "webhook_refusals", ["at"], unique=False)
    op.create_index(
        "ix_outgoing_mail_failed",
        "outgoing_mail",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("state = 'failed'"),
    )
