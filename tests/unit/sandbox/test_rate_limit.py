"""The stand-in's rate limit: what Stripe answers to too many calls in one second."""

import pytest
import stripe

from shared.sandbox.stripe.failures import RateLimit
from shared.sandbox.stripe.running import RunningStandin


def test_a_second_holds_so_many_calls_of_one_endpoint_and_of_all() -> None:
    """Issue 8 section 5: 25 calls a second of one endpoint, 100 of all, each account for itself."""
    limit = RateLimit(per_endpoint=25, overall=100)
    first = [limit.refuses("", "GET /v1/refunds", 10 + number / 100) for number in range(26)]
    assert first == [None] * 25 + ["endpoint-rate"]
    others = [limit.refuses("", f"GET /v1/{number % 4}", 10.3) for number in range(76)]
    assert others == [None] * 75 + ["global-rate"]
    assert limit.refuses("acct_hall", "GET /v1/refunds", 10.3) is None
    assert limit.refuses("", "GET /v1/refunds", 11) is None, "the first call is a second old"


async def test_one_call_too_many_is_a_429(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """Issue 8 section 5: with Stripe's body and header, nothing begun; no limit unless it was switched on."""
    standin.limit_rate(per_endpoint=1)
    headers = {"Authorization": f"Bearer {standin.secret_key}"}
    http = standin.app.test_client()
    answers = [await http.post("/v1/customers", form={"name": "A"}, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    error = (await answers[1].get_json())["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "rate_limit")
    assert answers[1].headers["Stripe-Rate-Limited-Reason"] == "endpoint-rate"
    with pytest.raises(stripe.RateLimitError):
        await client.v1.customers.create_async()
    standin.limit_rate(None)
    assert len((await client.v1.customers.list_async()).data) == 1


async def test_session_ids_are_as_long_as_stripes(client: stripe.StripeClient) -> None:
    """Issue 8 section 5: at most 66 characters."""
    session = await client.v1.checkout.sessions.create_async(
        params={
            "mode": "payment",
            "success_url": "https://shop.example/ok",
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {"currency": "eur", "unit_amount": 900, "product_data": {"name": "Seat"}},
                }
            ],
        }
    )
    assert len(session.id) == 66
