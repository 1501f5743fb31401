"""The command line: `python -m shared serve | worker | migrate | seed | reconcile | demo`.

Domains are loaded by name. A wrong environment is one line on stderr and exit status 2 (spec: G1).
"""

import asyncio
import errno
import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import import_module
from typing import Any

import click
from sqlalchemy.exc import DBAPIError

from shared.children import StartError
from shared.embedded import running
from shared.setting_types import host_and_port
from shared.settings import Settings, SettingsError

EMBEDDED_DATA = "postgres"
# It is away, does not let us in, or is not migrated; a connection that fails is an OSError.
DATABASE_ERRORS = (DBAPIError, OSError)


class OneLineErrors(click.Group):
    """Commands whose expected failures are one line, not a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; 2 is also click's own status for wrong usage."""
        try:
            return super().invoke(ctx)
        except (SettingsError, StartError) as error:
            for line in str(error).splitlines():
                click.echo(f"tillgate: {line}", err=True)
            ctx.exit(2)
        except DATABASE_ERRORS as error:
            click.echo(f"tillgate: The database does not answer as it should: {error}", err=True)
            ctx.exit(2)  # never 1: to `reconcile` that means that something differs


@click.group(cls=OneLineErrors)
def main() -> None:
    """Tillgate: a till and a gate."""


class Bind(click.ParamType[str]):
    """Where to listen: an address with a port, or `unix:` and a path."""

    name = "bind"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The same text; what cannot be listened at is wrong usage."""
        text = str(value)
        if not text.startswith("unix:"):
            try:
                host_and_port(text)
            except ValueError as error:
                self.fail(f"It {error}", param, ctx)
        return text


@main.command()
@click.option(
    "--bind", type=Bind(), default="127.0.0.1:8000", show_default=True, help="Address and port, or unix:path."
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes.")
@click.option("--only", type=click.Choice(["events", "cart"]), help="One domain, beside a stub of the other.")
@click.option("--reload", is_flag=True, help="Start again whenever a file changes; for development.")
@click.option("--h2c", is_flag=True, help="Take HTTP/2 without TLS, from a proxy that speaks it.")
def serve(bind: str, workers: int, only: str | None, reload: bool, h2c: bool) -> None:
    """Serve the shop under Hypercorn."""
    from hypercorn.run import run  # here: other commands need no server

    from shared.demo import payments_beside
    from shared.metrics import shown
    from shared.serving import hypercorn_config, serve_again_and_again

    if os.environ.get("TILLGATE_ENV") == "development":
        os.environ.setdefault("PUBLIC_URL", f"http://{bind}")  # forms are taken from this origin only
    with ExitStack() as at_the_end:
        settings = at_the_end.enter_context(environment())
        if only == "cart" and not settings.stripe_secret_key:
            os.environ |= at_the_end.enter_context(payments_beside(settings))
        if reload:
            serve_again_and_again(settings, bind, only)
            return
        if only:
            announce_alone(settings)
        at_the_end.enter_context(shown(settings.metrics_bind, processes=workers))
        try:
            sys.exit(run(hypercorn_config(bind, workers, only, h2c=h2c)))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise SettingsError(f"{bind} is taken; choose another address with --bind.") from None


@main.command()
def worker() -> None:
    """Run due work: mails, lapsed holds, refunds."""
    from shared.serving import build
    from shared.worker import run_worker

    with environment():
        asyncio.run(run_worker(build()))


@main.command()
@click.option("--revision", metavar="MESSAGE", help="Write a new migration from the models instead.")
def migrate(revision: str | None) -> None:
    """Bring the database to the newest state; a second run changes nothing."""
    from shared.migrate import upgrade, write_revision

    with environment() as settings:
        asyncio.run(upgrade(settings.database_url or ""))
        if revision:
            asyncio.run(write_revision(settings.database_url or "", revision))


@main.command()
def seed() -> None:
    """Fill an empty database with a shop to look at."""
    from shared.demo_data import fill

    with environment() as settings:
        asyncio.run(fill(settings))


class Since(click.ParamType[datetime]):
    """A moment in the past, 1970 at the earliest: `30d`, `12h`, or a date such as 2026-11-01 (UTC)."""

    name = "since"
    UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}  # noqa: RUF012 - never changed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The moment; a wrong one is wrong usage."""
        text, now = str(value).strip(), datetime.now(UTC)
        try:
            if text[:-1].isdecimal() and text[-1] in self.UNITS:
                moment = now - int(text[:-1]) * self.UNITS[text[-1]]
            else:
                moment = datetime.fromisoformat(text)
        except (ValueError, OverflowError):
            self.fail(f"{text!r} is neither like 30d or 12h nor a date like 2026-11-01.", param, ctx)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if moment > now:
            self.fail(f"{text!r} is in the future.", param, ctx)
        if moment < datetime.fromtimestamp(0, UTC):
            self.fail(f"{text!r} is before 1970, where Stripe's time begins.", param, ctx)
        return moment


