"""Whether each Stripe account may charge, pages that stop for it, and how often Stripe is asked."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "stripe_accounts",
        sa.Column("stripe_account", sa.String(), nullable=False),
        sa.Column("charges_enabled", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("stripe_account", name=op.f("pk_stripe_accounts")),
    )
    op.create_table(
        "stripe_calls",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("stripe_account", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "stripe_account", "kind", name=op.f("pk_stripe_calls")),
    )
    op.add_column(
        "pages", sa.Column("payments_stopped", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
