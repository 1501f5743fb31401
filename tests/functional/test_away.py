"""Stripe, the mail server or the database is away: the app and the worker start and go on all the same (spec: A6)."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from structlog.testing import capture_logs

from cart.models import Refund
from shared import stripe_client
from shared.app import create_app
from shared.clock import ManualClock
from shared.contracts.states import OrderState
from shared.database import Database, Sessions
from shared.models import Heartbeat, OutgoingMail
from shared.settings import Settings
from shared.web import Tillgate
from shared.worker import Worker
from tests.cart_world import World
from tests.eventually import eventually
from tests.shop import page_of
from tests.support import browser, signed_in_client


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine that refuses: bound, so that nobody else takes it, but not listening."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def away(settings: Settings, closed_port: int) -> Settings:
    """Nothing outside answers."""
    return replace(
        settings,
        stripe_secret_key="sk_test_away",
        stripe_webhook_secrets=("whsec_away",),
        stripe_api_base=f"http://127.0.0.1:{closed_port}",
        smtp_url=f"smtp://127.0.0.1:{closed_port}",
    )


async def test_app_without_stripe(
    away: Settings, database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It starts, sells as far as the payment page, says so, and keeps the tickets; free ones need nobody (spec: A6)."""
    monkeypatch.setattr(stripe_client, "NETWORK_RETRIES", 0)
    world = World(database.sessions, clock)
    kind, free = await world.sell(capacity=3), await world.sell("talk", page="school", cost=0)
    async with create_app(away, database=database, clock=clock).test_app() as started:
        app = started.app
        assert isinstance(app, Tillgate)
        client = await signed_in_client(app)
        assert (await client.get("/health/ready")).status_code == 200
        await world.put(client.user_id, kind, 2)
        form = {"fingerprint": await world.seen(client.user_id)}
        page = await page_of(await client.post("/checkout", form=form, follow_redirects=True))
        assert "did not answer" in page
        assert "still" in page
        assert "Continue to payment" in page
        assert await world.allocated(kind) == 2
        await world.put(client.user_id, free, 1)
        form = {"fingerprint": await world.seen(client.user_id)}
        assert "You are in" in await page_of(await client.post("/checkout", form=form, follow_redirects=True))


@pytest.mark.parametrize("domains", [("events", "cart"), ("cart",), ("events",)])
async def test_app_without_a_database(away: Settings, domains: tuple[str, ...]) -> None:
    """It starts, says so in the log and on every page, and lives (spec: A6)."""
    nowhere = replace(away, database_url="postgresql+asyncpg://postgres@/x?host=/nowhere")
    with capture_logs() as lines:
        async with create_app(nowhere, domains).test_app() as started:
            app = started.app
            assert isinstance(app, Tillgate)
            client = browser(app)
            assert (await client.get("/health/live")).status_code == 200
            assert (await client.get("/health/ready")).status_code == 503
            answer = await client.post("/sign-in", form={"email": "ada@example.org"})
            assert answer.status_code == 503
            assert "We cannot reach our records" in await page_of(answer)
    assert "not ready yet" in {line["event"] for line in lines}


@asynccontextmanager
async def working(app: Tillgate) -> AsyncIterator[asyncio.Task[None]]:
    """The worker as `python -m shared worker` runs it, until the block ends."""
    worker = Worker(app)
    async with app.test_app():
        task = asyncio.create_task(worker.run())
        try:
            yield task
        finally:
            worker.stop.set()
            await asyncio.wait_for(task, 20)


async def test_database_goes_away_from_a_signed_in_buyer(
    settings: Settings, database: Database, clock: ManualClock
) -> None:
    """The page says so in our words: it needs nothing of the database itself, neither who is signed in (spec: A6)."""
    async with create_app(settings, database=database, clock=clock).test_app() as started:
        app = started.app
        assert isinstance(app, Tillgate)
        client = await signed_in_client(app)
        app.database = Database("postgresql+asyncpg://postgres@/x?host=/nowhere")
        answer = await client.get("/cart")
        assert answer.status_code == 503
        assert "We cannot reach our records" in await page_of(answer)
        await app.database.close()


END_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


