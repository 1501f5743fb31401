"""Webhooks: signed so that the SDK accepts them, tried again, held, lost, repeated and reordered."""

from collections.abc import AsyncIterator

import httpx
import pytest
import stripe

from shared.sandbox.stripe import webhooks
from shared.sandbox.stripe.running import WEBHOOK_SECRET, RunningStandin, running_standin
from tests.unit.sandbox.conftest import Receiver, connected, wishes

PURCHASE = [
    "payment_intent.created",
    "charge.succeeded",
    "payment_intent.succeeded",
    "checkout.session.completed",
]


@pytest.fixture
async def sending(receiver: Receiver) -> AsyncIterator[RunningStandin]:
    """A stand-in whose webhooks reach the receiver."""
    transport = httpx.ASGITransport(receiver.app)
    async with running_standin(
        webhook_url="http://shop.test/hook", transport=transport, connect_secret="whsec_connect"
    ) as running:
        yield running


async def buy(standin: RunningStandin, account: str | None = None) -> str:
    """A paid session's id."""
    if account:
        standin.open_account(account)
    async with connected(standin) as client:
        options: stripe.RequestOptions = {"stripe_account": account} if account else {}
        session = await client.v1.checkout.sessions.create_async(params=wishes(), options=options)
    await standin.pay(session.id)
    return session.id


def types(receiver: Receiver, secret: str = WEBHOOK_SECRET) -> list[str]:
    """The types of what came in, each checked by the SDK's own validator."""
    client = stripe.StripeClient("sk_test_unused")
    return [client.construct_event(payload, header, secret).type for payload, header in receiver.got]


async def test_events_arrive_signed(sending: RunningStandin, receiver: Receiver) -> None:
    """spec: F3"""
    await buy(sending)
    await sending.webhooks.idle()
    assert sorted(types(receiver)) == sorted(PURCHASE)
    with pytest.raises(stripe.SignatureVerificationError):
        types(receiver, "whsec_other")


async def test_connected_accounts_have_a_secret_of_their_own(
    sending: RunningStandin, receiver: Receiver
) -> None:
    """Issue 2 section 5: events of connected accounts come through a Connect endpoint with another secret."""
    await buy(sending, "acct_1")
    await sending.webhooks.idle()
    assert sorted(types(receiver, "whsec_connect")) == sorted(PURCHASE)


async def test_an_event_comes_again_until_it_is_taken(
    sending: RunningStandin, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """spec: C5; a redirect is no success either."""
    monkeypatch.setattr(webhooks, "RETRY_DELAYS", (0, 0, 0))
    next(iter(sending.webhooks.targets.values())).event_types = ("checkout.session.completed",)
    receiver.answers = [500, 301]
    await buy(sending)
    assert sending.events("checkout.session.completed")[0]["pending_webhooks"] == 1
    await sending.webhooks.idle()
    assert [status for _, status in sending.webhooks.statuses] == [500, 301, 200]
    assert sending.events("checkout.session.completed")[0]["pending_webhooks"] == 0


async def test_events_can_be_held_reordered_and_repeated(sending: RunningStandin, receiver: Receiver) -> None:
    """spec: C5"""
    sending.webhooks.mode = "hold"
    await buy(sending)
    assert receiver.got == []
    sending.webhooks.copies = 2
    assert await sending.webhooks.deliver_pending(order=[3, 0]) == [200] * 4
    assert types(receiver) == [PURCHASE[3], PURCHASE[3], PURCHASE[0], PURCHASE[0]]


async def test_events_can_be_lost(sending: RunningStandin, receiver: Receiver) -> None:
    """spec: C5: never sent, but still listed, so that a reconciler finds them."""
    sending.webhooks.mode = "drop"
    await buy(sending)
    await sending.webhooks.idle()
    assert receiver.got == []
    async with connected(sending) as client:
        missed = await client.v1.events.list_async(params={"types": PURCHASE, "delivery_success": False})
        assert [event.type for event in missed.data] == PURCHASE[::-1]
        again = await client.v1.events.retrieve_async(missed.data[0].id)
    assert again.data.object["payment_status"] == "paid"


async def test_an_old_signature_is_refused_by_the_sdk(sending: RunningStandin, receiver: Receiver) -> None:
    """spec: F3"""
    sending.webhooks.mode = "drop"
    await buy(sending)
    await sending.webhooks.send(sending.events()[-1], age=301)
    with pytest.raises(stripe.SignatureVerificationError, match="tolerance"):
        types(receiver)


async def test_a_dead_endpoint_does_not_keep_the_api_waiting() -> None:
    """Issue 2 section 5: delivery never blocks answering, and is given up at the end."""
    async with running_standin(webhook_url="http://127.0.0.1:9/hook") as standin:
        await buy(standin)
        assert standin.find("checkout.session", (await listed(standin))[0])["status"] == "complete"


async def listed(standin: RunningStandin) -> list[str]:
    """The ids of all sessions, newest first."""
    async with connected(standin) as client:
        return [row.id for row in (await client.v1.checkout.sessions.list_async()).data]