@main.command()
@click.option(
    "--since", type=Since(), default="7d", show_default=True, metavar="WHEN", help="30d, 12h or a date (UTC)."
)
@click.option(
    "--grace",
    default=120,
    show_default=True,
    type=click.IntRange(0, 86_400),
    metavar="SECONDS",
    help="Leave alone what is younger: it may still be on its way.",
)
@click.option("--commit", is_flag=True, help="Repair what differs; without it nothing is changed.")
@click.option("--refund-orphans", is_flag=True, help="Also give back money of ours that no order here knows.")
@click.option("--json", "machine", is_flag=True, help="Print JSON, for machines.")
def reconcile(since: datetime, grace: int, commit: bool, refund_orphans: bool, machine: bool) -> None:
    """Hold all that Stripe says against our own books, both ways.

    Exit status 0: nothing differs; 1: something does, or did until it was repaired; 2: Stripe or the
    database could not be asked.
    """
    from shared.serving import build

    command = import_module("cart.reconcile.command")
    with environment():
        with redirect_stdout(sys.stderr):  # the log goes there too: standard output is for what was found
            report = asyncio.run(
                command.run(
                    build(),
                    since=since,
                    grace=timedelta(seconds=grace),
                    commit=commit,
                    refund_orphans=refund_orphans,
                    progress=partial(click.echo, err=True),
                )
            )
        click.echo(json.dumps(command.as_json(report)) if machine else command.as_text(report))
    sys.exit(command.exit_status(report))


@main.command()
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(1024, 65532), help="The first of four."
)
@click.option("--reset", is_flag=True, help="Start over: forget orders, mails and payments.")
def demo(port: int, reset: bool) -> None:
    """Start everything a shop needs and show where it is."""
    from shared.demo import run_demo

    run_demo(Settings.from_env({**os.environ, "TILLGATE_ENV": "development"}), port, reset=reset)


def announce_alone(settings: Settings) -> None:
    """A way in for who looks at one domain without a worker that sends mail. Raises SettingsError in production."""
    from shared.demo_data import sign_in_links
    from shared.migrate import upgrade

    if settings.production:
        raise SettingsError("--only puts a stub in the other domain's place; it is not for production.")
    asyncio.run(upgrade(settings.database_url or ""))
    click.echo(f"Sign in: {asyncio.run(sign_in_links(settings))['buyer']}")


@contextmanager
def environment() -> Iterator[Settings]:
    """The settings with a database: DATABASE_URL's, or (never in production) the embedded one."""
    settings = Settings.from_env()
    if settings.database_url:
        yield settings
        return
    with running(settings.var_dir / EMBEDDED_DATA) as server:
        os.environ["DATABASE_URL"] = server.url()  # Hypercorn's workers read their own settings
        yield Settings.from_env()
