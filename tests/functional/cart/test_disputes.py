"""Disputes: tickets blocked while the bank holds the money, refunds that wait, and the same end in every order."""

import itertools
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from cart.disputes import apply_dispute
from cart.models import RefundLine
from cart.records import Dispute
from cart.refunds import by_line, decisions, sending
from cart.refunds.owing import RefundReason
from events.models import Page
from shared.contracts.facts import DisputeFacts
from shared.contracts.states import PageRole
from shared.ids import new_id
from shared.models import OutgoingMail
from tests import event_rows
from tests.cart_world import World


async def tell(world: World, facts: DisputeFacts) -> str:
    """What webhook and reconciler do."""
    async with world.sessions.begin() as session:
        return await apply_dispute(session, world.till, facts, now=world.clock.now())


async def blocked(world: World, order_id: UUID) -> set[bool]:
    """Whether the order's tickets are blocked."""
    async with world.sessions() as session:
        return {ticket.blocked for ticket in await world.calendar.get_tickets_for_order(session, order_id)}


async def dispute_of(world: World) -> Dispute:
    """The one dispute there is."""
    async with world.sessions() as session:
        return (await session.scalars(select(Dispute))).one()


async def cancel_all(world: World, order_id: UUID) -> None:
    """The organizer refunds every ticket, and the worker sends it."""
    async with world.sessions.begin() as session:
        tickets = await world.calendar.get_tickets_for_order(session, order_id)
        await by_line.refund_items(
            session, world.till, order_id=order_id, item_ids=[ticket.id for ticket in tickets], page_id=None,
            actor="user:x", reason=RefundReason.ORGANIZER, now=world.clock.now(),
        )  # fmt: skip
    await send(world)


async def send(world: World) -> None:
    """The worker's sweep."""
    await sending.send_due(world.sessions, world.till, now=world.clock.now())


async def test_blocked_while_the_money_is_away(world: World) -> None:
    """Withdrawn: blocked, the states underneath as they were; won: valid again (spec: H4, E4)."""
    kind = await world.sell(capacity=2, cost=2500)
    _, order_id, session_id = await world.paid(kind, 2)
    opened = world.payments.dispute(session_id)
    assert await tell(world, opened) == "dispute_opened"
    assert await tell(world, opened) == "already"
    assert await blocked(world, order_id) == {True}
    assert await world.states(order_id) == ["confirmed", "confirmed"]
    row = await dispute_of(world)
    assert (row.amount, row.withdrawn, row.status, row.closed_at) == (5000, 5000, "needs_response", None)
    assert await tell(world, world.payments.close_dispute(opened.id, won=True)) == "dispute_closed"
    assert await blocked(world, order_id) == {False}
    row = await dispute_of(world)
    assert (row.withdrawn, row.status) == (0, "won")
    assert row.closed_at == world.clock.now()
    assert await world.allocated(kind) == 2


async def test_lost_stays_blocked(world: World) -> None:
    """The money is the buyer's; the organizer may cancel the tickets, and nothing more goes back (spec: H4).

    What would have gone back is kept, withdrawn: the bank may still take it back from the buyer.
    """
    kind = await world.sell(capacity=1)
    _, order_id, session_id = await world.paid(kind)
    opened = world.payments.dispute(session_id)
    await tell(world, opened)
    await tell(world, world.payments.close_dispute(opened.id, won=False))
    assert await blocked(world, order_id) == {True}
    await cancel_all(world, order_id)
    assert [one.state for one in await world.refunds()] == ["withdrawn"]
    assert await world.allocated(kind) == 0


async def test_an_inquiry_blocks_nothing(world: World) -> None:
    """It withdraws nothing (design: States); when it becomes a dispute, the tickets are blocked."""
    _, order_id, session_id = await world.paid(await world.sell())
    asked = world.payments.dispute(session_id, inquiry=True)
    await tell(world, asked)
    assert await blocked(world, order_id) == {False}
    assert (await dispute_of(world)).withdrawn == 0
    grown = replace(world.payments.dispute(session_id), id=asked.id)
    assert await tell(world, grown) == "dispute_changed"
    assert await blocked(world, order_id) == {True}


