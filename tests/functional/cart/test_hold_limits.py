"""What a loop of checkouts can't do: hold again and again, extend what others wait for, spend calls (spec: L2, L9)."""

from datetime import UTC, datetime, timedelta

import pytest

from cart.checkout import NotExtended, extend
from cart.cooldown import HoldTooSoon, next_hold_at
from shared.contracts.states import OrderState
from shared.seldom import Seldom
from tests.cart_world import World
from tests.shop import Shop, page_of

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("times", "minutes"),
    [(0, None), (1, None), (2, None), (3, 2), (4, 5), (5, 15), (6, 60), (7, 240), (60, 240)],
)
def test_the_wait_grows(times: int, minutes: int | None) -> None:
    """Two changes of mind a day cost nothing; after that from two minutes to four hours."""
    ended = [NOW - timedelta(hours=hour) for hour in range(times)]
    assert next_hold_at(ended) == (None if minutes is None else NOW + timedelta(minutes=minutes))


@pytest.mark.parametrize("to", [OrderState.EXPIRED, OrderState.CANCELLED])
async def test_holds_that_end_unpaid_again_and_again(world: World, to: OrderState) -> None:
    """The fourth hold of a day on one event has to wait, whether the others lapsed or were ended; in words."""
    kind, other = await world.sell(capacity=100), await world.sell("another", page="elsewhere")
    user_id = await world.buyer()
    for _ in range(3):
        await world.put(user_id, kind, 2)
        (order_id,) = await world.start(user_id)
        world.clock.advance(minutes=31 if to is OrderState.EXPIRED else 1)
        assert await world.release(order_id, to=to) == to
    with pytest.raises(HoldTooSoon, match=r"3 times in the last 24 hours.* again in 2 minutes"):
        await world.start(user_id)
    assert await world.in_cart(user_id) == 2
    assert await world.allocated(kind) == 0
    stranger = await world.buyer()
    await world.put(stranger, kind, 2)
    assert await world.start(stranger), "nobody else waits"
    await world.put(user_id, kind, 0)
    await world.put(user_id, other, 1)
    assert await world.start(user_id), "another event is not concerned"
    await world.put(user_id, kind, 2)
    world.clock.advance(minutes=2)
    assert await world.start(user_id)


async def test_a_day_later_all_is_forgotten(world: World) -> None:
    """What counts is the last day."""
    kind = await world.sell(capacity=100)
    user_id = await world.buyer()
    for _ in range(3):
        await world.put(user_id, kind, 2)
        (order_id,) = await world.start(user_id)
        world.clock.advance(minutes=31)
        await world.release(order_id)
    world.clock.advance(hours=24)
    assert await world.start(user_id)


async def test_no_more_time_while_others_wait(world: World) -> None:
    """With less than a tenth left a hold is not extended; the order keeps its time (spec: H10)."""
    kind = await world.sell(capacity=20)
    _, order_id, _ = await world.bought(kind, 10)
    order = await world.order(order_id)
    other, _, _ = await world.bought(kind, 9)
    async with world.sessions.begin() as session:
        with pytest.raises(NotExtended, match="others may be waiting"):
            await extend(session, world.till, order_id=order_id, user_id=order.user_id, now=world.clock.now())
    assert (await world.order(order_id)).reserved_until == order.reserved_until
    async with world.sessions.begin() as session:
        await world.calendar.remove_pending_tickets(session, user_id=other)


async def test_coming_back_again_and_again_costs_few_calls(shop: Shop) -> None:
    """Thirty visits to the return page and to the confirmation were sixty calls to Stripe."""
    kind = await shop.world.sell()
    client = await shop.buyer_with(kind)
    order_id, session_id = await shop.order_of(client)
    shop.payments.calls.clear()
    for path in (f"/checkout/complete?session_id={session_id}", f"/orders/{order_id}/confirmation"):
        for _ in range(15):
            assert (await client.get(path)).status_code in (303, 400)
    assert shop.payments.calls.count("retrieve") <= 20
    shop.clock.advance(seconds=15)
    await shop.world.settle(shop.payments.pay(session_id))
    shop.payments.calls.clear()
    for _ in range(5):
        answer = await client.get(f"/checkout/complete?session_id={session_id}", follow_redirects=True)
        assert "You are in" in await page_of(answer)
    assert shop.payments.calls == [], "what is settled is not asked about again"


@pytest.mark.parametrize(
    "session_id", ["cs_x", "cs_test_", "cs_test_" + "a" * 59, "cs_test_a%2Fb", "pi_1", "", "cs_live_%C3%A9"]
)
async def test_what_is_no_session_id_is_not_asked_about(shop: Shop, session_id: str) -> None:
    """Its form is looked at first, even with an own order beside it."""
    client = await shop.buyer_with(await shop.world.sell())
    order_id, _ = await shop.order_of(client)
    shop.payments.calls.clear()
    answer = await client.get(f"/checkout/complete?session_id={session_id}&order={order_id}")
    assert answer.status_code == 404
    assert shop.payments.calls == []


async def test_a_stranger_with_another_session_of_a_known_order(shop: Shop) -> None:
    """Only an order whose own session was never stored is worth a call for an id that we do not know."""
    client = await shop.buyer_with(await shop.world.sell())
    order_id, _ = await shop.order_of(client)
    shop.payments.calls.clear()
    path = f"/checkout/complete?session_id=cs_test_guess&order={order_id}"
    answer = await (await shop.buyer("mallory@example.org")).get(path)
    assert (answer.status_code, shop.payments.calls) == (404, [])


def test_seldom_forgets() -> None:
    """By key, within its time, and never more keys than it may keep."""
    seldom = Seldom(2, timedelta(seconds=10))
    assert [seldom.may("a", NOW) for _ in range(3)] == [True, True, False]
    assert seldom.may("b", NOW)
    assert seldom.may("a", NOW + timedelta(seconds=10))
