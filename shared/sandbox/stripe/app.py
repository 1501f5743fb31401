"""create_standin: the whole stand-in as one Quart app."""

import asyncio
import contextlib
from collections.abc import Sequence
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
from quart import Quart, Response

from shared.sandbox.stripe import accounts, endpoints, paying
from shared.sandbox.stripe.api import api_blueprint
from shared.sandbox.stripe.control import control_blueprint
from shared.sandbox.stripe.core import Standin
from shared.sandbox.stripe.hosted import hosted_blueprint
from shared.sandbox.stripe.store import Store
from shared.sandbox.stripe.webhooks import Deliveries

MAX_BODY = 1024 * 1024


class StandinApp(Quart):
    """The app, with the stand-in it serves."""

    standin: Standin


def create_standin(
    *,
    secret_key: str,
    webhook_url: str | None,
    webhook_secret: str,
    public_url: str,
    state_file: Path | None = None,
    connect_secret: str | None = None,
    event_types: Sequence[str] = (),
    known_accounts: Sequence[str] = (),
    transport: httpx.AsyncBaseTransport | None = None,
) -> StandinApp:
    """Build the stand-in.

    `public_url` is its own address, used for the payment page. `event_types` limits what is sent to the
    webhook (empty = everything), `connect_secret` signs the events of connected accounts, `known_accounts` are
    those the key may act for, and `transport` lets a test receive webhooks without a network.
    """
    app = StandinApp(__name__, static_folder="static", template_folder="templates")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.standin = Standin(
        secret_key=secret_key,
        public_url=public_url.rstrip("/"),
        store=Store(state_file),
        deliveries=Deliveries(transport),
    )
    for account_id in known_accounts:
        accounts.open_account(app.standin, account_id)
    if webhook_url is not None:
        endpoints.adopt(
            app.standin, webhook_url, webhook_secret, connect_secret or webhook_secret, event_types
        )
    app.register_blueprint(api_blueprint(app.standin))
    app.register_blueprint(hosted_blueprint(app.standin))
    app.register_blueprint(control_blueprint(app.standin))
    _run_the_clock(app)
    _tell_the_time(app)
    return app


def _tell_the_time(app: StandinApp) -> None:
    """Answers carry the stand-in's clock, so that a shop can hold its own against it."""

    @app.after_request
    async def stamp(answer: Response) -> Response:
        answer.headers["Date"] = formatdate(app.standin.store.clock.now(), usegmt=True)
        return answer


def _run_the_clock(app: StandinApp) -> None:
    standin = app.standin
    running: list[asyncio.Task[Any]] = []

    async def clockwork() -> None:
        while True:
            paying.tick(standin)
            standin.store.save()
            await asyncio.sleep(1)

    @app.before_serving
    async def start() -> None:
        running.append(asyncio.get_running_loop().create_task(clockwork()))

    @app.after_serving
    async def stop() -> None:
        for task in running:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await standin.deliveries.close()
        standin.store.save()
