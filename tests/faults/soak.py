"""`make soak MINUTES=30`: people buy while everything fails; then all comes back, and the books must balance.

One run has one seed: the same seed makes the same choices, though not at the same moments.
"""

import asyncio
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil
from pathlib import Path
from typing import Any

import click
from sqlalchemy import text

from shared.database import Sessions
from tests.bench.house import add_buyers, cookies
from tests.faults import deeds, havoc, proofs, town
from tests.faults.crowd import crowd
from tests.faults.organizer import decide_the_rest
from tests.faults.parts import Parts
from tests.faults.people import Diary

LATER = timedelta(minutes=10)
QUIET_SECONDS, WORKER_ROUND = 300, 5
UNFINISHED = {
    "orders": "SELECT count(*) FROM orders WHERE state IN ('pending', 'processing')",
    "attempts": "SELECT count(*) FROM checkout_attempts WHERE state IN ('creating', 'open')",
    "refunds": "SELECT count(*) FROM refunds WHERE state IN ('due', 'sent')",
    "webhooks": "SELECT count(*) FROM webhook_events WHERE processed_at IS NULL",
    "movements of refunds": "SELECT count(*) FROM refunds r WHERE r.state = 'succeeded' AND NOT EXISTS"
    " (SELECT FROM balance_transactions b WHERE b.source = r.stripe_refund_id AND b.posted_at IS NOT NULL)",
    "mails": "SELECT count(*) FROM outgoing_mail WHERE state = 'due'",
}


def words(counts: Mapping[str, int]) -> str:
    """Counts as one line."""
    return ", ".join(f"{name} {number}" for name, number in sorted(counts.items())) or "none"


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, how many, how wild."""

    seed: int
    seconds: float
    people: int = 200
    pace: float = 20
    """Seconds between two visits of one person, about."""
    pause: float = 8
    """Seconds between two kills, about."""
    kills: int = 0
    """Different parts that are killed, at least, and if it takes longer."""
    paid: int = 0
    """Orders that their buyers see paid, likewise."""


@dataclass(slots=True)
class Outcome:
    """What happened, and what does not hold."""

    plan: Plan
    diary: Diary = field(default_factory=Diary)
    kills: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    deeds: Counter[str] = field(default_factory=Counter)
    """What people did to money at Stripe, past the shop."""
    webhooks: Counter[str] = field(default_factory=Counter)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    found: Counter[str] = field(default_factory=Counter)
    """Differences by kind, as the reconciler found and repaired them in its one run."""
    complaints: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The figures, one a line."""
        diary = self.diary
        return [
            f"seed {self.plan.seed}, {self.plan.seconds / 60:.1f} minutes, {self.plan.people} people",
            f"visits: {words(diary.visits)}",
            f"purchases tried {diary.tried}, refused in words {diary.told}, gave up {diary.gave_up}",
            f"orders: {words(self.counts['orders'])}",
            f"payments: {words(self.counts['payments'])}",
            f"refunds: {words(self.counts['refunds'])}",
            f"given back or refunded by buyer or organizer {diary.refunds}",
            f"events cancelled {diary.cancelled}, moved {diary.moved}, payments without marks decided {diary.decided}",
            f"at Stripe past the shop: {words(self.deeds)}",
            f"killed (for a while: stopped only): {words(self.kills)}",
            f"calls to Stripe that failed: {words(self.faults)}",
            f"webhooks: {words(self.webhooks)}",
            f"buyers saw no answer or an error: {words(diary.answers)}",
            f"found by the reconciler: {words(self.found)}",
            f"lost: {len(self.complaints) or 'nothing'}",
        ]


def run(plan: Plan, folder: Path) -> Outcome:
    """One run on parts of its own under `folder`, which keeps their logs."""
    outcome, parts = Outcome(plan), Parts(folder)
    try:
        parts.start_database()
        matinees = ceil(2 * plan.seconds / plan.pace)
        place = parts.in_database(lambda sessions: town.found(sessions, matinees=matinees))
        (owner,) = cookies(parts.settings, [place.owner])
        buyers = asyncio.run(add_buyers(parts.settings, plan.people))
        parts.start()
        chance = random.Random(plan.seed)
        with crowd(parts.ports, place, owner, buyers, seed=plan.seed, pace=plan.pace) as outcome.diary:
            havoc.begin(parts, seed=plan.seed)
            outcome.deeds = havoc.rage(
                parts,
                outcome.diary,
                seconds=plan.seconds,
                kills=plan.kills,
                paid=plan.paid,
                pause=plan.pause,
                chance=chance,
            )
            outcome.faults.update(havoc.end(parts))
        parts.wait_until_ready()  # not before everybody has left: a busy machine could take minutes
        deeds.decide_disputes(parts, chance)
        _recover(parts, outcome, lambda: decide_the_rest(parts.ports, owner, outcome.diary, chance))
        _prove(parts, outcome)
    finally:
        parts.stop()
    return outcome


