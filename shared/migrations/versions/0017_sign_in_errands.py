"""What a visitor was about, kept with their sign-in; and when its code was used, apart from its link."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "sign_in_errands",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("kept_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in_errands")),
    )
    op.create_index(op.f("ix_sign_in_errands_kept_at"), "sign_in_errands", ["kept_at"], unique=False)
    op.add_column("sign_in_challenges", sa.Column("code_used_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("sign_in_challenges", sa.Column("errand_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_sign_in_challenges_errand_id"),
        "sign_in_challenges",
        "sign_in_errands",
        ["errand_id"],
        ["id"],
    )
    op.create_index(
        "ix_sign_in_challenges_errand_id",
        "sign_in_challenges",
        ["errand_id"],
        unique=False,
        postgresql_where=sa.text("errand_id IS NOT NULL"),
    )
