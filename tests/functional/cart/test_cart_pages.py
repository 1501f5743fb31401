"""The cart's pages as a buyer and an organizer meet them, over the real calendar, with Stripe in memory."""

from html import unescape
from uuid import UUID

import pytest
from quart.testing import QuartClient
from sqlalchemy import select

from shared.contracts.states import OrderState, PageRole
from shared.web import Tillgate
from tests import event_rows
from tests.cart_world import World
from tests.support import Browser, browser, counted_statements, signed_in_client


async def read(client: QuartClient, path: str, status: int = 200) -> str:
    """A page's text."""
    answer = await client.get(path)
    assert answer.status_code == status
    return str(await answer.get_data(as_text=True))


async def fingerprint_in(client: QuartClient) -> str:
    """What the cart's form carries."""
    return (await read(client, "/cart")).split('name="fingerprint" value="')[-1].split('"')[0]


async def test_empty_cart_says_so(buyer: Browser) -> None:
    """spec: B11"""
    assert "Your cart is empty" in await read(buyer, "/cart")
    assert badge(await read(buyer, "/cart")) == ""


async def test_cart_is_grouped_by_page(buyer: Browser, world: World) -> None:
    """Each group with its count and total, the grand total, the badges, the notice (spec: B10, B11, B13)."""
    first, second = await world.sell(cost=1000), await world.sell(page="club", cost=550)
    await world.put(buyer.user_id, first, 2)
    await world.put(buyer.user_id, second, 1)
    body = await read(buyer, "/cart")
    assert body.index("Club") < body.index("Hall")
    for words in ("1 ticket ", "2 tickets ", "€5.50", "€20.00", "€25.50"):
        assert words.strip() in body
    assert "If the event sells out before you pay, you are refunded." in body
    assert '<span class="chip">3 tickets</span>' in body
    assert badge(body) == "3"


async def test_summary_as_json(buyer: Browser, world: World) -> None:
    """Counts and totals per kind (spec: B5, B10)."""
    await world.put(buyer.user_id, await world.sell(cost=1000), 2)
    summary = await (await buyer.get("/api/v1/cart/summary")).get_json()
    assert (summary["ticket_count"], summary["ticket_total"], summary["currency"]) == (2, "20.00", "EUR")
    assert (summary["product_count"], summary["booking_count"], summary["total"]) == (0, 0, "20.00")
    assert [group["ticket_count"] for group in summary["groups"]] == [2]


async def test_two_currencies_have_no_common_total(buyer: Browser, world: World) -> None:
    """Sums over currencies mean nothing: each is told on its own."""
    await world.put(buyer.user_id, await world.sell(cost=1000), 1)
    await world.put(buyer.user_id, await world.sell(page="tokyo", currency="JPY", cost=3000), 1)
    summary = await (await buyer.get("/api/v1/cart/summary")).get_json()
    assert (summary["total"], summary["totals"]) == (None, {"EUR": "10.00", "JPY": "3000"})
    assert "paid one after the other" in await read(buyer, "/cart")


async def test_change_remove_and_empty(buyer: Browser, world: World) -> None:
    """spec: B11"""
    kind = await world.sell()
    await world.put(buyer.user_id, kind, 2)
    for form, left in (
        ({"ref": str(kind), "quantity": "4"}, 4),
        ({"ref": str(kind), "quantity": "0"}, 0),
        ({"ref": str(kind), "quantity": "3"}, 3),
        ({"action": "empty", "page": "hall"}, 0),
    ):
        assert (await buyer.post("/cart/lines", form=form)).status_code == 303
        assert await world.in_cart(buyer.user_id) == left


