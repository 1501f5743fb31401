"""From the cart to Stripe's page, crash by crash."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import update

from cart.checkout import NotExtended, SessionExpired, TooManyOpenOrders, extend
from cart.complete import continue_session
from cart.models import Order
from cart.quote import CartChanged, EmptyCart, NotChargeable
from events.models import TicketType
from shared.contracts.payment_errors import (
    PaymentsRefused,
    PaymentsUnavailable,
)
from shared.contracts.protocols import SoldOut
from shared.contracts.states import OrderState
from shared.errors import NotFound
from tests.cart_world import World


async def test_the_main_road(world: World) -> None:
    """The claim reserves exactly the cart, Stripe gets one request, the order is pending (spec: B7, C1, C2)."""
    kind = await world.sell(capacity=10, cost=1250)
    user_id, order_id, session_id = await world.bought(kind, 2)
    order = await world.order(order_id)
    assert (order.state, order.total, order.currency) == (OrderState.PENDING, 2500, "EUR")
    assert await world.states(order_id) == ["reserved", "reserved"]
    assert await world.allocated(kind) == 2
    assert await world.in_cart(user_id) == 0
    assert world.payments.known[session_id].amount_total == 2500
    assert await world.attempt_states(order_id) == ["open"]


async def test_session_carries_what_finds_the_order_again(world: World) -> None:
    """Metadata on the session and on its payment intent (spec: F1)."""
    kind = await world.sell()
    _, order_id, session_id = await world.bought(kind)
    params = world.payments.requests[session_id].params
    metadata = params["metadata"]
    assert metadata["order_id"] == str(order_id)
    assert metadata["product_ids"] == str(kind)
    assert all(metadata[name] for name in ("app", "installation_id", "attempt_id", "page_id"))
    assert params["payment_intent_data"]["metadata"] == metadata
    assert "{CHECKOUT_SESSION_ID}" in params["success_url"]


@pytest.mark.parametrize(("hold_minutes", "lasts"), [(1, 31), (30, 60), (1440, 1439)])
async def test_session_ends_within_what_stripe_allows(world: World, hold_minutes: int, lasts: int) -> None:
    """30 minutes to 24 hours ahead, however short or long a page holds its tickets (spec: H10)."""
    kind = await world.sell(hold_minutes=hold_minutes)
    _, _, session_id = await world.bought(kind)
    ends_at = world.clock.now() + timedelta(minutes=lasts)
    assert world.payments.known[session_id].expires_at == ends_at.replace(microsecond=0)


async def test_delayed_methods_only_where_the_page_allows_them(world: World) -> None:
    """Debits are off unless the page allows them, and instructions are off always (issue 8 section 5)."""
    strict, open_to_all = await world.sell(), await world.sell(page="other", delayed_methods=True)
    _, _, first = await world.bought(strict)
    _, _, second = await world.bought(open_to_all)
    assert "sepa_debit" in world.payments.requests[first].params["excluded_payment_method_types"]
    out = world.payments.requests[second].params["excluded_payment_method_types"]
    assert "sepa_debit" not in out, "the event is a week away"
    assert {"boleto", "customer_balance", "bacs_debit"} <= set(out)


async def test_no_debit_that_may_be_open_when_the_event_begins(world: World) -> None:
    """Four days ahead, a debit of five business days is left out (issue 8 section 5)."""
    kind = await world.sell(delayed_methods=True)
    world.clock.advance(days=3)
    _, _, session_id = await world.bought(kind)
    assert "sepa_debit" in world.payments.requests[session_id].params["excluded_payment_method_types"]


async def test_double_click_gives_one_order_and_one_session(world: World) -> None:
    """Two submits of the same cart at the same moment: one order, one session (spec: C2)."""
    kind = await world.sell(capacity=5)
    user_id = await world.buyer()
    await world.put(user_id, kind, 2)
    seen = await world.seen(user_id)
    first, second = await asyncio.gather(world.start(user_id, seen=seen), world.start(user_id, seen=seen))
    assert first == second
    one, two = await asyncio.gather(world.hand_over(user_id, first[0]), world.hand_over(user_id, first[0]))
    assert one.session_id == two.session_id
    assert await world.count(Order) == 1
    assert len(world.payments.known) == 1
    assert await world.allocated(kind) == 2


async def test_coming_back_gives_the_same_session(world: World) -> None:
    """An unfinished checkout is gone on with, not started again."""
    kind = await world.sell()
    user_id, order_id, session_id = await world.bought(kind)
    assert (await world.hand_over(user_id, order_id)).session_id == session_id


async def test_cart_changed_in_another_tab(world: World) -> None:
    """The buyer is charged exactly what was shown, or told (spec: B8)."""
    kind = await world.sell()
    user_id = await world.buyer()
    await world.put(user_id, kind, 1)
    seen = await world.seen(user_id)
    await world.put(user_id, kind, 3)
    with pytest.raises(CartChanged):
        await world.start(user_id, seen=seen)
    assert await world.count(Order) == 0
    assert await world.allocated(kind) == 0


async def test_empty_cart(world: World) -> None:
    """Nothing to check out (spec: B12)."""
    with pytest.raises(EmptyCart):
        await world.start(await world.buyer())


async def test_sold_out_writes_nothing_and_does_not_call_stripe(world: World) -> None:
    """All or none, and the lines are named (spec: B8)."""
    kind = await world.sell(capacity=3)
    waiting = await world.buyer()
    await world.put(waiting, kind, 2)
    await world.bought(kind, 2)
    calls = list(world.payments.calls)
    with pytest.raises(SoldOut) as caught:
        await world.start(waiting)
    assert caught.value.lines[0].left == 1
    assert world.payments.calls == calls
    assert await world.count(Order) == 1
    assert await world.in_cart(waiting) == 2


async def test_short_pool_is_freed_by_whoever_needs_it(world: World) -> None:
    """With the worker dead, a lapsed hold is released after asking Stripe, and the claim goes on (spec: B9)."""
    kind = await world.sell(capacity=1)
    waiting = await world.buyer()
    await world.put(waiting, kind, 1)
    late, late_order, session_id = await world.bought(kind)
    world.clock.advance(minutes=31)
    (order_id,) = await world.start(waiting)
    assert world.payments.known[session_id].status == "expired"
    assert (await world.order(late_order)).state == OrderState.EXPIRED
    assert await world.states(order_id) == ["reserved"]
    assert await world.in_cart(late) == 1
    assert await world.allocated(kind) == 1


async def test_holds_without_an_answer_do_not_hide_the_next_one(world: World) -> None:
    """Five lapsed orders that Stripe never answers about are passed over for the sixth (spec: B9)."""
    kind = await world.sell(capacity=6)
    waiting = await world.buyer()
    await world.put(waiting, kind, 1)
    world.payments.silent = {(await world.bought(kind))[2] for _ in range(5)}
    world.clock.advance(minutes=1)
    await world.bought(kind)
    world.clock.advance(minutes=31)
    with pytest.raises(SoldOut):
        await world.start(waiting)
    world.clock.advance(minutes=1)
    (order_id,) = await world.start(waiting)
    assert await world.states(order_id) == ["reserved"]
    assert await world.allocated(kind) == 6


async def test_time_alone_gives_nothing_away(world: World) -> None:
    """A lapsed hold whose session was paid is settled, not sold again."""
    kind = await world.sell(capacity=1)
    waiting = await world.buyer()
    await world.put(waiting, kind, 1)
    _, late_order, session_id = await world.bought(kind)
    world.clock.advance(minutes=31)
    world.payments.pay(session_id)
    with pytest.raises(SoldOut):
        await world.start(waiting)
    assert (await world.order(late_order)).state == OrderState.PAID
    assert await world.states(late_order) == ["confirmed"]


async def test_free_tickets_take_the_same_road_without_stripe(world: World) -> None:
    """A total of nothing is paid and confirmed right here (spec: B3)."""
    kind = await world.sell(cost=0, capacity=2)
    user_id = await world.buyer()
    await world.put(user_id, kind, 2)
    (order_id,) = await world.start(user_id)
    assert (await world.order(order_id)).state == OrderState.PAID
    assert await world.states(order_id) == ["confirmed", "confirmed"]
    assert world.payments.calls == []
    assert (await world.hand_over(user_id, order_id)).url is None


async def test_below_the_smallest_charge(world: World) -> None:
    """A clear message instead of Stripe's refusal; nothing is written."""
    kind = await world.sell(cost=20)
    user_id = await world.buyer()
    await world.put(user_id, kind, 1)
    with pytest.raises(NotChargeable, match=r"€0\.50"):
        await world.start(user_id)
    assert await world.count(Order) == 0


