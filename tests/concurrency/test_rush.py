"""Many buyers, few tickets; and one buyer who presses the button ten times."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import pytest
from sqlalchemy import func, literal, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from cart import checkout, orders
from cart.models import CheckoutAttempt, Order
from cart.quote import CartChanged
from cart.till import Till
from events.models import Ticket
from events.service import SqlCalendarService
from shared.contracts.protocols import SoldOut
from shared.contracts.states import OrderState, TicketState
from shared.database import lock_user
from tests.cart_world import World
from tests.eventually import eventually
from tests.shop import Shop

BUYERS, TICKETS = 40, 10


async def rush(world: World, kind: UUID) -> list[list[UUID] | BaseException]:
    """All buyers go to the checkout at the same moment, one ticket each; orders or what they were told."""
    buyers = [await world.buyer() for _ in range(BUYERS)]
    for user_id in buyers:
        await world.put(user_id, kind, 1)
    return await asyncio.gather(*(world.start(user_id) for user_id in buyers), return_exceptions=True)


async def test_forty_buyers_and_ten_tickets(world: World) -> None:
    """Ten orders, thirty are told which line is sold out, the pool is exact, Stripe is not called (spec: B8, H3)."""
    kind = await world.sell(capacity=TICKETS)
    answers = await rush(world, kind)
    told = [answer for answer in answers if isinstance(answer, SoldOut)]
    assert len(told) == BUYERS - TICKETS
    assert {one.lines[0].left for one in told} == {0}
    sold = [answer for answer in answers if isinstance(answer, list)]
    assert len(sold) == await world.count(Order) == await world.allocated(kind) == TICKETS
    for (order_id,) in sold:
        assert await world.states(order_id) == ["reserved"]
    assert world.payments.calls == []


class CountingCalendar(SqlCalendarService):
    """How it must not be done: count what is taken, and then take."""

    def __init__(self) -> None:
        super().__init__()
        self.all_have_counted = asyncio.Barrier(TICKETS + 5)  # as many as fit into the connection pool

    async def claim_tickets_for_order(
        self,
        session: AsyncSession,
        order_id: UUID,
        user_id: UUID,
        page_id: UUID | None = None,
        *,
        ticket_ids: Sequence[UUID] | None = None,
        reserved_until: datetime,
        now: datetime,
    ) -> None:
        """`pending` → `reserved` where the count says that there is room."""
        taken = await session.scalar(select(func.count()).where(Ticket.state == TicketState.RESERVED))
        await self.all_have_counted.wait()
        if (taken or 0) + len(ticket_ids or ()) > TICKETS:
            raise SoldOut([])
        await session.execute(
            update(Ticket)
            .where(Ticket.id.in_(ticket_ids or ()))
            .values(state=TicketState.RESERVED, order_id=order_id, reserved_until=reserved_until)
        )


async def test_the_rush_would_show_an_oversell(world: World) -> None:
    """The same road without the guard: fifteen buyers at ten tickets, and all fifteen get one."""
    kind = await world.sell(capacity=TICKETS)
    careless = CountingCalendar()
    world.till = Till(careless, world.payments, world.till.public_url)
    buyers = [await world.buyer() for _ in range(careless.all_have_counted.parties)]
    for user_id in buyers:
        await world.put(user_id, kind, 1)
    await asyncio.gather(*(world.start(user_id) for user_id in buyers))
    async with world.sessions() as session:
        sold = await session.scalar(select(func.count()).where(Ticket.state == TicketState.RESERVED))
    assert sold == TICKETS + 5


async def test_two_pools_in_opposite_order(world: World) -> None:
    """Carts over two types, filled from either end: nobody waits for ever, both pools are exact (spec: B8)."""
    one, two = await world.sell(capacity=TICKETS), await world.sell("recital", page="club", capacity=TICKETS)
    buyers = [await world.buyer() for _ in range(20)]
    for number, user_id in enumerate(buyers):
        for kind in (one, two) if number % 2 else (two, one):
            await world.put(user_id, kind, 1)
    answers = await asyncio.gather(*(world.start(user_id) for user_id in buyers), return_exceptions=True)
    assert sum(isinstance(answer, list) for answer in answers) == TICKETS
    assert sum(isinstance(answer, SoldOut) for answer in answers) == len(buyers) - TICKETS
    assert [await world.allocated(kind) for kind in (one, two)] == [TICKETS, TICKETS]


async def test_ten_submits_of_one_cart(shop: Shop) -> None:
    """Ten presses of the button at once: one order, one session, everybody is led to the same page (spec: C2)."""
    kind = await shop.world.sell(capacity=5)
    client = await shop.buyer_with(kind, 2)
    form = {"fingerprint": await shop.world.seen(client.user_id)}
    answers = await asyncio.gather(*(client.post("/checkout", form=form) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {303}
    assert len({answer.headers["Location"] for answer in answers}) == 1
    assert len(shop.payments.known) == 1
    assert [await shop.world.count(table) for table in (Order, CheckoutAttempt)] == [1, 1]
    assert await shop.world.allocated(kind) == 2


async def test_ten_submits_would_be_told_apart(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same without the lock on the user: the ticket guard holds, but buyers hear that their cart has changed."""
    kind = await world.sell(capacity=5)
    user_id = await world.buyer()
    await world.put(user_id, kind, 2)
    seen = await world.seen(user_id)
    both_have_looked = asyncio.Barrier(2)

    async def look(
        session: AsyncSession, user_id: UUID, *, fingerprint: str, ended_since: datetime
    ) -> tuple[list[Order], list[Order]]:
        found = await at_checkout(session, user_id, fingerprint=fingerprint, ended_since=ended_since)
        await both_have_looked.wait()
        return found

    at_checkout = orders.orders_at_checkout
    monkeypatch.setattr(orders, "user_lock", lambda _user_id: literal(None))
    monkeypatch.setattr(orders, "orders_at_checkout", look)
    answers = await asyncio.gather(
        *(world.start(user_id, seen=seen) for _ in range(2)), return_exceptions=True
    )
    assert sum(isinstance(answer, list) for answer in answers) == 1
    assert sum(isinstance(answer, CartChanged | checkout.Conflict) for answer in answers) == 1
    assert await world.allocated(kind) == 2


