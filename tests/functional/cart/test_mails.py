"""What the mails about an order say: what it was, when and where, whatever became of it."""

import re
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import select

from cart.refunds import by_line
from cart.refunds.owing import RefundReason
from cart.settle import Settled
from shared.clock import ManualClock
from shared.models import OutgoingMail
from tests.cart_world import World

CONCERT = ("Concert", "Tuesday 8 December 2026, 21:00–00:00 (Tokyo)", "Hall")
GALA = ("Gala", "Tuesday 8 December 2026, 13:00–16:00 (Vienna)", "Hall")


@pytest.fixture
def clock() -> ManualClock:
    """A week before everything."""
    return ManualClock(datetime(2026, 12, 1, 12, 0, tzinfo=UTC))


@pytest.fixture
async def kind(world: World) -> UUID:
    """One ticket for a concert in Tokyo."""
    return await world.sell(page="tokyo", time_zone="Asia/Tokyo", capacity=1, delayed_methods=True)


async def newest(world: World, template: str) -> OutgoingMail:
    """The mail that was owed last, which is of this template."""
    async with world.sessions() as session:
        mail = await session.scalar(select(OutgoingMail).order_by(OutgoingMail.id.desc()).limit(1))
    assert mail is not None
    assert (mail.dedupe_key or "").startswith(f"{template}:")
    return mail


def assert_says(mail: OutgoingMail, *words: str) -> None:
    """In its text and, as it is read, in its HTML."""
    for word in words:
        assert word in mail.text, mail.text
        assert word in read(mail)


def read(mail: OutgoingMail) -> str:
    """Its HTML without the tags."""
    return re.sub("<[^>]+>", "", mail.html)


async def test_paid_mail_says_when_and_where(world: World, kind: UUID) -> None:
    """Of each event, in the time zone of its page (spec: C3)."""
    gala = await world.sell("gala", page="club", delayed_methods=True)
    user_id = await world.buyer()
    for one in (kind, gala):
        await world.put(user_id, one, 1)
    (order_id,) = await world.start(user_id)
    await world.pay(user_id, order_id)
    assert_says(await newest(world, "order_paid"), *CONCERT, *GALA, "€40.00")


async def test_mail_of_free_tickets_says_when_and_where(world: World) -> None:
    """They take another road, without Stripe."""
    user_id = await world.buyer()
    await world.put(user_id, await world.sell("gala", cost=0), 1)
    await world.start(user_id)
    assert_says(await newest(world, "order_paid"), *GALA)


async def test_late_mail_says_when_and_where(world: World, kind: UUID) -> None:
    """Paid after the hold: the tickets were claimed again (spec: H2)."""
    _, _, session_id = await world.lapsed(kind)
    assert await world.settle(world.payments.pay(session_id)) == Settled.PAID
    assert_says(await newest(world, "order_paid"), "came after the time to pay", *CONCERT)


async def test_failed_mail_says_what_it_was_for(world: World, kind: UUID) -> None:
    """The tickets are back in the cart by then."""
    _, _, session_id = await world.bought(kind)
    facts = world.payments.pay(session_id, paid=False)
    assert await world.settle(facts, failed=True) == Settled.FAILED
    assert_says(await newest(world, "payment_failed"), "did not complete the payment", *CONCERT)


@pytest.mark.parametrize("removed", [False, True])
async def test_mail_of_money_that_came_too_late(world: World, kind: UUID, removed: bool) -> None:
    """What the order was for; its date is the order's where the ticket was taken out of the cart (spec: H2, L6)."""
    user_id, _, session_id = await world.lapsed(kind)
    await world.bought(kind)
    if removed:
        await world.put(user_id, kind, 0)
    assert await world.settle(world.payments.pay(session_id)) == Settled.REFUND_DUE
    mail = await newest(world, "refund")
    assert_says(mail, "The order was for:", *CONCERT)
    assert "None" not in mail.text + mail.html


async def test_refund_mail_says_which_evening(world: World, kind: UUID) -> None:
    """Cancelled tickets by the event that they were for (spec: H2)."""
    _, order_id, _ = await world.paid(kind)
    async with world.sessions.begin() as session:
        (ticket,) = await world.calendar.get_tickets_for_order(session, order_id)
        await by_line.refund_items(
            session,
            world.till,
            order_id=order_id,
            item_ids=[ticket.id],
            page_id=None,
            actor="user:x",
            reason=RefundReason.ORGANIZER,
            now=world.clock.now(),
        )
    assert_says(await newest(world, "refund"), "No longer valid for entry:", *CONCERT)
