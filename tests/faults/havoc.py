"""What goes wrong, at random moments: parts are killed, calls to Stripe fail, webhooks get lost; used by soak.py."""

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from tests.faults import town
from tests.faults.parts import DATABASE, VICTIMS, Parts
from tests.faults.people import Diary

STRIPE_FAULTS = {
    "cut_before": 0.02,
    "cut_after": 0.03,
    "error": 0.01,
    "gateway": 0.02,
    "rate_limit": 0.01,
    "timeout_before": 0.003,
    "timeout_after": 0.003,
}
"""How likely each is for one call to Stripe (see the stand-in's failures.py)."""
WEBHOOK_FAULTS = {"drop": 0.2, "repeat": 0.2, "copies": 3, "delay": 0.3, "seconds": 10, "reorder": 0.3}
LONGEST_DOWN = 2.5
LAPSE_SHARE = 0.1


def begin(parts: Parts, *, seed: int) -> None:
    """From now on calls to Stripe fail and webhooks go astray."""
    parts.stripe("/_test/chaos", rates=STRIPE_FAULTS, seed=seed)
    parts.stripe("/_test/webhooks", chaos=WEBHOOK_FAULTS | {"seed": seed})


def end(parts: Parts) -> dict[str, int]:
    """Calls and webhooks get through again; how often each fault of a call has happened."""
    parts.stripe("/_test/webhooks", chaos={})
    happened: dict[str, int] = parts.stripe("/_test/chaos", rates={})["happened"]
    return happened


def rage(
    parts: Parts,
    diary: Diary,
    *,
    seconds: float,
    kills: int,
    paid: int,
    pause: float,
    chance: random.Random,
) -> Counter[str]:
    """Kill something about every `pause` seconds, now and then two at a time, and start it again soon.

    Goes on after `seconds` until so many different parts were killed and so many buyers saw that they have paid: on a
    busy machine little happens in a given time. Returns what happened to money at Stripe meanwhile, without our doing.
    """
    until, victims, deeds = time.monotonic() + seconds, _victims(chance), Counter[str]()
    while time.monotonic() < until or len(parts.kills) < kills or len(diary.saw_paid) < paid:
        time.sleep(chance.uniform(0.5, 1.5) * pause)
        parts.look()
        _meddle(parts)
        deeds[_at_stripe(parts, diary.sessions, chance)] += 1
        killed = {next(victims) for _ in range(chance.choice((1, 1, 1, 2)))}
        for name in killed:
            parts.kill(name)
        time.sleep(chance.uniform(0, LONGEST_DOWN))
        for name in sorted(killed, key=lambda name: name != DATABASE):  # the others would wait for it
            parts.revive(name)
    return deeds


def _victims(chance: random.Random) -> Iterator[str]:
    """Every part in turn, each turn in another order."""
    while True:
        yield from chance.sample(VICTIMS, len(VICTIMS))


def _meddle(parts: Parts) -> None:
    """Some holds lapse, and a few more places are offered; not while the database is away."""
    with suppress(SQLAlchemyError, OSError):
        parts.in_database(lambda sessions: town.lapse(sessions, share=LAPSE_SHARE))
        parts.in_database(town.add_places)


def _at_stripe(parts: Parts, sessions: Sequence[str], chance: random.Random) -> str:
    """What people do at Stripe past us: its name."""
    deed = chance.choice((_copy_paid, _copy_paid, _disputed, _refunded_by_hand, _paid_out))
    done = bool(sessions) and deed(parts, chance.choice(sessions), chance)
    return deed.__name__.strip("_").replace("_", " ") if done else "nothing"


def _copy_paid(parts: Parts, session: str, chance: random.Random) -> bool:
    """Somebody makes a second payment page for an order by hand, now and then of another amount, and it is paid.

    So money comes twice, too late, or wrong: what the program itself never lets happen must still go back (spec: H2).
    """
    made = parts.stripe("/_test/copy-session", session=session, add=chance.choice((0, 0, 0, 500)))
    return made is not None and parts.stripe("/_test/pay", session=made["id"]) is not None


def _disputed(parts: Parts, session: str, chance: random.Random) -> bool:
    """The buyer's bank takes the money back, or only asks."""
    inquiry = chance.random() < 0.3
    return parts.stripe("/_test/dispute", session=session, inquiry=inquiry) is not None


def _refunded_by_hand(parts: Parts, session: str, chance: random.Random) -> bool:
    """The organizer refunds in Stripe's dashboard: all, or a part that belongs to no ticket yet."""
    part = {"amount": 300} if chance.random() < 0.5 else {}
    return parts.stripe("/_test/refund", session=session, **part) is not None


def _paid_out(parts: Parts, _session: str, _chance: random.Random) -> bool:
    """Stripe sends what it has to the bank."""
    return bool(parts.stripe("/_test/pay-out", everything=True)["payouts"])


def decide_disputes(parts: Parts, chance: random.Random) -> None:
    """The banks decide all that are open: half for us."""
    for dispute in parts.stripe("/_test/books")["accounts"][""]["disputes"]:
        parts.stripe(chance.choice(("/_test/win-dispute", "/_test/lose-dispute")), dispute=dispute["id"])
