"""Comparisons of the books that the operator has asked for."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "reconciliation_requests",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id"], ["reconciliations.id"], name=op.f("fk_reconciliation_requests_run_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciliation_requests")),
    )
    op.create_index(
        "ix_reconciliation_requests_open",
        "reconciliation_requests",
        ["asked_at"],
        unique=False,
        postgresql_where=sa.text("run_id IS NULL"),
    )
