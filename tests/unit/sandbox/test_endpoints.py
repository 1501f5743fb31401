"""Webhook endpoints: listed, made, changed, disabled; and deliveries at random, told and repeated."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import stripe

from shared.sandbox.stripe import webhooks
from shared.sandbox.stripe.running import WEBHOOK_SECRET, RunningStandin, running_standin
from shared.sandbox.stripe.webhooks import WebhookChaos
from tests.unit.sandbox.conftest import Receiver, connected, paid_session
from tests.unit.sandbox.test_switches import turn

HOOK = "http://shop.test/hook"


@pytest.fixture
async def sending(receiver: Receiver) -> AsyncIterator[RunningStandin]:
    """A stand-in whose webhooks reach the receiver, one type only."""
    transport = httpx.ASGITransport(receiver.app)
    async with running_standin(
        webhook_url=HOOK, transport=transport, event_types=["checkout.session.completed"]
    ) as running:
        yield running


def arrived(receiver: Receiver, secret: str = WEBHOOK_SECRET) -> list[stripe.Event]:
    """What came in under this secret."""
    client = stripe.StripeClient("sk_test_unused")
    found = []
    for payload, header in receiver.got:
        try:
            found.append(client.construct_event(payload, header, secret))
        except stripe.SignatureVerificationError:
            continue
    return found


async def test_the_endpoint_it_was_started_with_is_listed(
    sending: RunningStandin, receiver: Receiver
) -> None:
    """spec: H8: the operator's page shows the endpoint's state; a disabled one is told nothing."""
    async with connected(sending) as client:
        (endpoint,) = (await client.v1.webhook_endpoints.list_async()).data
        assert (endpoint.url, endpoint.status, endpoint.api_version) == (HOOK, "enabled", "2026-10-28.endive")
        assert endpoint.enabled_events == ["checkout.session.completed"]
        assert "secret" not in endpoint
        sending.set_endpoint(endpoint.id, "disabled")
        assert (await client.v1.webhook_endpoints.retrieve_async(endpoint.id)).status == "disabled"
        await paid_session(sending, client)
        await sending.webhooks.idle()
        assert receiver.got == []


async def test_another_endpoint_hears_what_it_asked_for(sending: RunningStandin, receiver: Receiver) -> None:
    """spec: F3: each endpoint has its own secret, told only when it is made."""
    async with connected(sending) as client:
        made = await client.v1.webhook_endpoints.create_async(
            params={"url": HOOK, "enabled_events": ["charge.*"]}  # type: ignore[list-item]
        )
        assert made.secret is not None
        assert "secret" not in await client.v1.webhook_endpoints.retrieve_async(made.id)
        await paid_session(sending, client)
        await sending.webhooks.idle()
        assert [event.type for event in arrived(receiver, made.secret)] == ["charge.succeeded"]
        assert [event.type for event in arrived(receiver)] == ["checkout.session.completed"]
        await client.v1.webhook_endpoints.update_async(made.id, params={"disabled": True})
        await paid_session(sending, client)
        await client.v1.webhook_endpoints.delete_async(made.id)
        await paid_session(sending, client)
        await sending.webhooks.idle()
        assert len(arrived(receiver, made.secret)) == 1
        assert len((await client.v1.webhook_endpoints.list_async()).data) == 1


async def test_a_connect_endpoint_hears_of_connected_accounts_only(
    sending: RunningStandin, receiver: Receiver
) -> None:
    """spec: E2"""
    async with connected(sending) as client:
        made = await client.v1.webhook_endpoints.create_async(
            params={"url": HOOK, "enabled_events": ["charge.succeeded"], "connect": True}
        )
        await paid_session(sending, client)
        await paid_session(sending, client, account="acct_1")
        await sending.webhooks.idle()
    assert [event.account for event in arrived(receiver, str(made.secret))] == ["acct_1"]


async def test_endpoints_outlive_a_restart(tmp_path: Path) -> None:
    """Issue 2 section 1: a restart forgets nothing, and lists nothing twice."""
    file = tmp_path / "stripe.json"
    for _ in range(2):
        async with running_standin(state_file=file, webhook_url="http://127.0.0.1:9/hook") as standin:
            async with connected(standin) as client:
                if len((await client.v1.webhook_endpoints.list_async()).data) < 2:
                    await client.v1.webhook_endpoints.create_async(
                        params={"url": "http://127.0.0.1:9/other", "enabled_events": ["*"]}
                    )
                listed = (await client.v1.webhook_endpoints.list_async()).data
            assert {row.id for row in listed} == set(standin.webhooks.targets)
            assert len(listed) == 2


async def test_every_try_is_told_with_its_answer(
    sending: RunningStandin, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """spec: H8"""
    monkeypatch.setattr(webhooks, "RETRY_DELAYS", (0,))
    receiver.answers = [503]
    async with connected(sending) as client:
        await paid_session(sending, client)
        await sending.webhooks.idle()
    headers = {"Authorization": f"Bearer {sending.secret_key}"}
    answer = await sending.app.test_client().get("/_test/webhook-tries", headers=headers)
    tries = (await answer.get_json())["tries"]
    assert [(one["type"], one["url"], one["status"]) for one in tries] == [
        ("checkout.session.completed", HOOK, 503),
        ("checkout.session.completed", HOOK, 200),
    ]


async def test_events_are_delivered_again_on_demand(sending: RunningStandin, receiver: Receiver) -> None:
    """Runbook: webhook down for a day. What was lost comes when it is asked for."""
    sending.webhooks.mode = "drop"
    async with connected(sending) as client:
        first = await paid_session(sending, client)
        sending.webhooks.mode = "deliver"
        assert await turn(sending, "redeliver", since=first["created"]) == (200, {"sent": 1, "taken": 1})
        assert await turn(sending, "redeliver", since=first["created"] + 3600) == (
            200,
            {"sent": 0, "taken": 0},
        )
        missed = await client.v1.events.list_async(
            params={"type": "checkout.session.completed", "delivery_success": False}
        )
    assert [event.data.object["id"] for event in arrived(receiver)] == [first["id"]]
    assert missed.data == []


async def test_deliveries_at_random_follow_their_seed(sending: RunningStandin, receiver: Receiver) -> None:
    """Issue 3 section 7: drop, repeat and reorder webhooks, with a printed seed."""
    status, answer = await turn(
        sending, "webhooks", chaos={"seed": 7, "drop": 0.3, "repeat": 0.5, "copies": 3}
    )
    assert (status, answer["seed"]) == (200, 7)
    expected = WebhookChaos(7, drop=0.3, repeat=0.5, copies=3)
    async with connected(sending) as client:
        for _ in range(6):
            await paid_session(sending, client)
        await sending.webhooks.idle()
    numbers = [len(expected.waits()) for _ in range(6)]
    assert {0, 1, 3} >= set(numbers)
    assert len(receiver.got) == sum(numbers)
    await turn(sending, "webhooks", chaos={})
    assert sending.webhooks.chaos is None


def test_delays_and_overtaking_stay_within_their_bounds() -> None:
    """Issue 3 section 7"""
    late = WebhookChaos(1, delay=1, seconds=2)
    assert all(0 < wait <= 2 for _ in range(50) for wait in late.waits())
    mixed = WebhookChaos(1, reorder=0.5)
    waits = [wait for _ in range(50) for wait in mixed.waits()]
    assert max(waits) <= webhooks.OVERTAKEN
    assert 0 < waits.count(0.0) < 50
