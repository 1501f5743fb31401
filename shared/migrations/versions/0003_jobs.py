"""PgQueuer's tables, by its own SQL. A new release of PgQueuer that changes them brings a migration of its own."""

from alembic import op

from shared.jobs import jobs_schema

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    for statement in jobs_schema():
        op.execute(statement)
