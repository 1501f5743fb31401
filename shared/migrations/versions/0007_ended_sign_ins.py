"""Browsers that were signed out: a copy of their cookie holds no more."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "ended_sign_ins",
        sa.Column("user_id", sa.UUID(), nullable=False),
        sa.Column("browser", sa.String(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_ended_sign_ins_user_id")),
        sa.PrimaryKeyConstraint("user_id", "browser", name=op.f("pk_ended_sign_ins")),
    )
    op.create_index(op.f("ix_ended_sign_ins_expires_at"), "ended_sign_ins", ["expires_at"], unique=False)
