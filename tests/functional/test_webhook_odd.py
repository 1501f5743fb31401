"""Webhook events of odd form, with fields missing and with states that Stripe adds one day (spec: C5, L3)."""

import json
from datetime import timedelta

import pytest

from cart.models import WebhookRefusal
from shared.contracts.states import OrderState
from tests.road import Road
from tests.shop import page_of

ODD_EVENTS: dict[str, bytes] = {
    "number for a type's object": b'{"id": "evt_odd1", "object": "event", "type": "charge.refunded", "livemode": false,'
    b' "data": {"object": {"id": "ch_1", "object": "charge", "payment_intent": 7}}}',
    "half a character": b'{"id": "evt_odd2", "object": "event", "type": "customer.\\ud800", "livemode": false,'
    b' "data": {"object": {"id": "cus_1", "object": "customer", "name": "\\udfff\\u0000"}}}',
    "a list for an id": b'{"id": "evt_odd3", "object": "event", "type": "payout.paid", "livemode": false,'
    b' "data": {"object": {"id": [], "object": "payout"}}}',
    "no object's kind": b'{"id": "evt_odd4", "object": "event", "type": "x.y", "livemode": false,'
    b' "data": {"object": {"id": "x"}}}',
}


@pytest.mark.parametrize("name", ODD_EVENTS)
async def test_a_signed_event_of_odd_form_is_no_500(road: Road, name: str) -> None:
    """Whoever pays can write half a character into their name; it is stored and answered like any other (spec: L3)."""
    answer = await road.send(ODD_EVENTS[name])
    assert answer.status_code < 500
    assert "signature could not" not in await page_of(answer)


@pytest.mark.parametrize("missing", ["created", "data.object.expires_at", "data.object.livemode"])
async def test_a_field_that_stripe_no_longer_sends(road: Road, missing: str) -> None:
    """It is no bad signature: what the event lacks is asked for, and the order is paid (spec: C5, L3)."""
    order_id, session_id = await road.to_stripe()
    await road.standin.pay(session_id)
    event = json.loads(road.event())
    part = event
    *path, last = missing.split(".")
    for name in path:
        part = part[name]
    del part[last]
    answer = await road.send(json.dumps(event).encode())
    assert (answer.status_code, await answer.get_json()) == (200, {"result": "paid"})
    assert (await road.world.order(order_id)).state == OrderState.PAID
    assert await road.count(WebhookRefusal) == 0


@pytest.mark.parametrize("field", ["payment_status", "status"])
async def test_a_state_that_stripe_adds_one_day(road: Road, field: str) -> None:
    """Kept, shown and tried again, never guessed: the order waits until the state is one we know (spec: L3)."""
    order_id, session_id = await road.to_stripe()
    await road.standin.pay(session_id)
    event = json.loads(road.event())
    known = event["data"]["object"][field]
    event["data"]["object"][field] = "promised"
    assert (await road.send(json.dumps(event).encode())).status_code == 503
    assert (await road.world.order(order_id)).state == OrderState.PENDING
    assert await road.world.attempt_states(order_id) == ["open"], (
        "its own page is still the one to be asked about"
    )
    row = await road.row(event["id"])
    assert row.processed_at is None
    assert "does not know" in (row.last_error or "")
    event["data"]["object"][field] = known
    event["id"] = "evt_known"
    assert (await road.send(json.dumps(event).encode())).status_code == 200
    assert (await road.world.order(order_id)).state == OrderState.PAID


async def test_what_keeps_failing_is_tried_ever_more_rarely(road: Road) -> None:
    """After a dozen tries it waits for a person, in the operator's list, not every 15 s for ever (spec: L3)."""
    _, session_id = await road.to_stripe()
    await road.standin.pay(session_id)
    event = json.loads(road.event())
    event["data"]["object"]["payment_status"] = "promised"
    assert (await road.send(json.dumps(event).encode())).status_code == 503
    now, tried = road.app.clock.now(), []
    for minute in range(0, 60 * 36, 30):
        at = now + timedelta(minutes=minute)
        if await road.app.sweeps["webhooks"](at):
            tried.append(minute)
    assert len(tried) == 14, "and once when it came"
    assert tried[0] <= 30 < 12 * 60 < tried[-1] < 36 * 60