async def test_htmx_gets_the_cart_alone_and_renews_the_badge(buyer: Browser, world: World) -> None:
    """A piece of the page, the header's number, and what has changed in words for who can't see it."""
    kind = await world.sell()
    answer = await buyer.post(
        "/cart/lines", form={"ref": str(kind), "quantity": "2"}, headers={"HX-Request": "true"}
    )
    assert answer.status_code == 200
    body = await answer.get_data(as_text=True)
    assert "<html" not in body
    assert badge(body) == "2"
    assert 'id="said" hx-swap-oob="innerHTML">Concert, Standard: 2 tickets. In your cart: 2 tickets, ' in body
    answer = await buyer.post(
        "/cart/lines", form={"ref": str(kind), "quantity": "0"}, headers={"HX-Request": "true"}
    )
    assert ">Your cart is empty.</p>" in await answer.get_data(as_text=True)


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}])
async def test_emptying_the_cart_can_be_taken_back(
    buyer: Browser, world: World, headers: dict[str, str]
) -> None:
    """By one button, while stock allows; what does not is told. The offer is made once."""
    plenty, scarce = (
        await world.sell(cost=1000),
        await world.sell("recital", page="club", capacity=3, cost=550),
    )
    await world.put(buyer.user_id, plenty, 2)
    await world.put(buyer.user_id, scarce, 3)
    answer = await buyer.post("/cart/lines", form={"action": "empty"}, headers=headers)
    body = await answer.get_data(as_text=True) if headers else await read(buyer, "/cart")
    assert "Put them back" in body
    assert "Your cart is empty" in body
    assert "Put them back" not in await read(buyer, "/cart")
    other = await event_buyer(world)
    await world.put(other, scarce, 2)
    await world.start(other)
    lines = unescape(body.partition('name="lines" value="')[2].partition('"')[0])
    answer = await buyer.post("/cart/lines", form={"action": "put_back", "lines": lines}, headers=headers)
    assert await world.in_cart(buyer.user_id) == 2
    assert "only 1 left" in (await answer.get_data(as_text=True)).lower()
    await world.put(buyer.user_id, plenty, 5)
    await buyer.post("/cart/lines", form={"action": "put_back", "lines": lines}, headers=headers)
    assert await world.in_cart(buyer.user_id) == 5, "what was chosen anew stays"
    await world.put(buyer.user_id, plenty, 2)
    for wrong in ("[" * 20_000, "", "[]", '{"x": 0}', '{"x": "2"}', '{"x": true}', "null"):
        form = {"action": "put_back", "lines": wrong}
        assert (await buyer.post("/cart/lines", form=form)).status_code in (303, 422)
    assert await world.in_cart(buyer.user_id) == 2


async def test_after_adding_the_events_page_leads_to_the_checkout(
    app: Tillgate, buyer: Browser, world: World
) -> None:
    """At a phone's bottom edge: what the cart holds, and one press to the payment; no statement more for it."""
    kind = await world.sell(cost=2900)
    await world.put(buyer.user_id, kind, 1)
    plain = await statements_of(app, buyer, "/p/hall/concert", "Buy now")
    assert await statements_of(app, buyer, "/p/hall/concert?added=1", "Check out") <= plain
    bar = (await read(buyer, "/p/hall/concert?added=1")).partition('id="sticky"')[2]
    assert "1 ticket" in bar
    assert "€29.00" in bar
    mark = bar.partition('name="fingerprint" value="')[2].partition('"')[0]
    answer = await buyer.post("/checkout", form={"fingerprint": mark})
    (session_id,) = world.payments.known
    assert answer.headers["Location"] == world.payments.known[session_id].url
    assert 'action="/checkout"' not in await read(buyer, "/p/hall/concert?added=1")  # nothing is left to pay


async def event_buyer(world: World) -> UUID:
    """Somebody else."""
    async with world.sessions.begin() as session:
        return await event_rows.add_user(session)


def badge(body: str) -> str:
    """The number in the header."""
    return body.partition('id="badge"')[2].partition(">")[2].partition("<")[0]


async def test_checkout_leads_to_stripe_and_back_to_the_tickets(buyer: Browser, world: World) -> None:
    """Cart → Stripe → confirmation → order, history (spec: B12, B14, C1–C4)."""
    kind = await world.sell(capacity=5, cost=1250)
    await world.put(buyer.user_id, kind, 2)
    answer = await buyer.post("/checkout", form={"fingerprint": await fingerprint_in(buyer)})
    assert answer.status_code == 303
    (session_id,) = world.payments.known
    assert answer.headers["Location"] == world.payments.known[session_id].url
    order_id = world.payments.known[session_id].metadata["order_id"]
    assert "Continue to payment" in await read(buyer, f"/orders/{order_id}")
    assert "Checkout is not complete" in await read(buyer, f"/orders/{order_id}/confirmation", 400)
    unfinished = await buyer.get(f"/checkout/complete?session_id={session_id}")
    assert unfinished.headers["Location"] == f"/orders/{order_id}", "there it goes on"
    world.payments.pay(session_id)
    back = await buyer.get(f"/checkout/complete?session_id={session_id}")
    assert back.headers["Location"] == f"/orders/{order_id}/confirmation"
    for _ in range(2):
        body = await read(buyer, f"/orders/{order_id}/confirmation")
        assert "You are in" in body
        assert body.count('class="stub"') == 2
    assert "€25.00" in await read(buyer, "/orders")


