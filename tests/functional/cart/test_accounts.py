"""Stripe accounts that may not charge: their pages stop, in words; their stock comes free (spec: L9)."""

import json
from datetime import datetime
from typing import cast
from uuid import UUID

import pytest
from sqlalchemy import select

from cart import accounts
from cart.models import CheckoutAttempt
from cart.operator import health
from cart.quote import PaymentsStopped
from shared.contracts.payment_errors import AccountUnavailable
from shared.contracts.states import OrderState
from shared.health_facts import Level
from shared.payments import StripePayments
from shared.stripe_calls import Tally, calls_since, write_down
from shared.web import Tillgate
from tests.cart_world import World
from tests.road import Road
from tests.shop import page_of
from tests.support import signed_in_client

HARBOUR = "acct_harbour"


async def look(world: World, sweep: accounts.AccountSweep) -> int:
    """The worker's round."""
    return await sweep.run(world.till, world.clock.now())


async def fact(world: World) -> str:
    """What the operator reads about accounts; it is an alarm where one may not charge."""
    async with world.sessions.reading() as session:
        found = await health.accounts(session)
    assert (found.level is Level.ALARM) == bool(found.value)
    return found.words


async def end_of_page(world: World, order_id: UUID) -> datetime:
    """When an order's payment page ends, UTC."""
    async with world.sessions() as session:
        return (await session.scalars(select(CheckoutAttempt.expires_at).filter_by(order_id=order_id))).one()


async def test_a_restricted_account_stops_its_pages(app: Tillgate, world: World) -> None:
    """Found at the start and daily; free tickets go on; another account's page sells; and it comes back."""
    app.services.payments = world.payments
    dear = await world.sell("play", page="harbour", stripe_account=HARBOUR)
    free = await world.sell("tour", page="pier", stripe_account=HARBOUR, cost=0)
    other = await world.sell("concert")
    sweep = accounts.AccountSweep(world.sessions)
    assert await look(world, sweep) == 2, "each account at the start"
    assert await look(world, sweep) == 0, "and then no call for a day"
    assert await fact(world) == "2 accounts take payments."
    world.payments.uncharging_accounts.add(HARBOUR)
    world.clock.advance(hours=25)
    assert await look(world, sweep) == 2
    assert "acct_harbour: It may not charge. Its pages sell only what is free." in await fact(world)

    page = await page_of(await app.test_client().get("/p/harbour/play"))
    assert "can’t take payments at the moment" in page
    assert "Sign in to buy tickets" not in page
    buyer = await signed_in_client(app)
    await world.put(buyer.user_id, dear, 1)
    assert "They stay in your cart" in await page_of(await buyer.get("/cart"))
    with pytest.raises(PaymentsStopped, match="Harbour can’t take payments at the moment"):
        await world.start(buyer.user_id)
    assert await world.in_cart(buyer.user_id) == 1
    guest = await world.buyer()
    await world.put(guest, free, 1)
    (order_id,) = await world.start(guest)
    assert (await world.order(order_id)).state == OrderState.PAID
    await world.paid(other)

    world.payments.uncharging_accounts.clear()
    world.clock.advance(hours=2)
    assert await look(world, sweep) == 1, "one that may not charge is asked every hour"
    assert len(await world.start(buyer.user_id)) == 1


async def test_an_account_that_was_withdrawn(world: World) -> None:
    """A 403 is not our key: the page stops at once, and a day after the payment page's end the stock is free."""
    kind = await world.sell("play", page="harbour", stripe_account=HARBOUR, hold_minutes=30, capacity=5)
    _, open_order, _ = await world.bought(kind, 2)
    user_id = await world.buyer()
    await world.put(user_id, kind, 1)
    (order_id,) = await world.start(user_id)
    world.payments.closed_accounts.add(HARBOUR)
    with pytest.raises(AccountUnavailable):
        await world.hand_over(user_id, order_id)
    await world.put(user_id, kind, 1)
    with pytest.raises(PaymentsStopped):
        await world.start(user_id)
    assert "Stripe no longer lets us use this account." in await fact(world)
    ends_at = await end_of_page(world, open_order)
    world.clock.advance(hours=2)
    assert await world.release(open_order) is OrderState.PENDING, "it may have been paid"
    calls = len(world.payments.calls)
    world.clock.advance(minutes=5)
    assert await world.release(open_order) is OrderState.PENDING
    assert len(world.payments.calls) == calls, "a call that will be refused is not made each half minute"
    world.clock.advance(seconds=(ends_at + accounts.OVER_AFTER - world.clock.now()).total_seconds())
    assert await world.release(open_order) is OrderState.EXPIRED
    assert await world.release(order_id) is OrderState.EXPIRED
    assert await world.allocated(kind) == 0


