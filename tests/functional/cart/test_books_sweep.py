"""The sweep of the books: each account, each transaction once, whoever runs it, however often, and after a crash."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from cart.books import keeping
from shared.contracts.facts import TransactionFacts
from shared.contracts.payment_errors import PaymentsRefused
from tests.cart_world import World
from tests.ledger_sums import sums


async def post(world: World) -> int:
    """The worker's sweep."""
    return await keeping.post_new(world.sessions, world.till, now=world.clock.now())


async def test_each_account_has_its_own_books(world: World) -> None:
    """A page with its own Stripe account: listed from there, booked there; the platform's stays as it is."""
    kind = await world.sell(cost=2000, stripe_account="acct_hall")
    other = await world.sell(page="club", cost=700)
    await world.paid(kind)
    await world.paid(other)
    assert await post(world) == 2
    of_hall = {"stripe_balance": 1950, "sales": -2000, "fees": 50}
    assert await sums(world.sessions, stripe_account="acct_hall") == of_hall
    of_platform = {"stripe_balance": 650, "sales": -700, "fees": 50}
    assert await sums(world.sessions, stripe_account="") == of_platform


async def test_listed_again_from_where_it_ended(world: World) -> None:
    """The next look begins a minute before the newest; what was there is not posted twice."""
    kind = await world.sell(cost=2000)
    await world.paid(kind)
    await post(world)
    world.payments.now += timedelta(days=1)
    await world.paid(kind)
    assert await post(world) == 1
    world.payments.now += timedelta(seconds=30)
    await world.paid(kind)
    assert await post(world) == 1
    assert (await sums(world.sessions))["fees"] == 150
    assert (
        await keeping.fetch(world.sessions, world.payments, stripe_account="", since=world.payments.now) == 0
    )


async def test_two_workers_post_once(world: World) -> None:
    """Two sweeps at the same time: each transaction is in the ledger once, and neither fails."""
    kind = await world.sell(cost=2000)
    for _ in range(4):
        await world.paid(kind)
    assert sum(await asyncio.gather(*(post(world) for _ in range(3)))) == 4
    assert (await sums(world.sessions))["fees"] == 200


async def test_a_crash_while_mirroring_leaves_no_gap(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was mirrored before the crash is older than all that was not, so the next look begins early enough."""
    kind = await world.sell(cost=2000)
    for _ in range(4):
        await world.paid(kind)
        world.payments.now += timedelta(hours=1)
    real, calls = keeping.mirror, 0

    async def crashing(session: AsyncSession, transactions: Sequence[TransactionFacts]) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise RuntimeError
        return await real(session, transactions)

    monkeypatch.setattr(keeping, "BATCH", 1)
    monkeypatch.setattr(keeping, "mirror", crashing)
    with pytest.raises(RuntimeError):
        await post(world)
    await post(world)
    assert (await sums(world.sessions))["fees"] == 200


async def test_one_closed_account_stops_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account that Stripe no longer shows us: the books of the others go on."""
    await world.paid(await world.sell(cost=2000, stripe_account="acct_hall"))
    await world.paid(await world.sell(page="club", cost=700))
    real = world.payments.transactions

    def closed(*, stripe_account: str, **others: Any) -> AsyncIterator[TransactionFacts]:
        if stripe_account == "acct_hall":
            raise PaymentsRefused
        return real(stripe_account=stripe_account, **others)

    monkeypatch.setattr(world.payments, "transactions", closed)
    assert await post(world) == 1
