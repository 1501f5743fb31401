"""Documents are drawn in a thread, one for each person at a time and a few in all; nothing of the database is held."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar
from uuid import UUID

from shared.errors import TooMany

P = ParamSpec("P")
T = TypeVar("T")

AT_ONCE = 2
"""Drawing is Python: each one more takes from whoever is served meanwhile."""


class StillDrawing(TooMany):
    """Your last document is still being made. Please wait for it, then ask for the next one."""

    code = "STILL_DRAWING"


class Drawing:
    """Who has a document made just now; the rest wait their turn."""

    def __init__(self) -> None:
        self._busy: set[UUID] = set()
        self._places = asyncio.Semaphore(AT_ONCE)

    async def of(self, user_id: UUID, draw: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `draw` makes. Raises StillDrawing. Whoever calls has let go of the database before."""
        if user_id in self._busy:
            raise StillDrawing
        self._busy.add(user_id)
        try:
            async with self._places:
                return await asyncio.to_thread(draw, *args, **kwargs)
        finally:
            self._busy.discard(user_id)
