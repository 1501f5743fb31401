"""A payment page that somebody made by hand beside an order's own: what the soak test has found about it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from cart.reconcile.differences import Kind
from cart.reconcile.run import reconcile
from cart.settle import Settled
from shared.contracts.states import OrderState
from tests.cart_world import World


@pytest.fixture(autouse=True)
def one_clock(world: World) -> None:
    """Stripe's clock is ours."""
    world.payments.now = world.clock.now()


async def test_own_page_is_closed_after_a_copy_was_paid(world: World) -> None:
    """The copy was paid wrongly and goes back; the order lapses: Stripe is asked about its own page (spec: B9, H1)."""
    _, order_id, session_id = await world.bought(await world.sell())
    own = world.payments.known[session_id]
    world.payments.known["cs_test_copy"] = replace(
        own, id="cs_test_copy", amount_total=own.amount_total + 500
    )
    await world.settle(world.payments.pay("cs_test_copy"))
    world.clock.advance(minutes=40)
    assert await world.release(order_id) == OrderState.EXPIRED
    assert world.payments.known[session_id].status == "expired"
    assert (await world.order(order_id)).state == OrderState.EXPIRED


async def test_end_of_a_copy_is_not_the_end_of_the_own_page(world: World) -> None:
    """A copy is closed, by hand or by a repair: the own page can still be paid, so the stock stays (spec: B9)."""
    user_id, order_id, session_id = await world.bought(await world.sell())
    own = world.payments.known[session_id]
    world.payments.known["cs_test_copy"] = replace(
        own, id="cs_test_copy", amount_total=own.amount_total + 500
    )
    world.clock.advance(minutes=10)
    for expected in ([Kind.SESSION_AMOUNT], []):
        report = await reconcile(world.sessions, world.till, now=world.clock.now(), commit=True)
        assert [one.kind for one in report.differences] == expected
    assert world.payments.known["cs_test_copy"].status == "expired"
    assert await world.attempt_states(order_id) == ["open"]
    assert (await world.hand_over(user_id, order_id)).session_id == session_id
    world.clock.advance(minutes=40)
    await world.release(order_id)
    assert world.payments.known[session_id].status == "expired"
    assert (await world.order(order_id)).state == OrderState.EXPIRED


async def test_own_page_is_closed_in_the_run_that_settles_a_copy(world: World) -> None:
    """Paid by a copy whose webhook was lost: one run settles it and closes the order's own page (spec: F2, H1)."""
    _, order_id, session_id = await world.bought(await world.sell())
    own = world.payments.known[session_id]
    world.payments.known["cs_test_copy"] = replace(own, id="cs_test_copy")
    world.payments.pay("cs_test_copy")
    world.clock.advance(minutes=3)
    no_grace = timedelta(0)  # what was just settled is looked at too
    await reconcile(world.sessions, world.till, now=world.clock.now(), commit=True, grace=no_grace)
    assert (await world.order(order_id)).state == OrderState.PAID
    assert world.payments.known[session_id].status == "expired"
    world.clock.advance(minutes=3)
    report = await reconcile(world.sessions, world.till, now=world.clock.now())
    assert report.differences == []


async def test_own_page_outlives_a_copy_that_was_paid_wrongly(world: World) -> None:
    """The copy's money goes back; the own page is still the buyer's way to pay, and its stock stays (spec: B9, C3)."""
    user_id, order_id, session_id = await world.bought(await world.sell())
    own = world.payments.known[session_id]
    world.payments.known["cs_test_copy"] = replace(
        own, id="cs_test_copy", amount_total=own.amount_total + 500
    )
    assert await world.settle(world.payments.pay("cs_test_copy")) is Settled.REFUND_DUE
    assert await world.attempt_states(order_id) == ["open"]
    assert (await world.hand_over(user_id, order_id)).session_id == session_id
    assert await world.settle(world.payments.pay(session_id)) is Settled.PAID
    assert (await world.order(order_id)).state == OrderState.PAID
