"""Refunds by wish: tickets cancelled, stock back and money owed in one transaction; once, and never too much."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, update

from cart.models import OrderLine, Refund, RefundLine
from cart.refunds import by_line, sending
from cart.refunds.by_line import NotPayable, NotRefundable, Plan, RefundChanged, TooMuch
from cart.refunds.owing import RefundReason
from events.models import Page, Ticket
from shared.errors import NotFound
from shared.ids import new_id
from shared.models import AuditEntry, OutgoingMail
from tests.cart_world import World


async def tickets_of(world: World, order_id: UUID) -> list[UUID]:
    """The order's tickets."""
    async with world.sessions() as session:
        return [ticket.id for ticket in await world.calendar.get_tickets_for_order(session, order_id)]


async def refund(world: World, order_id: UUID, items: Sequence[UUID], **others: object) -> Plan:
    """What the organizer's button does."""
    wanted: dict[str, object] = {
        "page_id": None,
        "actor": "user:x",
        "reason": RefundReason.ORGANIZER,
    } | others
    async with world.sessions.begin() as session:
        return await by_line.refund_items(
            session,
            world.till,
            order_id=order_id,
            item_ids=items,
            now=world.clock.now(),
            **wanted,  # type: ignore[arg-type]
        )


async def goodwill(world: World, order_id: UUID, amount: int, *, refund_id: UUID | None = None) -> Refund:
    """Money back for the first line; the tickets stay."""
    async with world.sessions.begin() as session:
        line = (await session.scalars(select(OrderLine).where(OrderLine.order_id == order_id))).first()
        assert line is not None
        return await by_line.refund_amount(
            session,
            world.till,
            order_id=order_id,
            line_id=line.id,
            amount=amount,
            page_id=line.page_id,
            refund_id=refund_id or new_id(),
            actor="user:x",
            now=world.clock.now(),
        )


async def send(world: World) -> None:
    """The worker's sweep."""
    await sending.send_due(world.sessions, world.till, now=world.clock.now())


async def mails(world: World) -> list[OutgoingMail]:
    """All mails, oldest first."""
    async with world.sessions() as session:
        return list(await session.scalars(select(OutgoingMail).order_by(OutgoingMail.id)))


async def test_one_ticket_of_two(world: World) -> None:
    """Ticket cancelled, stock back, its money on the way by line; the other ticket stays (spec: H2)."""
    kind = await world.sell(capacity=2, cost=1250)
    _, order_id, _ = await world.paid(kind, 2)
    first, second = await tickets_of(world, order_id)
    plan = await refund(world, order_id, [first])
    assert plan.amount == 1250
    assert await world.states(order_id) == ["cancelled", "confirmed"]
    assert await world.allocated(kind) == 1
    (owed,) = await world.refunds()
    assert (owed.amount, owed.state, owed.reason, owed.actor) == (1250, "due", "organizer", "user:x")
    async with world.sessions() as session:
        line = (await session.scalars(select(RefundLine))).one()
        assert (line.amount, line.item_ids) == (1250, [first])
        deeds = set(await session.scalars(select(AuditEntry.what).where(AuditEntry.subject_id == order_id)))
    assert {"tickets_cancelled", "refund_due"} <= deeds
    await send(world)
    assert [(made.amount, made.status) for made in world.payments.made_refunds] == [(1250, "succeeded")]
    assert (await world.order(order_id)).state == "paid"
    mail = (await mails(world))[-1]
    assert "€12.50 goes back to you" in mail.subject
    assert "The organizer cancelled tickets" in mail.text
    assert "1 × Concert" in mail.text
    assert second not in plan.parts[0].item_ids


async def test_whoever_clicks_twice_refunds_once(world: World) -> None:
    """The same tickets again, ten at once, by organizer and buyer: one refund, one mail (spec: H2)."""
    kind = await world.sell(capacity=5, cost=1000, refund_hours=24)
    user_id, order_id, _ = await world.paid(kind, 3)
    items = await tickets_of(world, order_id)

    async def by_buyer() -> Plan:
        async with world.sessions.begin() as session:
            return await by_line.refund_own_items(
                session, world.till, order_id=order_id, user_id=user_id, item_ids=items, seen=3000,
                now=world.clock.now(),
            )  # fmt: skip

    plans = await asyncio.gather(
        *(refund(world, order_id, items) for _ in range(5)), *(by_buyer() for _ in range(5))
    )
    assert sorted(plan.amount for plan in plans) == [0] * 9 + [3000]
    assert [one.amount for one in await world.refunds()] == [3000]
    assert await world.allocated(kind) == 0
    for _ in range(3):
        await send(world)
    assert [made.amount for made in world.payments.made_refunds] == [3000]
    assert len(await mails(world)) == 2


