"""Who asked for a mail to sign in and who guessed its code, and the mailbox behind an address: what limits count by."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    for name in ("mailbox", "client"):
        op.add_column("sign_in_challenges", sa.Column(name, sa.String(), server_default="", nullable=False))
    op.add_column("sign_in_failures", sa.Column("client", sa.String(), server_default="", nullable=False))
    op.create_index(
        "ix_sign_in_challenges_mailbox", "sign_in_challenges", ["mailbox", "created_at"], unique=False
    )
    op.create_index("ix_sign_in_challenges_created_at", "sign_in_challenges", ["created_at"], unique=False)
    op.create_index("ix_sign_in_failures_client_at", "sign_in_failures", ["client", "at"], unique=False)
    op.create_index(op.f("ix_sign_in_failures_at"), "sign_in_failures", ["at"], unique=False)