async def test_pay_button_pressed_in_ten_tabs(world: World) -> None:
    """All go on to the same session; Stripe's idempotency key sees to it, and the attempt is opened once (spec: C2)."""
    kind = await world.sell()
    user_id = await world.buyer()
    await world.put(user_id, kind, 1)
    (order_id,) = await world.start(user_id)
    handovers = await asyncio.gather(*(world.hand_over(user_id, order_id) for _ in range(10)))
    assert len({handover.session_id for handover in handovers}) == len(world.payments.known) == 1
    assert await world.attempt_states(order_id) == ["open"]
    assert {handover.state for handover in handovers} == {OrderState.PENDING}


async def test_cart_and_checkout_wait_for_each_other(world: World) -> None:
    """One lock for all that changes a user's cart and orders, the first in the order of locks (design: Who commits)."""
    kind = await world.sell(capacity=5)
    user_id = await world.buyer()
    await world.put(user_id, kind, 1)
    async with world.sessions.begin() as session:
        await lock_user(session, user_id)
        waiting = [
            asyncio.create_task(world.put(user_id, kind, 2)),
            asyncio.create_task(world.start(user_id)),
        ]
        await eventually(lambda: two_wait(world))
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    # whoever came second sees what the first has left: a changed cart, or an empty one and two new tickets
    assert await world.allocated(kind) == (0 if isinstance(answers[1], CartChanged) else 1)


async def test_a_tab_that_waited_counts_what_the_other_has_put_in(world: World) -> None:
    """Pending tickets are read by a statement that begins when the lock is held (spec: B2)."""
    kind = await world.sell()
    user_id = await world.buyer()
    async with world.sessions.begin() as session:
        await lock_user(session, user_id)
        waiting = [asyncio.create_task(world.put(user_id, kind, 2)) for _ in range(2)]
        await eventually(lambda: two_wait(world))
    await asyncio.gather(*waiting)
    assert await world.in_cart(user_id) == 2


async def two_wait(world: World) -> bool:
    """Whether two transactions of this database wait for an advisory lock."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"
    )
    async with world.sessions() as session:
        return await session.scalar(text(query)) == 2
