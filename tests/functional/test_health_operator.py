"""The operator's pages, /health/ready and the log at the start; and the office while no worker is alive (spec: H8)."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from cart.models import Refund, WebhookEvent
from events.models import Page, TicketType
from shared.app import create_app
from shared.clock import ManualClock
from shared.contracts.states import OrderState, PageRole
from shared.database import Database
from shared.health import announce_at_start
from shared.models import Heartbeat
from shared.sandbox.stripe.running import RunningStandin
from shared.settings import Settings
from shared.worker import Worker
from tests import event_rows
from tests.eventually import eventually
from tests.shop import Shop, page_of
from tests.support import Browser, browser, signed_in_client

OPERATOR = "boss@example.org"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Somebody runs this shop."""
    return replace(settings, operators=(OPERATOR,))


@pytest.fixture
async def operator(shop: Shop) -> AsyncIterator[Browser]:
    """Who runs it, signed in, before a shop that has started."""
    async with shop.app.test_app():
        yield await shop.buyer(OPERATOR)


async def event(shop: Shop, name: str, **values: Any) -> str:
    """An event in the inbox; its id."""
    now = shop.clock.now()
    of_row = {
        "id": f"evt_{name}",
        "stripe_account": "",
        "type": "checkout.session.completed",
        "livemode": False,
        "body": b'{"id": "evt", "data": {"object": {"name": "\xc5\xbdi\xc5\xbekov <b>"}}}',
        "received_at": now,
        "processed_at": now,
        "result": "paid",
    }
    async with shop.database.sessions.begin() as session:
        row = WebhookEvent(**of_row | values)
        session.add(row)
    return row.id


async def test_everything_in_words_the_worst_first(shop: Shop, operator: Browser) -> None:
    """No worker, never reconciled, nothing checked: each said with what to do; no other kind of page for it."""
    page = await page_of(await operator.get("/operator"))
    assert "Something is wrong" in page
    worker, checked, signatures = (
        page.index(words)
        for words in ("No worker has ever run here", "Not checked yet", "was refused within the hour")
    )
    assert worker < checked < signatures
    assert "Runbook: “Worker dead”" in page
    await beat(shop)
    shop.clock.advance(seconds=6)
    assert "Something needs a look" in await page_of(await operator.get("/operator"))


async def beat(shop: Shop) -> None:
    """A worker is alive."""
    async with shop.database.sessions.begin() as session:
        await session.merge(Heartbeat(name="worker", at=shop.clock.now()))


async def test_events_and_what_they_say(shop: Shop, operator: Browser) -> None:
    """Listed newest first, filtered, paged; one with its raw body, escaped and readable."""
    for number in range(52):
        await event(shop, f"{number:02}", received_at=shop.clock.advance(seconds=1))
    odd = await event(shop, "odd", result="unmatched", received_at=shop.clock.advance(seconds=1))
    stuck = await event(shop, "stuck", processed_at=None, result=None, tries=3, last_error="Boom: x")
    page = await page_of(await operator.get("/operator/events"))
    assert page.index(stuck) < page.index("evt_51") < page.index("evt_04")
    assert "evt_03" not in page
    older = await page_of(await operator.get("/operator/events?show=all&before=evt_04"))
    assert "evt_03" in older
    assert "evt_04" not in older
    for show, shown, hidden in (("unmatched", odd, stuck), ("open", stuck, odd)):
        page = await page_of(await operator.get(f"/operator/events?show={show}"))
        assert shown in page
        assert hidden not in page
        assert "evt_51" not in page
    page = await page_of(await operator.get(f"/operator/events/{stuck}"))
    assert "Boom: x" in page
    assert "&#34;name&#34;: &#34;Žižkov &lt;b&gt;&#34;" in page
    assert (await operator.get("/operator/events/evt_nowhere")).status_code == 404


async def test_an_event_is_processed_again(
    settings: Settings, database: Database, clock: ManualClock, standin: RunningStandin
) -> None:
    """One that matched nothing does its work once its order is there; twice changes nothing."""
    keys = replace(
        settings,
        stripe_secret_key=standin.secret_key,
        stripe_webhook_secrets=("x",),
        stripe_api_base=standin.url,
    )
    app = create_app(keys, database=database, clock=clock)
    shop = Shop(settings, database, clock)
    kind = await shop.world.sell(cost=1250)
    async with app.test_app():
        buyer = await signed_in_client(app, "ada@example.org")
        await shop.world.put(buyer.user_id, kind, 1)
        answer = await buyer.post(
            "/checkout",
            form={"fingerprint": await shop.world.seen(buyer.user_id)},
            headers={"Accept": "application/json", "Origin": "http://shop.test"},
        )
        made = await answer.get_json()
        await standin.pay(made["checkout_session_id"])
        body = json.dumps(standin.events("checkout.session.completed")[-1]).encode()
        event_id = await event(shop, "late", body=body, result="unmatched", id=json.loads(body)["id"])
        boss = await signed_in_client(app, OPERATOR)
        for result in ("Order paid", "Nothing new: known before"):
            answer = await boss.post(f"/operator/events/{event_id}/again")
            assert answer.headers["Location"] == f"/operator/events/{event_id}"
            assert f"Done again: {result}" in await page_of(await boss.get(f"/operator/events/{event_id}"))
        assert (await boss.post("/operator/events/evt_nowhere/again")).status_code == 404
    assert (await shop.world.order(made["order_id"])).state == OrderState.PAID


