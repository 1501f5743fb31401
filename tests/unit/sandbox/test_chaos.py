"""Random faults of the API, the clock that answers carry, and the log of events."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import stripe

from shared.sandbox.stripe.failures import RANDOM_FAULTS, Chaos
from shared.sandbox.stripe.running import RunningStandin
from tests.unit.sandbox.conftest import connected, paid_session, wishes
from tests.unit.sandbox.test_switches import turn


async def statuses(standin: RunningStandin, number: int) -> list[int]:
    """What so many calls get: a status, or 0 for no answer."""
    found = []
    async with httpx.AsyncClient(base_url=standin.url, trust_env=False) as http:
        for _ in range(number):
            try:
                answer = await http.get("/v1/balance", auth=(standin.secret_key, ""))
                found.append(answer.status_code)
            except httpx.HTTPError:
                found.append(0)
    return found


async def test_chaos_follows_its_seed_until_it_is_switched_off(standin: RunningStandin) -> None:
    """Issue 3 section 7: 500s and cut connections at a rate, with a printed seed."""
    rates = {"error": 0.2, "cut_before": 0.2, "cut_after": 0.2, "rate_limit": 0.1}
    seen = []
    for _ in range(2):
        assert (await turn(standin, "chaos", rates=rates, seed=11))[1]["seed"] == 11
        seen.append(await statuses(standin, 30))
        _, off = await turn(standin, "chaos")
        assert sum(off["happened"].values()) == sum(status != 200 for status in seen[-1])
    assert seen[0] == seen[1]
    assert set(seen[0]) == {0, 200, 429, 500}
    assert set(await statuses(standin, 5)) == {200}


async def test_chaos_leaves_the_switches_alone_and_keeps_to_its_path(standin: RunningStandin) -> None:
    """Issue 3 section 7: another process can always read the books."""
    standin.chaos({"error": 1}, seed=1, path="/v1/refunds*")
    assert await statuses(standin, 2) == [200, 200]
    standin.chaos({"error": 1}, seed=1)
    assert await statuses(standin, 2) == [500, 500]
    assert (await turn(standin, "clock", now=0))[0] == 200
    standin.chaos({}, seed=1)
    assert await statuses(standin, 1) == [200]


async def test_a_random_error_does_not_replace_a_kept_answer(
    standin: RunningStandin, client: stripe.StripeClient
) -> None:
    """Stripe keeps the first answer under a key: a retry that fails on the way says nothing about it."""
    keyed: Any = {"idempotency_key": "order-1"}
    first = await client.v1.checkout.sessions.create_async(params=wishes(), options=keyed)
    standin.chaos({"error": 1}, seed=1)
    with pytest.raises(stripe.APIError):
        await client.v1.checkout.sessions.create_async(params=wishes(), options=keyed)
    standin.chaos({}, seed=1)
    again = await client.v1.checkout.sessions.create_async(params=wishes(), options=keyed)
    assert again.id == first.id


def test_all_faults_come_at_about_their_rate() -> None:
    """The dice are fair enough to be told in figures."""
    chaos = Chaos(dict.fromkeys(RANDOM_FAULTS, 0.1), seed=3)
    taken = [chaos.take("/v1/balance") for _ in range(5000)]
    assert all(400 < count < 600 for count in chaos.counts.values())
    assert sum(chaos.counts.values()) == sum(failure is not None for failure in taken)


@pytest.mark.parametrize(
    ("switch", "body"),
    [
        ("chaos", {"rates": {"fire": 1}}),
        ("chaos", {"rates": {"error": 2}}),
        ("chaos", {"rates": {"error": True}}),
        ("chaos", {"rates": {"error": 0.6, "gateway": 0.6}}),
        ("webhooks", {"chaos": {"drop": -1}}),
        ("webhooks", {"chaos": {"seconds": "long"}}),
        ("redeliver", {"since": "yesterday"}),
        ("endpoint", {"endpoint": "we_none", "status": "enabled"}),
        ("refund", {}),
        ("refund", {"session": "cs_test_none"}),
        ("refund", {"session": "cs_test_none", "charge": "ch_none"}),
        ("dispute", {"charge": "ch_none"}),
        ("dispute", {"payment_intent": "pi_none"}),
        ("win-dispute", {"dispute": "du_none"}),
        ("lose-dispute", {}),
        ("escalate-dispute", {"dispute": 7}),
        ("finish-refund", {"refund": "re_none"}),
        ("finish-payout", {"payout": "po_none"}),
        ("fail-payout", {"payout": ""}),
        ("pay-out", {"account": 1}),
        ("settlement", {"currency": "gbp", "rate": 0}),
        ("hold-refunds", {"on": "yes"}),
    ],
)
async def test_a_wrong_switch_is_refused(standin: RunningStandin, switch: str, body: dict[str, Any]) -> None:
    """Bad input is a message, never a 500."""
    status, answer = await turn(standin, switch, **body)
    assert (status, "message" in answer["error"]) == (400, True)


async def test_money_moves_over_http_too(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """Issue 3 section 7: a soak in another process has every switch."""
    await turn(standin, "settlement", currency="usd", rate=1.1)
    await turn(standin, "hold-refunds")
    session = await paid_session(standin, client)
    _, refund = await turn(standin, "refund", session=session["id"], amount=500)
    assert (await turn(standin, "finish-refund", refund=refund["id"]))[1]["status"] == "succeeded"
    _, inquiry = await turn(standin, "dispute", payment_intent=session["payment_intent"], inquiry=True)
    assert (await turn(standin, "escalate-dispute", dispute=inquiry["id"]))[1]["status"] == "needs_response"
    assert (await turn(standin, "win-dispute", dispute=inquiry["id"]))[1]["status"] == "won"
    _, second = await turn(standin, "dispute", charge=inquiry["charge"], amount=100)
    assert (await turn(standin, "lose-dispute", dispute=second["id"]))[1]["status"] == "lost"
    _, made = await turn(standin, "pay-out", everything=True)
    payout = made["payouts"][0]
    assert (await turn(standin, "finish-payout", payout=payout["id"]))[1]["status"] == "paid"
    _, failed = await turn(standin, "fail-payout", payout=payout["id"], code="no_account")
    assert (failed["status"], failed["failure_code"]) == ("failed", "no_account")


async def test_answers_carry_the_clock_of_the_stand_in(standin: RunningStandin) -> None:
    """spec: H8: the shop holds its clock against Stripe's Date."""
    standin.set_clock(datetime(2031, 5, 1, 12, 0, 7, tzinfo=UTC))
    async with httpx.AsyncClient(trust_env=False) as http:
        for path in ("/v1/balance", "/"):
            answer = await http.get(f"{standin.url}{path}")
            assert answer.headers.get_list("Date") == ["Thu, 01 May 2031 12:00:07 GMT"]


