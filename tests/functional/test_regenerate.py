"""Broken payment pages of pending orders are made anew, good ones are kept (spec: F2); the script itself (spec: G2)."""

import asyncio
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

from cart.models import CheckoutAttempt, OrderLine, Payment
from cart.regenerate import Health, Outcome, Wanted, regenerate
from shared.clock import ManualClock
from shared.contracts.states import OrderState
from shared.database import Sessions
from shared.errors import NotFound
from shared.sandbox.stripe.running import RunningStandin
from shared.settings import ROOT, Settings
from tests.cart_world import World
from tests.shop import all_rows

SCRIPT = ROOT / "scripts" / "regenerate_orders.py"


@pytest.fixture
def world(sessions: Sessions, clock: ManualClock) -> World:
    """A till on this test's database."""
    return World(sessions, clock)


async def run(
    world: World, wanted: Wanted | None = None, *, commit: bool = False, force: bool = False
) -> list[Outcome]:
    """Go through the wanted orders."""
    going = regenerate(
        world.sessions,
        world.till,
        wanted=wanted or Wanted(),
        commit=commit,
        force=force,
        now=world.clock.now(),
    )
    return [outcome async for outcome in going]


async def mended(world: World, health: Health) -> str:
    """Dry run says what it would do and does nothing; commit does it, once; returns the new session's id."""
    rows, sessions = await all_rows(world.sessions), dict(world.payments.known)
    (dry,) = await run(world)
    assert (dry.health, dry.deed) == (health, "would make a new one")
    assert (await all_rows(world.sessions), world.payments.known) == (rows, sessions)
    (done,) = await run(world, commit=True)
    assert done.deed.startswith("made cs_test_")
    assert [(one.health, one.deed) for one in await run(world, commit=True)] == [(Health.GOOD, "")]
    open_ones = [one.id for one in world.payments.known.values() if one.status == "open"]
    assert open_ones == [done.deed.removeprefix("made ")]
    return open_ones[0]


async def test_good_page_is_kept(world: World) -> None:
    """Open, of this order, of its amount: nothing to do, with and without --commit (spec: F2)."""
    _, _, session_id = await world.bought(await world.sell())
    (outcome,) = await run(world, commit=True)
    assert (outcome.health, outcome.deed) == (Health.GOOD, "")
    assert list(world.payments.known) == [session_id]


async def test_page_with_another_amount(world: World) -> None:
    """The old one is closed, the new one asks for what the order costs (spec: F2)."""
    _, order_id, session_id = await world.bought(await world.sell(cost=1500), 2)
    world.payments.known[session_id] = replace(world.payments.known[session_id], amount_total=1)
    fresh = await mended(world, Health.WRONG_AMOUNT)
    assert world.payments.known[fresh].amount_total == 3000
    await world.settle(world.payments.pay(fresh))
    assert (await world.order(order_id)).state == OrderState.PAID


@pytest.mark.parametrize("missing", ["order_id", "attempt_id", "app", "installation_id"])
async def test_page_made_by_hand_without_metadata(world: World, missing: str) -> None:
    """The incident of spec F: a payment on it would never find its order. Closed and made anew, with all of it."""
    _, order_id, session_id = await world.bought(await world.sell())
    facts = world.payments.known[session_id]
    kept = {name: text for name, text in facts.metadata.items() if name != missing}
    world.payments.known[session_id] = replace(facts, metadata=kept)
    fresh = await mended(world, Health.WRONG_ORDER)
    assert world.payments.known[fresh].metadata["order_id"] == str(order_id)
    assert world.payments.known[session_id].status == "expired"


async def test_expired_page(world: World) -> None:
    """The hold still runs: the buyer gets a new page."""
    _, _, session_id = await world.bought(await world.sell())
    await world.payments.expire_session(session_id, stripe_account="")
    assert await mended(world, Health.EXPIRED) != session_id


