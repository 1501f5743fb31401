"""An event is cancelled while buyers pay: every order that holds its tickets is released or refunded, once."""

from uuid import UUID

import pytest
from sqlalchemy import select

from cart import cancelled_entries
from cart.refunds import sending
from cart.settle import Settled
from events.cancelling import cancel_entry
from events.models import TicketType
from shared.contracts.states import OrderState
from shared.models import OutgoingMail
from tests.cart_world import World


async def cancel(world: World, kind: UUID) -> None:
    """The owner cancels the event of this ticket type."""
    async with world.sessions.begin() as session:
        entry_id = (await session.get_one(TicketType, kind)).entry_id
        await cancel_entry(session, entry_id=entry_id, actor="user:x", now=world.clock.now())


async def unwind(world: World) -> int:
    """The worker's sweep, and then what it made due."""
    handled = await cancelled_entries.unwind(world.sessions, world.till, now=world.clock.now())
    await sending.send_due(world.sessions, world.till, now=world.clock.now())
    return handled


async def test_each_order_by_its_state(world: World) -> None:
    """Open: closed at Stripe first, then released. Paid: refunded, with a mail. On its way: refused when it comes."""
    kind = await world.sell(capacity=9, cost=1100, delayed_methods=True)
    other = await world.sell("recital", page="club")
    _, paid, _ = await world.paid(kind, 2)
    _, waiting, open_session = await world.bought(kind)
    _, coming, delayed = await world.bought(kind)
    await world.settle(world.payments.pay(delayed, paid=False))
    _, untouched, _ = await world.paid(other)
    await cancel(world, kind)
    assert await unwind(world) == 3
    assert [(await world.order(one)).state for one in (paid, waiting, coming, untouched)] == [
        "paid", "cancelled", "processing", "paid",
    ]  # fmt: skip
    assert world.payments.known[open_session].status == "expired"
    assert await world.states(paid) == ["cancelled", "cancelled"]
    assert [(one.order_id, one.amount, one.state, one.reason) for one in await world.refunds()] == [
        (paid, 2200, "succeeded", "entry_cancelled")
    ]
    async with world.sessions() as session:
        mail = (await session.scalars(select(OutgoingMail).order_by(OutgoingMail.id.desc()))).first()
    assert mail is not None
    assert "The event was cancelled" in mail.text
    assert "€22.00 goes back to you" in mail.subject
    assert await world.settle(world.payments.arrive(delayed)) == Settled.REFUND_DUE
    await unwind(world)
    assert sorted(made.amount for made in world.payments.made_refunds) == [1100, 2200]
    assert await world.allocated(kind) == 0
    assert await unwind(world) == 0
    assert len(await world.refunds()) == 2


async def test_paid_at_this_very_moment(world: World) -> None:
    """The buyer has paid and we have not heard of it: closing the session tells, and the money goes back (spec: H2)."""
    kind = await world.sell(capacity=1)
    _, order_id, session_id = await world.bought(kind)
    world.payments.pay(session_id)
    await cancel(world, kind)
    await unwind(world)
    assert (await world.order(order_id)).state == OrderState.CANCELLED
    assert [(one.state, one.reason) for one in await world.refunds()] == [("succeeded", "entry_closed")]
    assert await world.allocated(kind) == 0


async def test_only_the_tickets_of_that_event(world: World) -> None:
    """An order of two events keeps what still takes place."""
    first, second = await world.sell(cost=1000), await world.sell("recital", page="club", cost=700)
    user_id = await world.buyer()
    for kind in (first, second):
        await world.put(user_id, kind, 1)
    (order_id,) = await world.start(user_id)
    await world.pay(user_id, order_id)
    await cancel(world, first)
    await unwind(world)
    assert await world.states(order_id) == ["cancelled", "confirmed"]
    assert [one.amount for one in await world.refunds()] == [1000]


async def test_one_failure_stops_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """More orders than one look takes, the first without an answer from Stripe: all others are done (issue 3.3)."""
    monkeypatch.setattr(cancelled_entries, "AT_ONCE", 2)
    kind = await world.sell(capacity=9)
    _, stuck, silent = await world.bought(kind)
    rest = [(await world.paid(kind))[1] for _ in range(4)]
    world.payments.silent.add(silent)
    await cancel(world, kind)
    assert await unwind(world) == 5
    assert (await world.order(stuck)).state == OrderState.PENDING
    assert [await world.states(one) for one in rest] == [["cancelled"]] * 4
    world.payments.silent.clear()
    assert await unwind(world) == 1
    assert (await world.order(stuck)).state == OrderState.CANCELLED
    assert await world.allocated(kind) == 0
