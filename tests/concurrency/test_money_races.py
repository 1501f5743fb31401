"""The messengers of one payment race each other, and paying races giving the tickets back."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import select

from cart import settle
from cart.models import LedgerTransfer, Order, Payment
from cart.settle import Settled
from shared.clock import ManualClock
from shared.contracts.facts import SessionFacts
from shared.contracts.payment_errors import PaymentsRefused
from shared.contracts.states import OrderState
from shared.contracts.stub_payments import StubPayments
from shared.database import Sessions
from shared.ids import new_id
from shared.models import OutgoingMail
from tests.cart_world import World
from tests.shop import Shop

MESSENGERS = 20
PER_RACE = 10


async def test_twenty_messengers_of_one_payment(shop: Shop) -> None:
    """Webhook and return page, ten each at once: one payment, one transfer, one mail, codes made once (spec: C5)."""
    world = shop.world
    kind = await world.sell(capacity=5)
    client = await shop.buyer_with(kind, 2)
    order_id, session_id = await shop.order_of(client)
    facts = shop.payments.pay(session_id)
    back = f"/checkout/complete?session_id={session_id}"
    webhooks = [world.settle(facts) for _ in range(MESSENGERS // 2)]
    pages = [client.get(back) for _ in range(MESSENGERS // 2)]
    settled, answers = await asyncio.gather(asyncio.gather(*webhooks), asyncio.gather(*pages))
    assert {answer.headers["Location"] for answer in answers} == {f"/orders/{order_id}/confirmation"}
    assert set(settled) <= {Settled.PAID, Settled.ALREADY}
    assert [await world.count(table) for table in (Payment, LedgerTransfer, OutgoingMail)] == [1, 1, 1]
    assert (await world.order(order_id)).state == OrderState.PAID
    assert await world.states(order_id) == ["confirmed", "confirmed"]
    assert await world.allocated(kind) == 2
    assert await world.refunds() == []


async def test_the_race_would_show_a_double_booking(world: World) -> None:
    """Look first, then book, with no lock and no unique payment intent: everybody books."""
    _, order_id, session_id = await world.bought(await world.sell())
    world.payments.pay(session_id)
    all_have_looked = asyncio.Barrier(MESSENGERS // 2)

    async def careless() -> None:
        async with world.sessions.begin() as session:
            order = await session.get_one(Order, order_id)
            await all_have_looked.wait()
            if order.state == OrderState.PENDING:
                order.state = OrderState.PAID
                session.add(
                    LedgerTransfer(
                        at=world.clock.now(), kind="gross", debit="stripe_balance", credit="sales", amount=order.total,
                        currency=order.currency, order_id=order_id, stripe_account="", ref=str(new_id()),
                    )
                )  # fmt: skip

    await asyncio.gather(*(careless() for _ in range(MESSENGERS // 2)))
    assert await world.count(LedgerTransfer) == MESSENGERS // 2


class PressedAtTheLastMoment(StubPayments):
    """Every second buyer presses "pay" at the very moment at which we ask Stripe to expire the session."""

    def __init__(self) -> None:
        super().__init__()
        self.pressed: asyncio.Queue[SessionFacts] = asyncio.Queue()

    async def expire_session(self, session_id: str, *, stripe_account: str) -> SessionFacts:
        """The payment is a moment faster."""
        if int(session_id.rpartition("_")[2]) % 2 and self.known[session_id].status == "open":
            self.pressed.put_nowait(self.pay(session_id))
        return await super().expire_session(session_id, stripe_account=stripe_account)


@pytest.mark.parametrize("to", [OrderState.EXPIRED, OrderState.CANCELLED])
async def test_giving_back_races_paying(sessions: Sessions, clock: ManualClock, to: OrderState) -> None:
    """Lapse or cancel against the payment: who paid has tickets, who has not holds no stock (spec: B9, C5)."""
    stripe = PressedAtTheLastMoment()
    world = World(sessions, clock, stripe)
    kind = await world.sell(capacity=PER_RACE)
    made = [await world.bought(kind) for _ in range(PER_RACE)]
    if to is OrderState.EXPIRED:
        clock.advance(minutes=31)

    async def webhook() -> None:
        await world.settle(await stripe.pressed.get())

    await asyncio.gather(
        *(world.release(order_id, to=to) for _, order_id, _ in made),
        *(webhook() for _ in range(PER_RACE // 2)),
    )
    for user_id, order_id, session_id in made:
        order, paid = await world.order(order_id), stripe.known[session_id].status == "complete"
        assert order.state == (OrderState.PAID if paid else to)
        assert await world.states(order_id) == (["confirmed"] if paid else [])
        assert await world.in_cart(user_id) == (0 if paid else 1)
        assert paid or await pay(world, session_id) is None, "what was given back can no longer be paid"
    assert await world.allocated(kind) == await world.count(Payment) == PER_RACE // 2
    assert await world.refunds() == []


async def pay(world: World, session_id: str) -> SessionFacts | None:
    """The buyer presses "pay" on Stripe's page, and Stripe tells us; None where the session is over."""
    try:
        facts = world.payments.pay(session_id)
    except PaymentsRefused:
        return None
    await world.settle(facts)
    return facts


async def lose_the_last_ticket(world: World, kind: UUID, *, asks_stripe: bool) -> SessionFacts | None:
    """A hold lapses, another buyer takes the only ticket, then the first one pays."""
    _, order_id, session_id = await world.bought(kind)
    world.clock.advance(minutes=31)
    if asks_stripe:
        await world.release(order_id)
    else:
        async with world.sessions.begin() as session:
            order = (await session.scalars(select(Order).where(Order.id == order_id))).one()
            now = world.clock.now()
            await settle.give_back(session, world.till, order, to=OrderState.EXPIRED, actor="clock", now=now)
    await world.bought(kind)
    return await pay(world, session_id)


async def test_stock_given_back_by_the_clock_alone_would_be_paid_for(world: World) -> None:
    """Without asking Stripe the first buyer pays for nothing; with it, nobody can pay for what is gone (spec: B9)."""
    kind = await world.sell(capacity=1)
    assert await lose_the_last_ticket(world, kind, asks_stripe=False) is not None
    assert [refund.reason for refund in await world.refunds()] == ["paid_too_late"]
    other = await world.sell("recital", page="club", capacity=1)
    assert await lose_the_last_ticket(world, other, asks_stripe=True) is None
    assert len(await world.refunds()) == 1


async def test_many_release_one_order(world: World) -> None:
    """Sweeps of several workers, a buyer in need and the owner at once: the stock comes back once (spec: B9)."""
    kind = await world.sell(capacity=3)
    user_id, order_id, _ = await world.bought(kind, 3)
    world.clock.advance(minutes=31)
    wishes = [OrderState.EXPIRED, OrderState.CANCELLED] * 5
    ends = set(await asyncio.gather(*(world.release(order_id, to=to) for to in wishes)))
    end = (await world.order(order_id)).state
    assert end in (OrderState.EXPIRED, OrderState.CANCELLED)
    assert ends <= {end, OrderState.PENDING}, "pending: somebody else was asking Stripe"
    assert (await world.allocated(kind), await world.in_cart(user_id)) == (0, 3)