async def test_price_that_cannot_be_moved_exactly(world: World) -> None:
    """Two of it make a sum that Stripe takes, but one of them could never be refunded (peers: pretix 783)."""
    kind = await world.sell(page="kuwait", currency="KWD", cost=1005)
    user_id = await world.buyer()
    await world.put(user_id, kind, 2)
    with pytest.raises(NotChargeable, match=r"multiples of KWD.0\.010"):
        await world.start(user_id)
    assert await world.count(Order) == 0


async def test_two_currencies_become_two_orders(world: World) -> None:
    """An order has one currency; the second part gets its session when it is its turn."""
    euro, yen = await world.sell(cost=1000), await world.sell(page="tokyo", currency="JPY", cost=3000)
    user_id = await world.buyer()
    await world.put(user_id, euro, 1)
    await world.put(user_id, yen, 1)
    made = await world.start(user_id)
    found = [await world.order(order_id) for order_id in made]
    assert sorted((order.currency, order.total) for order in found) == [("EUR", 1000), ("JPY", 3000)]
    assert [await world.attempt_states(order_id) for order_id in made] == [["creating"], []]
    world.clock.advance(minutes=20)
    assert (await world.hand_over(user_id, made[1])).url


async def test_answer_lost_is_replayed_under_the_same_key(world: World) -> None:
    """Stripe made the session but its answer never came: trying again gives that very session."""
    kind = await world.sell()
    user_id = await world.buyer()
    await world.put(user_id, kind, 1)
    (order_id,) = await world.start(user_id)
    world.payments.lost_answers = 1
    with pytest.raises(PaymentsUnavailable):
        await world.hand_over(user_id, order_id)
    assert await world.attempt_states(order_id) == ["creating"]
    handover = await world.hand_over(user_id, order_id)
    assert list(world.payments.known) == [handover.session_id]