async def test_page_whose_answer_was_lost(world: World) -> None:
    """The same request under the same key: the page that stands at Stripe already, not a second one."""
    _, _, session_id = await world.bought(await world.sell())
    async with world.sessions.begin() as session:
        await session.execute(update(CheckoutAttempt).values(session_id=None, url=None, state="creating"))
    assert await mended(world, Health.UNANSWERED) == session_id


async def test_page_that_stripe_does_not_know(world: World) -> None:
    """It may stand where these keys do not reach, and be paid there: only --force makes a second one."""
    _, _, session_id = await world.bought(await world.sell())
    del world.payments.known[session_id]
    (outcome,) = await run(world, commit=True)
    assert (outcome.health, outcome.deed) == (Health.UNKNOWN, "")


@pytest.mark.parametrize("force", [False, True])
async def test_paid_page_is_settled_never_replaced(world: World, force: bool) -> None:
    """Paid, and the webhook is late: the order gets its payment, nobody pays twice (spec: F2)."""
    _, order_id, session_id = await world.bought(await world.sell())
    world.payments.pay(session_id)
    (dry,) = await run(world, force=force)
    assert (dry.health, dry.deed) == (Health.COMPLETE, "would settle it")
    (done,) = await run(world, commit=True, force=force)
    assert done.deed == "settled: paid"
    assert (await world.order(order_id)).state == OrderState.PAID
    assert await run(world, commit=True, force=force) == []
    assert list(world.payments.known) == [session_id]


async def test_paid_in_the_moment_of_closing(world: World) -> None:
    """The buyer presses "pay" while the old page is being closed: settled, and no new page."""
    _, order_id, _ = await world.bought(await world.sell())
    expire = world.payments.expire_session

    async def pressed(session_id: str, *, stripe_account: str) -> object:
        world.payments.pay(session_id)
        return await expire(session_id, stripe_account=stripe_account)

    world.payments.expire_session = pressed  # type: ignore[method-assign, assignment]
    (outcome,) = await run(world, commit=True, force=True)
    assert outcome.deed == "settled: paid"
    assert (await world.order(order_id)).state == OrderState.PAID
    assert len(world.payments.known) == 1


async def test_paid_without_metadata_needs_a_person(world: World) -> None:
    """Nothing is guessed: it is told, and no new page is made."""
    _, _, session_id = await world.bought(await world.sell())
    world.payments.pay(session_id)
    world.payments.known[session_id] = replace(world.payments.known[session_id], metadata={})
    (outcome,) = await run(world, commit=True)
    assert outcome.failed
    assert "a person has to look at it" in outcome.deed
    assert await world.count(Payment) == 0
    assert len(world.payments.known) == 1


async def test_force_replaces_a_good_page(world: World) -> None:
    """One page at a time: the old one can no longer be paid."""
    _, order_id, session_id = await world.bought(await world.sell())
    (outcome,) = await run(world, commit=True, force=True)
    assert outcome.deed.startswith("made ")
    assert world.payments.known[session_id].status == "expired"
    assert await world.attempt_states(order_id) == ["expired", "open"]


async def test_what_is_left_alone(world: World) -> None:
    """Paid orders, orders whose hold is over, orders whose buyer has not gone to pay yet."""
    kind = await world.sell(capacity=9)
    _, _, paid = await world.bought(kind)
    await world.settle(world.payments.pay(paid))
    _, order_id, _ = await world.bought(kind)
    world.clock.advance(minutes=31)
    _, begun, closed = await world.bought(kind)
    await world.settle(await world.payments.expire_session(closed, stripe_account=""))
    outcomes = await run(world, commit=True, force=True)
    assert {(one.order.id, one.health, one.deed) for one in outcomes} == {
        (order_id, Health.LAPSED, ""),
        (begun, Health.NONE, ""),
    }


async def test_one_without_an_answer_stops_no_other(world: World) -> None:
    """It is told as failed; the others are mended."""
    kind = await world.sell()
    _, _, first = await world.bought(kind)
    _, _, second = await world.bought(kind)
    for session_id in (first, second):
        world.payments.known[session_id] = replace(world.payments.known[session_id], amount_total=1)
    world.payments.lost_answers = 1
    outcomes = await run(world, commit=True)
    assert [(one.health, one.failed) for one in outcomes] == [
        (Health.NOT_ASKED, True),
        (Health.WRONG_AMOUNT, False),
    ]


