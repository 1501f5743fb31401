"""Buy now: from the event's form to Stripe's page in one request, as an order of its own."""

import asyncio
import re
from uuid import UUID

from sqlalchemy import select

from cart.models import Order
from shared.contracts.states import OrderState
from tests.cart_world import World
from tests.support import Browser

EVENT = "/p/hall/concert"


async def token_in(client: Browser) -> str:
    """The mark of the form that the event's page shows."""
    body = str(await (await client.get(EVENT)).get_data(as_text=True))
    found = re.search(r'name="token" value="([0-9a-f-]{36})"', body)
    assert found
    return found[1]


async def press(client: Browser, type_id: UUID, number: int, token: str) -> tuple[int, str]:
    """Send the form by its button "Buy now"; status, and where it leads or what it says."""
    form = {f"quantity-{type_id}": str(number), "token": token, "then": "pay"}
    answer = await client.post(f"{EVENT}/buy", form=form)
    return answer.status_code, answer.headers.get("Location") or str(await answer.get_data(as_text=True))


async def orders(world: World) -> list[Order]:
    async with world.sessions() as session:
        return list(await session.scalars(select(Order)))


async def in_cart(world: World, buyer: Browser) -> int:
    async with world.sessions() as session:
        return len(await world.calendar.pending_tickets(session, user_id=buyer.user_id))


async def test_leads_to_payment_and_leaves_the_cart(buyer: Browser, world: World) -> None:
    """Exactly the form's tickets; two of the same type in the cart stay there (spec: B7, C1)."""
    kind = await world.sell(cost=1000)
    await world.put(buyer.user_id, kind, 2)
    status, place = await press(buyer, kind, 1, await token_in(buyer))
    (order,) = await orders(world)
    assert (status, order.total, order.state) == (303, 1000, OrderState.PENDING)
    assert place.startswith("http")
    assert await in_cart(world, buyer) == 2


async def test_pressed_twice_is_one_order(buyer: Browser, world: World) -> None:
    """The same form twice at once: one hold, and both are led to it; another number is another order (spec: B8)."""
    kind = await world.sell(cost=1000, capacity=5)
    token = await token_in(buyer)
    answers = await asyncio.gather(*(press(buyer, kind, 2, token) for _ in range(3)))
    assert {status for status, _ in answers} == {303}
    assert [order.total for order in await orders(world)] == [2000]
    await press(buyer, kind, 1, token)
    assert sorted(order.total for order in await orders(world)) == [1000, 2000]
    assert await in_cart(world, buyer) == 0


async def test_free_tickets_are_there_at_once(buyer: Browser, world: World) -> None:
    """spec: C1"""
    kind = await world.sell(cost=0)
    _, place = await press(buyer, kind, 1, await token_in(buyer))
    (order,) = await orders(world)
    assert (order.state, place) == (OrderState.PAID, f"/orders/{order.id}/confirmation")


async def test_refused_leaves_nothing_behind(buyer: Browser, world: World) -> None:
    """Sold out or over the limit: said at the form, no order, nothing in the cart, Stripe not called (spec: B8)."""
    kind = await world.sell(cost=1000, capacity=1)
    token = await token_in(buyer)
    assert (await press(buyer, kind, 0, token))[0] == 422
    status, body = await press(buyer, kind, 2, token)
    assert (status, "Only 1 left." in body) == (409, True)
    status, body = await press(buyer, kind, 40, token)
    assert (status, "Choose 1 to" in body) == (422, True)
    assert (await orders(world), await in_cart(world, buyer)) == ([], 0)
    assert not world.payments.requests


async def test_stripe_away_keeps_the_hold(buyer: Browser, world: World) -> None:
    """The order's page offers the payment again (spec: C1)."""
    kind = await world.sell(cost=1000)
    world.payments.unanswered_creates = 1
    status, place = await press(buyer, kind, 1, await token_in(buyer))
    (order,) = await orders(world)
    assert (status, place) == (303, f"/orders/{order.id}")
    shown = str(await (await buyer.get(place)).get_data(as_text=True))
    assert "The payment provider did not answer. Your tickets stay held" in shown
    assert "Continue to payment" in shown


async def test_stripes_no_gives_the_tickets_to_the_cart(buyer: Browser, world: World) -> None:
    """In words, in the cart, with no money taken (spec: B8)."""
    kind = await world.sell(cost=1000)
    world.payments.refused_calls = 1
    assert await press(buyer, kind, 1, await token_in(buyer)) == (303, "/cart")
    shown = str(await (await buyer.get("/cart")).get_data(as_text=True))
    assert "refused this payment. No money was taken; your tickets are in your cart again." in shown
    assert await in_cart(world, buyer) == 1
