"""Migrations, run from code: `python -m shared migrate`, the demo, the tests' template, the readiness check.

Expand, then contract: a migration must leave the running version working. There is no way down; a mistake is
corrected by the next migration.
"""

from collections.abc import Callable, MutableMapping
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, NullPool
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from shared.database import Base

MODELS = ("shared.models", "shared.identity.models", "events.models", "cart.models", "cart.records")
JOB_TABLES = "pgqueuer"
"""Tables whose names start so are PgQueuer's: made by its own SQL, not by our models."""


def metadata() -> MetaData:
    """All tables of all rooms; loaded by name, because shared knows no domain."""
    for name in MODELS:
        import_module(name)
    return Base.metadata


def is_ours(name: str | None, kind: str, _parents: MutableMapping[Any, Any]) -> bool:
    """Whether a table found in the database belongs to our models."""
    return kind != "table" or not (name or "").startswith(JOB_TABLES)


async def upgrade(url: str) -> None:
    """Bring the database to the newest state. Several at once wait for each other."""
    await _run(url, lambda config: command.upgrade(config, "head"))


async def write_revision(url: str, message: str) -> None:
    """Write a new migration from the difference between the models and a migrated database."""
    number = len(list(ScriptDirectory.from_config(_config()).walk_revisions())) + 1
    await _run(
        url, lambda config: command.revision(config, message, autogenerate=True, rev_id=f"{number:04}")
    )


async def at_head(connection: AsyncConnection) -> bool:
    """Whether all migrations have been applied."""

    def current(sync: Connection) -> set[str]:
        return set(MigrationContext.configure(sync).get_current_heads())

    return await connection.run_sync(current) == _heads()


@lru_cache
def _heads() -> set[str]:
    return set(ScriptDirectory.from_config(_config()).get_heads())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    return config


async def _run(url: str, act: Callable[[Config], object]) -> None:
    def with_connection(connection: Connection) -> None:
        config = _config()
        config.attributes["connection"] = connection
        act(config)

    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(with_connection)
    await engine.dispose()
