"""StripePayments, the real SDK in it, against the stand-in: what the cart relies on at the edges."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from cart.models import StripeCustomer
from cart.till import Till
from shared.clock import ManualClock
from shared.contracts.facts import CheckoutRequest
from shared.contracts.payment_errors import (
    ChargeDisputed,
    PaymentsUnavailable,
)
from shared.contracts.states import OrderState
from shared.database import Database
from shared.ids import new_id
from shared.payments import StripePayments
from shared.sandbox.stripe.running import RunningStandin
from shared.settings import Settings
from tests.cart_world import World


@dataclass
class Edge:
    """The client under test, the other end of its line, and a shop whose till has it."""

    payments: StripePayments
    standin: RunningStandin
    world: World


@pytest.fixture
async def edge(
    settings: Settings, database: Database, clock: ManualClock, standin: RunningStandin
) -> AsyncIterator[Edge]:
    payments = StripePayments(
        replace(settings, stripe_secret_key=standin.secret_key, stripe_api_base=standin.url)
    )
    world = World(database.sessions, clock)
    world.till = Till(world.calendar, payments, "http://shop.test")
    yield Edge(payments, standin, world)
    await payments.close()


def request_of(customer: str, **changes: Any) -> CheckoutRequest:
    """A request for a session, complete enough for Stripe."""
    order_id, attempt_id, page_id = new_id(), new_id(), new_id()
    metadata = {
        "app": "tillgate",
        "installation_id": str(new_id()),
        "order_id": str(order_id),
        "attempt_id": str(attempt_id),
        "page_id": str(page_id),
        "product_ids": str(new_id()),
    }
    price = {"currency": "eur", "unit_amount": 1250, "product_data": {"name": "Concert"}}
    params = {
        "mode": "payment",
        "line_items": [{"quantity": 1, "price_data": price}],
        "success_url": "http://shop.test/checkout/complete",
        "customer": customer,
        "metadata": metadata,
        **changes,
    }
    return CheckoutRequest(order_id, attempt_id, page_id, "", f"checkout-{attempt_id}", params)


async def test_one_customer_per_user(edge: Edge) -> None:
    """Made at the first purchase, found again at the next one (spec: E5)."""
    kind, user_id = await edge.world.sell(cost=1250), await edge.world.buyer()
    used = set()
    for _ in range(2):
        await edge.world.put(user_id, kind, 1)
        (order_id,) = await edge.world.start(user_id)
        handover = await edge.world.hand_over(user_id, order_id)
        assert handover.session_id is not None
        used.add(edge.standin.find("checkout.session", handover.session_id)["customer"])
    assert len(edge.standin.events("customer.created")) == 1
    async with edge.world.sessions() as session:
        assert used == set(await session.scalars(select(StripeCustomer.customer_id)))


async def test_customer_deleted_at_stripe_gets_a_successor(edge: Edge) -> None:
    """Somebody tidies up in the Dashboard, or the keys are another account's: the user can still buy (spec: E5)."""
    kind, user_id = await edge.world.sell(cost=1250), await edge.world.buyer()
    orders = []
    for _ in range(2):
        await edge.world.put(user_id, kind, 1)
        (order_id,) = await edge.world.start(user_id)
        handover = await edge.world.hand_over(user_id, order_id)
        orders.append((handover.order_id, handover.session_id))
        async with edge.world.sessions() as session:
            kept = (await session.scalars(select(StripeCustomer.customer_id))).one()
        await edge.payments.client.v1.customers.delete_async(kept)
    assert len(edge.standin.events("customer.created")) == 2
    assert [(await edge.world.order(order_id)).state for order_id, _ in orders] == [OrderState.PENDING] * 2
    assert await edge.world.attempt_states(orders[1][0]) == ["failed", "open"]