@pytest.mark.parametrize("won", [True, False])
async def test_every_order_of_the_news_ends_the_same(world: World, won: bool) -> None:
    """Created, withdrawn, under review, closed, reinstated, each late or twice: the same end (spec: C5)."""
    for page, order in enumerate(itertools.permutations(range(4))):
        _, order_id, session_id = await world.paid(await world.sell(page=f"p{page}"))
        opened = replace(world.payments.dispute(session_id), transactions=())
        taken = world.payments.open_disputes[opened.id]
        reviewed = replace(taken, status="under_review")
        closed = world.payments.close_dispute(opened.id, won=won)
        news = [
            replace(one, asked_at=world.clock.now() + timedelta(seconds=number))
            for number, one in enumerate([opened, taken, reviewed, closed])
        ]
        # each event brings what Stripe said when it was fetched, so an old one may be applied last
        for one in [*(news[place] for place in order), news[3], news[1]]:
            await tell(world, one)
        async with world.sessions() as session:
            row = (await session.scalars(select(Dispute).where(Dispute.order_id == order_id))).one()
        assert (row.status, row.withdrawn > 0) == (("won", False) if won else ("lost", True)), order
        assert await blocked(world, order_id) == {not won}, order


async def test_reinstated_after_it_was_closed(world: World) -> None:
    """`closed` may come before `funds_reinstated`: blocked until the money is back, whatever comes again (spec: H4)."""
    _, order_id, session_id = await world.paid(await world.sell())
    opened = world.payments.dispute(session_id)
    reinstated = world.payments.close_dispute(opened.id, won=True)
    closed = replace(reinstated, transactions=opened.transactions)
    later = [world.clock.now() + timedelta(seconds=number) for number in range(3)]
    closed = replace(closed, asked_at=later[1])
    reinstated = replace(reinstated, asked_at=later[2])
    for facts, is_blocked in (
        (opened, True),
        (closed, True),
        (reinstated, False),
        (closed, False),
        (opened, False),
    ):
        await tell(world, facts)
        assert await blocked(world, order_id) == {is_blocked}


@pytest.mark.parametrize(("won", "state"), [(True, "succeeded"), (False, "withdrawn")])
async def test_a_refund_waits_for_the_dispute(world: World, won: bool, state: str) -> None:
    """Refused while disputed: it waits; won, it is sent; lost, the bank has paid the buyer (spec: H2, H4)."""
    _, order_id, session_id = await world.paid(await world.sell(cost=1800))
    opened = world.payments.dispute(session_id)
    await cancel_all(world, order_id)
    assert [one.state for one in await world.refunds()] == ["waiting_dispute"], (
        "before we heard of the dispute"
    )
    await tell(world, opened)
    world.clock.advance(days=1)
    await send(world)
    assert [one.state for one in await world.refunds()] == ["waiting_dispute"]
    await tell(world, world.payments.close_dispute(opened.id, won=won))
    await send(world)
    assert [(one.amount, one.state) for one in await world.refunds()] == [(1800, state)]
    assert len(world.payments.made_refunds) == (1 if won else 0)


async def test_what_a_lost_dispute_leaves_of_a_refund_is_still_owed(world: World) -> None:
    """The bank took a part only: the buyer gets the rest from us, and nothing is said that is not so (spec: H2)."""
    _, order_id, session_id = await world.paid(await world.sell(cost=2900), 2)
    opened = world.payments.dispute(session_id, amount=1000)
    await tell(world, opened)
    await cancel_all(world, order_id)
    assert [one.state for one in await world.refunds()] == ["waiting_dispute"]
    world.clock.advance(days=1)
    await tell(world, world.payments.close_dispute(opened.id, won=False))
    await send(world)
    ends = [(one.amount, one.state) for one in await world.refunds()]
    assert sorted(ends) == [(1000, "withdrawn"), (4800, "succeeded")]
    assert [one.amount for one in world.payments.made_refunds] == [4800]
    async with world.sessions() as session:
        lines = {line.amount: line.item_ids for line in await session.scalars(select(RefundLine))}
    assert sorted(lines) == [1000, 4800], "the parts of the order add up to what was owed"


async def test_refused_after_a_dispute_that_was_lost_in_part(world: World) -> None:
    """Owed after it was over, so the bank has paid none of it: a person has to look (spec: H2)."""
    _, order_id, session_id = await world.paid(await world.sell(cost=2900), 2)
    opened = world.payments.dispute(session_id, amount=1000)
    await tell(world, opened)
    await tell(world, replace(opened, status="lost"))  # Stripe itself goes on to refuse
    world.clock.advance(days=1)
    await cancel_all(world, order_id)
    ends = [(one.amount, one.state) for one in await world.refunds()]
    assert sorted(ends) == [(1000, "withdrawn"), (4800, "failed")]


async def test_refused_because_of_a_dispute_that_is_over(world: World) -> None:
    """The news that it was lost was faster than the answer to our call: no refund waits for ever (spec: H2)."""
    _, order_id, session_id = await world.paid(await world.sell())
    async with world.sessions.begin() as session:
        tickets = await world.calendar.get_tickets_for_order(session, order_id)
        await by_line.refund_items(
            session, world.till, order_id=order_id, item_ids=[ticket.id for ticket in tickets], page_id=None,
            actor="user:x", reason=RefundReason.ORGANIZER, now=world.clock.now(),
        )  # fmt: skip
    opened = world.payments.dispute(session_id)
    lost = replace(opened, status="lost")
    await tell(world, lost)
    await send(world)
    assert [one.state for one in await world.refunds()] == ["withdrawn"]


