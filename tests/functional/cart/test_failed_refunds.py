"""A refund that fails: those who sell are told once, in words, by whichever road the news comes (spec: H2).

The peers' pain: a refund that did not go through is found by the buyer's complaint (Hi.Events 1067).
"""

from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import select

from cart.models import Payment, Refund
from cart.refunds import decisions, sending
from cart.refunds.by_line import refund_items
from cart.refunds.news import apply_refunds
from cart.refunds.owing import RefundReason
from cart.words import REFUND_FAILURES, why_failed
from shared.contracts.facts import RefundFacts
from shared.contracts.payment_errors import (
    KeyRefused,
    PaymentsRefused,
    PaymentsUnavailable,
)
from shared.models import OutgoingMail
from tests import event_rows
from tests.cart_world import World
from tests.functional.cart.reconciling import check


@pytest.fixture
async def order_id(world: World) -> UUID:
    """A paid order of 20.00 at the hall and 10.00 at the club, each with its owner, of which all is refunded."""
    world.payments.now = world.clock.now()
    hall, club = await world.sell(cost=2000), await world.sell("jazz", page="club", cost=1000)
    for kind, email in ((hall, "hall@example.org"), (club, "club@example.org")):
        async with world.sessions.begin() as session:
            user_id = await event_rows.add_user(session, email)
        await world.employ(kind, user_id)
    buyer = await world.buyer()
    for kind in (hall, club):
        await world.put(buyer, kind, 1)
    (order_id,) = await world.start(buyer)
    await world.pay(buyer, order_id)
    return order_id


async def refund(world: World, order_id: UUID, *, pages: tuple[str, ...] = ("hall", "club")) -> None:
    """The tickets of these pages go back."""
    async with world.sessions.begin() as session:
        tickets = await world.calendar.get_tickets_for_order(session, order_id)
        await refund_items(
            session, world.till, order_id=order_id, page_id=None, actor="user:x",
            item_ids=[ticket.id for ticket in tickets if ticket.page_slug in pages],
            reason=RefundReason.ORGANIZER, now=world.clock.now(),
        )  # fmt: skip


async def send(world: World) -> None:
    """What the worker does."""
    await sending.send_due(world.sessions, world.till, now=world.clock.now())


async def tell(world: World) -> str:
    """What the webhook does."""
    async with world.sessions() as session:
        payment = (await session.scalars(select(Payment))).one()
    listed = world.payments.refunds(stripe_account="", payment_intent=payment.payment_intent)
    facts = [one async for one in listed]
    async with world.sessions.begin() as session:
        payment = await session.get_one(Payment, payment.id)
        return await apply_refunds(session, world.till, payment, facts, now=world.clock.now())


async def warnings(world: World) -> dict[str, str]:
    """The mails about a refund that failed: their text by their address; nobody gets two."""
    async with world.sessions() as session:
        query = select(OutgoingMail).where(OutgoingMail.dedupe_key.startswith("refund_failed:"))
        mails = list(await session.scalars(query))
    assert len({mail.to for mail in mails}) == len(mails)
    return {mail.to: f"{mail.subject}\n{mail.text}" for mail in mails}


async def test_sent_back_by_the_bank(world: World, order_id: UUID) -> None:
    """By the webhook: amount, order, why and where to decide; again, and by the reconciler, nothing more."""
    await refund(world, order_id, pages=("hall",))
    await send(world)
    assert await warnings(world) == {}
    world.payments.fail_refund(world.payments.made_refunds[-1].id)
    for _ in range(2):
        await tell(world)
    await check(world, commit=True)
    (told,) = (await warnings(world)).items()
    assert told[0] == "hall@example.org", "the club has no part in it"
    number = (await world.order(order_id)).number
    for words in (
        f"A refund of €20.00 failed: order {number}",
        "the buyer’s card was reported lost or stolen",
        f"http://shop.test/organizer/hall/orders/{order_id}",
    ):
        assert words in told[1]


async def test_found_by_the_reconciler(world: World, order_id: UUID) -> None:
    """No webhook came: each page is told its own part."""
    await refund(world, order_id)
    await send(world)
    world.payments.fail_refund(world.payments.made_refunds[-1].id)
    await check(world)
    assert await warnings(world) == {}, "a dry run writes nothing"
    await check(world, commit=True)
    told = await warnings(world)
    assert "€20.00" in told["hall@example.org"]
    assert "€10.00" in told["club@example.org"]
    assert "30.00" not in str(told), "what was paid in all is not one organizer's to see"


