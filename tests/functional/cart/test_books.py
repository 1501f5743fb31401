"""The books: every movement of Stripe's balance is in the ledger, with its page and its order, to the cent.

The peers' pain behind it: books are reconciled by hand, and the net of a sale is unknown (Attendize 1071, alf.io 1299).
"""

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import select

from cart.books import keeping
from cart.books.payouts import apply_payout
from cart.disputes import apply_dispute
from cart.models import LedgerTransfer, OrderLine, Payment, Refund
from cart.records import BalanceTransaction, Payout
from cart.refunds import decisions, owing, sending
from cart.refunds.by_line import refund_items
from cart.refunds.news import apply_refunds
from cart.refunds.owing import RefundReason
from events.models import TicketType
from shared.contracts.facts import TransactionFacts
from tests import ledger_sums
from tests.cart_world import World


async def post(world: World) -> int:
    """The worker's sweep."""
    return await keeping.post_new(world.sessions, world.till, now=world.clock.now())


async def sums(world: World, *, page_id: UUID | None = None, currency: str = "EUR") -> dict[str, int]:
    """What stands on each account."""
    return await ledger_sums.sums(world.sessions, page_id=page_id, currency=currency)


async def agrees(world: World) -> bool:
    """Whether the ledger's balance is Stripe's, in every currency and account."""
    for account in ("", "acct_hall"):
        at_stripe = await world.payments.balance(stripe_account=account)
        for currency in ("EUR", "USD"):
            ours = await ledger_sums.sums(world.sessions, currency=currency, stripe_account=account)
            if ours.get("stripe_balance", 0) != at_stripe.get(currency, 0):
                return False
    return True


async def waiting(world: World) -> int:
    """Transactions that are not in the ledger yet."""
    return await ledger_sums.not_posted(world.sessions)


async def page_of(world: World, type_id: UUID) -> UUID:
    """The page that sells a type."""
    async with world.sessions() as session:
        return (await session.get_one(TicketType, type_id)).page_id


async def give_back(world: World, order_id: UUID, number: int = 1) -> None:
    """The organizer refunds so many tickets, and Stripe carries it out."""
    async with world.sessions.begin() as session:
        tickets = await world.calendar.get_tickets_for_order(session, order_id)
        await refund_items(
            session,
            world.till,
            order_id=order_id,
            item_ids=[one.id for one in tickets if one.state == "confirmed"][:number],
            page_id=None,
            actor="user:x",
            reason=RefundReason.ORGANIZER,
            now=world.clock.now(),
        )
    await sending.send_due(world.sessions, world.till, now=world.clock.now())


async def hear_of_refunds(world: World, session_id: str) -> None:
    """What the webhook does about a payment's refunds."""
    intent = world.payments.known[session_id].payment_intent
    listed = [one async for one in world.payments.refunds(stripe_account="", payment_intent=intent)]
    async with world.sessions.begin() as session:
        payment = (await session.scalars(select(Payment).where(Payment.payment_intent == intent))).one()
        await apply_refunds(session, world.till, payment, listed, now=world.clock.now())


def convert(world: World, rate: str, currency: str = "USD") -> None:
    """Every transaction made so far in euros settles in another currency instead."""
    for place, one in enumerate(world.payments.booked):
        if one.currency == "EUR":
            amount = int(Decimal(one.amount) * Decimal(rate))
            world.payments.booked[place] = replace(
                one, amount=amount, net=amount - one.fee, currency=currency, exchange_rate=Decimal(rate)
            )


async def test_net_of_a_sale_is_known(world: World) -> None:
    """Books by hand, net per sale unknown (Attendize 1071, alf.io 1299): 45.00 less 0.50 is 44.50, posted once."""
    kind = await world.sell(cost=1500)
    _, order_id, _ = await world.paid(kind, 3)
    assert await sums(world) == {"stripe_balance": 4500, "sales": -4500}
    assert await post(world) == 1
    assert await post(world) == 0
    expected = {"stripe_balance": 4450, "sales": -4500, "fees": 50}
    assert await sums(world) == expected
    assert await sums(world, page_id=await page_of(world, kind)) == expected
    async with world.sessions() as session:
        fee = (await session.scalars(select(LedgerTransfer).where(LedgerTransfer.kind == "fee"))).one()
        assert (fee.order_id, fee.balance_transaction, fee.at) == (order_id, "txn_1", world.payments.now)
    assert await agrees(world)


