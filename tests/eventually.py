"""Waiting for what another task or process does, without guessing how long it takes."""

import asyncio
from collections.abc import Awaitable, Callable

PATIENCE = 60
"""Seconds: a process that starts beside eight busy ones takes half of it."""


async def eventually(holds: Callable[[], Awaitable[bool]], *, within: float = PATIENCE) -> None:
    """Return as soon as `holds()` is true; fails after `within` seconds."""
    async with asyncio.timeout(within):
        while not await holds():  # noqa: ASYNC110 - what changes is in the database, it sets no event
            await asyncio.sleep(0.01)
