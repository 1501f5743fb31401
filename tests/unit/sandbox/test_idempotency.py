"""Idempotency keys, and failures on demand: what a caller sees when answers get lost."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe

from shared.sandbox.stripe.failures import Fault
from shared.sandbox.stripe.running import RunningStandin
from tests.unit.sandbox.conftest import connected, wishes

SESSIONS = "/v1/checkout/sessions"
KEYED: Any = {"idempotency_key": "order-1"}


def session_count(standin: RunningStandin) -> int:
    """How many sessions exist."""
    return len(standin.app.standin.store.book("").all("checkout.session"))


async def test_the_same_request_is_answered_from_memory(
    standin: RunningStandin, client: stripe.StripeClient
) -> None:
    """Issue 2 section 5: replay, and another request under the key is an IdempotencyError."""
    first = await client.v1.checkout.sessions.create_async(params=wishes(), options=KEYED)
    second = await client.v1.checkout.sessions.create_async(params=wishes(), options=KEYED)
    assert (second.id, session_count(standin)) == (first.id, 1)
    with pytest.raises(stripe.IdempotencyError):
        await client.v1.checkout.sessions.create_async(params=wishes(client_reference_id="r2"), options=KEYED)
    with pytest.raises(stripe.IdempotencyError):
        await client.v1.customers.create_async(params={"email": "a@example.com"}, options=KEYED)
    assert session_count(standin) == 1


async def test_a_key_belongs_to_one_account_and_one_day(
    standin: RunningStandin, client: stripe.StripeClient
) -> None:
    """Issue 2 section 5"""
    elsewhere: Any = {**KEYED, "stripe_account": "acct_1"}
    standin.open_account("acct_1")
    first = await client.v1.checkout.sessions.create_async(params=wishes(), options=KEYED)
    other = await client.v1.checkout.sessions.create_async(params=wishes(), options=elsewhere)
    standin.set_clock(datetime.now(UTC) + timedelta(hours=25))
    later = await client.v1.checkout.sessions.create_async(params=wishes(), options=KEYED)
    assert len({first.id, other.id, later.id}) == 3


async def test_a_refused_parameter_leaves_the_key_free(client: stripe.StripeClient) -> None:
    """Issue 2 section 5: validation failures are not kept."""
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.checkout.sessions.create_async(params=wishes(colour="red"), options=KEYED)
    assert (await client.v1.checkout.sessions.create_async(params=wishes(), options=KEYED)).status == "open"


async def test_a_key_has_255_characters_at_most(client: stripe.StripeClient) -> None:
    """Issue 2 section 5"""
    long: Any = {"idempotency_key": "k" * 256}
    with pytest.raises(stripe.InvalidRequestError, match="255"):
        await client.v1.checkout.sessions.create_async(params=wishes(), options=long)


@pytest.mark.parametrize(("kept", "second"), [(True, 503), (False, 200)])
async def test_a_5xx_is_kept_unless_it_came_from_a_gateway(
    standin: RunningStandin, client: stripe.StripeClient, kept: bool, second: int
) -> None:
    """Issue 2 section 5: 5xx are kept under the key."""
    standin.fail_next(SESSIONS, 503, kept=kept)
    statuses = []
    for _ in range(2):
        try:
            await client.v1.checkout.sessions.create_async(params=wishes(), options=KEYED)
            statuses.append(200)
        except stripe.APIError as failed:
            statuses.append(failed.http_status or 0)
    assert statuses == [503, second]


@pytest.mark.parametrize(
    ("fault", "effect"), [("cut_before", 0), ("cut_after", 1), ("timeout_before", 0), ("timeout_after", 1)]
)
async def test_a_lost_answer_before_or_after_the_effect(
    standin: RunningStandin, fault: Fault, effect: int
) -> None:
    """Issue 2 section 5: the replay under the same key makes it one session either way."""
    standin.fail_next(SESSIONS, fault, method="POST")
    async with connected(standin, timeout=1) as hasty:
        with pytest.raises(stripe.APIConnectionError):
            await hasty.v1.checkout.sessions.create_async(params=wishes(), options=KEYED)
    assert session_count(standin) == effect
    async with connected(standin) as client:
        await client.v1.checkout.sessions.create_async(params=wishes(), options=KEYED)
    assert session_count(standin) == 1


async def test_failures_hit_only_what_they_name(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """Issue 2 section 5"""
    standin.fail_next("/v1/checkout/sessions/*/expire", 500, times=2)
    session = await client.v1.checkout.sessions.create_async(params=wishes())
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            await client.v1.checkout.sessions.expire_async(session.id)
    assert (await client.v1.checkout.sessions.expire_async(session.id)).status == "expired"