def _recover(parts: Parts, outcome: Outcome, operate: Callable[[], None]) -> None:
    """Money on its way arrives, what had to wait has waited, the reconciler runs once.

    Then the operator decides what is foreign (`operate`), and the worker does what is due.
    """
    for book in parts.stripe("/_test/books")["accounts"].values():
        for session in book["sessions"]:
            if session["status"] == "complete" and session["payment_status"] == "unpaid":
                parts.stripe("/_test/finish-delayed", session=session["id"])
    _pass_time(parts)
    for found in _reconcile(parts, "--commit"):
        outcome.found[found["kind"]] += 1
    operate()
    _settle_down(parts, outcome)
    operate()  # an order that ended only now may be what a payment fits
    _settle_down(parts, outcome)  # what was sent back by that is to reach the books
    for left in _reconcile(parts):
        outcome.complaints.append(f"The reconciler's second look: {left['words']}: {left['about']}")


def _settle_down(parts: Parts, outcome: Outcome) -> None:
    """The worker does what is due, until nothing is."""
    give_up = time.monotonic() + QUIET_SECONDS
    while waiting := {name: number for name, number in parts.in_database(_unfinished).items() if number}:
        if time.monotonic() > give_up:
            outcome.complaints.append(f"Not finished after {QUIET_SECONDS} s: {words(waiting)}.")
            break
        time.sleep(WORKER_ROUND)
        _pass_time(parts)


def _pass_time(parts: Parts) -> None:
    parts.in_database(lambda sessions: town.pass_time(sessions, LATER))


async def _unfinished(sessions: Sessions) -> dict[str, int]:
    async with sessions() as session:
        return {name: await session.scalar(text(query)) or 0 for name, query in UNFINISHED.items()}


def _reconcile(parts: Parts, *options: str) -> list[dict[str, Any]]:
    """What differed, old or young. Raises where the command itself fails."""
    done = parts.command("reconcile", "--json", "--grace", "0", *options)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{done.stdout}\n{done.stderr}")
    differences: list[dict[str, Any]] = json.loads(done.stdout)["differences"]
    assert bool(differences) == (done.returncode == 1)
    return differences


def _prove(parts: Parts, outcome: Outcome) -> None:
    stripe = parts.stripe("/_test/books")
    books = parts.in_database(lambda sessions: proofs.read(sessions, stripe))
    outcome.kills = parts.kills
    outcome.counts = proofs.counts(books)
    tries = parts.stripe("/_test/webhook-tries")["tries"]
    outcome.webhooks.update(proofs.webhook_counts(tries))
    outcome.complaints += proofs.complaints(books, saw_paid=outcome.diary.saw_paid, tries=tries)
    outcome.complaints += [f"A part ended by itself: {last_words}" for last_words in parts.ended]


@click.command()
@click.option("--minutes", default=30.0, show_default=True, type=click.FloatRange(min=0.2))
@click.option("--people", default=200, show_default=True, type=click.IntRange(1, 2000))
@click.option("--pause", default=8.0, show_default=True, help="Seconds between two kills, about.")
@click.option("--seed", type=int, help="Of an earlier run; left out, another one each time.")
def main(minutes: float, people: int, pause: float, seed: int | None) -> None:
    """Run, print the figures, end with status 1 if anything was lost."""
    plan = Plan(seed or random.randrange(2**31), seconds=minutes * 60, people=people, pause=pause)
    outcome = run_in_new_folder(plan)
    click.echo("\n".join([*outcome.lines(), *outcome.complaints]))
    sys.exit(1 if outcome.complaints else 0)


def run_in_new_folder(plan: Plan) -> Outcome:
    """Run in a folder that is gone afterwards, unless something does not hold: then its logs and data stay."""
    folder = Path(tempfile.mkdtemp(prefix="tillgate-soak-"))
    folder.chmod(0o755)  # the server runs as another user where we are root
    click.echo(f"seed {plan.seed}; logs and data, if it fails: {folder}")
    outcome = run(plan, folder)
    if not outcome.complaints:
        shutil.rmtree(folder)
    return outcome


if __name__ == "__main__":
    main()
