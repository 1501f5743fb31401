"""The shop that is measured: a durable PostgreSQL, migrations, a seed, and every process of a real one.

Each part is the one that `serve` and `worker` start in production, and runs with production's settings.
"""

import asyncio
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_urlsafe
from typing import Any
from uuid import UUID

import psutil
from sqlalchemy import insert, text

from cart.webhooks.news import HANDLERS
from shared import migrate
from shared.app import create_app
from shared.database import Database
from shared.demo_data import fill
from shared.embedded import EmbeddedPostgres
from shared.identity.guard import CurrentUser, cookie_for
from shared.identity.models import User
from shared.ids import new_id
from shared.settings import ROOT, Settings
from shared.supervisor import Supervisor
from tests import event_rows

HOST = "127.0.0.1"
CONCERT, RUSH = "/p/bench/concert", "/p/bench/rush"
RUSH_TICKETS = 100
WORKER_ROLE = "worker"
LOGS = ROOT / "var" / "bench"
"""What the parts wrote in the last run."""
STATEMENT = re.compile(r"^(\w+) LOG:  (?:statement|execute [^:]*): (\w+)", re.MULTILINE)
TRANSACTION_WORDS = frozenset({"BEGIN", "COMMIT", "ROLLBACK"})


@dataclass(frozen=True, slots=True)
class Statements:
    """What the shop's process sent to the database; BEGIN, COMMIT and ROLLBACK stand apart."""

    statements: int
    transaction_words: int


@dataclass(slots=True)
class House:
    """What runs, and where."""

    env: dict[str, str]
    server: EmbeddedPostgres
    supervisor: Supervisor
    ports: dict[str, int]
    processes: dict[str, psutil.Process]
    forms: dict[str, list[dict[str, str]]]
    """The buy form of each event, one ticket type after the other."""

    @property
    def settings(self) -> Settings:
        """The shop's settings."""
        return Settings.from_env(self.env)

    def start_shop(self) -> None:
        """Start the one worker process of the shop."""
        bind = f"{HOST}:{self.ports['shop']}"
        self._start("shop", "shared", "serve", "--bind", bind)

    def start_parts(self) -> None:
        """Start what stands around the shop, and the bare app that it is compared with."""
        port = {name: str(number) for name, number in self.ports.items()}
        webhooks = ["--webhook-url", f"{self.env['PUBLIC_URL']}/webhooks/stripe"]
        for kind in HANDLERS:  # as an endpoint at Stripe is set up
            webhooks += ["--event", kind]
        self._start("stand-in", "shared.sandbox.stripe", "--port", port["stand-in"], *webhooks)
        mail_folder = f"{self.env['TILLGATE_VAR']}/mail"
        mail = ["--port", port["inbox"], "--smtp-port", port["smtp"], "--folder", mail_folder]
        self._start("inbox", "shared.sandbox.inbox", *mail)
        self._start("worker", "shared", "worker", DATABASE_URL=address(self.server, WORKER_ROLE))
        self._start("hello", "tests.bench.hello", port["hello"])
        self.supervisor.wait_until_ready()

    def _start(self, name: str, *module: str, **env: str) -> None:
        ready = f"http://{HOST}:{self.ports[name]}/" if name in self.ports else None
        pid = self.supervisor.start(name, module, self.env | env, ready_url=ready)
        self.processes[name] = psutil.Process(pid)

    def buyers(self, number: int) -> list[str]:
        """Cookies of so many new buyers."""
        return asyncio.run(add_buyers(self.settings, number))

    def database_cpu(self) -> float:
        """Seconds of CPU of the server, with its processes that have ended."""
        server = server_process(self.server)
        while True:
            own = server.cpu_times()
            try:
                alive = sum(cpu_seconds(child) for child in server.children())
            except psutil.NoSuchProcess:  # one ended meanwhile: its time is now among the server's
                continue
            return own.user + own.system + own.children_user + own.children_system + alive

    def cpu(self) -> dict[str, float]:
        """Seconds of CPU that each part has used since it started."""
        used = {name: cpu_seconds(self.processes[name]) for name in ("shop", "worker", "stand-in")}
        return used | {"database": self.database_cpu()}

    def query(self, sql: str) -> Any:
        """One value from the database, or one command."""
        return asyncio.run(_query(self.server.url(), sql))

    @contextmanager
    def counting(self) -> Iterator[list[Statements]]:
        """Have the server log every statement; the list has the shop's count once the block has ended."""
        counted: list[Statements] = []
        asyncio.run(_log_statements(self.server.url(), "all"))
        start = self.server.log.stat().st_size
        yield counted
        asyncio.run(_log_statements(self.server.url(), "none"))
        with self.server.log.open("rb") as log:
            log.seek(start)
            found = STATEMENT.findall(log.read().decode(errors="replace"))
        words = [word.upper() for role, word in found if role == "shop"]
        around = sum(word in TRANSACTION_WORDS for word in words)
        counted.append(Statements(len(words) - around, around))


