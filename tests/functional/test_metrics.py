"""Prometheus metrics, scraped as Prometheus does: of a shop with several processes, and of a worker (issue 3.6)."""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from shared import metrics
from shared.app import create_app
from shared.clock import ManualClock
from shared.database import Database
from shared.sandbox.stripe.running import RunningStandin
from shared.settings import ROOT, Settings, SettingsError
from shared.worker import Worker
from tests.eventually import PATIENCE, eventually
from tests.ports import four_free_ports
from tests.shop import Shop
from tests.support import browser, signed_in_client

Samples = dict[tuple[str, tuple[str, ...]], float]
ANYWHERE = ("127.0.0.1", 0)


def samples(text: str) -> Samples:
    """Every number by its name and its labels' values, in the order of their names."""
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scrape(port: int | None) -> Samples:
    """What Prometheus would read."""
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        answer = await client.get(f"http://127.0.0.1:{port}/metrics")
    assert answer.is_success
    return samples(answer.text)


async def test_requests_by_endpoint_and_status(shop: Shop) -> None:
    """Counted with their time; an unknown address is one thing, whatever it says."""
    before = samples_now()
    client = browser(shop.app)
    for path in ("/", "/", "/wp-admin/secret", "/health/live"):
        await client.get(path)
    with metrics.shown(ANYWHERE) as port:
        after = await scrape(port)
    assert grown(before, after, "tillgate_request_seconds_count") == {
        ("events.home", "200"): 2,
        ("health.live", "200"): 1,
        ("unknown", "404"): 1,
    }
    assert "secret" not in str(after)


def samples_now() -> Samples:
    """The same without a port."""
    return samples(generate_latest(metrics.REGISTRY).decode())


def grown(before: Samples, after: Samples, name: str) -> dict[tuple[str, ...], float]:
    """By how much the counters of this name grew."""
    growth = {key: number - before.get(key, 0) for key, number in after.items()}
    return {labels: number for (sample, labels), number in growth.items() if sample == name and number}


async def test_claims_refused(shop: Shop) -> None:
    """By reason: sold out in between is the one that an on-sale is watched for."""
    kind = await shop.world.sell(capacity=1)
    client, other = await shop.buyer_with(kind), await shop.buyer_with(kind, email="bob@example.org")
    seen = await shop.world.seen(client.user_id)
    await shop.order_of(other)
    before = samples_now()
    assert (await client.post("/checkout", form={"fingerprint": seen})).status_code == 409
    assert grown(before, samples_now(), "tillgate_claims_refused_total") == {("SOLD_OUT",): 1}


async def test_calls_to_stripe(
    settings: Settings, database: Database, clock: ManualClock, standin: RunningStandin
) -> None:
    """By method and outcome: a purchase's, one list however many it holds, and those with a key that was rolled."""
    keys = replace(
        settings,
        stripe_secret_key=standin.secret_key,
        stripe_webhook_secrets=("whsec_ours",),
        stripe_api_base=standin.url,
    )
    app = create_app(keys, database=database, clock=clock)
    shop = Shop(settings, database, clock)
    before = samples_now()
    async with app.test_app():
        buyer = await signed_in_client(app)
        await shop.world.put(buyer.user_id, await shop.world.sell(), 1)
        paying = await buyer.post("/checkout", form={"fingerprint": await shop.world.seen(buyer.user_id)})
        await standin.pay(paying.headers["Location"].rsplit("/", 1)[1])
        await app.sweeps["books"](clock.now())
    rolled = create_app(replace(keys, stripe_secret_key="sk_test_rolled"), database=database, clock=clock)
    async with rolled.test_app():
        await rolled.sweeps["checks"](clock.now())
    assert grown(before, samples_now(), "tillgate_stripe_call_seconds_count") == {
        ("Customer.create", "ok"): 1,
        ("Session.create", "ok"): 1,
        ("BalanceTransaction.list", "ok"): 1,
        ("Balance.retrieve", "key_refused"): 1,
        ("WebhookEndpoint.list", "key_refused"): 1,
    }