async def test_confirmation_settles_by_itself(buyer: Browser, world: World) -> None:
    """The return page was never loaded and no webhook came: the confirmation asks and settles (spec: C4)."""
    await world.put(buyer.user_id, await world.sell(), 1)
    await buyer.post("/checkout", form={"fingerprint": await fingerprint_in(buyer)})
    (session_id,) = world.payments.known
    order_id = world.payments.pay(session_id).metadata["order_id"]
    assert "You are in" in await read(buyer, f"/orders/{order_id}/confirmation")


async def test_payment_on_its_way(buyer: Browser, world: World) -> None:
    """Complete but not paid (spec: C3)."""
    await world.put(buyer.user_id, await world.sell(delayed_methods=True), 1)
    await buyer.post("/checkout", form={"fingerprint": await fingerprint_in(buyer)})
    (session_id,) = world.payments.known
    order_id = world.payments.pay(session_id, paid=False).metadata["order_id"]
    back = await buyer.get(f"/checkout/complete?session_id={session_id}")
    assert "Your payment is on its way" in await read(buyer, back.headers["Location"])
    assert await world.states(world.payments_order(session_id)) == ["reserved"]
    assert str(world.payments_order(session_id)) == order_id


async def test_complete_shows_strangers_nothing(app: Tillgate, buyer: Browser, world: World) -> None:
    """Settles for anyone who brings the session, shows details to the owner only (spec: D10)."""
    kind = await world.sell()
    _, order_id, session_id = await world.bought(kind)
    world.payments.pay(session_id)
    body = await read(browser(app), f"/checkout/complete?session_id={session_id}")
    assert "Thank you" in body
    assert "Concert" not in body
    assert (await world.order(order_id)).state == OrderState.PAID
    await read(buyer, f"/orders/{order_id}", 404)
    await read(buyer, f"/orders/{order_id}/confirmation", 404)


@pytest.mark.parametrize("session_id", ["", "cs_test_unknown", "pi_1", "../customers"])
async def test_complete_with_a_guess_asks_nobody(buyer: Browser, world: World, session_id: str) -> None:
    """A stranger's guess is 404 and costs no call to Stripe."""
    await read(buyer, f"/checkout/complete?session_id={session_id}", 404)
    assert world.payments.calls == []


async def test_sold_out_at_checkout_is_told_in_the_cart(buyer: Browser, world: World) -> None:
    """409, the lines named, nothing lost, no money taken (spec: B8)."""
    kind = await world.sell(capacity=1)
    await world.put(buyer.user_id, kind, 1)
    form = {"fingerprint": await fingerprint_in(buyer)}
    await world.bought(kind)
    answer = await buyer.post("/checkout", form=form)
    assert answer.status_code == 409
    body = await answer.get_data(as_text=True)
    assert "Concert, Standard: sold out" in body
    assert "No money was taken" in body
    assert await world.in_cart(buyer.user_id) == 1


async def test_one_pages_part_alone(buyer: Browser, world: World) -> None:
    """The rest stays in the cart (spec: B12)."""
    await world.put(buyer.user_id, await world.sell(cost=1000), 1)
    await world.put(buyer.user_id, await world.sell(page="club", cost=500), 1)
    part = (await read(buyer, "/cart")).split('value="club">')[1].split('name="fingerprint" value="')[1]
    await buyer.post("/checkout", form={"page": "club", "fingerprint": part.split('"')[0]})
    assert [facts.amount_total for facts in world.payments.known.values()] == [500]
    assert await world.in_cart(buyer.user_id) == 1


