"""What hurt users of other ticket shops, held against ours: money and messages. Each test names where it was seen."""

import asyncio
import socket
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import select, text

from cart.models import LedgerTransfer, Order, Payment
from shared.app import create_app
from shared.contracts.states import OrderState
from shared.models import OutgoingMail
from shared.sandbox.stripe.errors import StripeError
from shared.smtp import Smtp, send_due
from shared.web import Tillgate
from tests.road import Road
from tests.shop import Shop, page_of
from tests.support import signed_in_client

DECLINED = "4000000000000002"
IBAN = "AT611904300234573201"


def restarted(road: Road) -> Tillgate:
    """Another process of the same shop: it knows only what is in the database."""
    return create_app(road.app.settings, database=road.app.database, clock=road.world.clock)


def back(order_id: UUID, session_id: str) -> str:
    """Where Stripe sends the buyer."""
    return f"/checkout/complete?session_id={session_id}&order={order_id}"


@pytest.mark.parametrize("messenger", ["webhook", "buyer", "worker"])
async def test_paid_while_the_shop_was_down(road: Road, messenger: str) -> None:
    """Paid, no ticket: a rush, the site down between payment and confirmation: alf.io 1421 (spec: C3, C5).

    Whoever comes first to the shop that is up again brings the tickets; even a crash before the session was stored.
    """
    order_id, session_id = await road.to_stripe()
    await road.standin.pay(session_id)
    async with road.app.database.sessions.begin() as session:
        await session.execute(
            text("UPDATE checkout_attempts SET state = 'creating', session_id = NULL, url = NULL")
        )
    again = restarted(road)
    async with again.test_app():
        if messenger == "webhook":
            assert (await replace(road, app=again).send(road.event())).status_code == 200
        elif messenger == "buyer":
            visitor = await signed_in_client(again)
            answer = await visitor.get(back(order_id, session_id), follow_redirects=True)
            assert "You are in" in await page_of(answer)
        else:
            assert await again.sweeps["lapsed_orders"](road.world.clock.advance(minutes=31)) == 1
    assert (await road.world.order(order_id)).state == OrderState.PAID
    assert await road.world.states(order_id) == ["confirmed", "confirmed"]


async def test_event_sent_again_is_carried_out(road: Road) -> None:
    """Paid, order stays pending; the re-sent webhook answers 204 and changes nothing: Hi.Events 771, 598 (spec: C5).

    An event is done when its effect is, not when it was seen: what failed the first time is done the second time.
    """
    order_id, session_id = await road.to_stripe()
    await road.standin.pay(session_id)
    async with road.app.database.sessions.begin() as session:
        await session.execute(text("ALTER TABLE payments RENAME TO payments_away"))
    assert (await road.send(road.event())).status_code == 500
    assert (await road.world.order(order_id)).state == OrderState.PENDING
    async with road.app.database.sessions.begin() as session:
        await session.execute(text("ALTER TABLE payments_away RENAME TO payments"))
    for _ in range(2):
        answer = await road.send(road.event())
        assert (answer.status_code, await answer.get_json()) == (200, {"result": "paid"})
    assert (await road.world.order(order_id)).state == OrderState.PAID
    assert await road.count(Payment) == 1


async def test_return_page_and_webhook_at_once(road: Road) -> None:
    """Return page and webhook race, the order is missing or doubled: medusa 12790, 13301, saleor 12652 (spec: C5)."""
    for _ in range(3):
        order_id, session_id = await road.to_stripe(1)
        await road.standin.pay(session_id)
        event = road.event()
        pages = [road.buyer.get(back(order_id, session_id)) for _ in range(3)]
        answers = await asyncio.gather(*pages, *(road.send(event) for _ in range(3)))
        assert [answer.status_code for answer in answers] == [303] * 3 + [200] * 3
        assert (await road.world.order(order_id)).state == OrderState.PAID
        assert await road.world.states(order_id) == ["confirmed"]
    assert [await road.count(table) for table in (Order, Payment, LedgerTransfer)] == [3, 3, 3]


async def test_failed_payment_is_acted_on(road: Road) -> None:
    """Cancelled and failed payment events are ignored: medusa 16398 (spec: C5).

    A delayed payment that failed frees the stock and tells the buyer; a session that Stripe ended ends its attempt.
    """
    kind = await road.world.sell("gala", page="club", capacity=1, delayed_methods=True)
    road.kind = kind
    order_id, session_id = await road.to_stripe(1)
    await road.standin.pay(session_id, iban=IBAN)
    assert (await road.send(road.event())).status_code == 200
    assert (await road.world.order(order_id)).state == OrderState.PROCESSING
    road.standin.finish_delayed(session_id, fails=True)
    assert (await road.send(road.event("checkout.session.async_payment_failed"))).status_code == 200
    assert (await road.world.order(order_id)).state == OrderState.FAILED
    assert await road.world.allocated(kind) == 0
    assert await road.world.in_cart(road.buyer.user_id) == 1
    async with road.app.database.sessions() as session:
        assert "did not complete the payment" in (await session.scalars(select(OutgoingMail.text))).one()