async def test_refused_by_stripe_takes_the_order_back(world: World) -> None:
    """A request that Stripe refuses for good ends the order; the tickets are in the cart again."""
    kind = await world.sell(capacity=1)
    user_id = await world.buyer()
    await world.put(user_id, kind, 1)
    (order_id,) = await world.start(user_id)
    world.payments.refused_calls = 1
    with pytest.raises(PaymentsRefused):
        await world.hand_over(user_id, order_id)
    assert (await world.order(order_id)).state == OrderState.CANCELLED
    assert await world.in_cart(user_id) == 1
    assert await world.allocated(kind) == 0


async def test_request_that_grew_old_gets_a_successor(world: World) -> None:
    """Stripe was down, and now the stored end of the session is nearer than it accepts."""
    kind = await world.sell(hold_minutes=10)
    user_id = await world.buyer()
    await world.put(user_id, kind, 1)
    (order_id,) = await world.start(user_id)
    world.clock.advance(minutes=5)
    world.payments.refused_calls = 1
    assert (await world.hand_over(user_id, order_id)).url
    assert await world.attempt_states(order_id) == ["failed", "open"]


async def test_order_cancelled_while_stripe_was_asked(world: World) -> None:
    """The session that comes too late is expired at once, and the buyer told."""
    kind = await world.sell()
    user_id = await world.buyer()
    await world.put(user_id, kind, 1)
    (order_id,) = await world.start(user_id)
    create = world.payments.create_checkout_session

    async def cancelled_meanwhile(request: object) -> object:
        facts = await create(request)  # type: ignore[arg-type]
        world.payments.create_checkout_session = create  # type: ignore[method-assign]
        await world.release(order_id, to=OrderState.CANCELLED)
        return facts

    world.payments.create_checkout_session = cancelled_meanwhile  # type: ignore[method-assign, assignment]
    with pytest.raises(SessionExpired):
        await world.hand_over(user_id, order_id)
    assert [facts.status for facts in world.payments.known.values()] == ["expired"]


async def test_pending_hands_out_the_open_session_again(world: World) -> None:
    """Repeatable; not open any more is 400 with the sentence of C2 (spec: C2)."""
    kind = await world.sell()
    user_id, order_id, session_id = await world.bought(kind)
    for _ in range(2):
        again = await continue_session(
            world.sessions, world.till, session_id=session_id, user_id=user_id, now=world.clock.now()
        )
        assert (again.order_id, again.session_id) == (order_id, session_id)
    await world.payments.expire_session(session_id, stripe_account="")
    with pytest.raises(SessionExpired, match="Your checkout session has expired"):
        await continue_session(
            world.sessions, world.till, session_id=session_id, user_id=user_id, now=world.clock.now()
        )


