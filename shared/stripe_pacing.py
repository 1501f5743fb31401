"""Calls that a rush makes wait their turn, and are made again where Stripe says that it was too fast (spec: L9).

Stripe takes 25 calls a second of one kind, and its SDK does not repeat a 429. Whoever goes to payment holds tickets
already, so waiting a little is right and an error is not. Nothing of the database is held meanwhile. Several processes
share Stripe's limit and do not know of each other: the 429 tells them. Used by payments.py.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared.contracts.payment_errors import PaymentsUnavailable

T = TypeVar("T")

PER_SECOND = 20
"""Of one kind and account, from one process; below Stripe's 25."""
PATIENCE = 20.0
"""Seconds that a buyer waits at most, with their tickets held, before they are asked to try again."""
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 3.0


class Crowded(PaymentsUnavailable):
    """Very many people are paying at this moment. Your tickets stay held; please continue to payment in a moment."""

    code = "CROWDED"


class Pacer:
    """A turn for each call of a kind, in the order in which they came."""

    def __init__(self) -> None:
        self._free_at: dict[tuple[str, str], float] = {}

    async def patiently(self, kind: str, account: str, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` gets, when it is its turn; asked again after a 429. Raises Crowded, and what `ask` raises."""
        loop = asyncio.get_running_loop()
        give_up_at, pause = loop.time() + PATIENCE, FIRST_PAUSE
        while True:
            await self._turn((kind, account), give_up_at)
            try:
                return await ask()
            except Crowded:
                if loop.time() + pause > give_up_at:
                    raise
                # not all again in one moment
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - nothing to guess
                pause = min(2 * pause, LONGEST_PAUSE)

    async def _turn(self, key: tuple[str, str], give_up_at: float) -> None:
        now = asyncio.get_running_loop().time()
        mine = max(now, self._free_at.get(key, now))
        if mine > give_up_at:
            raise Crowded
        self._free_at[key] = mine + 1 / PER_SECOND
        await asyncio.sleep(mine - now)
