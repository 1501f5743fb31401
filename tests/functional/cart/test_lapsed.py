"""Why tickets are in the cart again, told for a day (spec: B9, H10)."""

from datetime import UTC, datetime, timedelta

import pytest

from cart.release import release_lapsed
from shared.clock import ManualClock
from shared.contracts.states import OrderState
from tests.cart_world import World
from tests.shop import page_of
from tests.support import Browser

BACK = "so they are in your cart again"


@pytest.fixture
def clock() -> ManualClock:
    """19:44 in Vienna."""
    return ManualClock(datetime(2026, 12, 11, 18, 44, tzinfo=UTC))


async def lapse(world: World) -> None:
    """The clock of every hold runs out, and a worker comes by much later."""
    world.clock.advance(hours=2)
    await release_lapsed(world.sessions, world.till, now=world.clock.now())


async def test_cart_says_why_and_since_when(buyer: Browser, world: World) -> None:
    """By the clock of the hold in the page's zone, whenever it was released; an extension counts (spec: H10)."""
    kind = await world.sell(hold_minutes=30)
    await world.put(buyer.user_id, kind, 2)
    (order_id,) = await world.start(buyer.user_id)
    assert BACK not in await page_of(await buyer.get("/cart"))
    await lapse(world)
    words = "2 × Concert, Standard: your hold on these tickets ended at 20:14 (Vienna) and you had not paid"
    page = await page_of(await buyer.get("/cart"))
    assert f"{words}, {BACK}." in page
    (order_id,) = await world.start(buyer.user_id)
    await buyer.post(f"/orders/{order_id}/extend")
    await lapse(world)
    page = await page_of(await buyer.get("/cart"))
    assert page.count(BACK) == 1, "only the last order of a ticket has something to say"
    assert "ended at 22:44 (Vienna)" in page


async def test_told_for_a_day_and_while_it_is_true(buyer: Browser, world: World) -> None:
    """Not of tickets that were taken out since, and not for ever; after midnight with its day."""
    kind, other = await world.sell(), await world.sell("recital", page="club")
    await world.put(buyer.user_id, kind, 2)
    await world.put(buyer.user_id, other, 1)
    await world.start(buyer.user_id)
    await lapse(world)
    await world.put(buyer.user_id, kind, 1)
    assert "1 × Recital, Standard and 1 × Concert, Standard: your hold" in await page_of(
        await buyer.get("/cart")
    )
    await world.put(buyer.user_id, kind, 0)
    world.clock.advance(hours=6)
    page = await page_of(await buyer.get("/cart"))
    assert "1 × Recital, Standard: your hold on these tickets ended on Fri 11 Dec at 20:14 (Vienna)" in page
    world.clock.advance(hours=19)
    assert BACK not in await page_of(await buyer.get("/cart"))


async def test_who_gave_them_back_knows_why(buyer: Browser, world: World) -> None:
    """Nothing is said of tickets that the buyer has put back, also where an earlier hold had lapsed."""
    await world.put(buyer.user_id, await world.sell(), 1)
    await world.start(buyer.user_id)
    await lapse(world)
    (order_id,) = await world.start(buyer.user_id)
    await world.release(order_id, to=OrderState.CANCELLED)
    assert BACK not in await page_of(await buyer.get("/cart"))


async def test_cancelled_event_is_the_better_reason(buyer: Browser, world: World) -> None:
    """Its line says that it is off; nobody is told that they could have paid (spec: B11)."""
    kind = await world.sell()
    await world.put(buyer.user_id, kind, 1)
    await world.start(buyer.user_id)
    await world.cancel(kind)
    await lapse(world)
    page = await page_of(await buyer.get("/cart"))
    assert "This event does not take place" in page
    assert BACK not in page


async def test_payment_that_failed_days_later(buyer: Browser, world: World) -> None:
    """A delayed method: the tickets are back for another reason than the clock (spec: C4)."""
    await world.put(buyer.user_id, await world.sell(delayed_methods=True), 1)
    (order_id,) = await world.start(buyer.user_id)
    session_id = (await world.hand_over(buyer.user_id, order_id)).session_id
    assert session_id is not None
    facts = world.payments.pay(session_id, paid=False)
    await world.settle(facts)
    world.clock.advance(days=3)
    await world.settle(facts, failed=True)
    page = await page_of(await buyer.get("/cart"))
    assert f"1 × Concert, Standard: your payment did not go through, {BACK}." in page


async def test_hold_that_ended_is_not_called_held(buyer: Browser, world: World) -> None:
    """Before any worker came by: neither the cart nor the event's page promise what the clock has taken (spec: B9)."""
    await world.put(buyer.user_id, await world.sell(capacity=1), 1)
    await world.start(buyer.user_id)
    for path in ("/cart", "/p/hall/concert"):
        assert "held for you" in await page_of(await buyer.get(path))
    world.clock.advance(minutes=31)
    for path in ("/cart", "/p/hall/concert"):
        page = await page_of(await buyer.get(path))
        assert "he time to pay" in page
        assert "has ended" in page
        assert "held for you" not in page
    assert world.clock.now() - datetime(2026, 12, 11, 18, 44, tzinfo=UTC) == timedelta(minutes=31)