async def test_cents_of_a_line_are_all_given_back(world: World) -> None:
    """Ticket by ticket, with goodwill before: in the end exactly what was paid, never more (spec: H2)."""
    kind = await world.sell(cost=1001)
    _, order_id, _ = await world.paid(kind, 3)
    await goodwill(world, order_id, 2)
    for item in await tickets_of(world, order_id):
        await refund(world, order_id, [item])
    assert [one.amount for one in await world.refunds()] == [2, 1001, 1001, 999]
    with pytest.raises(TooMuch):
        await goodwill(world, order_id, 1)
    await send(world)
    assert sum(made.amount for made in world.payments.made_refunds) == 3003
    assert {one.state for one in await world.refunds()} == {"succeeded"}


async def test_goodwill_leaves_the_tickets(world: World) -> None:
    """An amount for a line, once per form however often it is sent, and no more than is left (spec: H2)."""
    kind = await world.sell(capacity=2, cost=2000)
    _, order_id, _ = await world.paid(kind, 2)
    form = new_id()
    for _ in range(2):
        made = await goodwill(world, order_id, 500, refund_id=form)
        assert made.id == form
    assert [one.amount for one in await world.refunds()] == [500]
    assert await world.states(order_id) == ["confirmed", "confirmed"]
    for amount in (0, -1, 3501):
        with pytest.raises(TooMuch):
            await goodwill(world, order_id, amount)
    _, other, _ = await world.paid(await world.sell("recital", page="club"))
    with pytest.raises(NotFound):
        await goodwill(world, other, 100, refund_id=form)


async def test_free_tickets_are_cancelled_without_a_refund(world: World) -> None:
    """Nothing was paid: stock back, a mail, and no row that Stripe would be asked about."""
    kind = await world.sell(capacity=1, cost=0)
    user_id = await world.buyer()
    await world.put(user_id, kind, 1)
    (order_id,) = await world.start(user_id)
    plan = await refund(world, order_id, await tickets_of(world, order_id))
    assert (plan.amount, len(plan.tickets)) == (0, 1)
    assert await world.refunds() == []
    assert await world.allocated(kind) == 0
    assert "no money to give back" in (await mails(world))[-1].text


async def test_only_the_page_s_own_lines(world: World) -> None:
    """An order over two pages: each organizer cancels their own tickets only, by whatever ids (spec: D10)."""
    hall, club = await world.sell(cost=1000), await world.sell("recital", page="club", cost=700)
    user_id = await world.buyer()
    for kind in (hall, club):
        await world.put(user_id, kind, 1)
    (order_id,) = await world.start(user_id)
    await world.pay(user_id, order_id)
    async with world.sessions() as session:
        pages = {page.slug: page.id for page in await session.scalars(select(Page))}
    items = await tickets_of(world, order_id)
    assert (await refund(world, order_id, items, page_id=pages["club"])).amount == 700
    assert await world.allocated(hall) == 1
    with pytest.raises(NotFound):
        await refund(world, order_id, items, page_id=new_id())
    with pytest.raises(NotFound):
        await refund(world, new_id(), items)


async def test_the_amount_that_was_seen(world: World) -> None:
    """Another amount than the page showed: refused, nothing written (design: never a total that was not seen)."""
    _, order_id, _ = await world.paid(await world.sell(cost=1000), 2)
    items = await tickets_of(world, order_id)
    with pytest.raises(RefundChanged):
        await refund(world, order_id, items, seen=1000)
    assert await world.states(order_id) == ["confirmed", "confirmed"]
    await refund(world, order_id, items, seen=2000)


async def test_an_unpaid_order_is_left_alone(world: World) -> None:
    """Tickets that are reserved, or on their way to be paid, are not refunded."""
    _, order_id, session_id = await world.bought(await world.sell(delayed_methods=True))
    for _ in range(2):
        assert (await refund(world, order_id, await tickets_of(world, order_id))).tickets == ()
        await world.settle(world.payments.pay(session_id, paid=False)) if world.payments.known[
            session_id
        ].status == "open" else None
    assert await world.states(order_id) == ["reserved"]


