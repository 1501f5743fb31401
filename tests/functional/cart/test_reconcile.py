"""The reconciler on the till's own tables with Stripe in memory: what it finds, what it repairs, what it leaves alone."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, text, update

from cart import refunds
from cart.models import CheckoutAttempt, Order, Payment
from cart.reconcile.differences import Kind
from cart.reconcile.run import Report, reconcile, reconcile_hourly
from cart.records import Reconciliation
from shared.contracts.states import OrderState
from tests.cart_world import World
from tests.shop import all_rows


@pytest.fixture(autouse=True)
def one_clock(world: World) -> None:
    """Stripe's clock is ours."""
    world.payments.now = world.clock.now()


async def check(world: World, *, commit: bool = False, refund_orphans: bool = False) -> Report:
    """A run, some minutes later: nothing is young any more."""
    world.clock.advance(minutes=3)
    return await reconcile(
        world.sessions, world.till, now=world.clock.now(), commit=commit, refund_orphans=refund_orphans
    )


def kinds(report: Report) -> list[Kind]:
    """What differed."""
    return [difference.kind for difference in report.differences]


async def repaired(world: World, *expected: Kind) -> Report:
    """Dry run and commit find exactly this; the dry run writes nothing but its own row, a last run finds nothing."""
    before = await all_rows(world.sessions, besides=("reconciliations",))
    dry = await check(world)
    assert kinds(dry) == list(expected)
    assert await all_rows(world.sessions, besides=("reconciliations",)) == before, "a dry run writes nothing"
    done = await check(world, commit=True)
    assert kinds(done) == list(expected)
    assert all(one.repaired for one in done.differences), [one.done for one in done.differences]
    assert kinds(await check(world, commit=True)) == []
    return done


async def test_nothing_differs(world: World) -> None:
    """A shop in order: no difference, a row that says what was compared (spec: H1)."""
    kind = await world.sell(capacity=5)
    _, order_id, session_id = await world.bought(kind, 2)
    await world.settle(world.payments.pay(session_id))
    _, waiting, _ = await world.bought(kind)
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


async def test_delayed_payment_that_failed_after_the_usual_time(world: World) -> None:
    """Its session is older than what is listed: it is asked about all the same."""
    kind = await world.sell(capacity=1, delayed_methods=True)
    _, order_id, session_id = await world.bought(kind)
    await world.settle(world.payments.pay(session_id, paid=False))
    world.clock.advance(days=10)
    assert kinds(await check(world)) == []
    world.payments.bounce(session_id)
    await repaired(world, Kind.DELAYED_FAILED)
    assert (await world.order(order_id)).state == OrderState.FAILED


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


async def test_payment_page_with_another_amount(world: World) -> None:
    """Made by hand, or before a change: nobody pays it."""
    _, _, session_id = await world.bought(await world.sell(hold_minutes=60))
    world.payments.known[session_id] = replace(world.payments.known[session_id], amount_total=1)
    await repaired(world, Kind.SESSION_AMOUNT)
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
    world.clock.advance(minutes=31)
    await repaired(world, Kind.ORDER_LAPSED)
    assert (await world.order(order_id)).state == OrderState.EXPIRED
    assert await world.allocated(kind) == 0
