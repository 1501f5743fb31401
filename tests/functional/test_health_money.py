"""Facts of money health: each is silent while all is well and speaks up when it is not (spec: H8)."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from cart.models import Order, Refund, WebhookEvent, WebhookRefusal
from cart.operator import health
from cart.records import Reconciliation
from shared.clock import ManualClock
from shared.contracts.states import OrderState
from shared.database import Base, Sessions
from shared.health_facts import Fact, Level, lasted, worker_fact
from shared.ids import new_id
from shared.models import Heartbeat, OutgoingMail
from tests.cart_world import World
from tests.shop import Shop

PAID, REFUND = "checkout.session.completed", "charge.refunded"


@pytest.fixture
def world(sessions: Sessions, clock: ManualClock) -> World:
    """A till on this test's database."""
    return World(sessions, clock)


def came(at: datetime, kind: str = PAID, **values: Any) -> WebhookEvent:
    """A webhook that came and was carried out, unless the values say otherwise."""
    return WebhookEvent(
        **{
            "id": f"evt_{new_id().hex}",
            "stripe_account": "",
            "type": kind,
            "livemode": False,
            "body": b"{}",
            "received_at": at,
            "processed_at": at,
            "result": "paid",
        }
        | values
    )


async def add(sessions: Sessions, *rows: Base) -> None:
    """Rows as they are."""
    async with sessions.begin() as session:
        session.add_all(rows)


async def fact(sessions: Sessions, find: Callable[..., Awaitable[Fact]], now: datetime) -> Fact:
    """One fact as it is now."""
    async with sessions.reading() as session:
        return await find(session, now)


async def paid(world: World, times: int = 1) -> None:
    """So many orders paid now, told by the buyers' return alone."""
    kind = await world.sell(f"concert-{new_id().hex[-6:]}", page=f"hall-{new_id().hex[-6:]}", capacity=50)
    for _ in range(times):
        _, _, session_id = await world.bought(kind)
        await world.settle(world.payments.pay(session_id))


async def test_payments_without_webhooks_are_an_alarm(world: World, clock: ManualClock) -> None:
    """No webhook for 40 minutes while 12 orders were paid (peers: webhook 404 for days, eventyay 2463)."""
    await add(world.sessions, came(clock.now()))
    clock.advance(minutes=5)
    await paid(world, 12)
    told = await fact(world.sessions, health.webhook_silence, clock.now())
    assert told.level == Level.OK, "the webhook of a payment may still be on its way"
    told = await fact(world.sessions, health.webhook_silence, clock.advance(minutes=40))
    assert told.level == Level.ALARM
    assert "12 orders were paid since: no webhook for 40 minutes" in told.words
    assert told.value == timedelta(minutes=40).total_seconds()
    await add(world.sessions, came(clock.now(), REFUND))
    told = await fact(world.sessions, health.webhook_silence, clock.now())
    assert told.level == Level.ALARM, "another kind of event does not tell of payments"
    await add(world.sessions, came(clock.now()))
    assert (await fact(world.sessions, health.webhook_silence, clock.now())).level == Level.OK


async def test_never_a_webhook_is_an_alarm(world: World, clock: ManualClock) -> None:
    """The endpoint was never set up: the first payment shows it."""
    await paid(world)
    told = await fact(world.sessions, health.webhook_silence, clock.advance(minutes=31))
    assert told.level == Level.ALARM
    assert "No webhook about a payment has ever come, and 1 order was paid since" in told.words


@pytest.mark.parametrize("webhook_first", [True, False])
async def test_a_quiet_night_is_no_alarm(world: World, clock: ManualClock, webhook_first: bool) -> None:
    """Whichever of webhook and return page came first by a second; then nobody buys for eight hours."""
    if webhook_first:
        await add(world.sessions, came(clock.now()))
        clock.advance(seconds=1)
        await paid(world)
    else:
        await paid(world)
        await add(world.sessions, came(clock.advance(seconds=1)))
    told = await fact(world.sessions, health.webhook_silence, clock.advance(hours=8))
    assert told.level == Level.OK
    assert "8 hours ago" in told.words


