"""Alembic's entry point; shared/migrate.py hands it an open connection."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import text

from shared.database import LOCK_TIMEOUT, Minor
from shared.migrate import is_ours, metadata

MIGRATION_LOCK = 7_411_001  # any number, as long as nothing else takes the same advisory lock


def render_item(kind: str, item: Any, _autogenerate: AutogenContext) -> str | Literal[False]:
    """Write plain types into migrations: they must not change when our classes do."""
    return "sa.BigInteger()" if kind == "type" and isinstance(item, Minor) else False


connection = context.config.attributes["connection"]
connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
# A migration that cannot get its table gives up instead of queueing every buyer behind it.
connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
connection.commit()
context.configure(
    connection=connection,
    target_metadata=metadata(),
    include_name=is_ours,
    render_item=render_item,
    compare_server_default=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
