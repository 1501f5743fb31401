"""`python -m shared demo`: a whole shop from one command, each part a child process, data kept in var/."""

import asyncio
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import click

from shared import migrate
from shared.children import StartError
from shared.demo_data import ORGANIZER, SECOND_ACCOUNT, fill, sign_in_links
from shared.embedded import EmbeddedPostgres
from shared.settings import Settings
from shared.supervisor import Supervisor

HOST = "127.0.0.1"
PORTS_IN_A_ROW = 4


class DemoError(StartError):
    """The demo cannot start; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Four in a row, counted from the shop's."""

    shop: int
    inbox: int
    stripe: int
    smtp: int

    @classmethod
    def starting_at(cls, first: int) -> "Ports":
        """Checked to be free. Raises DemoError."""
        ports = range(first, first + PORTS_IN_A_ROW)
        for port in ports:
            if not _is_free(port):
                raise DemoError(
                    f"Port {port} is taken, and the demo needs {ports[0]} to {ports[-1]}.\n"
                    "Choose another start: make demo ARGS='--port 9000'"
                )
        return cls(*ports)


def run_demo(settings: Settings, first_port: int, *, reset: bool) -> None:
    """Start everything, show one screen, wait for Ctrl-C or SIGTERM, stop everything. Raises StartError."""
    ports = Ports.starting_at(first_port)
    server = EmbeddedPostgres(settings.var_dir / "postgres")
    if server.answers():
        raise DemoError("A demo is running on this data already; stop it first.")
    if reset:
        server.remove()
        shutil.rmtree(settings.var_dir / "demo", ignore_errors=True)
    settings = replace(settings, database_url=server.url(), public_url=f"http://{HOST}:{ports.shop}")
    supervisor = Supervisor(settings.var_dir / "demo" / "logs")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: supervisor.stop.set())
    _run(server, supervisor, settings, ports)
    click.echo("Everything is stopped.")


def _run(server: EmbeddedPostgres, supervisor: Supervisor, settings: Settings, ports: Ports) -> None:
    env = environment(settings, ports)
    with ExitStack() as at_the_end:  # whatever was started is stopped, also after an error
        at_the_end.callback(server.stop)
        at_the_end.callback(supervisor.stop_all)
        start_stand_ins(supervisor, settings, ports, env)  # they need no database and can load meanwhile
        _step("database", server.start)
        _step("tables", lambda: asyncio.run(migrate.upgrade(server.url())))
        account = "" if has_own_stripe_keys() else SECOND_ACCOUNT
        _step("a shop to look at", lambda: asyncio.run(fill(settings, second_account=account)))
        start_shop(supervisor, settings, ports, env)
        links = asyncio.run(sign_in_links(settings))
        _step("shop, worker, payments, mail", supervisor.wait_until_ready)
        if not supervisor.stop.is_set():
            _show_screen(settings, ports, links)
        supervisor.watch(lambda words: click.echo(f"  {words}"), database=server.revive)
        click.echo("\nStopping …")


def start_stand_ins(supervisor: Supervisor, settings: Settings, ports: Ports, env: dict[str, str]) -> None:
    """Mail inbox and payment stand-in; the browser tests start them too."""
    folder = settings.var_dir / "demo"
    inbox = ["--port", str(ports.inbox), "--smtp-port", str(ports.smtp), "--folder", str(folder / "mail")]
    supervisor.start(
        "mail inbox", ["shared.sandbox.inbox", *inbox], env, ready_url=f"http://{HOST}:{ports.inbox}/"
    )
    if not has_own_stripe_keys():
        _start_payments(supervisor, settings, ports.stripe, env)


def _start_payments(
    supervisor: Supervisor, settings: Settings, port: int, env: Mapping[str, str], *, folder: str = "demo"
) -> None:
    stripe = ["--port", str(port), "--state", str(settings.var_dir / folder / "stripe.json")]
    stripe += ["--secret-key", env["STRIPE_SECRET_KEY"], "--webhook-secret", env["STRIPE_WEBHOOK_SECRET"]]
    stripe += ["--webhook-url", f"{settings.public_url}/webhooks/stripe"]
    stripe += ["--account", SECOND_ACCOUNT]
    stand_in = f"http://{HOST}:{port}/"
    supervisor.start("payment stand-in", ["shared.sandbox.stripe", *stripe], env, ready_url=stand_in)


@contextmanager
def payments_beside(settings: Settings) -> Iterator[dict[str, str]]:
    """The payment stand-in for a shop without the demo; yields what the shop needs in its environment."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    env = stand_in_keys(port)
    supervisor = Supervisor(settings.var_dir / "alone" / "logs")
    try:
        _start_payments(supervisor, settings, port, env, folder="alone")
        supervisor.wait_until_ready()
        yield env
    finally:
        supervisor.stop_all()


def start_shop(supervisor: Supervisor, settings: Settings, ports: Ports, env: dict[str, str]) -> None:
    """Worker and shop, on a migrated database; the browser tests start them too."""
    supervisor.start("worker", ["shared", "worker"], env)
    shop = ["shared", "serve", "--bind", f"{HOST}:{ports.shop}"]
    supervisor.start("shop", shop, env, ready_url=f"{settings.public_url}/health/ready")


def has_own_stripe_keys() -> bool:
    """Whether real keys are in the environment: then the shop talks to Stripe itself."""
    return bool(os.environ.get("STRIPE_SECRET_KEY"))


def environment(settings: Settings, ports: Ports) -> dict[str, str]:
    """What the parts find in their environment on top of ours."""
    env = {
        "TILLGATE_ENV": "development",
        "DATABASE_URL": settings.database_url or "",
        "PUBLIC_URL": settings.public_url,
        "SMTP_URL": f"smtp://{HOST}:{ports.smtp}",
        "OPERATORS": os.environ.get("OPERATORS") or ORGANIZER,  # who sells in the demo runs it too
        "PYTHONUNBUFFERED": "1",
    }
    if not has_own_stripe_keys():
        env |= stand_in_keys(ports.stripe)
    return env


def stand_in_keys(port: int) -> dict[str, str]:
    """What makes a shop talk to the stand-in on this port."""
    stand_in = f"http://{HOST}:{port}"
    return {
        "STRIPE_API_BASE": stand_in,
        "STRIPE_CHECKOUT_ORIGINS": stand_in,
        "STRIPE_SECRET_KEY": "sk_test_demo",
        "STRIPE_WEBHOOK_SECRET": "whsec_demo",
    }


def _step(name: str, act: Callable[[], object]) -> None:
    click.echo(f"  {name} … ", nl=False)
    started = time.monotonic()
    act()
    click.echo(f"{time.monotonic() - started:.1f} s")


def _show_screen(settings: Settings, ports: Ports, links: dict[str, str]) -> None:
    payments = "Stripe, with your keys" if has_own_stripe_keys() else f"http://{HOST}:{ports.stripe}"
    lines = [
        "",
        f"  The shop          {settings.public_url}",
        f"  Mail inbox        http://{HOST}:{ports.inbox}",
        f"  Payments          {payments}",
        "",
        *(f"  {f'Sign in as {who}':21} {link}" for who, link in links.items()),
        "",
        "  Test cards: 4242 4242 4242 4242 pays, 4000 0000 0000 0002 is declined.",
        "  Ctrl-C stops everything; your data stays. Start over: make demo ARGS=--reset",
    ]
    click.echo("\n".join(lines))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
