"""Migrations build what the models say, and the guards that models cannot say hold."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from shared import migrate
from shared.database import Database, sqlstate

CONSTRAINTS = """
    SELECT conrelid::regclass::text AS place, conname AS name, pg_get_constraintdef(oid) AS definition
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 AND contype <> 't'
"""
INDEXES = """
    SELECT tablename AS place, indexname AS name, indexdef AS definition
    FROM pg_indexes WHERE schemaname = 'public'
"""
NOT_OURS = (migrate.JOB_TABLES, "alembic_version")


async def test_no_drift(database: Database) -> None:
    """A database made by the migrations is what the models describe."""

    def differences(connection: Connection) -> list[object]:
        options = {"include_name": migrate.is_ours, "compare_server_default": True}
        return compare_metadata(MigrationContext.configure(connection, opts=options), migrate.metadata())

    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_no_drift_in_checks_and_indexes(database: Database, empty_database: str) -> None:
    """Alembic does not compare CHECK constraints and partial indexes; the catalogue does."""
    made = create_async_engine(empty_database)
    async with made.begin() as connection:
        await connection.run_sync(migrate.metadata().create_all)
    for query in (CONSTRAINTS, INDEXES):
        async with made.connect() as by_models, database.engine.connect() as by_migrations:
            assert await _ours(by_migrations, query) == await _ours(by_models, query)
    await made.dispose()


async def _ours(connection: AsyncConnection, query: str) -> set[tuple[str, str, str]]:
    rows = (await connection.execute(text(query))).all()
    return {tuple(row) for row in rows if not row[0].startswith(NOT_OURS)}


async def test_at_head_only_when_migrated(database: Database, empty_database: str) -> None:
    """The readiness check tells a migrated database from one that is behind."""
    async with database.engine.connect() as connection:
        assert await migrate.at_head(connection)
    empty = create_async_engine(empty_database)
    async with empty.connect() as connection:
        assert not await migrate.at_head(connection)
    await empty.dispose()


async def test_upgrade_twice_changes_nothing(database_url: str, database: Database) -> None:
    """A second start finds the same installation."""
    query = text("SELECT installation_id FROM installation")
    async with database.engine.connect() as connection:
        before = (await connection.execute(query)).scalars().all()
    await migrate.upgrade(database_url)
    async with database.engine.connect() as connection:
        assert (await connection.execute(query)).scalars().all() == before
    assert len(before) == 1


@pytest.mark.parametrize("table", ["ledger_transfers", "order_lines"])
@pytest.mark.parametrize(
    "change", ["UPDATE {table} SET id = id", "DELETE FROM {table}", "TRUNCATE {table} CASCADE"]
)
@pytest.mark.parametrize("role", ["origin", "replica"])
async def test_written_for_good(database: Database, table: str, change: str, role: str) -> None:
    """Ledger and order lines refuse every change, the superuser's too (design: Ledger)."""
    async with database.engine.connect() as connection:
        assert await connection.scalar(text("SELECT usesuper FROM pg_user WHERE usename = current_user"))
        await connection.execute(text(f"SET session_replication_role = {role}"))
        with pytest.raises(DBAPIError) as refused:
            await connection.execute(text(change.format(table=table)))
    assert sqlstate(refused.value) == "23001"


async def test_an_order_is_paid_only_as_the_ledger_says(database: Database) -> None:
    """An order cannot become paid while the ledger has no row for its money (issue: `orders` never says paid …)."""
    order = (
        "INSERT INTO orders (id, number, user_id, email, currency, total, state, fingerprint, hold_minutes)"
        " VALUES (gen_random_uuid(), 'K7M2-9QXT', (SELECT id FROM users), 'a@b.example', 'EUR', 500, :state, '', 30)"
    )
    async with database.sessions.begin() as session:
        await session.execute(text("INSERT INTO users (id, email) VALUES (gen_random_uuid(), 'a@b.example')"))
        await session.execute(text(order), {"state": "pending"})
    with pytest.raises(DBAPIError, match="without a row in the ledger"):
        async with database.sessions.begin() as session:
            await session.execute(text("UPDATE orders SET state = 'paid'"))
    async with database.sessions() as session:
        assert await session.scalar(text("SELECT state FROM orders")) == "pending"
