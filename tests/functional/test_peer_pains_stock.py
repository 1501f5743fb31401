"""What hurt users of other ticket shops, held against ours: stock. Each test names the pain and where it was seen."""

import asyncio
from dataclasses import replace

import pytest

from shared.contracts.states import OrderState
from shared.errors import AppError
from tests.shop import Shop, page_of
from tests.support import Browser

EVENT = "/p/hall/concert"


async def read(shop: Shop, client: Browser, path: str) -> str:
    """A page's text, with stock as it is now."""
    shop.app.extensions["catalogue"].forget()
    answer = await client.get(path)
    assert answer.status_code == 200, path
    return await page_of(answer)


async def check_out(shop: Shop, client: Browser) -> tuple[int, str]:
    """Press the cart's button; status and text of the answer."""
    answer = await client.post("/checkout", form={"fingerprint": await shop.world.seen(client.user_id)})
    return answer.status_code, await page_of(answer)


async def test_last_ticket_is_sold_once(shop: Shop) -> None:
    """Last ticket sold twice, the lock skipped or the check before the lock (spec: B8, H3).

    Seen at eventyay 1359, Attendize 473, vendure 3508 and 1738, django-oscar 1811 and 4524.
    """
    kind = await shop.world.sell(capacity=1)
    buyers = [await shop.buyer_with(kind, email=f"{number}@buyer.example") for number in range(8)]
    answers = await asyncio.gather(*(check_out(shop, client) for client in buyers))
    assert sorted(status for status, _ in answers) == [303] + [409] * 7
    assert all("sold out" in page for status, page in answers if status == 409)
    assert len(shop.payments.known) == await shop.world.allocated(kind) == 1
    (session_id,) = shop.payments.known
    await shop.world.settle(shop.payments.pay(session_id))
    assert await shop.world.allocated(kind) == 1


async def test_own_unfinished_order_is_not_sold_out_to_its_buyer(shop: Shop) -> None:
    """Own unfinished order shows "sold out" to its buyer: Hi.Events 790 (spec: B8, H10).

    Whoever comes back is led to their order, by the event's page, its form, and the cart's line.
    """
    kind = await shop.world.sell(capacity=2)
    client = await shop.buyer_with(kind, 2)
    order_id, _ = await shop.order_of(client)
    page = await read(shop, client, EVENT)
    assert "2 × Standard: held for you until" in page
    assert f'href="/orders/{order_id}">Continue to payment' in page
    assert "2 held for you</span>" in page
    for path, form in (
        (f"{EVENT}/buy", {f"quantity-{kind}": "1"}),
        ("/cart/lines", {"ref": str(kind), "quantity": "1"}),
    ):
        answer = await client.post(path, form=form)
        refused = await page_of(answer)
        assert (answer.status_code, "held for you already" in refused) == (409, True), path
        assert f'href="/orders/{order_id}"' in refused, path
        page += refused
    for words in ("sold out", "Sold out", "May become available", "no longer available"):
        assert words not in page
    stranger = await read(shop, await shop.buyer("bob@example.org"), EVENT)
    assert "May become available" in stranger
    assert "held for you" not in stranger


async def test_own_unfinished_order_is_named_at_the_checkout(shop: Shop) -> None:
    """The same at the checkout, where more was put into the cart before the rest was gone: Hi.Events 790."""
    kind = await shop.world.sell(capacity=3)
    client = await shop.buyer_with(kind, 2)
    order_id, _ = await shop.order_of(client)
    await shop.world.put(client.user_id, kind, 1)
    await shop.paid_order_of(await shop.buyer_with(kind, email="bob@example.org"))
    status, page = await check_out(shop, client)
    assert status == 409
    assert (
        "Concert, Standard: 2 are held for you by an unfinished order of yours, and no more can be had."
        in page
    )
    assert f'href="/orders/{order_id}"' in page
    assert "sold out" not in page