async def test_filters(world: World) -> None:
    """By page, entry, ticket type, order number and id; an unknown page is said."""
    jazz, opera = await world.sell("jazz", page="club"), await world.sell("opera", page="house")
    _, first, _ = await world.bought(jazz)
    _, second, _ = await world.bought(opera)
    async with world.sessions() as session:
        from sqlalchemy import select

        line = (await session.scalars(select(OrderLine).where(OrderLine.order_id == first))).one()
    number = (await world.order(first)).number
    assert line.entry_id is not None
    for wanted in (
        Wanted(pages=("club",)),
        Wanted(entries=(line.entry_id,)),
        Wanted(products=(jazz,)),
        Wanted(orders=(number.lower(),)),
        Wanted(orders=(str(first),)),
        Wanted(pages=("club", "house"), orders=(number,)),
    ):
        assert [one.order.id for one in await run(world, wanted)] == [first], wanted
    assert [one.order.id for one in await run(world, Wanted(pages=("club", "house")))] == [first, second]
    assert await run(world, Wanted(pages=("club",), products=(opera,))) == []
    with pytest.raises(NotFound, match="no page cellar"):
        await run(world, Wanted(pages=("cellar",)))
    with pytest.raises(NotFound, match="no order K7M2-9QXT"):
        await run(world, Wanted(orders=("K7M2-9QXT",)))


async def started(env: dict[str, str], *arguments: str) -> tuple[int, str]:
    """Run the script from a folder that is not the root; its exit status and all it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SCRIPT), *arguments,
        cwd="/", env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


@pytest.fixture
def env(settings: Settings, standin: RunningStandin, tmp_path: Path) -> dict[str, str]:
    """What an operator has in the environment."""
    return {
        "TILLGATE_ENV": "test",
        "TILLGATE_VAR": str(tmp_path),
        "NO_COLOR": "1",
        "DATABASE_URL": (settings.database_url or "").replace("+asyncpg", ""),
        "STRIPE_SECRET_KEY": standin.secret_key,
        "STRIPE_WEBHOOK_SECRET": standin.webhook_secret,
        "STRIPE_API_BASE": standin.url,
    }


async def test_the_script(world: World, env: dict[str, str]) -> None:
    """As an operator types it: dry run, commit, again; a page that the stand-in never made is replaced by force."""
    _, order_id, _ = await world.bought(await world.sell())
    number = (await world.order(order_id)).number
    status, said = await started(env, "--order", number, "--force")
    assert "Stripe does not know it with these keys" in said, said
    assert "would make a new one" in said
    assert await world.attempt_states(order_id) == ["open"]
    status, said = await started(env, "--order", number, "--force", "--commit")
    assert (status, "made cs_test_" in said) == (0, True), said
    made = await world.attempt_states(order_id)
    assert made == ["expired", "failed", "open"], "the stand-in does not know the buyer either: one more try"
    status, said = await started(env, "--commit")
    assert "open, belongs to the order, asks for its amount" in said
    assert await world.attempt_states(order_id) == made


async def test_script_while_stripe_does_not_answer(world: World, env: dict[str, str]) -> None:
    """Told as failed, and counted as that only; status 1, and no other program's chatter in between."""
    await world.bought(await world.sell())
    status, said = await started(env | {"STRIPE_API_BASE": "http://127.0.0.1:1"})
    assert status == 1
    assert re.search(r"changes=0 +failed=1 +orders=1", said), said
    assert "alembic" not in said


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(("--page", "cellar"), "no page cellar"), (("--entry", "concert"), "not a valid UUID")],
)
async def test_script_wrongly_used(env: dict[str, str], arguments: tuple[str, ...], reason: str) -> None:
    """Said in words, status 2."""
    status, said = await started(env, *arguments)
    assert status == 2
    assert reason in said
