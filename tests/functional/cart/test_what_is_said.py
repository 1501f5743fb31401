"""What a buyer is told where things did not go the short way: true, and never two things at once."""

import pytest
from sqlalchemy import select

from cart.checkout import SessionExpired
from cart.complete import continue_session
from events.cancelling import cancel_entry
from events.models import Entry
from shared.contracts.states import EntryState, OrderState
from shared.web import Tillgate
from tests.cart_world import World
from tests.support import Browser, browser

NO_MONEY = "no money was taken"


async def at_stripe(buyer: Browser, world: World, **values: object) -> tuple[str, str]:
    """The buyer on Stripe's page with one ticket; the order's address and the session's id."""
    await world.put(buyer.user_id, await world.sell(**values), 1)  # type: ignore[arg-type]
    (order_id,) = await world.start(buyer.user_id)
    handover = await world.hand_over(buyer.user_id, order_id)
    assert handover.session_id is not None
    return f"/orders/{order_id}", handover.session_id


async def text_of(client: Browser, path: str, *, post: bool = False, status: int = 200) -> str:
    """The page after a GET or a POST without fields."""
    answer = await (client.post(path) if post else client.get(path))
    assert answer.status_code == status
    return str(await answer.get_data(as_text=True))


async def test_paid_in_another_tab_is_known_after_a_refresh(buyer: Browser, world: World) -> None:
    """The webhook is late: "continue" is refused, but the order it leads back to is not called unpaid (spec: C2)."""
    order, session_id = await at_stripe(buyer, world)
    world.payments.pay(session_id)
    with pytest.raises(SessionExpired):
        await continue_session(
            world.sessions, world.till, session_id=session_id, user_id=buyer.user_id, now=world.clock.now()
        )
    shown = await text_of(buyer, order)
    assert "Continue to payment" not in shown
    assert "Open ticket" in shown


@pytest.mark.parametrize("paid", [True, False])
async def test_old_tab_of_an_order_that_is_paid_for(buyer: Browser, world: World, paid: bool) -> None:
    """Neither "more time" nor "give back" says that the tickets of a paid order are not held (spec: C3, H10)."""
    order, session_id = await at_stripe(buyer, world, delayed_methods=True)
    await world.settle(world.payments.pay(session_id, paid=paid))
    for button in ("extend", "cancel"):
        shown = await text_of(buyer, f"{order}/{button}", post=True, status=409)
        assert "no longer waits for a payment" in shown
        assert "no longer held" not in shown


async def test_hold_that_has_ended_leads_to_the_cart(buyer: Browser, world: World) -> None:
    """Not to a payment page that may close under the buyer's hands; it works though no worker ran (spec: B9)."""
    order, _ = await at_stripe(buyer, world)
    world.clock.advance(hours=1)
    shown = await text_of(buyer, order)
    assert "The hold has ended" in shown
    assert "Continue to payment" not in shown
    assert "Put them back into the cart" in shown
    assert "hold has ended" in await text_of(buyer, f"{order}/extend", post=True, status=409)
    for _ in range(2):
        assert (await buyer.post(f"{order}/cancel")).headers["Location"] == "/cart"
    assert await world.in_cart(buyer.user_id) == 1


async def test_money_that_goes_back_is_not_called_never_taken(buyer: Browser, world: World) -> None:
    """The event was called off while the buyer paid: why, and how much goes back; nothing that denies it (spec: H2)."""
    order, session_id = await at_stripe(buyer, world, cost=1700)
    async with world.sessions.begin() as session:
        entry = (await session.scalars(select(Entry))).one()
        entry.state = EntryState.CANCELLED
    await world.settle(world.payments.pay(session_id))
    for path in (order, f"{order}/confirmation"):
        shown = await text_of(buyer, path)
        assert "The event was cancelled before the payment arrived. €17.00 goes back to you." in shown
        assert NO_MONEY not in shown


async def test_confirmation_of_a_failed_payment_says_what_happened(buyer: Browser, world: World) -> None:
    """A delayed payment that failed for good (spec: C4)."""
    order, session_id = await at_stripe(buyer, world, delayed_methods=True)
    facts = world.payments.pay(session_id, paid=False)
    await world.settle(facts)
    await world.settle(facts, failed=True)
    shown = await text_of(buyer, f"{order}/confirmation")
    assert "The payment did not go through." in shown
    assert 'href="/cart">Go to your cart' in shown


async def test_signed_out_and_on_its_way(app: Tillgate, buyer: Browser, world: World) -> None:
    """Back from Stripe signed out, with a delayed method: nothing says that the money is here (spec: C3)."""
    order, session_id = await at_stripe(buyer, world, delayed_methods=True)
    world.payments.pay(session_id, paid=False)
    shown = await text_of(browser(app), f"/checkout/complete?session_id={session_id}")
    assert "has reached us" not in shown
    assert f'href="/sign-in?next={order}/confirmation"' in shown
    assert (await world.order(world.payments_order(session_id))).state == OrderState.PROCESSING


@pytest.mark.parametrize(
    ("page", "way"),
    [("http://localhost/cart", "%2Fcart"), ("https://evil.example/cart", "%2F"), ("", "%2F")],
)
@pytest.mark.parametrize("htmx", [True, False])
async def test_signed_out_meanwhile_leads_back_to_the_page(
    app: Tillgate, page: str, way: str, htmx: bool
) -> None:
    """A form of a page that was open too long: sign in, and go on where it was (spec: B1)."""
    page = page.replace("http://localhost", app.settings.public_url)
    headers = {"Referer": page} | ({"HX-Request": "true"} if htmx else {})
    answer = await browser(app).post("/checkout", headers=headers)
    assert answer.status_code == 401
    shown = (await answer.get_data(as_text=True)).replace('"/sign-in?next=/', '"/sign-in?next=%2F')
    assert f'href="/sign-in?next={way}"' in shown


async def test_event_cancelled_while_the_payment_is_on_its_way(buyer: Browser, world: World) -> None:
    """Days before the money arrives the buyer reads that it comes back, not that tickets are held (spec: H2, H10)."""
    order, session_id = await at_stripe(buyer, world, delayed_methods=True)
    await world.settle(world.payments.pay(session_id, paid=False))
    assert "held for you until" in await text_of(buyer, order)
    async with world.sessions.begin() as session:
        entry_id = (await session.scalars(select(Entry.id))).one()
        await cancel_entry(session, entry_id=entry_id, actor="user:x", now=world.clock.now())
    for path in (order, f"{order}/confirmation"):
        shown = await text_of(buyer, path)
        assert "held for you until" not in shown
        assert "it goes back to you in full" in shown