async def test_session_is_found_behind_the_first_page(edge: Edge) -> None:
    """By customer, time and metadata, however many a customer has: lists that must be complete are paged (spec: E3)."""
    customer = await edge.payments.customer_for(
        user_id=new_id(), email="ada@example.org", stripe_account="", installation_id=new_id()
    )
    first = request_of(customer)
    wanted = await edge.payments.create_checkout_session(first)
    for _ in range(100):  # newest first: the wanted one is on the second page
        await edge.payments.create_checkout_session(request_of(customer))
    since = datetime.now(UTC) - timedelta(hours=1)
    found = await edge.payments.find_session(first, created_after=since)
    assert found is not None
    assert found.id == wanted.id
    assert await edge.payments.find_session(request_of(customer), created_after=since) is None


async def test_refund_is_made_once_after_its_key_is_forgotten(edge: Edge) -> None:
    """Stripe keeps a key for 24 hours; after that the refund's id in the metadata finds it again."""
    kind = await edge.world.sell(cost=1250)
    _, _, session_id = await edge.world.bought(kind)
    paid = await edge.standin.pay(session_id)
    refund_id = new_id()
    made = [await _refund(edge, paid["payment_intent"], refund_id)]
    edge.standin.set_clock(datetime.now(UTC) + timedelta(hours=25))
    made.append(await _refund(edge, paid["payment_intent"], refund_id))
    assert made[0] == made[1]
    assert len(edge.standin.events("refund.created")) == 1


async def test_failure_that_stripe_keeps_does_not_hold_a_refund_up(edge: Edge) -> None:
    """A 500 is replayed under its key for a day; the refund goes through all the same, and once (Hi.Events 1067)."""
    _, _, session_id = await edge.world.bought(await edge.world.sell(cost=1250))
    paid = await edge.standin.pay(session_id)
    refund_id = new_id()
    edge.standin.fail_next("/v1/refunds", 500, method="POST")
    made = {await _refund(edge, paid["payment_intent"], refund_id) for _ in range(2)}
    assert len(made) == len(edge.standin.events("refund.created")) == 1


async def test_refusal_of_a_dispute_that_is_over_does_not_hold_a_refund_up(edge: Edge) -> None:
    """Refused while disputed; won, it goes through at once, though Stripe keeps the refusal for a day (spec: H2)."""
    _, _, session_id = await edge.world.bought(await edge.world.sell(cost=1250))
    paid = await edge.standin.pay(session_id)
    dispute, refund_id = edge.standin.dispute(session_id), new_id()
    with pytest.raises(ChargeDisputed):
        await _refund(edge, paid["payment_intent"], refund_id)
    edge.standin.win_dispute(dispute["id"])
    made = {await _refund(edge, paid["payment_intent"], refund_id) for _ in range(2)}
    assert len(made) == len(edge.standin.events("refund.created")) == 1


async def test_failure_that_stripe_keeps_does_not_keep_a_user_from_buying(edge: Edge) -> None:
    """Their customer is made under the next key, and it is the same one the next time (spec: E5)."""
    user_id, installation_id = new_id(), new_id()
    edge.standin.fail_next("/v1/customers", 500, method="POST")
    made = {
        await edge.payments.customer_for(
            user_id=user_id, email="ada@example.org", stripe_account="", installation_id=installation_id
        )
        for _ in range(2)
    }
    assert len(made) == len(edge.standin.events("customer.created")) == 1


async def test_stripe_that_keeps_failing_is_no_answer(edge: Edge) -> None:
    """After some keys it counts as unavailable, for the next try later; nothing was made."""
    edge.standin.fail_next("/v1/customers", 500, times=50, method="POST")
    with pytest.raises(PaymentsUnavailable):
        await edge.payments.customer_for(
            user_id=new_id(), email="ada@example.org", stripe_account="", installation_id=new_id()
        )
    assert edge.standin.events("customer.created") == []


async def _refund(edge: Edge, payment_intent: str, refund_id: Any) -> str:
    facts = await edge.payments.refund(
        refund_id=refund_id, payment_intent=payment_intent, amount=1250, stripe_account="", metadata={}
    )
    return facts.id
