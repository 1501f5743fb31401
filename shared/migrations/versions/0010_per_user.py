"""How many tickets one person may have, of a type and of an event; and the index that counts them."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("entries", sa.Column("max_per_user", sa.Integer(), nullable=True))
    op.add_column("ticket_types", sa.Column("max_per_user", sa.Integer(), nullable=True))
    op.create_check_constraint(op.f("ck_entries_max_per_user"), "entries", "max_per_user > 0")
    op.create_check_constraint(
        op.f("ck_ticket_types_max_per_user"), "ticket_types", "max_per_user >= min_per_order"
    )
    op.create_index(
        "ix_tickets_of_person",
        "tickets",
        ["user_id", "entry_id"],
        unique=False,
        postgresql_where=sa.text("state IN ('reserved', 'confirmed', 'checked_in')"),
    )