async def test_an_order_of_two_pages_splits_its_fee(world: World) -> None:
    """One payment over two shops, 10.00 and 20.00: a third of the 0.50 is 0.17, two thirds 0.33."""
    hall, club = await world.sell(cost=1000), await world.sell(page="club", cost=2000)
    user_id = await world.buyer()
    await world.put(user_id, hall, 1)
    await world.put(user_id, club, 1)
    (order_id,) = await world.start(user_id)
    await world.pay(user_id, order_id)
    await post(world)
    of_hall = await sums(world, page_id=await page_of(world, hall))
    of_club = await sums(world, page_id=await page_of(world, club))
    assert of_hall == {"stripe_balance": 983, "sales": -1000, "fees": 17}
    assert of_club == {"stripe_balance": 1967, "sales": -2000, "fees": 33}
    assert await agrees(world)


async def test_refund_by_line_and_its_failure(world: World) -> None:
    """Hi.Events 876, refunds missing from sales: each refund lessens its page; sent back by the bank, it is undone."""
    kind = await world.sell(cost=1500)
    _, order_id, session_id = await world.paid(kind, 3)
    await give_back(world, order_id, 2)
    await post(world)
    assert await sums(world) == {"stripe_balance": 1450, "sales": -4500, "fees": 50, "refunds": 3000}
    world.payments.fail_refund("re_1")
    await hear_of_refunds(world, session_id)
    await post(world)
    assert await sums(world) == {"stripe_balance": 4450, "sales": -4500, "fees": 50}
    assert await agrees(world)


async def test_what_bought_nothing_goes_back(world: World) -> None:
    """Paid twice: owed back from the moment it came, nothing owed any more once refunded; only its fee is lost."""
    kind = await world.sell(cost=2000)
    _, _, session_id = await world.paid(kind)
    await world.settle(world.payments.pay_again(session_id))
    assert await sums(world) == {"stripe_balance": 4000, "sales": -2000, "owed_back": -2000}
    await sending.send_due(world.sessions, world.till, now=world.clock.now())
    await post(world)
    assert await sums(world) == {"stripe_balance": 1900, "sales": -2000, "fees": 100}
    assert await agrees(world)


async def test_paid_before_we_heard_of_it(world: World) -> None:
    """A charge whose order is not settled waits, and is posted when it is: nothing is skipped, nothing guessed."""
    kind = await world.sell(cost=2000)
    _, _, session_id = await world.bought(kind)
    facts = world.payments.pay(session_id)
    assert await post(world) == 0
    assert (await sums(world), await waiting(world)) == ({}, 1)
    await world.settle(facts)
    assert await post(world) == 1
    assert await sums(world) == {"stripe_balance": 1950, "sales": -2000, "fees": 50}


async def test_refund_by_hand_waits_for_its_row_then_for_its_lines(world: World) -> None:
    """Made in Stripe's dashboard: first not known here, then unallocated, then of the lines that were chosen."""
    kind = await world.sell(cost=1500)
    _, order_id, session_id = await world.paid(kind, 3)
    world.payments.refund_by_hand(session_id, 1500)
    await post(world)
    assert (await sums(world), await waiting(world)) == (
        {"stripe_balance": 4450, "sales": -4500, "fees": 50},
        1,
    )
    await hear_of_refunds(world, session_id)
    await post(world)
    page_id = await page_of(world, kind)
    unallocated = {"stripe_balance": 2950, "sales": -4500, "fees": 50, "refunds_unallocated": 1500}
    assert await sums(world, page_id=page_id) == unallocated
    async with world.sessions.begin() as session:
        refund_id = (await session.scalars(select(Refund.id))).one()
        await decisions.allocate(
            session, world.till, order_id=order_id, refund_id=refund_id, item_ids=[], page_id=page_id,
            actor="user:x", now=world.clock.now(),
        )  # fmt: skip
    assert [await post(world), await post(world)] == [1, 0]
    allocated = {"stripe_balance": 2950, "sales": -4500, "fees": 50, "refunds": 1500}
    assert await sums(world, page_id=page_id) == allocated
    assert await agrees(world)