@contextmanager
def house() -> Iterator[House]:
    """A house with a filled database and no process but that, gone after the block."""
    var = Path(tempfile.mkdtemp(prefix="tillgate-bench-"))
    var.chmod(0o755)  # the server runs as another user where we are root
    server = EmbeddedPostgres(var / "postgres")
    supervisor = Supervisor(LOGS)
    with ExitStack() as at_the_end:
        at_the_end.callback(shutil.rmtree, var, ignore_errors=True)
        at_the_end.callback(server.remove)
        at_the_end.callback(server.stop)
        at_the_end.callback(supervisor.stop_all)
        ports = {name: free_port() for name in ("shop", "stand-in", "inbox", "smtp", "hello")}
        env = environment(var, server, ports)
        settings = Settings.from_env(env)
        server.start()
        asyncio.run(migrate.upgrade(server.url()))
        asyncio.run(_prepare_roles(server))
        asyncio.run(fill(settings))
        forms = asyncio.run(_seed(settings))
        yield House(env, server, supervisor, ports, {}, forms)


def environment(var: Path, server: EmbeddedPostgres, ports: dict[str, int]) -> dict[str, str]:
    """Production's variables, on this machine; the shop has a database role of its own, so that the log names it."""
    stand_in = f"http://{HOST}:{ports['stand-in']}"
    return {
        "TILLGATE_ENV": "production",
        "SECRET_KEY": token_urlsafe(32),
        "PUBLIC_URL": f"http://{HOST}:{ports['shop']}",
        "DATABASE_URL": address(server, "shop"),
        "TILLGATE_VAR": str(var),
        "STRIPE_API_BASE": stand_in,
        "STRIPE_CHECKOUT_ORIGINS": stand_in,
        "STRIPE_SECRET_KEY": "sk_test_bench",
        "STRIPE_WEBHOOK_SECRET": "whsec_bench",
        "SMTP_URL": f"smtp://{HOST}:{ports['smtp']}",
        "MAIL_FROM": "Tillgate <tickets@tillgate.example>",
    }


def address(server: EmbeddedPostgres, role: str) -> str:
    """The database's address for one role."""
    return server.url().replace("//postgres@", f"//{role}@")


def server_process(server: EmbeddedPostgres) -> psutil.Process:
    """The parent of all processes of a running server."""
    lines = (server.data / "postmaster.pid").read_text().splitlines()
    return psutil.Process(int(lines[0]))


def cpu_seconds(process: psutil.Process) -> float:
    """CPU that one process has used itself."""
    times = process.cpu_times()
    return times.user + times.system


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


async def _prepare_roles(server: EmbeddedPostgres) -> None:
    database = Database(server.url())
    async with database.read() as connection:
        for role in ("shop", WORKER_ROLE):
            await connection.execute(text(f"CREATE ROLE {role} SUPERUSER LOGIN"))
        await connection.execute(text("ALTER SYSTEM SET log_line_prefix = '%u '"))
        await connection.execute(text("SELECT pg_reload_conf()"))
    await database.close()


async def _log_statements(url: str, which: str) -> None:
    """Set it, and wait until the server's processes have heard of it."""
    database = Database(url)
    async with database.read() as connection:
        await connection.execute(text(f"ALTER SYSTEM SET log_statement = '{which}'"))
        await connection.execute(text("SELECT pg_reload_conf()"))
        while await connection.scalar(text("SHOW log_statement")) != which:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.05)
    await database.close()


async def _seed(settings: Settings) -> dict[str, list[dict[str, str]]]:
    """A concert with four types and room for all, and an event with a hundred tickets."""
    database, later = Database(settings.database_url or ""), datetime.now(UTC) + timedelta(days=30)
    async with database.sessions.begin() as session:
        page = await event_rows.add_page(session, "bench")
        words = "\n\n".join(["An evening with a hundred voices, four encores and one very long trumpet."] * 4)
        concert = await event_rows.add_entry(
            session, page, "concert", starts_at=later, capacity=1_000_000, text=words
        )
        rush = await event_rows.add_entry(session, page, "rush", starts_at=later, capacity=RUSH_TICKETS)
        names = ("Standing", "Seated", "Balcony", "Box")
        types = [await event_rows.add_type(session, concert, name, capacity=250_000) for name in names]
        only = await event_rows.add_type(session, rush)
        forms = {
            CONCERT: [{f"quantity-{kind.id}": "2"} for kind in types],
            RUSH: [{f"quantity-{only.id}": "1"}],
        }
    await database.close()
    return forms


async def add_buyers(settings: Settings, number: int) -> list[str]:
    """Cookies of so many new users who are signed in."""
    database = Database(settings.database_url or "")
    ids = [new_id() for _ in range(number)]
    async with database.sessions.begin() as session:
        await session.execute(insert(User), [{"id": one, "email": f"{one.hex}@buyer.example"} for one in ids])
    await database.close()
    return cookies(settings, ids)


def cookies(settings: Settings, user_ids: Sequence[UUID]) -> list[str]:
    """What their browsers send once they are signed in."""
    app = create_app(settings)
    return ["=".join(cookie_for(app, CurrentUser(one, 1))) for one in user_ids]


async def _query(url: str, sql: str) -> Any:
    database = Database(url)
    async with database.read() as connection:
        result = await connection.execute(text(sql))
        found = result.scalar() if result.returns_rows else None
    await database.close()
    return found