@pytest.mark.parametrize(
    ("hours", "before", "words"),
    [
        (24, timedelta(hours=24), None),
        (24, timedelta(hours=23, minutes=59), r"\(Vienna\), 24 hours"),
        (0, timedelta(minutes=1), None),
        (0, timedelta(0), "has begun"),
        (None, timedelta(days=6), "ask the organizer"),
    ],
)
async def test_what_the_page_s_policy_allows(
    world: World, hours: int | None, before: timedelta, words: str | None
) -> None:
    """The buyer gives tickets back until so many hours before the start; never once it has begun (spec: H2)."""
    user_id, order_id, _ = await world.paid(await world.sell(capacity=1, cost=1000, refund_hours=hours))
    items = await tickets_of(world, order_id)
    world.clock.advance(seconds=(timedelta(days=7) - before).total_seconds())

    async def give_back(by: UUID) -> Plan:
        async with world.sessions.begin() as session:
            return await by_line.refund_own_items(
                session, world.till, order_id=order_id, user_id=by, item_ids=items, seen=1000,
                now=world.clock.now(),
            )  # fmt: skip

    with pytest.raises(NotFound):
        await give_back(await world.buyer())
    if words is None:
        assert (await give_back(user_id)).amount == 1000
        assert await world.states(order_id) == ["cancelled"]
    else:
        with pytest.raises(NotRefundable, match=words):
            await give_back(user_id)
        assert await world.refunds() == []


async def test_a_ticket_used_at_the_door_is_not_given_back(world: World) -> None:
    """By its buyer; the organizer still may (spec: H2)."""
    user_id, order_id, _ = await world.paid(await world.sell(cost=1000, refund_hours=0))
    items = await tickets_of(world, order_id)
    async with world.sessions.begin() as session:
        await session.execute(update(Ticket).values(state="checked_in", checked_in_at=world.clock.now()))
    with pytest.raises(NotRefundable, match="used at the door"):
        async with world.sessions.begin() as session:
            await by_line.refund_own_items(
                session, world.till, order_id=order_id, user_id=user_id, item_ids=items, seen=1000,
                now=world.clock.now(),
            )  # fmt: skip
    assert (await refund(world, order_id, items)).amount == 1000


async def test_refunding_a_double_payment_leaves_the_valid_order(world: World) -> None:
    """Pain "refunding a double payment kills the valid order" (pretix 343): the second one goes back, not the order's.

    And money of the order goes back from the payment that paid it (spec: H2).
    """
    _, order_id, session_id = await world.paid(await world.sell(cost=900), 2)
    await world.settle(world.payments.pay_again(session_id))
    await send(world)
    assert await world.states(order_id) == ["confirmed", "confirmed"]
    (first, _) = await tickets_of(world, order_id)
    await refund(world, order_id, [first])
    await send(world)
    gone = [(made.payment_intent, made.amount) for made in world.payments.made_refunds]
    assert gone == [(f"pi_{session_id}_again", 1800), (f"pi_{session_id}", 900)]
    assert await world.states(order_id) == ["cancelled", "confirmed"]


async def test_money_goes_back_from_the_payment_that_paid(world: World) -> None:
    """A wrong amount came first and went back; what the order gives back is of the payment after it (spec: H2)."""
    user_id, order_id, wrong = await world.bought(await world.sell(cost=900))
    await world.settle(replace(world.payments.pay(wrong), amount_total=800))
    right = await world.pay(user_id, order_id)
    assert (await world.order(order_id)).state == "paid"
    await refund(world, order_id, await tickets_of(world, order_id))
    await send(world)
    gone = [(made.payment_intent, made.amount) for made in world.payments.made_refunds]
    assert gone == [(f"pi_{wrong}", 800), (f"pi_{right}", 900)]


async def test_amount_that_cannot_be_moved_exactly(world: World) -> None:
    """Stripe gives back thousandths of a dinar in tens only; nothing is owed that it would refuse (spec: H2)."""
    _, order_id, _ = await world.paid(await world.sell(page="kuwait", currency="KWD", cost=5000))
    with pytest.raises(NotPayable, match=r"multiples of KWD.0\.010"):
        await goodwill(world, order_id, 1234)
    assert await world.refunds() == []
    assert (await goodwill(world, order_id, 1230)).amount == 1230