async def test_the_way_to_the_operator_s_pages(shop: Shop, operator: Browser) -> None:
    """Whoever may see them finds them linked from the account and from the office's start; nobody else does."""
    other = await shop.buyer("ada@example.org")
    for path in ("/account", "/organizer"):
        assert 'href="/operator"' in await page_of(await operator.get(path))
        assert 'href="/operator"' not in await page_of(await other.get(path))


async def test_each_event_leads_to_its_order(shop: Shop, operator: Browser) -> None:
    """By its session, by its payment, or by our marks on it; one about no order, or unreadable, leads nowhere."""
    kind = await shop.world.sell()
    order_id, session_id = await shop.order_of(await shop.buyer_with(kind))
    paid = shop.payments.pay(session_id)
    await shop.world.settle(paid)
    for name, thing in {
        "by_session": {"id": session_id},
        "by_payment": {"id": "ch_1", "payment_intent": paid.payment_intent},
        "by_marks": {"id": "cs_unknown", "metadata": {"order_id": str(order_id)}},
        "of_none": {"id": "po_1", "metadata": {"order_id": str(UUID(int=4))}},
        "odd": {"id": ["x"], "metadata": [], "payment_intent": 5},
    }.items():
        body = json.dumps({"data": {"object": thing}}).encode()
        await event(shop, name, body=body)
    await event(shop, "unreadable", body=b"[")
    listed = await page_of(await operator.get("/operator/events"))
    for name in ("by_session", "by_payment", "by_marks", "of_none", "odd", "unreadable"):
        leads = name.startswith("by_")
        row = next(
            row
            for row in listed.split("<tr")[1:]
            if f"/operator/events/{name}" in row or f"evt_{name}" in row
        )
        assert (f"/operator/orders/{order_id}" in row) is leads, name


async def test_an_event_that_fails_again_says_why(shop: Shop, operator: Browser) -> None:
    """Nothing breaks; the reason is on its page."""
    broken = await event(shop, "broken")
    await operator.post(f"/operator/events/{broken}/again")
    assert "It failed again" in await page_of(await operator.get(f"/operator/events/{broken}"))


async def test_stuck_refunds_lead_to_their_order(shop: Shop, operator: Browser) -> None:
    """The list, and the order as the operator sees it: all lines, sessions, payments, refunds, history."""
    kind = await shop.world.sell()
    page = await page_of(await operator.get("/operator/refunds"))
    assert "No refund waits" in page
    _, order_id, session_id = await shop.world.bought(kind)
    await shop.world.settle(shop.payments.pay(session_id))
    await shop.world.settle(shop.payments.pay_again(session_id))
    page = await page_of(await operator.get("/operator/refunds"))
    assert f"/operator/orders/{order_id}" in page
    assert "€20.00" in page
    page = await page_of(await operator.get(f"/operator/orders/{order_id}"))
    for words in (session_id, f"pi_{session_id}_again", "Refund: Paid twice", "Refund decided"):
        assert words in page
    assert (await operator.get(f"/operator/orders/{kind}")).status_code == 404


@pytest.mark.parametrize(
    ("form", "state", "number"),
    [
        ({"action": "again"}, "due", 2),
        ({"action": "otherwise", "note": "By bank transfer, 3 May."}, "failed", 1),
    ],
)
async def test_a_failed_refund_is_decided_by_the_operator(
    shop: Shop, operator: Browser, form: dict[str, str], state: str, number: int
) -> None:
    """Whoever sells in the order: tried again, or refunded outside Stripe; decided once (peers: Hi.Events 1067)."""
    _, order_id, session_id = await shop.world.bought(await shop.world.sell())
    await shop.world.settle(shop.payments.pay(session_id))
    await shop.world.settle(shop.payments.pay_again(session_id))
    (refund,) = await shop.world.refunds()
    async with shop.database.sessions.begin() as session:
        (await session.get_one(Refund, refund.id)).state = "failed"
    where = f"/operator/orders/{order_id}"
    assert 'name="note"' in await page_of(await operator.get(where))
    sent = {"refund": str(refund.id), **form}
    assert (await operator.post(f"{where}/decide", form={**sent, "refund": "x"})).status_code == 422
    assert (await operator.post(f"{where}/decide", form=sent)).headers["Location"] == where
    assert 'name="note"' not in await page_of(await operator.get(where))
    assert (await operator.post(f"{where}/decide", form=sent)).status_code == 409
    refunds = await shop.world.refunds()
    assert (len(refunds), refunds[-1].state, refunds[0].solved_at) == (number, state, shop.clock.now())