async def test_a_worker_measures(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Facts, due rows, orders and tickets by state, sweeps with their failures; no address and no id."""
    kind = await shop.world.sell(capacity=5)
    order_id = await shop.paid_order_of(await shop.buyer_with(kind, 2))
    shop.app.settings = replace(shop.app.settings, metrics_bind=ANYWHERE)

    async def broken(_now: object) -> int:
        raise RuntimeError

    shop.app.sweeps = {"broken": broken}
    worker = Worker(shop.app)
    await worker.beat()
    task = asyncio.create_task(worker.run())
    with metrics.shown(ANYWHERE) as port:

        async def measured() -> bool:
            return ("tillgate_orders", ("paid",)) in await scrape(port)

        await eventually(measured)
        worker.stop.set()
        await task
        text = str(found := await scrape(port))
    assert found["tillgate_orders", ("paid",)] == 1
    assert found["tillgate_tickets", ("confirmed",)] == 2
    assert found["tillgate_fact_level", ("worker_silent_seconds",)] == 0
    assert found["tillgate_fact_level", ("books_differences",)] == 1
    assert found["tillgate_fact_value", ("worker_silent_seconds",)] == 0
    assert found["tillgate_due_rows", ("mails_oldest_seconds",)] == 1
    assert found["tillgate_sweep_seconds_count", ("failed", "broken")] >= 1
    assert "@" not in text
    assert str(order_id) not in text


def test_a_taken_port_is_named() -> None:
    """Shop and worker of one machine with the same METRICS_BIND: the second says so instead of being unseen."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = taken.getsockname()[:2]
        with pytest.raises(SettingsError, match=r"^METRICS_BIND: \S+ is taken"), metrics.shown(bind):
            pass


def test_nothing_is_shown_unless_wanted() -> None:
    """Without METRICS_BIND no port is opened."""
    with metrics.shown(None) as port:
        assert port is None


@dataclass(frozen=True, slots=True)
class Serving:
    """A shop of two processes: its address, the port of its metrics, and what it writes."""

    address: str
    metrics_port: int
    log: Path

    def announcements(self) -> int:
        """How often it was said how things stand at the start."""
        return self.log.read_bytes().count(b"health at the start")


@pytest.fixture
def serving(database_url: str, tmp_path: Path) -> Iterator[Serving]:
    """Started; it may take a while to answer."""
    port = four_free_ports()
    counts = tmp_path / "counts"
    counts.mkdir()
    shop = Serving(f"http://127.0.0.1:{port}", port + 1, tmp_path / "log")
    env = {
        "TILLGATE_ENV": "development",
        "DATABASE_URL": database_url,
        "METRICS_BIND": f"127.0.0.1:{port + 1}",
        "TMPDIR": str(counts),
    }
    command = [sys.executable, "-m", "shared", "serve", "--workers", "2", "--bind", f"127.0.0.1:{port}"]
    with shop.log.open("wb") as output:
        process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    yield shop
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 0, shop.log.read_text()
    assert shop.announcements() == 1, "one of the processes speaks for all"
    assert list(counts.iterdir()) == [], "what they count in is gone"


@pytest.mark.timeout(300)
async def test_all_processes_of_a_shop_are_counted(serving: Serving) -> None:
    """Whichever process answered: the sum is right, at every scrape."""

    async def answers() -> bool:
        try:
            async with httpx.AsyncClient(base_url=serving.address) as browser:
                return (await browser.get("/health/ready")).is_success
        except httpx.TransportError:
            return False

    async def announced() -> bool:
        return serving.announcements() == 1

    await eventually(answers)
    await eventually(announced)  # by the other process, perhaps, which may still be starting
    for _ in range(20):
        # a new connection each: either process may take it
        async with httpx.AsyncClient(base_url=serving.address, timeout=PATIENCE) as browser:
            assert (await browser.get("/")).is_success
    for _ in range(3):
        counted = await scrape(serving.metrics_port)
        assert counted["tillgate_request_seconds_count", ("events.home", "200")] == 20