@pytest.mark.parametrize("by_reconciler", [False, True])
async def test_refused_when_it_is_sent(
    world: World, order_id: UUID, by_reconciler: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stripe's own words, not those for a buyer; the worker and the reconciler tell alike."""
    await refund(world, order_id)

    async def refuse(**_asked: object) -> None:
        raise PaymentsRefused(details={"reason": "The balance is too small."})

    monkeypatch.setattr(world.payments, "refund", refuse)
    if by_reconciler:
        await check(world, commit=True)
    else:
        await send(world)
        await send(world)
    told = await warnings(world)
    assert sorted(told) == ["club@example.org", "hall@example.org"]
    assert "failed: The balance is too small. The buyer" in told["hall@example.org"]


async def test_pending_until_it_fails(world: World, order_id: UUID) -> None:
    """Looked at by the worker, with no webhook at all."""
    await refund(world, order_id, pages=("club",))
    await send(world)
    made = world.payments.made_refunds[-1]
    async with world.sessions.begin() as session:
        row = (await session.scalars(select(Refund))).one()
        row.state, row.next_try_at = "sent", world.clock.now()
    world.payments.made_refunds[-1] = replace(made, status="failed", failure_reason="declined")
    await send(world)
    assert "the buyer’s bank declined it" in (await warnings(world))["club@example.org"]


async def test_one_by_hand_that_failed(world: World, order_id: UUID) -> None:
    """Of no line yet, so everybody who sells in the order is told, of no more than their part."""
    session_id = next(iter(world.payments.known))
    made = world.payments.refund_by_hand(session_id, 1500)
    world.payments.fail_refund(made.id)
    await tell(world)
    told = await warnings(world)
    assert "€15.00" in told["hall@example.org"]
    assert "€10.00" in told["club@example.org"]


async def test_a_second_try_that_fails_is_told_too(world: World, order_id: UUID) -> None:
    """It is another refund."""
    await refund(world, order_id, pages=("hall",))
    for _ in range(2):
        await send(world)
        world.payments.fail_refund(world.payments.made_refunds[-1].id)
        await tell(world)
        async with world.sessions.begin() as session:
            failed = (await session.scalars(select(Refund).where(Refund.solved_at.is_(None)))).one()
            await decisions.try_again(
                session, order_id=order_id, refund_id=failed.id, page_id=None, actor="user:x",
                now=world.clock.now(),
            )  # fmt: skip
    async with world.sessions() as session:
        keys = await session.scalars(
            select(OutgoingMail.dedupe_key).where(OutgoingMail.to == "hall@example.org")
        )
        assert len(set(keys)) == 2


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (
            PaymentsRefused(details={"reason": "Charge ch_1_2 has no money.", "code": "x"}),
            "Charge ch_1_2 has no money.",
        ),
        (PaymentsRefused(details={"reason": "", "code": "balance_insufficient"}), "balance_insufficient"),
        (PaymentsRefused(), "Stripe refused it and gave no reason."),
        (PaymentsUnavailable(), "Stripe gave no answer."),
        (KeyRefused(), "Stripe does not accept our key."),
    ],
)
async def test_what_stripe_said_is_kept_for_the_office(
    world: World, order_id: UUID, error: PaymentsRefused | PaymentsUnavailable, kept: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Never what a buyer is told: "No money was taken", "Your tickets stay held"."""

    async def refuse(**_: object) -> RefundFacts:
        raise error

    monkeypatch.setattr(world.payments, "refund", refuse)
    await refund(world, order_id)
    await send(world)
    (row,) = await world.refunds()
    assert row.last_error == kept


def test_reasons_in_words() -> None:
    """Stripe's own in ours, what is unknown as it stands: an id keeps its underscores."""
    assert why_failed("expired_or_canceled_card") == "the buyer’s card has expired or was cancelled"
    assert (
        why_failed("Charge ch_3QX_1 has already been refunded.")
        == "Charge ch_3QX_1 has already been refunded"
    )
    assert why_failed("a_new_reason") == "a_new_reason"
    assert why_failed(None) == "no reason was given"
    assert not [words for words in REFUND_FAILURES.values() if "_" in words or words.endswith(".")]