async def test_giving_back_and_more_time(buyer: Browser, world: World) -> None:
    """The unfinished order's own buttons (spec: H10)."""
    kind = await world.sell(capacity=10)
    await world.put(buyer.user_id, kind, 1)
    await buyer.post("/checkout", form={"fingerprint": await fingerprint_in(buyer)})
    (facts,) = world.payments.known.values()
    order = f"/orders/{facts.metadata['order_id']}"
    assert "/orders/" in await read(buyer, "/cart"), "the cart leads back to the unfinished checkout"
    await buyer.post(f"{order}/extend")
    assert "I need more time" not in await read(buyer, order)
    answer = await buyer.post(f"{order}/cancel")
    assert answer.headers["Location"] == "/cart"
    assert await world.in_cart(buyer.user_id) == 1
    assert await world.allocated(kind) == 0


async def test_stripe_down_keeps_the_order(buyer: Browser, world: World) -> None:
    """The buyer is told, the tickets stay held, trying again goes on (spec: H2)."""
    await world.put(buyer.user_id, await world.sell(capacity=1), 1)
    world.payments.unanswered_creates = 1
    answer = await buyer.post("/checkout", form={"fingerprint": await fingerprint_in(buyer)})
    body = await read(buyer, answer.headers["Location"])
    assert "The payment provider did not answer" in body
    order_id = answer.headers["Location"].rsplit("/", 1)[1]
    again = await buyer.post("/checkout/pending", form={"order_id": order_id})
    assert again.headers["Location"].startswith("https://checkout.stripe.com/")


async def test_pending_again_and_expired(buyer: Browser, world: World) -> None:
    """The same session any number of times; not open any more is 400 with its sentence (spec: C2)."""
    await world.put(buyer.user_id, await world.sell(), 1)
    await buyer.post("/checkout", form={"fingerprint": await fingerprint_in(buyer)})
    (session_id,) = world.payments.known
    for _ in range(2):
        answer = await buyer.post("/checkout/pending", form={"session_id": session_id})
        assert answer.headers["Location"] == world.payments.known[session_id].url
    await world.payments.expire_session(session_id, stripe_account="")
    answer = await buyer.post("/checkout/pending", form={"session_id": session_id})
    assert answer.status_code == 400
    words = "Your checkout session has expired. Please refresh the page and try again."
    assert words in await answer.get_data(as_text=True)


async def test_organizer_finds_an_order(app: Tillgate, buyer: Browser, world: World) -> None:
    """By e-mail, by number with and without its dash, by ticket code; others get 404 (issue: section 6)."""
    kind = await world.sell(cost=1250)
    await world.put(buyer.user_id, kind, 1)
    await buyer.post("/checkout", form={"fingerprint": await fingerprint_in(buyer)})
    (session_id,) = world.payments.known
    await world.settle(world.payments.pay(session_id))
    order = await world.order(world.payments_order(session_id))
    await world.bought(kind)
    async with world.sessions() as session:
        (ticket,) = await world.calendar.get_tickets_for_order(session, order.id)
    owner = await signed_in_client(app, "owner@example.org")
    async with world.sessions.begin() as session:
        page = await session.get_one(event_rows.Page, ticket.page_id)
        await event_rows.add_member(session, page, owner.user_id, PageRole.OWNER)
    everything = await read(owner, "/organizer/hall/orders")
    assert everything.count("/organizer/hall/orders/") == 2
    assert ticket.code is not None
    for search in ("ADA@example", order.number, order.number.replace("-", "").lower(), ticket.code):
        found = await read(owner, f"/organizer/hall/orders?q={search}")
        assert found.count("/organizer/hall/orders/") == 1, search
        assert order.number in found
    assert "Nothing found" in await read(owner, "/organizer/hall/orders?q=%25")
    shown = await read(owner, f"/organizer/hall/orders/{order.id}")
    for words in ("ada@example.org", "€12.50", ticket.code[-4:], "Order placed"):
        assert words in shown
    assert ticket.code not in shown, "the whole code opens the door"
    for path in ("/organizer/hall/orders", f"/organizer/hall/orders/{order.id}"):
        await read(buyer, path, 404)