async def test_wrong_signatures(sessions: Sessions, clock: ManualClock) -> None:
    """One of Stripe's is worth a look; three and none good since means that the secret is wrong.

    A stranger alone changes nothing, however often they call (spec: L5).
    """
    now = clock.now()
    assert (await fact(sessions, health.signatures, now)).level == Level.OK
    await add(sessions, WebhookRefusal(at=now, reason="no", count=10_000))
    told = await fact(sessions, health.signatures, now)
    assert (told.level, "10000 of strangers" in told.words) == (Level.OK, True)
    await add(sessions, WebhookRefusal(at=now, reason="no", ours=True))
    assert (await fact(sessions, health.signatures, now)).level == Level.WARN
    await add(sessions, WebhookRefusal(at=now, reason="other", ours=True, count=2))
    told = await fact(sessions, health.signatures, now)
    assert (told.level, told.value, told.todo) == (Level.ALARM, 3, "Key rotated")
    await add(sessions, came(clock.advance(minutes=1), REFUND))
    assert (await fact(sessions, health.signatures, clock.now())).level == Level.WARN
    told = await fact(sessions, health.signatures, clock.advance(hours=2))
    assert (told.level, "3 within the day" in told.words) == (Level.OK, True)


async def test_events_left_over_and_unmatched(sessions: Sessions, clock: ManualClock) -> None:
    """What was stored and not done is due; what names an unknown order is shown for a week."""
    await add(
        sessions,
        came(clock.now(), processed_at=None, result=None),
        came(clock.now(), result="unmatched"),
    )
    assert (await fact(sessions, health.left_over, clock.now())).level == Level.OK
    told = await fact(sessions, health.left_over, clock.advance(minutes=16))
    assert (told.level, "1 event due, the oldest for 16 minutes" in told.words) == (Level.ALARM, True)
    told = await fact(sessions, health.unmatched, clock.now())
    assert (told.level, told.value) == (Level.WARN, 1)
    assert (await fact(sessions, health.unmatched, clock.advance(days=8))).level == Level.OK


async def test_stuck_refunds_are_seen(world: World, clock: ManualClock) -> None:
    """Failed is an alarm until it is solved, slow or disputed is worth a look (peers: Hi.Events 1067, 876)."""
    kind = await world.sell()
    _, _, session_id = await world.bought(kind)
    facts = world.payments.pay(session_id)
    await world.settle(facts)
    await world.settle(world.payments.pay_again(session_id))
    assert (await fact(world.sessions, health.refunds_stuck, clock.now())).level == Level.OK
    told = await fact(world.sessions, health.refunds_stuck, clock.advance(minutes=61))
    assert (told.level, told.value) == (Level.WARN, 1)
    assert "1 due for over an hour" in told.words
    await set_refund(world.sessions, state="failed")
    told = await fact(world.sessions, health.refunds_stuck, clock.now())
    assert (told.level, told.todo) == (Level.ALARM, "A refund failed")
    await set_refund(world.sessions, solved_at=clock.now(), solved_note="Paid by hand.")
    assert (await fact(world.sessions, health.refunds_stuck, clock.now())).level == Level.OK
    await set_refund(world.sessions, state="waiting_dispute")
    assert (await fact(world.sessions, health.refunds_stuck, clock.now())).level == Level.WARN


async def set_refund(sessions: Sessions, **values: object) -> None:
    """Change the one refund there is."""
    async with sessions.begin() as session:
        row = (await session.scalars(select(Refund))).one()
        for name, value in values.items():
            setattr(row, name, value)


async def test_the_last_reconciliation(sessions: Sessions, clock: ManualClock) -> None:
    """Never, or too long ago: worth a look; balanced just now: well (spec: H1)."""
    assert (await fact(sessions, health.books, clock.now())).level == Level.WARN
    await add(sessions, run_of(clock))
    assert (await fact(sessions, health.books, clock.now())).level == Level.OK
    assert (await fact(sessions, health.books, clock.advance(hours=3))).level == Level.WARN
    assert (await fact(sessions, health.books, clock.advance(hours=4))).level == Level.ALARM


