"""The reconciler with Stripe in memory: payment pages, holds, what is young, who runs when."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update

from cart.models import CheckoutAttempt, Payment
from cart.reconcile.differences import Kind
from cart.reconcile.run import reconcile, reconcile_due
from cart.records import Reconciliation
from shared.contracts.facts import SessionFacts
from shared.contracts.payment_errors import PaymentsRefused
from shared.contracts.states import OrderState
from tests.cart_world import World
from tests.functional.cart.reconciling import check, forget, kinds, later, paid, repaired, work


@pytest.fixture(autouse=True)
def one_clock(world: World) -> None:
    """Stripe's clock is ours."""
    world.payments.now = world.clock.now()


async def test_nothing_differs(world: World) -> None:
    """A shop in order: no difference, a row that says what was compared (spec: H1)."""
    kind = await world.sell(capacity=5)
    _, _, session_id = await world.bought(kind, 2)
    await world.settle(world.payments.pay(session_id))
    await work(world)
    await world.bought(kind)
    report = await check(world)
    assert (kinds(report), report.errors) == ([], [])
    assert (report.compared["sessions"], report.compared["payment intents"]) == (2, 1)
    async with world.sessions() as session:
        row = (await session.scalars(select(Reconciliation))).one()
    assert (row.differences, row.committed, row.error, row.actor) == ([], False, None, "operator")
    assert row.finished_at is not None
    assert row.compared["sessions"] == 2


async def test_paid_and_never_told(world: World) -> None:
    """The webhook never came, the buyer never came back: the order is paid by the reconciler (spec: C5, H1)."""
    kind = await world.sell(capacity=5, cost=1500)
    _, order_id, session_id = await world.bought(kind, 2)
    world.payments.pay(session_id)
    report = await repaired(world, Kind.SESSION_NOT_SETTLED)
    assert (await world.order(order_id)).state == OrderState.PAID
    assert await world.states(order_id) == ["confirmed", "confirmed"]
    difference = report.differences[0]
    assert difference.order_id == order_id
    assert "€30.00" in difference.stripe
    assert difference.done == "settled: the order is paid"


async def test_paid_by_a_session_whose_id_was_never_stored(world: World) -> None:
    """The incident of spec F1, with a crash in between: found by the metadata."""
    _, order_id, session_id = await world.bought(await world.sell())
    async with world.sessions.begin() as session:
        await session.execute(update(CheckoutAttempt).values(session_id=None, state="creating"))
    world.payments.pay(session_id)
    await repaired(world, Kind.SESSION_NOT_SETTLED)
    assert (await world.order(order_id)).state == OrderState.PAID


async def test_delayed_payment_whose_news_are_lost(world: World) -> None:
    """Complete and unpaid, then failed: the tickets are held with no clock, then they go back (medusa 16398)."""
    kind = await world.sell(capacity=1, delayed_methods=True)
    user_id, order_id, session_id = await world.bought(kind)
    world.payments.pay(session_id, paid=False)
    await repaired(world, Kind.PAYMENT_ON_ITS_WAY)
    assert (await world.order(order_id)).state == OrderState.PROCESSING
    world.payments.bounce(session_id)
    await repaired(world, Kind.DELAYED_FAILED)
    assert (await world.order(order_id)).state == OrderState.FAILED
    assert (await world.allocated(kind), await world.in_cart(user_id)) == (0, 1)


async def test_expired_and_never_told(world: World) -> None:
    """Expired at Stripe while its news were lost: the attempt is over, the buyer can go on with a new one."""
    user_id, order_id, session_id = await world.bought(await world.sell(hold_minutes=60))
    await world.payments.expire_session(session_id, stripe_account="")
    await repaired(world, Kind.SESSION_EXPIRED)
    assert await world.attempt_states(order_id) == ["expired"]
    assert (await world.hand_over(user_id, order_id)).session_id != session_id


async def test_payment_page_of_an_order_that_is_over(world: World) -> None:
    """It would take money for nothing: it is closed."""
    kind = await world.sell(capacity=1)
    _, order_id, session_id = await world.bought(kind)
    await world.release(order_id, to=OrderState.CANCELLED)
    world.payments.known[session_id] = replace(world.payments.known[session_id], status="open")
    await repaired(world, Kind.SESSION_OF_NO_USE)
    assert world.payments.known[session_id].status == "expired"


async def test_answer_that_was_lost(world: World) -> None:
    """The session stands at Stripe, its id never reached us: it is noted."""
    _, _, session_id = await world.bought(await world.sell(hold_minutes=60))
    async with world.sessions.begin() as session:
        await session.execute(update(CheckoutAttempt).values(session_id=None, url=None, state="creating"))
    await repaired(world, Kind.ATTEMPT_UNANSWERED)
    async with world.sessions() as session:
        attempt = (await session.scalars(select(CheckoutAttempt))).one()
    assert (attempt.state, attempt.session_id) == ("open", session_id)


