"""The operator asks for a comparison of the books: once, by the worker, and both pages say that it is on its way."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import select, text

from cart.reconcile import asking
from cart.reconcile.run import HOUR, reconcile_due
from cart.records import Reconciliation, ReconciliationRequest
from shared.clock import ManualClock
from shared.contracts.states import PageRole
from shared.database import Database
from shared.settings import Settings
from shared.worker import Worker
from tests.eventually import eventually
from tests.shop import Shop, page_of
from tests.support import Browser

OPERATOR = "operator@example.org"
PATH = "/operator/books/compare"


@pytest.fixture
def shop(settings: Settings, database: Database, clock: ManualClock) -> Shop:
    """A shop with an operator; Stripe's clock is ours."""
    made = Shop(replace(settings, operators=(OPERATOR,)), database, clock)
    made.payments.now = clock.now()
    return made


async def runs(shop: Shop) -> list[Reconciliation]:
    """All runs, oldest first."""
    async with shop.database.sessions() as session:
        return list(await session.scalars(select(Reconciliation).order_by(Reconciliation.started_at)))


async def requests(shop: Shop) -> list[ReconciliationRequest]:
    """All that was asked for."""
    async with shop.database.sessions() as session:
        return list(await session.scalars(select(ReconciliationRequest)))


async def due(shop: Shop) -> None:
    """What the worker's sweep does."""
    await reconcile_due(shop.database.sessions, shop.world.till, now=shop.clock.now())


async def read(client: Browser, path: str) -> str:
    """The page at an address."""
    answer = await client.get(path)
    assert answer.status_code == 200, path
    return await page_of(answer)


async def test_asked_for_runs_once_and_soon(shop: Shop) -> None:
    """Not due for most of an hour; asked for three times, it runs once, and its end brings the button back."""
    operator = await shop.buyer(OPERATOR)
    await due(shop)
    shop.clock.advance(minutes=5)
    await due(shop)
    assert len(await runs(shop)) == 1
    assert "Compare now" in await read(operator, "/operator/books")
    for _ in range(3):
        assert (await operator.post(PATH)).headers["Location"] == "/operator/books"
    page = await read(operator, "/operator/books")
    assert "A comparison was asked for on" in page
    assert "Compare now" not in page
    async with shop.database.sessions() as session:
        nudged = await session.scalars(text("SELECT convert_from(payload, 'UTF8') FROM pgqueuer"))
        assert list(nudged).count("reconcile") == 1
    await asyncio.gather(*(due(shop) for _ in range(4)))
    first, asked = await runs(shop)
    (request,) = await requests(shop)
    assert (request.run_id, request.actor) == (asked.id, f"user:{operator.user_id}")
    assert first.finished_at is not None
    assert asked.finished_at is not None
    assert asked.committed
    assert "Compare now" in await read(operator, "/operator/books")
    shop.clock.advance(hours=1)
    await due(shop)
    assert len(await runs(shop)) == 3, "the next hourly one"


async def test_asked_for_at_once(shop: Shop) -> None:
    """Two tabs, two operators: one request."""

    async def ask(number: int) -> None:
        async with shop.database.sessions.begin() as session:
            await asking.ask(session, actor=f"user:{number}", now=shop.clock.now())

    await asyncio.gather(*(ask(number) for number in range(8)))
    assert len(await requests(shop)) == 1


async def test_while_it_runs_nobody_can_ask(shop: Shop) -> None:
    """Both pages say since when; one that was cut off can be asked for anew after a while."""
    kind = await shop.world.sell()
    owner, operator = await shop.buyer("owner@example.org"), await shop.buyer(OPERATOR)
    await shop.world.employ(kind, owner.user_id)
    async with shop.database.sessions.begin() as session:
        values = {"committed": True, "compared": {}, "differences": [], "actor": "worker"}
        now = shop.clock.now()
        session.add(Reconciliation(started_at=now, since=now - HOUR, **values))
    since = f"{shop.clock.now():%H:%M} (UTC)"
    page = await read(operator, "/operator/books")
    assert f"{since}. It takes some minutes" in page
    assert "The books are being compared since" in await read(owner, "/organizer/hall/books")
    await operator.post(PATH)
    assert await requests(shop) == []
    shop.clock.advance(minutes=21)
    assert "being compared" not in await read(owner, "/organizer/hall/books")
    assert "Compare now" in await read(operator, "/operator/books")
    await operator.post(PATH)
    assert len(await requests(shop)) == 1
    await due(shop)
    assert [run.finished_at is None for run in await runs(shop)] == [True, False]
    page = await read(operator, "/operator/books")
    assert "Cut off" in page


async def test_only_the_operator_may_ask(shop: Shop) -> None:
    """The button stands on the organizer's page too, for an operator who sells there; for nobody else (spec: D10)."""
    kind = await shop.world.sell()
    owner, operator = await shop.buyer("owner@example.org"), await shop.buyer(OPERATOR)
    await shop.world.employ(kind, owner.user_id)
    await shop.world.employ(kind, operator.user_id, PageRole.STAFF)
    assert "Compare now" not in await read(owner, "/organizer/hall/books")
    assert "Compare now" in await read(operator, "/organizer/hall/books")
    assert (await owner.post(PATH)).status_code == 404
    assert (await operator.post(PATH, headers={"Origin": "http://elsewhere.test"})).status_code == 403
    assert await requests(shop) == []


async def test_asking_is_limited(shop: Shop) -> None:
    """As all that costs calls at Stripe."""
    operator = await shop.buyer(OPERATOR)
    statuses = [(await operator.post(PATH)).status_code for _ in range(11)]
    assert statuses == [303] * 10 + [429]


async def test_the_worker_hears_of_it(shop: Shop) -> None:
    """By the nudge, on a real worker: it need not wait for its round."""
    worker = Worker(shop.app)
    task = asyncio.create_task(worker.run())

    async def finished() -> int:
        return sum(run.finished_at is not None for run in await runs(shop))

    async def first() -> bool:
        return await finished() == 1

    async def second() -> bool:
        return await finished() == 2

    await eventually(first)
    async with shop.database.sessions.begin() as session:
        await asking.ask(session, actor="user:x", now=shop.clock.now())
    await eventually(second, within=10)  # a round is longer
    worker.stop.set()
    await task