async def test_mail_failure_does_not_break_the_checkout(shop: Shop) -> None:
    """A mail failure breaks the checkout after the charge: Attendize 174 (spec: A6, C3).

    The mail stays owed, with its reason, and goes out when the server is there again.
    """
    kind = await shop.world.sell(capacity=1)
    client = await shop.buyer_with(kind)
    order_id, session_id = await shop.order_of(client)
    shop.payments.pay(session_id)
    answer = await client.get(back(order_id, session_id), follow_redirects=True)
    assert "You are in" in await page_of(answer)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        nowhere = replace(shop.settings, smtp_url=f"smtp://127.0.0.1:{deaf.getsockname()[1]}")
        assert await send_due(shop.database.sessions, Smtp(nowhere), shop.clock.now()) == 0
    async with shop.database.sessions() as session:
        mail = (await session.scalars(select(OutgoingMail))).one()
    assert (mail.state, mail.last_error is not None, mail.to) == ("due", True, "ada@example.org")
    assert (await shop.world.order(order_id)).state == OrderState.PAID
    assert "You are in" in await page_of(await client.get(f"/orders/{order_id}/confirmation"))


async def test_double_click_charges_once(shop: Shop) -> None:
    """A double click charges twice or four times: Attendize 982, 880, 748, saleor 11133, spree 9265 (spec: C2, H2).

    One cart is one order and one session however often it is sent; and should two payments come, one goes back.
    """
    kind = await shop.world.sell(capacity=9, cost=1300)
    client = await shop.buyer_with(kind, 2)
    form = {"fingerprint": await shop.world.seen(client.user_id)}
    answers = await asyncio.gather(*(client.post("/checkout", form=form) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {303}
    (session_id,) = shop.payments.known
    again = await asyncio.gather(
        *(client.post("/checkout/pending", form={"session_id": session_id}) for _ in range(4))
    )
    assert {answer.headers["Location"] for answer in (*answers, *again)} == {
        shop.payments.known[session_id].url
    }
    await shop.world.settle(shop.payments.pay(session_id))
    assert (await client.post("/checkout", form=form)).headers["Location"].endswith("/confirmation")
    assert [await shop.world.count(table) for table in (Order, Payment)] == [1, 1]
    await shop.world.settle(shop.payments.pay_again(session_id))
    await shop.app.sweeps["refunds"](shop.clock.now())
    assert [made.amount for made in shop.payments.made_refunds] == [2600]
    assert [order.state for order in await all_orders(shop)] == [OrderState.PAID]


async def test_paid_is_never_called_failed(shop: Shop) -> None:
    """A false failure is shown, and the buyer orders again: pretix 1233 (spec: C2, C4, H2).

    Stripe took the money and does not answer when the buyer comes back: nothing says that it failed or was not taken,
    the same cart leads to the same order, and as soon as Stripe answers the tickets are there.
    """
    kind = await shop.world.sell(capacity=5)
    client = await shop.buyer_with(kind, 2)
    form = {"fingerprint": await shop.world.seen(client.user_id)}
    await client.post("/checkout", form=form)
    (session_id,) = shop.payments.known
    (order,) = await all_orders(shop)
    shop.payments.pay(session_id)
    for path in (back(order.id, session_id), f"/orders/{order.id}/confirmation"):
        shop.payments.lost_answers = 1
        answer = await client.get(path)
        page = await page_of(answer)
        assert (answer.status_code, "did not answer" in page) == (503, True)
        for words in ("No money was taken", "failed", "did not go through", "sold out"):
            assert words not in page, path
    answer = await client.post("/checkout", form=form)
    assert session_id in answer.headers["Location"], "a session that is complete takes no second payment"
    assert await shop.world.count(Order) == 1
    assert "You are in" in await page_of(await client.get(f"/orders/{order.id}/confirmation"))


async def test_declined_card_can_be_followed_by_another(road: Road) -> None:
    """The idempotency key breaks the retry after a decline: alf.io 1254 (spec: C2).

    The same page takes another card; and a session that ended gets a successor under a key of its own.
    """
    order_id, session_id = await road.to_stripe()
    with pytest.raises(StripeError):
        await road.standin.pay(session_id, DECLINED)
    assert (await road.world.order(order_id)).state == OrderState.PENDING
    answer = await road.buyer.post("/checkout/pending", form={"session_id": session_id})
    assert session_id in answer.headers["Location"]
    payments = road.app.services.payments
    await payments.expire_session(session_id, stripe_account="")
    assert (await road.buyer.post("/checkout/pending", form={"session_id": session_id})).status_code == 400
    answer = await road.buyer.post(
        "/checkout/pending",
        form={"order_id": str(order_id)},
        headers={"Accept": "application/json", "Origin": road.app.settings.public_url},
    )
    successor = (await answer.get_json())["checkout_session_id"]
    assert successor not in (None, session_id)
    await road.standin.pay(successor)
    assert (await road.send(road.event())).status_code == 200
    assert (await road.world.order(order_id)).state == OrderState.PAID


async def test_payment_given_up_leaves_nothing_pending(shop: Shop) -> None:
    """Stuck pending after the payment was cancelled: pretix 1230, 2629 (spec: B9, H10).

    The buyer comes back from the payment page without paying: the order's page offers both ways, and giving back frees
    the stock, ends the session, and lets the same tickets be checked out anew at once.
    """
    kind = await shop.world.sell(capacity=1)
    client = await shop.buyer_with(kind)
    order_id, session_id = await shop.order_of(client)
    cancel_url = shop.payments.requests[session_id].params["cancel_url"]
    page = await page_of(await client.get(cancel_url.removeprefix("http://shop.test")))
    assert "Continue to payment" in page
    assert "Give the tickets back" in page
    assert (await client.post(f"/orders/{order_id}/cancel")).headers["Location"] == "/cart"
    assert (await shop.world.order(order_id)).state == OrderState.CANCELLED
    assert shop.payments.known[session_id].status == "expired"
    assert await shop.world.allocated(kind) == 0
    again, _ = await shop.order_of(client)
    assert again != order_id
    assert (await shop.world.order(again)).state == OrderState.PENDING


@pytest.mark.parametrize("gone", [True, False])
async def test_late_payer_is_found(shop: Shop, gone: bool) -> None:
    """A late payer can't be traced: alf.io 531, 1464 (spec: H2, F1).

    The payment comes days after the tickets went back. It finds its order by itself, the organizer finds it by e-mail,
    and sees what became of the money.
    """
    kind = await shop.world.sell(capacity=1, cost=1900, delayed_methods=True)
    client = await shop.buyer_with(kind)
    order_id, session_id = await shop.order_of(client)
    facts = shop.payments.pay(session_id)
    shop.payments.known[session_id] = replace(facts, status="expired", payment_status="unpaid")
    shop.clock.advance(minutes=31)
    assert await shop.world.release(order_id) == OrderState.EXPIRED
    if gone:
        await shop.paid_order_of(await shop.buyer_with(kind, email="bob@example.org"))
    shop.clock.advance(days=2)
    await shop.world.settle(facts)
    owner = await shop.buyer("owner@example.org")
    await shop.world.employ(kind, owner.user_id)
    listed = await page_of(await owner.get("/organizer/hall/orders?q=ada@"))
    assert f"/organizer/hall/orders/{order_id}" in listed
    page = await page_of(await owner.get(f"/organizer/hall/orders/{order_id}"))
    assert str(facts.payment_intent) in page
    assert ("Refund decided" in page, "Not paid in time → Paid" in page) == (gone, not gone)
    assert await shop.world.states(order_id) == ([] if gone else ["confirmed"])


@pytest.mark.parametrize("path", ["/webhooks/stripe", "/webhooks/stripe/"])
async def test_webhook_address_with_a_slash(road: Road, path: str) -> None:
    """The webhook answers 404 or a redirect for days, because of a slash: eventyay 2463, 4296 (spec: F3).

    Stripe follows no redirect. Both ways of writing the address take the event, and both refuse a bad signature.
    """
    order_id, session_id = await road.to_stripe()
    await road.standin.pay(session_id)
    assert (await road.send(road.event(), "t=1,v1=00", path=path)).status_code == 400
    answer = await road.send(road.event(), path=path)
    assert (answer.status_code, await answer.get_json()) == (200, {"result": "paid"})
    assert (await road.world.order(order_id)).state == OrderState.PAID


async def test_refund_of_a_double_payment_leaves_the_order_valid(shop: Shop) -> None:
    """Refunding a double payment kills the valid order: pretix 343 (spec: H2).

    Only the second payment goes back: the order stays paid, its ticket keeps its code, the buyer is told why.
    """
    kind = await shop.world.sell(capacity=1, cost=1100)
    client = await shop.buyer_with(kind)
    order_id, session_id = await shop.order_of(client)
    first = shop.payments.pay(session_id)
    await shop.world.settle(first)
    ticket = f"/tickets/{await shop.ticket_of(order_id)}"
    before = await page_of(await client.get(ticket))
    second = shop.payments.pay_again(session_id)
    await shop.world.settle(second)
    await shop.app.sweeps["refunds"](shop.clock.now())
    assert [(made.payment_intent, made.amount) for made in shop.payments.made_refunds] == [
        (second.payment_intent, 1100)
    ]
    assert (await shop.world.order(order_id)).state == OrderState.PAID
    assert await page_of(await client.get(ticket)) == before
    assert "Show this at the door" in before
    page = await page_of(await client.get(f"/orders/{order_id}"))
    assert "the second payment goes back in full. €11.00 was refunded to you." in page


async def all_orders(shop: Shop) -> list[Order]:
    """All orders, oldest first."""
    async with shop.database.sessions() as session:
        return list(await session.scalars(select(Order).order_by(Order.id)))
