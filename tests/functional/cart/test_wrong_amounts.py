"""Money of another amount or currency than the order's: it goes back, and what it means for the order's own page."""

from dataclasses import replace

import pytest

from cart.settle import Settled
from shared.contracts.states import OrderState
from tests.cart_world import World


@pytest.mark.parametrize("wrong", [{"amount_total": 1}, {"currency": "USD"}])
async def test_wrong_amount_or_currency_goes_back(world: World, wrong: dict[str, object]) -> None:
    """Money that is not the order's confirms nothing (spec: H2)."""
    kind = await world.sell()
    _, order_id, session_id = await world.bought(kind)
    facts = replace(world.payments.pay(session_id), **wrong)  # type: ignore[arg-type]
    assert await world.settle(facts) == Settled.REFUND_DUE
    (refund,) = await world.refunds()
    assert (refund.reason, refund.amount) == ("wrong_amount", facts.amount_total)
    assert await world.states(order_id) == ["reserved"]


async def test_wrong_amount_by_a_delayed_method_ends_the_order(world: World) -> None:
    """It was held with no clock, so nothing else would ever free its stock (spec: C3)."""
    kind = await world.sell(capacity=1, delayed_methods=True)
    user_id, order_id, session_id = await world.bought(kind)
    assert await world.settle(world.payments.pay(session_id, paid=False)) == Settled.PROCESSING
    wrong = replace(world.payments.arrive(session_id), amount_total=1)
    assert await world.settle(wrong) == Settled.REFUND_DUE
    assert (await world.order(order_id)).state == OrderState.FAILED
    assert await world.allocated(kind) == 0
    assert await world.in_cart(user_id) == 1


async def test_wrong_amount_for_a_copy_leaves_a_payment_on_its_way(world: World) -> None:
    """Money for the order's own page is still to come: its tickets stay held (spec: C3)."""
    kind = await world.sell(capacity=1, delayed_methods=True)
    _, order_id, session_id = await world.bought(kind)
    own = world.payments.known[session_id]
    world.payments.known["cs_test_copy"] = replace(own, id="cs_test_copy", amount_total=1)
    await world.settle(world.payments.pay(session_id, paid=False))
    assert await world.settle(world.payments.pay("cs_test_copy")) == Settled.REFUND_DUE
    assert (await world.order(order_id)).state == OrderState.PROCESSING
    assert await world.settle(world.payments.arrive(session_id)) == Settled.PAID
    assert await world.states(order_id) == ["confirmed"]