async def test_refund_by_hand_of_two_pages_goes_to_the_one_chosen(world: World) -> None:
    """Unallocated it is no page's; allocated it lessens the page whose line it was, and only that one."""
    hall, club = await world.sell(cost=1000), await world.sell(page="club", cost=2000)
    user_id = await world.buyer()
    await world.put(user_id, hall, 1)
    await world.put(user_id, club, 1)
    (order_id,) = await world.start(user_id)
    session_id = await world.pay(user_id, order_id)
    world.payments.refund_by_hand(session_id, 700)
    await hear_of_refunds(world, session_id)
    await post(world)
    hall_page, club_page = await page_of(world, hall), await page_of(world, club)
    assert (await sums(world))["refunds_unallocated"] == 700
    assert "refunds_unallocated" not in await sums(world, page_id=club_page)
    async with world.sessions.begin() as session:
        refund = (await session.scalars(select(Refund))).one()
        line = (await session.scalars(select(OrderLine).where(OrderLine.page_id == club_page))).one()
        await owing.allocate(session, refund, [owing.Part(line, 700)], now=world.clock.now())
    await post(world)
    assert await sums(world, page_id=club_page) == {
        "stripe_balance": 1267, "sales": -2000, "fees": 33, "refunds": 700,
    }  # fmt: skip
    assert await sums(world, page_id=hall_page) == {"stripe_balance": 983, "sales": -1000, "fees": 17}
    assert "refunds_unallocated" not in await sums(world)
    assert await agrees(world)


@pytest.mark.parametrize("won", [True, False])
async def test_dispute_and_its_end(world: World, *, won: bool) -> None:
    """Withdrawn with its fee of 15.00; won, both come back; lost, they stay away (spec: E4)."""
    kind = await world.sell(cost=2500)
    _, _, session_id = await world.paid(kind, 2)
    opened = world.payments.dispute(session_id)
    await post(world)
    away = {
        "stripe_balance": -1550, "sales": -5000, "fees": 50, "disputes": 5000, "dispute_fees": 1500,
    }  # fmt: skip
    assert await sums(world, page_id=await page_of(world, kind)) == away
    world.payments.close_dispute(opened.id, won=won)
    await post(world)
    assert await sums(world) == ({"stripe_balance": 4950, "sales": -5000, "fees": 50} if won else away)
    assert await agrees(world)


async def test_payout_and_one_that_comes_back(world: World) -> None:
    """What is paid out leaves the balance for the bank; noted without a webhook, with its contents; failed: back."""
    kind = await world.sell(cost=2000)
    await world.paid(kind)
    made = world.payments.pay_out("EUR")
    await post(world)
    assert await sums(world) == {"sales": -2000, "fees": 50, "bank": 1950}
    async with world.sessions() as session:
        payout = (await session.scalars(select(Payout))).one()
        contents = await session.scalars(
            select(BalanceTransaction.id).where(BalanceTransaction.payout_id == made.id)
        )
        assert (payout.amount, payout.status) == (1950, "paid")
        assert set(contents) == {"txn_1", "txn_2"}
    failed = world.payments.fail_payout(made.id)
    async with world.sessions.begin() as session:
        assert await apply_payout(session, failed, now=world.clock.now()) == "payout_failed"
        assert await apply_payout(session, failed, now=world.clock.now()) == "already"
        assert await apply_payout(session, made, now=world.clock.now()) == "already"
    await post(world)
    assert await sums(world) == {"stripe_balance": 1950, "sales": -2000, "fees": 50}
    async with world.sessions() as session:
        payout = (await session.scalars(select(Payout))).one()
        assert (payout.status, payout.failure) == ("failed", "The bank account has been closed.")
    assert await agrees(world)


async def test_an_account_that_settles_in_another_currency(world: World) -> None:
    """Sold and refunded in euros, held in dollars at 1.20: both currencies balance, the rest is in clearing."""
    kind = await world.sell(cost=2000)
    _, order_id, session_id = await world.paid(kind, 2)
    convert(world, "1.20")
    await post(world)
    page_id = await page_of(world, kind)
    assert await sums(world, page_id=page_id) == {"sales": -4000, "clearing": 4000}
    assert await sums(world, page_id=page_id, currency="USD") == {
        "stripe_balance": 4750, "clearing": -4800, "fees": 50,
    }  # fmt: skip
    await give_back(world, order_id)
    convert(world, "1.25")
    opened = world.payments.dispute(session_id)
    convert(world, "1.10")
    await post(world)
    assert await waiting(world) == 1, "what is disputed in euros is not known yet"
    async with world.sessions.begin() as session:
        await apply_dispute(session, world.till, opened, now=world.clock.now())
    await post(world)
    assert await sums(world, page_id=page_id) == {
        "sales": -4000, "refunds": 2000, "disputes": 4000, "clearing": -2000,
    }  # fmt: skip
    assert await sums(world, page_id=page_id, currency="USD") == {
        "stripe_balance": 4750 - 2500 - 4400 - 1500, "clearing": -4800 + 2500 + 4400, "fees": 50, "dispute_fees": 1500,
    }  # fmt: skip
    assert await agrees(world)


