"""The real SDK's client on the running stand-in, and what a checkout usually asks for."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import stripe
from quart import Quart, request

from shared.sandbox.stripe.control import GOOD_CARD
from shared.sandbox.stripe.running import RunningStandin


@pytest.fixture
async def client(standin: RunningStandin) -> AsyncIterator[stripe.StripeClient]:
    """The SDK's own client, pointed at the stand-in; it retries nothing."""
    async with connected(standin) as made:
        yield made


class connected:  # noqa: N801 - reads as a verb where it is used
    """`async with connected(standin) as client`: a client that is closed at the end."""

    def __init__(self, standin: RunningStandin, *, key: str | None = None, timeout: float = 5) -> None:
        self._http = stripe.HTTPXClient(timeout=timeout, allow_sync_methods=False)
        self._client = stripe.StripeClient(
            key or standin.secret_key, base_addresses={"api": standin.url}, http_client=self._http
        )

    async def __aenter__(self) -> stripe.StripeClient:
        return self._client

    async def __aexit__(self, *_: object) -> None:
        await self._http.close_async()


def wishes(**more: Any) -> Any:
    """Parameters of a usual session: two tickets of 15 EUR on the hosted page."""
    return {
        "mode": "payment",
        "line_items": [
            {
                "price_data": {"currency": "eur", "unit_amount": 1500, "product_data": {"name": "Standing"}},
                "quantity": 2,
            }
        ],
        "success_url": "http://shop.test/checkout/complete?session_id={CHECKOUT_SESSION_ID}",
        "cancel_url": "http://shop.test/cart",
        "metadata": {"order_id": "o1"},
        "payment_intent_data": {"metadata": {"order_id": "o1"}},
        **more,
    }


@dataclass
class Receiver:
    """A webhook endpoint in memory: what came in, and which status it answers next."""

    app: Quart = field(default_factory=lambda: Quart("receiver"))
    got: list[tuple[bytes, str]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        @self.app.post("/hook")
        async def hook() -> tuple[str, int]:
            self.got.append((await request.body, request.headers["Stripe-Signature"]))
            return "", self.answers.pop(0) if self.answers else 200


@pytest.fixture
def receiver() -> Receiver:
    """A webhook endpoint that takes everything."""
    return Receiver()


async def paid_session(
    standin: RunningStandin, client: stripe.StripeClient, card: str = GOOD_CARD, **more: Any
) -> dict[str, Any]:
    """A session that was paid with a card, usually a good one."""
    options: Any = {}
    if "account" in more:
        options["stripe_account"] = more.pop("account")
        standin.open_account(options["stripe_account"])
    session = await client.v1.checkout.sessions.create_async(params=wishes(**more), options=options)
    return await standin.pay(session.id, card)


def kinds(standin: RunningStandin, account: str = "") -> list[str]:
    """The types of all events of an account, oldest first."""
    return [event["type"] for event in standin.events(account=account)]
