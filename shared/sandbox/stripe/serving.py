"""Serves the stand-in with Hypercorn on the loopback address; used by the command line and by tests."""

import socket
from collections.abc import Awaitable, Callable
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config

from shared.sandbox.stripe.app import StandinApp


def loopback_socket(port: int) -> socket.socket:
    """A listening socket on 127.0.0.1; port 0 takes a free one. Raises OSError where the port is taken."""
    listener = socket.create_server(("127.0.0.1", port), backlog=256)
    listener.setblocking(False)
    return listener


async def serve_on(listener: socket.socket, app: StandinApp, until: Callable[[], Awaitable[Any]]) -> None:
    """Serve until `until` returns; says nothing on the way."""
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.accesslog = None
    config.errorlog = None
    config.include_date_header = False  # the app sends its own: the stand-in's clock
    config.graceful_timeout = 0.5
    config.keep_alive_timeout = 60
    await serve(app, config, shutdown_trigger=until)