def of_another_program(world: World, **differs: object) -> TransactionFacts:
    """A movement on our account that no page of ours caused."""
    made = replace(world.payments.booked[-1], id=f"txn_x{len(world.payments.booked)}", **differs)  # type: ignore[arg-type]
    world.payments.booked.append(made)
    return made


async def test_other_programs_on_the_account(world: World) -> None:
    """Foreign payments and refunds, Stripe's own fees, a top-up, what nobody knows: all of it is in the balance."""
    kind = await world.sell(cost=2000)
    await world.paid(kind)
    none: dict[str, str] = {}
    foreign = {"payment_intent": "pi_other", "source": "ch_other", "metadata": none}
    of_another_program(world, **foreign, amount=900, fee=40, net=860)
    of_another_program(
        world,
        **foreign | {"source": "re_other"},
        type="refund",
        category="refund",
        amount=-300,
        fee=0,
        net=-300,
    )
    nobody = {"payment_intent": None, "source": None, "metadata": none}
    of_another_program(world, **nobody, type="stripe_fee", category="fee", amount=-70, fee=0, net=-70)
    of_another_program(world, **nobody, type="topup", category="topup", amount=1000, fee=0, net=1000)
    of_another_program(world, **nobody, type="new", category="never_heard_of", amount=33, fee=3, net=30)
    assert await post(world) == 6
    assert await sums(world) == {
        "stripe_balance": 1950 + 860 - 300 - 70 + 1000 + 30,
        "sales": -2000,
        "fees": 50 + 70 + 3,
        "foreign": -860 + 300,
        "bank": -1000,
        "other": -33,
    }
    assert await agrees(world)


async def test_orphans_wait_until_somebody_decides(world: World) -> None:
    """Ours by its metadata, of an order that this database does not know: shown, never guessed (spec: H1)."""
    kind = await world.sell(cost=2000)
    _, _, session_id = await world.bought(kind)
    world.payments.pay(session_id)
    assert (await post(world), await waiting(world)) == (0, 1)
    async with world.sessions.begin() as session:
        (orphan,) = await session.scalars(select(BalanceTransaction))
        assert await keeping.post_orphan(session, orphan, now=world.clock.now())
        assert not await keeping.post_orphan(session, orphan, now=world.clock.now())
    world.payments.refund_by_hand(session_id, 2000)
    await post(world)
    assert await sums(world) == {"stripe_balance": -50, "orphans": 50}
    assert await agrees(world)


async def test_a_delayed_payment_that_bounced(world: World) -> None:
    """Some methods are in the balance while they wait: in and out again, and no sale ever."""
    kind = await world.sell(cost=2000, delayed_methods=True)
    _, _, session_id = await world.bought(kind)
    facts = world.payments.arrive(world.payments.pay(session_id, paid=False).id)
    back = {"type": "payment_failure_refund", "category": "charge_failure"}
    of_another_program(world, **back, amount=-2000, fee=-50, net=-1950)
    assert facts.payment_intent is not None
    assert await post(world) == 2
    assert await sums(world) == {}
    assert await agrees(world)


async def test_a_reserve_is_an_account_of_its_own(world: World) -> None:
    """What Stripe holds back leaves the balance and comes again; its other side is not counted (issue 8 section 5)."""
    await world.paid(await world.sell(cost=2000))
    await post(world)
    before = (await sums(world))["stripe_balance"]
    hold = world.payments._book("reserve_hold", -700, "EUR", "txn_hold", None)
    await post(world)
    other = replace(hold, id="txn_other", amount=700, net=700, balance_type="risk_reserved")
    async with world.sessions.begin() as session:
        assert await keeping.mirror(session, [other]) == 1
    await keeping.post_open(world.sessions, now=world.clock.now())
    held = await sums(world)
    assert (held["reserved"], held["stripe_balance"]) == (700, before - 700)
    assert await waiting(world) == 0
    assert await agrees(world)
    world.payments._book("reserve_release", 700, "EUR", "txn_release", None)
    await post(world)
    assert (await sums(world)).get("reserved", 0) == 0
    assert await agrees(world)
