"""An app of ours on a real port, in this process; for tests of what lies below the routes."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hypercorn.asyncio import serve
from hypercorn.config import Config
from quart import Quart


@asynccontextmanager
async def answering(app: Quart) -> AsyncIterator[str]:
    """The app on a real port; yields its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config, done = Config(), asyncio.Event()
    config.bind, config.graceful_timeout = [f"fd://{listener.detach()}"], 0.2
    config.errorlog = config.accesslog = None
    task = asyncio.create_task(serve(app, config, shutdown_trigger=done.wait))  # type: ignore[arg-type]
    try:
        yield address
    finally:
        done.set()
        await task