async def test_nobody_notices_that_the_database_was_restarted(app: Tillgate, database: Database) -> None:
    """The connections that the pool had kept are closed: the next request gets a new one, not an error (spec: A6)."""
    client = await signed_in_client(app)
    assert (await client.get("/cart")).status_code == 200
    kept = await database.engine.raw_connection()
    connection = kept.driver_connection
    assert connection is not None
    kept.close()
    other = Database(database.engine.url.render_as_string(hide_password=False))
    async with other.read() as outside:
        await outside.execute(text(END_OTHERS))
    await other.close()

    async def noticed() -> bool:
        return bool(connection.is_closed())

    await eventually(noticed)
    assert (await client.get("/cart")).status_code == 200


async def test_database_goes_away_in_the_middle_of_a_request(
    app: Tillgate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That request has no answer any more; it says so, and the asker may try again (spec: A6, D9)."""
    client = await signed_in_client(app)

    async def ended(session: AsyncSession, **_asked: object) -> None:
        await session.execute(select(func.pg_terminate_backend(func.pg_backend_pid())))

    monkeypatch.setattr(app.services.cart, "cart_summary", ended)
    answer = await client.get("/cart")
    assert answer.status_code == 503
    assert "One moment, please" in await page_of(answer)


async def test_database_goes_away_at_the_commit(
    app: Tillgate, database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not written is not said to be done, neither there nor on the next page (spec: A6, D9)."""
    kind = await World(database.sessions, clock).sell()
    client = await signed_in_client(app)
    buy, form = "/p/hall/concert/buy", {f"quantity-{kind}": "1"}

    async def ended(session: AsyncSession) -> None:
        await session.execute(select(func.pg_terminate_backend(func.pg_backend_pid())))

    with monkeypatch.context() as away:
        away.setattr(AsyncSession, "commit", ended)
        answer = await client.post(buy, form=form)
    assert answer.status_code == 503
    page = await page_of(answer)
    assert "One moment, please" in page
    assert "Added to cart" not in page
    assert "Added to cart" not in await page_of(await client.get("/cart"))
    assert "Added to cart" in await page_of(await client.post(buy, form=form, follow_redirects=True))


async def test_worker_with_nobody_outside(
    away: Settings, database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mails, refunds and lapsed orders are put off with their reason; the other sweeps and the heartbeat go on."""
    monkeypatch.setattr(stripe_client, "NETWORK_RETRIES", 0)
    world = World(database.sessions, clock)
    kind = await world.sell(capacity=3)
    _, _, session_id = await world.bought(kind)
    facts = world.payments.pay(session_id)
    await world.settle(facts)
    await world.settle(replace(facts, payment_intent="pi_again"))
    _, lapsed, _ = await world.bought(kind)
    now = clock.advance(minutes=31)
    async with working(create_app(away, database=database, clock=clock)) as task:
        await eventually(lambda: tried(database.sessions, now))
        assert not task.done()
    async with database.sessions() as session:
        mails, refunds = (
            list(await session.scalars(select(OutgoingMail))),
            list(await session.scalars(select(Refund))),
        )
    assert {mail.state for mail in mails} == {"due"}
    assert [refund.state for refund in refunds] == ["due"]
    assert (await world.order(lapsed)).state == OrderState.PENDING
    assert await world.allocated(kind) == 2


async def tried(sessions: Sessions, now: datetime) -> bool:
    """Whether the worker is alive, and has tried a mail and the refund in vain."""
    async with sessions() as session:
        beat = await session.scalar(select(Heartbeat.at))
        mail = await session.scalar(
            select(OutgoingMail.id).where(OutgoingMail.last_error.is_not(None)).limit(1)
        )
        refund = await session.scalar(select(Refund.id).where(Refund.last_error.is_not(None)).limit(1))
    return beat == now and mail is not None and refund is not None


async def test_worker_gets_over_a_sweep_that_fails(app: Tillgate) -> None:
    """A bug in one sweep is logged, the worker stays and the others run (spec: A6)."""
    done = asyncio.Event()

    async def broken(_now: datetime) -> int:
        raise RuntimeError("a bug")

    async def sound(_now: datetime) -> int:
        done.set()
        return 0

    app.sweeps = {"broken": broken, "sound": sound}
    worker = Worker(app)
    with capture_logs() as lines:
        task = asyncio.create_task(worker.run())
        await asyncio.wait_for(done.wait(), 20)
        await eventually(lambda: logged(lines))
        assert not task.done()
        worker.stop.set()
        await asyncio.wait_for(task, 20)


async def logged(lines: list[object]) -> bool:
    """Whether the failure stands in the log with its sweep's name."""
    return any(line["sweep"] == "broken" for line in lines if line["event"] == "sweep failed")  # type: ignore[index, call-overload]