async def test_checks_can_be_asked_for(shop: Shop, operator: Browser) -> None:
    """The worker is nudged and checks at once; until it has, what it found last stands."""
    await shop.app.sweeps["checks"](shop.clock.now())
    assert "Not checked yet" not in await page_of(await operator.get("/operator"))
    assert (await operator.post("/operator/checks")).status_code == 303
    page = await page_of(await operator.get("/operator"))
    assert "Not checked yet" not in page
    assert "The worker checks now" in page
    async with shop.database.sessions() as session:
        assert await session.scalar(text("SELECT convert_from(payload, 'UTF8') FROM pgqueuer")) == "checks"
    assert await shop.app.sweeps["checks"](shop.clock.now()) == 4
    assert await shop.app.sweeps["checks"](shop.clock.advance(seconds=1)) == 0


async def test_ready_tells_the_facts_without_secrets(shop: Shop, operator: Browser) -> None:
    """Still 200: a balancer must not take every process away because a worker is dead."""
    kind = await shop.world.sell()
    await shop.paid_order_of(await shop.buyer_with(kind, email="secret@example.org"))
    shop.clock.advance(minutes=45)
    answer = await browser(shop.app).get("/health/ready")
    assert (answer.status_code, await answer.get_json()) == (200, {"status": "ready"}), (
        "a stranger learns nothing"
    )
    body = await facts_of(operator)
    assert body["worker_silent_seconds"]["level"] == body["payments_untold_seconds"]["level"] == "alarm"
    assert body["payments_untold_seconds"]["value"] == 45 * 60
    assert body["signatures_refused_last_hour"]["level"] == "ok"
    for secret in ("secret@example.org", "cs_test", "pi_cs", OPERATOR, "whsec"):
        assert secret not in json.dumps(body)


async def test_the_facts_are_read_seldom(shop: Shop, operator: Browser) -> None:
    """Whoever asks every second gets what was read within the last five."""
    await facts_of(operator)
    await beat(shop)
    assert (await facts_of(operator))["worker_silent_seconds"]["level"] == "alarm"
    shop.clock.advance(seconds=5)
    assert (await facts_of(operator))["worker_silent_seconds"]["level"] == "ok"


async def facts_of(operator: Browser) -> dict[str, Any]:
    """What the operator is told, by its name, as a program reads it (spec: D9)."""
    answer = await operator.get("/operator", headers={"Accept": "application/json"})
    return {fact["name"]: fact for fact in (await answer.get_json())["facts"]}


async def test_office_says_that_no_worker_is_alive(shop: Shop, operator: Browser) -> None:
    """Worker not running and nobody told (peers: Hi.Events 270, 506): here, all are who work here, and no buyer."""
    kind = await shop.world.sell()
    organizer = await shop.buyer("organizer@example.org")
    async with shop.database.sessions.begin() as session:
        page = await session.get_one(Page, (await session.get_one(TicketType, kind)).page_id)
        await event_rows.add_member(session, page, organizer.user_id, PageRole.OWNER)
    offices = ("/organizer", "/organizer/hall", "/organizer/hall/orders")
    await beat(shop)
    for path in offices:
        assert "No worker" not in await page_of(await organizer.get(path))
    shop.clock.advance(minutes=3)
    for path in offices:
        told = await page_of(await organizer.get(path))
        assert "No worker has been alive for 3 minutes" in told
        assert "tell whoever runs this shop" in told
    assert "See the shop" in await page_of(await operator.get("/operator/events"))
    buyer = await shop.buyer()
    for path in ("/organizer", "/orders", "/"):
        assert "No worker" not in await page_of(await buyer.get(path))


@pytest.mark.parametrize("environment", ["development", "production"])
async def test_one_screen_of_log_at_the_start(
    settings: Settings, database: Database, clock: ManualClock, environment: str
) -> None:
    """A block to read for a developer, one line with everything for a machine; never fatal."""
    app = create_app(replace(settings, environment=environment), database=database, clock=clock)
    announce_at_start(app)
    with capture_logs() as lines:
        async with app.test_app():
            pass
    (told,) = (line for line in lines if line["event"].startswith("health at the start"))
    if environment == "production":
        assert "No worker has ever run here." in [fact["words"] for fact in told["facts"]]
        assert told["log_level"] == "warning"
    else:
        block = told["event"].splitlines()
        assert len(block) > 12
        assert any(line.split()[:2] == ["ALARM", "Worker"] for line in block)


async def test_a_worker_tells_what_its_checks_found(shop: Shop) -> None:
    """At its start, and with the answers of Stripe and of our own address in it (spec: H8)."""
    worker = Worker(shop.app)
    with capture_logs() as lines:
        task = asyncio.create_task(worker.run())

        async def told() -> bool:
            return any("health at the start" in line["event"] for line in lines)

        await eventually(told)
        worker.stop.set()
        await task
    (block,) = (line["event"] for line in lines if line["event"].startswith("health at the start"))
    assert "http://shop.test/webhooks/stripe does not answer" in block
    assert "Not checked yet" not in block