async def test_parts_of_one_cart(buyer: Browser, world: World) -> None:
    """Two currencies, two orders: each page names both parts, in their order, and has its own lines (spec: B14)."""
    await world.put(buyer.user_id, await world.sell(cost=1000), 1)
    await world.put(buyer.user_id, await world.sell("ramen", page="tokyo", currency="JPY", cost=3000), 1)
    first, second = await world.start(buyer.user_id)
    shown = await read(buyer, f"/orders/{second}")
    assert "Paid in 2 parts" in shown
    assert f'href="/orders/{first}">Part 1' in shown
    assert "Part 2, this one" in shown
    assert ("Ramen" in shown, "Concert" in shown) == (True, False)
    session_id = (await world.hand_over(buyer.user_id, first)).session_id
    assert session_id is not None
    await world.settle(world.payments.pay(session_id))
    shown = await read(buyer, f"/orders/{first}/confirmation")
    assert "The next part is still to be paid: ¥3,000." in shown
    assert f'href="/orders/{second}">Go on with the next part' in shown
    await buyer.post(f"/orders/{second}/cancel")
    assert "still to be paid" not in await read(buyer, f"/orders/{first}/confirmation")
    shown = await read(buyer, f"/orders/{second}")
    assert "This checkout was ended before it was paid" in shown
    assert "¥3,000" in shown
    assert "Paid in" not in shown


async def test_order_given_back_keeps_its_page(buyer: Browser, world: World) -> None:
    """It has no tickets any more, yet its times are still its page's."""
    await world.put(buyer.user_id, await world.sell(), 1)
    (order_id,) = await world.start(buyer.user_id)
    await world.release(order_id, to=OrderState.CANCELLED)
    assert await world.states(order_id) == []
    assert "(Vienna)" in await read(buyer, f"/orders/{order_id}")


async def test_pages_of_a_purchase_take_few_statements(app: Tillgate, buyer: Browser, world: World) -> None:
    """Cart with an unfinished order, order and confirmation, besides the sign-in check (issue: benchmark)."""
    kind = await world.sell()
    await world.put(buyer.user_id, kind, 2)
    (order_id,) = await world.start(buyer.user_id)
    session_id = (await world.hand_over(buyer.user_id, order_id)).session_id
    assert session_id is not None
    await world.put(buyer.user_id, kind, 1)
    for path, words, most in (
        ("/cart", "You have an unfinished checkout", 2),
        (f"/orders/{order_id}", "Continue to payment", 5),
    ):
        assert await statements_of(app, buyer, path, words) <= most
    await world.settle(world.payments.pay(session_id))
    for path, words in ((f"/orders/{order_id}", "Paid"), (f"/orders/{order_id}/confirmation", "You are in")):
        assert await statements_of(app, buyer, path, words) <= 4


async def statements_of(app: Tillgate, buyer: Browser, path: str, words: str) -> int:
    """How many statements a page with these words takes besides the sign-in check."""
    with counted_statements(app) as statements:
        assert words in await read(buyer, path)
    return sum("users.version" not in statement for statement in statements)


async def test_organizer_sees_only_their_part_of_a_shared_order(
    app: Tillgate, buyer: Browser, world: World
) -> None:
    """Two pages in one payment: each organizer sees what their own page earned, and not the whole (spec: D10)."""
    await world.put(buyer.user_id, await world.sell(cost=1000), 1)
    await world.put(buyer.user_id, await world.sell("gala", page="club", cost=700), 1)
    (order_id,) = await world.start(buyer.user_id)
    session_id = (await world.hand_over(buyer.user_id, order_id)).session_id
    assert session_id is not None
    await world.settle(world.payments.pay(session_id))
    owner = await signed_in_client(app, "owner@example.org")
    async with world.sessions.begin() as session:
        page = await session.scalar(select(event_rows.Page).where(event_rows.Page.slug == "club"))
        assert page is not None
        await event_rows.add_member(session, page, owner.user_id, PageRole.OWNER)
    shown = await read(owner, f"/organizer/club/orders/{order_id}")
    assert "€7.00" in shown
    for hidden in ("€17.00", "€10.00", "Concert", f"pi_{session_id}"):
        assert hidden not in shown