@pytest.mark.parametrize("paid", [True, False])
async def test_refreshed_page_says_how_it_stands(world: World, paid: bool) -> None:
    """Stripe's news was lost: who goes on is refused (spec: C2), but not told for ever that a paid order is unpaid."""
    kind = await world.sell()
    user_id, order_id, session_id = await world.bought(kind)
    if paid:
        world.payments.pay(session_id)
    else:
        await world.payments.expire_session(session_id, stripe_account="")
    with pytest.raises(SessionExpired):
        await continue_session(
            world.sessions, world.till, session_id=session_id, user_id=user_id, now=world.clock.now()
        )
    again = await world.hand_over(user_id, order_id)
    assert again.state == (OrderState.PAID if paid else OrderState.PENDING)
    assert again.session_id != session_id


async def test_somebody_elses_order_does_not_exist(world: World) -> None:
    """A user sees only their own orders (spec: D10)."""
    kind = await world.sell()
    _, order_id, session_id = await world.bought(kind)
    stranger = await world.buyer()
    with pytest.raises(NotFound):
        await world.hand_over(stranger, order_id)
    with pytest.raises(NotFound):
        await continue_session(
            world.sessions, world.till, session_id=session_id, user_id=stranger, now=world.clock.now()
        )
    async with world.sessions.begin() as session:
        with pytest.raises(NotFound):
            await extend(session, world.till, order_id=order_id, user_id=stranger, now=world.clock.now())


async def test_one_extension(world: World) -> None:
    """As long as the first hold, once, and never past the session's own end (spec: H10)."""
    kind = await world.sell(hold_minutes=20)
    user_id, order_id, session_id = await world.bought(kind)
    before = (await world.order(order_id)).reserved_until
    assert before is not None
    async with world.sessions.begin() as session:
        until = await extend(session, world.till, order_id=order_id, user_id=user_id, now=world.clock.now())
    assert (until - before).total_seconds() == 20 * 60
    assert until <= world.payments.known[session_id].expires_at.replace(microsecond=999999)
    async with world.sessions.begin() as session:
        with pytest.raises(NotExtended):
            await extend(session, world.till, order_id=order_id, user_id=user_id, now=world.clock.now())
    world.clock.advance(minutes=25)
    assert await world.release(order_id) == OrderState.PENDING


async def test_the_shortest_hold_counts(world: World) -> None:
    """A type's own minutes, else its page's, else 30; the shortest of an order's lines is the order's (spec: H10)."""
    plain = await world.sell("plain", page="plain")
    of_page = await world.sell("of-page", page="quick", hold_minutes=20)
    of_type = await world.sell("of-type", page="hurried", hold_minutes=20)
    async with world.sessions.begin() as session:
        await session.execute(update(TicketType).where(TicketType.id == of_type).values(hold_minutes=5))
    user_id = await world.buyer()
    for kinds, minutes in (([plain], 30), ([plain, of_page], 20), ([plain, of_page, of_type], 5)):
        for kind in kinds:
            await world.put(user_id, kind, 1)
        (order_id,) = await world.start(user_id)
        assert (await world.order(order_id)).reserved_until == world.clock.now() + timedelta(minutes=minutes)


async def test_unfinished_checkouts_are_limited(world: World) -> None:
    """Each holds stock without having paid."""
    kind = await world.sell(max_per_order=20)
    user_id = await world.buyer()
    for _ in range(10):
        await world.put(user_id, kind, 1)
        await world.start(user_id)
    await world.put(user_id, kind, 1)
    with pytest.raises(TooManyOpenOrders):
        await world.start(user_id)


async def test_answer_that_stays_away_does_not_block_the_order(world: World) -> None:
    """Stripe replays even its own 5xx under a key: after two minutes we look for the session, and go on without it."""
    kind = await world.sell()
    user_id, waiting = await world.buyer(), await world.buyer()
    for buyer in (user_id, waiting):
        await world.put(buyer, kind, 1)
    (order_id,), (other,) = await world.start(user_id), await world.start(waiting)
    world.payments.unanswered_creates = 2
    for buyer, order in ((user_id, order_id), (waiting, other)):
        with pytest.raises(PaymentsUnavailable):
            await world.hand_over(buyer, order)
    assert not world.payments.known
    world.clock.advance(minutes=3)
    world.payments.unanswered_creates = 1
    assert (await world.hand_over(user_id, order_id)).url
    assert await world.attempt_states(order_id) == ["failed", "open"]
    world.clock.advance(minutes=30)
    world.payments.unanswered_creates = 1
    assert await world.release(other) == OrderState.EXPIRED
