"""`python -m shared.sandbox.stripe`: the stand-in as a process of its own, until SIGINT or SIGTERM."""

import asyncio
import signal
import socket
from pathlib import Path

import click
import uvloop

from shared.sandbox.stripe.app import StandinApp, create_standin
from shared.sandbox.stripe.serving import loopback_socket, serve_on


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8001, show_default=True)
@click.option("--webhook-url", help="Where events are sent; left out, they are only listed.")
@click.option("--secret-key", required=True, envvar="STRIPE_SECRET_KEY")
@click.option("--webhook-secret", required=True, envvar="STRIPE_WEBHOOK_SECRET")
@click.option(
    "--connect-secret", help="Signs events of connected accounts; left out, the webhook secret does."
)
@click.option("--event", "event_types", multiple=True, help="Send only events of this type; may be repeated.")
@click.option("--account", "accounts", multiple=True, help="A connected account to know; may be repeated.")
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File that keeps everything over a restart.",
)
def main(
    port: int,
    webhook_url: str | None,
    secret_key: str,
    webhook_secret: str,
    connect_secret: str | None,
    event_types: tuple[str, ...],
    accounts: tuple[str, ...],
    state: Path | None,
) -> None:
    """Speak Stripe's API on 127.0.0.1. No real money moves."""
    try:
        listener = loopback_socket(port)
    except OSError as error:
        raise click.ClickException(f"Port {port} is taken: {error.strerror}.") from error
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app = create_standin(
        secret_key=secret_key,
        webhook_url=webhook_url,
        webhook_secret=webhook_secret,
        public_url=address,
        state_file=state,
        connect_secret=connect_secret,
        event_types=event_types,
        known_accounts=accounts,
    )
    click.echo(f"Payment stand-in on {address}")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve_until_stopped(listener, app))


async def _serve_until_stopped(listener: socket.socket, app: StandinApp) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    await serve_on(listener, app, stop.wait)


if __name__ == "__main__":
    main()