LEFT, REPAIRED = {"kind": "x", "repaired": False}, {"kind": "x", "repaired": True}


@pytest.mark.parametrize(
    ("values", "level", "number"),
    [
        ({"differences": [REPAIRED]}, Level.OK, 0),
        ({"differences": [REPAIRED, LEFT]}, Level.ALARM, 1),
        ({"differences": [LEFT, LEFT], "committed": False}, Level.WARN, 2),
        ({"error": "Stripe gave no answer."}, Level.WARN, 0),
    ],
)
async def test_what_a_reconciliation_left(
    sessions: Sessions, clock: ManualClock, values: dict[str, Any], level: Level, number: int
) -> None:
    """What was put right is well; what repairs leave over needs a person at once (spec: H1)."""
    await add(sessions, run_of(clock, **values))
    told = await fact(sessions, health.books, clock.now())
    assert (told.level, told.value) == (level, number)


def run_of(clock: ManualClock, **values: Any) -> Reconciliation:
    """A run of the worker's, just over, that found nothing unless the values say otherwise."""
    now = clock.now()
    times = {"started_at": now, "finished_at": now, "since": now}
    of_run = {"committed": True, "actor": "worker", "compared": {}, "differences": []}
    return Reconciliation(**{**times, **of_run, **values})


async def test_dead_worker(sessions: Sessions, clock: ManualClock) -> None:
    """None has ever run, or none for two minutes (peers: Hi.Events 270, 506)."""
    assert (await fact(sessions, worker_fact, clock.now())).level == Level.ALARM
    await add(sessions, Heartbeat(name="worker", at=clock.now()))
    assert (await fact(sessions, worker_fact, clock.advance(seconds=119))).level == Level.OK
    told = await fact(sessions, worker_fact, clock.advance(seconds=2))
    assert (told.level, told.value) == (Level.ALARM, 121)


async def test_due_rows_of_each_kind(shop: Shop, clock: ManualClock) -> None:
    """What waits for a dead worker has its age: mails, lapsed holds, refunds, events, jobs (spec: H8)."""
    kind = await shop.world.sell()
    _, order_id, _ = await shop.world.bought(kind)
    order = await shop.world.order(order_id)
    assert order.reserved_until is not None
    await add(
        shop.database.sessions, OutgoingMail(to="a@b.example", subject="x", text="x", html="x", state="due")
    )
    later = order.reserved_until + timedelta(minutes=20)
    async with shop.database.sessions.reading() as session:
        found = {
            one.name: one for finder in shop.app.health_facts.values() for one in await finder(session, later)
        }
    assert (await shop.world.order(order_id)).state == OrderState.PENDING
    for name in ("mails_oldest_seconds", "lapsed_orders_oldest_seconds"):
        assert found[name].level == Level.ALARM, name
    assert found["lapsed_orders_oldest_seconds"].value == 20 * 60
    for name in ("jobs_oldest_seconds", "refunds_oldest_seconds", "webhooks_oldest_seconds"):
        assert found[name].value == 0, name


async def test_figures(shop: Shop) -> None:
    """Orders by state, all states named, also those without an order."""
    kind = await shop.world.sell()
    await shop.world.bought(kind)
    async with shop.database.sessions.reading() as session:
        read = await shop.app.figures["orders"].read(session)
    assert read == {state: float(state == OrderState.PENDING) for state in OrderState}
    assert await shop.world.count(Order) == 1


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "1 second"),
        (90, "90 seconds"),
        (120, "2 minutes"),
        (3599, "59 minutes"),
        (7200, "2 hours"),
        (180000, "2 days"),
    ],
)
def test_lengths_of_time(seconds: int, words: str) -> None:
    """As people say them."""
    assert lasted(timedelta(seconds=seconds)) == words