async def test_a_dispute_of_a_second_payment_blocks_nothing(world: World) -> None:
    """The tickets were paid by the first one (peers: pretix 343)."""
    _, order_id, session_id = await world.paid(await world.sell())
    again = world.payments.pay_again(session_id)
    await world.settle(again)
    await tell(world, world.payments.dispute(again.id))
    assert await blocked(world, order_id) == {False}


async def test_two_disputes_of_one_payment(world: World) -> None:
    """Unblocked only when neither holds money any more."""
    _, order_id, session_id = await world.paid(await world.sell())
    first, second = world.payments.dispute(session_id), world.payments.dispute(session_id)
    for facts in (first, second, world.payments.close_dispute(first.id, won=True)):
        await tell(world, facts)
        assert await blocked(world, order_id) == {True}
    await tell(world, world.payments.close_dispute(second.id, won=True))
    assert await blocked(world, order_id) == {False}


async def test_those_who_sell_are_told(world: World) -> None:
    """Owners and staff of the page, not the door: once when it opens, once when it is over, with a link (spec: H4)."""
    _, order_id, session_id = await world.paid(await world.sell(cost=4200))
    async with world.sessions.begin() as session:
        page = (await session.scalars(select(Page))).one()
        for role in PageRole:
            user_id = await event_rows.add_user(session, f"{role}@hall.example")
            await event_rows.add_member(session, page, user_id, role)
    opened = world.payments.dispute(session_id)
    for facts in (opened, opened, world.payments.close_dispute(opened.id, won=False)):
        await tell(world, facts)
    async with world.sessions() as session:
        query = (
            select(OutgoingMail).where(OutgoingMail.to.endswith("@hall.example")).order_by(OutgoingMail.id)
        )
        mails = list(await session.scalars(query))
    assert sorted((mail.to.split("@")[0], "lost" in mail.subject) for mail in mails) == [
        ("owner", False), ("owner", True), ("staff", False), ("staff", True),
    ]  # fmt: skip
    assert "€42.00" in mails[0].subject
    assert f"http://shop.test/organizer/hall/orders/{order_id}" in mails[0].text


async def test_unknown_payment(world: World) -> None:
    """Of nobody we know: nothing is written."""
    _, _, session_id = await world.paid(await world.sell())
    facts = replace(world.payments.dispute(session_id), payment_intent=f"pi_{new_id().hex}")
    assert await tell(world, facts) == "unmatched"
    async with world.sessions() as session:
        assert (await session.scalars(select(Dispute))).all() == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("lost", "appeal_needs_response"),
        ("won", "lost"),
        ("warning_closed", "needs_response"),
        ("lost", "appeal_under_review"),
        ("needs_response", "prevented"),
        ("under_review", "a_state_of_next_year"),
    ],
)
async def test_what_was_asked_later_wins(world: World, before: str, after: str) -> None:
    """No state is final at a bank: the later answer stands, an older one changes nothing (issue 8 section 5)."""
    _, _, session_id = await world.paid(await world.sell())
    first = replace(world.payments.dispute(session_id), status=before)
    due_by = first.created + timedelta(days=20)
    second = replace(
        first, status=after, evidence_due_by=due_by, asked_at=first.asked_at + timedelta(minutes=1)
    )
    await tell(world, first)
    assert await tell(world, second) in ("dispute_changed", "dispute_closed")
    assert await tell(world, first) == "already"
    row = await dispute_of(world)
    assert (row.status, row.evidence_due_by) == (after, due_by)
    assert (row.closed_at is None) == (not second.is_closed)


@pytest.mark.parametrize("status", ["appeal_needs_response", "a_state_of_next_year"])
async def test_an_appeal_and_an_unknown_state_wait_for_a_person(world: World, status: str) -> None:
    """Shown among the open decisions, and the office is told once more (issue 8 sections 3 and 5)."""
    _, _, session_id = await world.paid(await world.sell())
    opened = world.payments.dispute(session_id)
    lost = world.payments.close_dispute(opened.id, won=False)
    await tell(world, lost)
    async with world.sessions() as session:
        assert await decisions.open_decisions(session) == []
        before = len((await session.scalars(select(OutgoingMail))).all())
    await tell(world, replace(lost, status=status, asked_at=lost.asked_at + timedelta(minutes=1)))
    async with world.sessions() as session:
        (waits,) = await decisions.open_decisions(session)
        assert waits.dispute is not None
        assert waits.dispute.status == status
        assert len((await session.scalars(select(OutgoingMail))).all()) >= before
