"""The runbook cannot rot: each command in it is run as written, what points into it finds its section (spec: F4)."""

import asyncio
import os
import re
import shlex
import sys
from dataclasses import dataclass, replace

import pytest

from cart.foreign.noticing import LAPSED_FOR, LAPSED_FOR_AMOUNT
from cart.foreign.routes import ADDRESS
from cart.operator import health
from cart.till import Till
from cart.webhooks.news import HANDLERS
from shared.clock import ManualClock
from shared.database import Database
from shared.payments import StripePayments
from shared.sandbox.stripe.running import RunningStandin
from shared.settings import ROOT, Settings
from tests.cart_world import World

RUNBOOK = (ROOT / "docs/runbook.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", RUNBOOK, re.MULTILINE | re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]
OPTION = re.compile(r" --[\w-]+")
ENDLESS = ("worker", "serve", "demo")  # asked for their help only


def program(line: str) -> str:
    """A command without its options."""
    return line.split(" --")[0]


def needed() -> list[str]:
    """In their order; not those whose options another use of the same program has too: each process takes seconds."""
    options = {line: set(OPTION.findall(line)) for line in COMMANDS}
    chosen: list[str] = []
    for line in COMMANDS:
        rivals = [one for one in COMMANDS if program(one) == program(line)]
        covered = any(options[line] < options[one] for one in rivals)
        if not covered and all(
            program(line) != program(one) or options[line] != options[one] for one in chosen
        ):
            chosen.append(line)
    return chosen


@dataclass
class Seeded:
    """A shop with an order that is paid and one that waits, beside a stand-in that knows of both."""

    env: dict[str, str]
    waiting: str
    """The number of the order that waits for its payment."""

    async def run(self, command: str) -> tuple[int, str]:
        """Type it; exit status and all that it wrote."""
        words = shlex.split(command.replace("ORDER-NUMBER", self.waiting))
        assert words[0] == "python", "the runbook's commands begin with python"
        if words[1:2] == ["-m"] and words[3] in ENDLESS:
            words.append("--help")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *words[1:],
            cwd=ROOT,
            env=self.env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()


@pytest.fixture
async def seeded(
    settings: Settings, database: Database, clock: ManualClock, standin: RunningStandin
) -> Seeded:
    """Its payments are settled by nobody: no webhook came."""
    payments = StripePayments(
        replace(settings, stripe_secret_key=standin.secret_key, stripe_api_base=standin.url)
    )
    world = World(database.sessions, clock)
    world.till = Till(world.calendar, payments, "http://shop.test")
    kind = await world.sell(page="harbour-jazz", cost=1250)
    _, _, session_id = await world.bought(kind)
    await standin.pay(session_id)
    _, waiting, _ = await world.bought(kind)
    await payments.close()
    env = {
        "PATH": os.environ["PATH"],
        "TILLGATE_ENV": "test",
        "PUBLIC_URL": "http://shop.test",
        "DATABASE_URL": settings.database_url or "",
        "STRIPE_API_BASE": standin.url,
        "STRIPE_SECRET_KEY": standin.secret_key,
        "STRIPE_WEBHOOK_SECRET": "whsec_any",
    }
    return Seeded(env, (await world.order(waiting)).number)


@pytest.mark.timeout(240)  # several processes, on a machine that may be crowded
async def test_every_command_of_the_runbook(seeded: Seeded) -> None:
    """As written, in order, on a shop whose webhook was down: none is refused, and at the end the books balance."""
    assert len(needed()) >= 6
    for command in needed():
        status, said = await seeded.run(command)
        assert status in (0, 1), f"{command}\n{said}"
        assert "Traceback" not in said, f"{command}\n{said}"
    status, said = await seeded.run("python -m shared reconcile")
    assert (status, "The books balance." in said) == (0, True), said


def test_other_commands_are_not_hidden_in_the_text() -> None:
    """What looks like a command of ours stands in a block, where it is tried."""
    outside = re.sub(r"^```sh\n.*?^```", "", RUNBOOK, flags=re.MULTILINE | re.DOTALL)
    assert "python -m shared" not in outside


def test_sections_that_are_pointed_at() -> None:
    """The operator's page names headings of the runbook."""
    headings = set(re.findall(r"^## (.*)$", RUNBOOK, re.MULTILINE))
    named = {
        health.NO_WEBHOOKS,
        health.ROTATED,
        health.CLOCK,
        health.REFUND_FAILED,
        health.BOOKS,
        health.UNMATCHED,
        health.WITHOUT_MARKS,
    }
    assert named | {"Worker dead"} <= headings
    issue = {"Database restored from a backup", "Double charge reported", "Stripe down during an on-sale"}
    assert issue <= headings


def test_the_incident_of_a_session_without_marks() -> None:
    """Find, decide in the words of the page, verify, keep it from happening again (spec: F4)."""
    section = RUNBOOK.split(f"## {health.WITHOUT_MARKS}\n")[1].split("\n## ")[0]
    page = (ROOT / "templates/operator/foreign.html").read_text()
    for decision in ("It pays this order", "Send it back", "Not ours"):
        assert f"*{decision}*" in section
        assert f">{decision}</button>" in page
    assert ADDRESS in section
    assert f"{LAPSED_FOR.days} days" in section.replace("seven", "7")
    assert f"within {LAPSED_FOR_AMOUNT.days} days" in section.replace("two", "2")
    assert "After such an incident" in section


def test_the_readme_names_every_event() -> None:
    """Whoever sets up an endpoint copies them from there."""
    readme = (ROOT / "README.md").read_text()
    assert [name for name in HANDLERS if name not in readme.split()] == []


def test_the_runbooks_files_and_functions_exist() -> None:
    """The one sanctioned place, and what calls it (spec: F1, F4)."""
    for path, name in (("shared/payments.py", "create_checkout_session"), ("cart/checkout.py", "hand_over")):
        assert f"`{path}`" in RUNBOOK
        assert f"def {name}(" in (ROOT / path).read_text()
    assert (ROOT / "scripts/regenerate_orders.py").exists()
