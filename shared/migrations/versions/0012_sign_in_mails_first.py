"""The order in which mails are sent: those to sign in first, then by time."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index(
        "ix_outgoing_mail_next",
        "outgoing_mail",
        [sa.text("(expires_at IS NULL)"), "next_try_at", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'due'"),
    )