async def test_own_payment_on_its_way_is_not_sold_out_either(shop: Shop) -> None:
    """A delayed method: the tickets are the buyer's for days before they are paid: Hi.Events 790 (spec: C3)."""
    kind = await shop.world.sell(capacity=1, delayed_methods=True)
    client = await shop.buyer_with(kind)
    order_id, session_id = await shop.order_of(client)
    await shop.world.settle(shop.payments.pay(session_id, paid=False))
    shop.clock.advance(days=3)
    page = await read(shop, client, EVENT)
    assert "1 × Standard: held for you, your payment is on its way." in page
    assert f'href="/orders/{order_id}">See the order' in page
    assert "Sold out" not in page


@pytest.mark.parametrize("end", [OrderState.EXPIRED, OrderState.CANCELLED, OrderState.FAILED])
async def test_orders_that_ended_count_no_longer(shop: Shop, end: OrderState) -> None:
    """Expired orders keep counting as sold, cancelling frees nothing: open-event-server 5569, Hi.Events 466 (B9)."""
    kind = await shop.world.sell(capacity=1, delayed_methods=True)
    first, second = await shop.buyer_with(kind), await shop.buyer("bob@example.org")
    order_id, session_id = await shop.order_of(first)
    assert "May become available" in await read(shop, second, EVENT)
    if end is OrderState.CANCELLED:
        await first.post(f"/orders/{order_id}/cancel")
    elif end is OrderState.EXPIRED:
        await shop.app.sweeps["lapsed_orders"](shop.clock.advance(minutes=31))
    else:
        facts = shop.payments.pay(session_id, paid=False)
        await shop.world.settle(facts)
        await shop.world.settle(facts, failed=True)
    assert (await shop.world.order(order_id)).state == end
    assert "1 left" in await read(shop, second, EVENT)
    await shop.world.put(second.user_id, kind, 1)
    assert (await check_out(shop, second))[0] == 303
    assert await shop.world.allocated(kind) == 1


async def test_dead_worker_leaves_nothing_sold_out(shop: Shop) -> None:
    """No worker runs, and what lapsed can still be bought: Hi.Events 270, 506 (spec: B9).

    Nothing is given away by the clock: Stripe is asked before the second buyer gets the ticket.
    """
    kind = await shop.world.sell(capacity=1)
    first, second = await shop.buyer_with(kind), await shop.buyer("bob@example.org")
    order_id, session_id = await shop.order_of(first)
    form = {f"quantity-{kind}": "1"}
    assert (await second.post(f"{EVENT}/buy", form=form)).status_code == 409
    shop.clock.advance(minutes=31)
    assert 'type="number"' in await read(shop, second, EVENT)
    assert (await second.post(f"{EVENT}/buy", form=form)).status_code == 303
    assert (await check_out(shop, second))[0] == 303
    assert shop.payments.known[session_id].status == "expired"
    assert (await shop.world.order(order_id)).state == OrderState.EXPIRED
    assert "so they are in your cart again" in await read(shop, first, "/cart")
    with pytest.raises(AppError):
        shop.payments.pay(session_id)


async def test_stock_gone_after_payment_pays_back_once(shop: Shop) -> None:
    """Stock gone after the payment, the money kept: pretix 74, vendure 3411 (spec: H2).

    The clocks of Stripe and of the shop disagree: the hold is over, the ticket sold to another, and yet it is paid.
    """
    kind = await shop.world.sell(capacity=1, cost=1700)
    client = await shop.buyer_with(kind)
    order_id, session_id = await shop.order_of(client)
    late = shop.payments.pay(session_id)
    shop.payments.known[session_id] = replace(late, status="expired", payment_status="unpaid")
    shop.clock.advance(minutes=31)
    assert await shop.world.release(order_id) == OrderState.EXPIRED
    other = await shop.paid_order_of(await shop.buyer_with(kind, email="bob@example.org"))
    shop.payments.known[session_id] = late
    for _ in range(2):
        await shop.world.settle(late)
        await shop.app.sweeps["refunds"](shop.clock.now())
    assert [(made.amount, made.payment_intent) for made in shop.payments.made_refunds] == [
        (1700, late.payment_intent)
    ]
    assert "€17.00 was refunded to you" in await read(shop, client, f"/orders/{order_id}")
    assert await shop.world.states(order_id) == []
    assert await shop.world.states(other) == ["confirmed"]
    assert await shop.world.allocated(kind) == 1
