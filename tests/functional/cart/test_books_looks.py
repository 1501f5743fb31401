"""An idle shop hardly asks Stripe, and a busy one asks soon (spec: L9)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from cart.books import keeping, looks
from cart.models import LedgerTransfer
from shared.contracts.facts import TransactionFacts
from tests.cart_world import World


async def sweep(world: World, *, minutes: float) -> int:
    """The worker's sweep every 15 seconds for so long; how many looks that made."""
    asked, ask = [], world.payments.transactions

    def count(**of: Any) -> AsyncIterator[TransactionFacts]:
        asked.append(of)
        return ask(**of)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.payments, "transactions", count)
        for _ in range(int(minutes * 4)):
            await keeping.post_due(world.sessions, world.till, now=world.clock.advance(seconds=15))
    return len(asked)


async def test_an_idle_shop_is_quiet(world: World) -> None:
    """Without a sign a look every twelve minutes: 3,600 a month in place of 172,800."""
    assert await sweep(world, minutes=30) == 3


async def test_a_sale_is_booked_soon(world: World) -> None:
    """Within the next sweep; a minute later all is quiet again."""
    kind = await world.sell(cost=1500)
    await sweep(world, minutes=1)
    await world.paid(kind)
    assert await sweep(world, minutes=0.25) == 1
    assert await world.count(LedgerTransfer) > 1, "the gross, and Stripe's fee"
    assert await sweep(world, minutes=3) <= 5
    assert await sweep(world, minutes=8) == 0


async def test_workers_look_one_at_a_time(world: World) -> None:
    """Of ten at once one looks."""
    now = world.clock.now()
    claims = await asyncio.gather(*(looks.claim(world.sessions, "", now=now) for _ in range(10)))
    assert sum(claims) == 1
    assert not await looks.claim(world.sessions, "", now=now + timedelta(seconds=9))
    assert await looks.claim(world.sessions, "acct_other", now=now), "each account by itself"