async def test_events_are_found_by_type_and_time(
    standin: RunningStandin, client: stripe.StripeClient
) -> None:
    """Issue 3 section 3: each event shows its object as it was at that moment."""
    session = await paid_session(standin, client)
    standin.refund(session["id"], 1000)
    standin.refund(session["id"], 500)
    refunded = await client.v1.events.list_async(params={"type": "charge.refunded"})
    assert [event.data.object["amount_refunded"] for event in refunded.data] == [1500, 1000]
    both = await client.v1.events.list_async(params={"types": ["charge.succeeded", "refund.created"]})
    assert [event.type for event in both.data] == ["refund.created", "refund.created", "charge.succeeded"]
    later: Any = {"created": {"gt": refunded.data[0].created + 60}}
    assert (await client.v1.events.list_async(params=later)).data == []


async def test_sessions_are_found_by_every_filter(
    standin: RunningStandin, client: stripe.StripeClient
) -> None:
    """Issue 3 section 4: the reconciler goes through them page by page, with what was paid."""
    paid = [await paid_session(standin, client) for _ in range(3)]
    await client.v1.checkout.sessions.create_async(params=wishes())
    sessions = client.v1.checkout.sessions
    by_intent = await sessions.list_async(params={"payment_intent": paid[0]["payment_intent"]})
    assert [row.id for row in by_intent.data] == [paid[0]["id"]]
    pages: Any = {"status": "complete", "limit": 2, "expand": ["data.payment_intent"]}
    async with connected(standin) as other:
        listed = await other.v1.checkout.sessions.list_async(params=pages)
        rows = [row async for row in listed.auto_paging_iter()]
    assert [row.id for row in rows] == [row["id"] for row in reversed(paid)]
    assert all(isinstance(row.payment_intent, stripe.PaymentIntent) for row in rows)
    charges = await client.v1.charges.list_async(params={"payment_intent": paid[1]["payment_intent"]})
    assert [row.payment_intent for row in charges.data] == [paid[1]["payment_intent"]]