async def test_request_that_never_arrived(world: World) -> None:
    """Nothing stands at Stripe: the stored request is sent again under its key."""
    user_id = await world.buyer()
    await world.put(user_id, await world.sell(hold_minutes=60), 1)
    (order_id,) = await world.start(user_id)
    await repaired(world, Kind.ATTEMPT_UNANSWERED)
    assert len(world.payments.known) == 1
    assert await world.attempt_states(order_id) == ["open"]


async def test_hold_that_nobody_ended(world: World) -> None:
    """The worker was dead: the hold is over, Stripe is asked, the stock is free (spec: B9)."""
    kind = await world.sell(capacity=2)
    _, order_id, _ = await world.bought(kind, 2)
    later(world, minutes=31)
    await repaired(world, Kind.ORDER_LAPSED)
    assert (await world.order(order_id)).state == OrderState.EXPIRED
    assert await world.allocated(kind) == 0


async def test_what_is_young_is_no_difference(world: World) -> None:
    """Paid a minute ago: the webhook is on its way. Nothing is told, nothing is done before its time."""
    kind = await world.sell(delayed_methods=True, hold_minutes=60)
    _, _, session_id = await world.bought(kind)
    await world.bought(kind)
    world.payments.pay(session_id)
    now = world.clock.now()
    young = await reconcile(world.sessions, world.till, now=now + timedelta(minutes=1), commit=True)
    assert kinds(young) == []
    old = await reconcile(
        world.sessions, world.till, now=now + timedelta(minutes=1), grace=timedelta(0), commit=True
    )
    assert kinds(old) == [Kind.SESSION_NOT_SETTLED]


async def test_account_that_does_not_answer_stops_no_other(world: World) -> None:
    """A page's own account has let us go: said, and the others are looked at (spec: H1)."""
    own = await world.sell(page="own", stripe_account="acct_gone")
    await world.bought(own)
    kind = await world.sell()
    _, order_id, session_id = await world.bought(kind)
    world.payments.pay(session_id)
    listed = world.payments.sessions

    def refusing(*, stripe_account: str, since: datetime) -> AsyncIterator[SessionFacts]:
        if stripe_account == "acct_gone":
            raise PaymentsRefused(details={"reason": "No such account."})
        return listed(stripe_account=stripe_account, since=since)

    world.payments.sessions = refusing  # type: ignore[method-assign]
    report = await check(world, commit=True)
    assert report.errors == ["acct_gone: No such account."]
    assert kinds(report) == [Kind.SESSION_NOT_SETTLED]
    assert (await world.order(order_id)).state == OrderState.PAID


async def test_repair_that_fails_stops_no_other(world: World) -> None:
    """It is told as not repaired, with the reason, and found again by the next run."""
    kind = await world.sell()
    _, stuck, silent = await world.bought(kind)
    _, other, _ = await world.bought(kind)
    world.payments.silent.add(silent)
    later(world, minutes=31)
    report = await check(world, commit=True)
    assert [(one.order_id, one.repaired) for one in report.differences] == [(stuck, False), (other, True)]
    assert "Stripe has no answer" in report.differences[0].done
    assert [one.order_id for one in (await check(world)).differences] == [stuck]


async def test_once_an_hour_over_all_workers(world: World) -> None:
    """Many workers ask at once, one runs; an hour later the next. It repairs, and leaves orphans alone (spec: H1)."""
    order_id, _, kind = await paid(world)
    await forget(world, order_id)
    _, other, session_id = await world.bought(kind)
    world.payments.pay(session_id)
    later(world, minutes=3)
    now = world.clock.now()
    turns = [reconcile_due(world.sessions, world.till, now=now) for _ in range(5)]
    assert sorted(await asyncio.gather(*turns)) == [0, 0, 0, 0, 2]
    assert (await world.order(other)).state == OrderState.PAID
    assert world.payments.made_refunds == []
    assert await reconcile_due(world.sessions, world.till, now=now + timedelta(minutes=59)) == 0
    assert await reconcile_due(world.sessions, world.till, now=now + timedelta(minutes=60)) == 1
    async with world.sessions() as session:
        rows = list(await session.scalars(select(Reconciliation)))
    assert [(row.actor, row.committed) for row in rows] == [("worker", True)] * 2


async def test_settling_races_the_reconciler(world: World) -> None:
    """Webhooks of twenty payments come while the reconciler finds the same: each is booked once (spec: C5)."""
    kind = await world.sell(capacity=20)
    made = [await world.bought(kind) for _ in range(20)]
    facts = [world.payments.pay(session_id) for _, _, session_id in made]
    later(world, minutes=3)
    await asyncio.gather(
        *(world.settle(one) for one in facts),
        *(reconcile(world.sessions, world.till, now=world.clock.now(), commit=True) for _ in range(2)),
        *(world.settle(one) for one in reversed(facts)),
    )
    assert await world.count(Payment) == await world.allocated(kind) == 20
    assert [await world.states(order_id) for _, order_id, _ in made] == [["confirmed"]] * 20
    assert (await world.refunds(), kinds(await check(world))) == ([], [])
