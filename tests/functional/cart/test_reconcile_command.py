"""`python -m shared reconcile` as a process of its own, against the stand-in over HTTP (spec: H1)."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import pytest

from cart import checkout
from cart.till import Till
from shared.clock import ManualClock
from shared.contracts.states import OrderState
from shared.database import Sessions
from shared.payments import StripePayments
from shared.sandbox.stripe.running import RunningStandin
from shared.settings import ROOT, Settings
from tests.cart_world import World


@dataclass
class Answer:
    """How the command ended."""

    status: int
    out: str
    err: str


@dataclass
class Line:
    """A shop whose orders are paid at the stand-in, and the command beside it."""

    world: World
    till: Till
    standin: RunningStandin
    env: dict[str, str]

    async def order(self, kind: UUID) -> tuple[UUID, str]:
        """A new buyer on Stripe's page; ids of order and session."""
        world, now = self.world, self.world.clock.now()
        user_id = await world.buyer()
        await world.put(user_id, kind, 1)
        (order_id,) = await checkout.start(
            world.sessions, self.till, user_id=user_id, seen=await world.seen(user_id), page_id=None, now=now
        )
        handover = await checkout.hand_over(
            world.sessions, self.till, order_id=order_id, user_id=user_id, now=now
        )
        assert handover.session_id is not None
        return order_id, handover.session_id

    async def reconcile(self, *arguments: str) -> Answer:
        """Run the command to its end."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "shared", "reconcile", *arguments,
            cwd=ROOT, env=self.env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        assert process.returncode is not None
        return Answer(process.returncode, out.decode(), err.decode())


@pytest.fixture
async def line(
    settings: Settings, sessions: Sessions, clock: ManualClock, standin: RunningStandin, tmp_path: Path
) -> AsyncIterator[Line]:
    """The SDK over the wire on both sides: in this process and in the command's."""
    payments = StripePayments(
        replace(settings, stripe_secret_key=standin.secret_key, stripe_api_base=standin.url)
    )
    world = World(sessions, clock)
    env = {
        "TILLGATE_ENV": "test",
        "TILLGATE_VAR": str(tmp_path),
        "DATABASE_URL": (settings.database_url or "").replace("+asyncpg", ""),
        "STRIPE_SECRET_KEY": standin.secret_key,
        "STRIPE_WEBHOOK_SECRET": standin.webhook_secret,
        "STRIPE_API_BASE": standin.url,
    }
    yield Line(world, Till(world.calendar, payments, "http://shop.test"), standin, env)
    await payments.close()


async def test_dry_run_commit_and_nothing(line: Line) -> None:
    """Tells and changes nothing; repairs; then nothing differs. The exit status says which (spec: H1)."""
    order_id, session_id = await line.order(await line.world.sell(cost=1500))
    await line.standin.pay(session_id)
    dry = await line.reconcile("--grace", "0")
    assert dry.status == 1, dry.err
    assert "Paid at Stripe, not settled here (1)" in dry.out
    assert "would: settle it" in dry.out
    assert "1 difference; --commit would repair 1" in dry.out
    assert (await line.world.order(order_id)).state == OrderState.PENDING
    repaired = await line.reconcile("--grace", "0", "--commit", "--since", "2d")
    assert repaired.status == 1, repaired.err
    assert "done: settled: the order is paid" in repaired.out
    assert (await line.world.order(order_id)).state == OrderState.PAID
    again = await line.reconcile("--grace", "0", "--json")
    assert again.status == 0, again.err
    assert json.loads(again.out)["differences"] == []


async def test_json_alone_on_standard_output(line: Line) -> None:
    """Progress and log go to standard error: a program can read what is left (spec: H1)."""
    _, session_id = await line.order(await line.world.sell())
    await line.standin.pay(session_id)
    answer = await line.reconcile("--grace", "0", "--json", "--commit")
    told = json.loads(answer.out)
    assert (told["status"], answer.status) == (1, 1)
    assert [one["kind"] for one in told["differences"]] == ["session_not_settled"]
    assert told["differences"][0]["repaired"] is True
    assert "1 session\n" in answer.err


async def test_stripe_that_does_not_answer(line: Line) -> None:
    """Not asked is not balanced: status 2, with the reason in words."""
    line.env["STRIPE_API_BASE"] = "http://127.0.0.1:1"
    answer = await line.reconcile()
    assert answer.status == 2
    assert "the platform’s account: Stripe gave no answer." in answer.out


async def test_database_that_does_not_answer(line: Line) -> None:
    """Nor is this 1, "something differs": status 2, said in words."""
    line.env["DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/none"
    answer = await line.reconcile("--json")
    assert (answer.status, answer.out) == (2, "")
    assert "tillgate: The database does not answer" in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--since", "yesterday"), "neither like 30d"),
        (("--since", "2999-01-01"), "in the future"),
        (("--since", ""), "neither like 30d"),
        (("--since", "3000w"), "before 1970"),
        (("--grace", "-1"), "not in the range"),
        (("--everything",), "No such option"),
    ],
)
async def test_wrong_usage(line: Line, arguments: tuple[str, ...], reason: str) -> None:
    """Said in words, status 2, nothing asked."""
    answer = await line.reconcile(*arguments)
    assert answer.status == 2
    assert reason in answer.err


async def test_without_keys(line: Line) -> None:
    """Names what is missing."""
    del line.env["STRIPE_SECRET_KEY"], line.env["STRIPE_WEBHOOK_SECRET"]
    answer = await line.reconcile()
    assert (answer.status, answer.err.strip()) == (2, "tillgate: STRIPE_SECRET_KEY is not set.")