async def test_calls_are_added_up_by_day(world: World) -> None:
    """Two processes count into the same rows; what could not be written stays counted."""
    one, other = Tally({("", "read"): 3, (HARBOUR, "write"): 1}), Tally({("", "read"): 7_000})
    for tally in (one, other):
        await write_down(world.sessions, tally, now=world.clock.now())
        assert not tally
    other["", "read"] += 3_000
    await write_down(world.sessions, other, now=world.clock.now())
    async with world.sessions.reading() as session:
        assert await calls_since(session, world.clock.now().date()) == {
            ("", "read"): 10_003,
            (HARBOUR, "write"): 1,
        }
        told = await health.stripe_reads(session, world.clock.now())
    assert told.level is Level.WARN
    assert told.words.startswith(
        "10,003 of 10,000 reads a month that Stripe allots to the platform’s account"
    )


async def test_stripes_own_words_stop_and_resume_a_page(road: Road) -> None:
    """By the SDK: the buyer reads of the shop, not of a key; events stop and resume the page; calls are counted."""
    road.standin.open_account(HARBOUR)
    kind = await road.world.sell("play", page="harbour", stripe_account=HARBOUR)
    road.standin.withdraw_account(HARBOUR)
    await road.world.put(road.buyer.user_id, kind, 1)
    answer = await road.buyer.post(
        "/checkout", form={"fingerprint": await road.world.seen(road.buyer.user_id)}
    )
    assert answer.status_code == 303
    assert "This shop can’t take payments at the moment" in await page_of(
        await road.buyer.get(answer.location)
    )
    assert await is_stopped(road)
    road.standin.restore_account(HARBOUR)
    body = json.dumps(road.standin.events("account.application.authorized", HARBOUR)[-1]).encode()
    assert (await (await road.send(body)).get_json())["result"] == "applied"
    assert not await is_stopped(road)
    road.standin.restrict_account(HARBOUR, charges_enabled=False)
    road.standin.restrict_account(HARBOUR, charges_enabled=True)
    body = json.dumps(road.standin.events("account.updated", HARBOUR)[-1]).encode()
    assert (await (await road.send(body)).get_json())["result"] == "unchanged", (
        "it is as Stripe has it by now"
    )
    payments = cast("StripePayments", road.app.services.payments)
    assert payments.tally["", "read"] == 2, "an account is asked about by its own address"
    assert payments.tally[HARBOUR, "write"] >= 1


async def is_stopped(road: Road) -> bool:
    """Whether the page of HARBOUR sells nothing."""
    async with road.world.sessions() as session:
        page = await road.world.calendar.get_page_by_slug(session, "harbour")
    assert page is not None
    return page.payments_stopped


async def test_events_of_an_account_that_is_closed_to_us(road: Road) -> None:
    """They are kept and done with: nobody can ask there. One of no account at all is no event (spec: L3, L9)."""
    _, session_id = await road.to_stripe()
    await road.standin.pay(session_id)
    event = json.loads(road.event()) | {"id": "evt_closed", "type": "payout.paid", "account": "acct_stranger"}
    event["data"] = {"object": {"id": "po_1", "object": "payout"}}
    answer = await road.send(json.dumps(event).encode())
    assert (answer.status_code, (await answer.get_json())["result"]) == (200, "no_access")
    event |= {"id": "evt_path", "account": "../../v1/customers"}
    assert (await road.send(json.dumps(event).encode())).status_code == 400
