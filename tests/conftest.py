"""Fixtures for every test: a database of its own made from a template, a clock moved by hand, the app."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
import structlog

from shared import migrate
from shared.clock import ManualClock
from shared.database import Database, Sessions
from shared.embedded import EmbeddedPostgres
from shared.ids import new_id
from shared.settings import Settings
from shared.web import Tillgate
from tests.support import Browser, browser

if TYPE_CHECKING:
    from shared.sandbox.stripe.running import RunningStandin

TEMPLATE = "tillgate_template"
ROOM = 2**30  # bytes
PREFIX = "tillgate-tests-"
FORGOTTEN = 3600  # seconds
SERVER = pytest.StashKey[EmbeddedPostgres]()


def pytest_configure() -> None:
    """Plain tracebacks in the log, as the program draws them: rich's, with all local variables, take seconds each."""
    renderer = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], renderer])


def start_server() -> EmbeddedPostgres:
    """A throwaway server with one migrated database to copy."""
    home = _memory() or Path(tempfile.gettempdir())
    _remove_forgotten(home)
    folder = tempfile.mkdtemp(prefix=PREFIX, dir=home)
    server = EmbeddedPostgres(Path(folder), throwaway=True)
    server.start()

    async def make_template() -> None:
        connection = await asyncpg.connect(plain(server.url()))
        await connection.execute(f"CREATE DATABASE {TEMPLATE}")
        await connection.close()
        await migrate.upgrade(server.url(TEMPLATE))

    asyncio.run(make_template())
    return server


def _remove_forgotten(home: Path) -> None:
    """What a killed run left behind: in memory it would stay until the machine is restarted."""
    for folder in home.glob(f"{PREFIX}*/"):
        server = EmbeddedPostgres(folder)
        if folder.is_dir() and time.time() - folder.stat().st_mtime > FORGOTTEN and not server.answers():
            server.remove()


def _memory() -> Path | None:
    """Where files stay in memory, if there is room: databases come and go by the hundred, and a disk feels it."""
    shm = Path("/dev/shm")  # noqa: S108 - the folder in it gets a random name and mode 0700
    return shm if shm.is_dir() and shutil.disk_usage(shm).free > ROOM else None


def stop_server(server: EmbeddedPostgres) -> None:
    """Stop it and leave nothing behind."""
    server.stop()
    server.remove()


@asynccontextmanager
async def fresh_database(server: str, template: str) -> AsyncIterator[str]:
    """Address of a copy of the template, gone after the block."""
    name = f"t_{new_id().hex}"
    connection = await asyncpg.connect(plain(server.format(database="postgres")))
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    try:
        yield server.format(database=name)
    finally:  # a property that fails is tried with many more examples: each would leave a database and a connection
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await connection.close()


def plain(url: str) -> str:
    """The address as asyncpg itself takes it."""
    return url.replace("postgresql+asyncpg://", "postgresql://")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """One server for all processes of a parallel run: the controller starts it and tells each of them."""
    if SERVER not in node.config.stash:
        node.config.stash[SERVER] = start_server()
    node.workerinput["postgres_url"] = node.config.stash[SERVER].url("{database}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """The end of a parallel run."""
    if SERVER in config.stash:
        stop_server(config.stash[SERVER])


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of the server, with `{database}` where the name goes; one server for each test run."""
    given = getattr(request.config, "workerinput", {}).get("postgres_url")
    if given is not None:
        yield given
        return
    server = start_server()
    yield server.url("{database}")
    stop_server(server)


@pytest.fixture
async def database_url(postgres: str) -> AsyncIterator[str]:
    """Address of a migrated database without rows that only this test uses; made in about 30 ms."""
    async with fresh_database(postgres, TEMPLATE) as url:
        yield url


@pytest.fixture
async def empty_database(postgres: str) -> AsyncIterator[str]:
    """Address of a database without tables."""
    async with fresh_database(postgres, "template0") as url:
        yield url


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


@pytest.fixture
async def app(settings: Settings, database: Database, clock: ManualClock) -> AsyncIterator[Tillgate]:
    """The whole shop, both domains, started."""
    from shared.app import create_app  # here, so that tests of single rules need no web

    made = create_app(settings, database=database, clock=clock)
    async with made.test_app():
        yield made


@pytest.fixture
def client(app: Tillgate) -> Browser:
    """A browser that has not signed in."""
    return browser(app)


@pytest.fixture
async def standin() -> "AsyncIterator[RunningStandin]":
    """The Stripe stand-in of this test, on a port of its own."""
    from shared.sandbox.stripe.running import running_standin

    async with running_standin() as running:
        yield running
