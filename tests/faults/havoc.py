"""What goes wrong, at random moments: parts are killed, calls to Stripe fail, webhooks get lost; used by soak.py."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from tests.faults import town
from tests.faults.deeds import done_at_stripe
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
RATE_LIMIT = {"on": True, "per_endpoint": 4, "overall": 16}
"""A sixth of Stripe's own, since our people are fewer too."""
DEEDS = 3  # at Stripe, past the shop, at each kill
WEBHOOK_FAULTS = {"drop": 0.2, "repeat": 0.2, "copies": 3, "delay": 0.3, "seconds": 10, "reorder": 0.3}
LONGEST_DOWN = 2.5
LAPSE_SHARE = 0.1


def begin(parts: Parts, *, seed: int) -> None:
    """From now on calls to Stripe fail and webhooks go astray."""
    parts.stripe("/_test/chaos", rates=STRIPE_FAULTS, seed=seed)
    parts.stripe("/_test/rate-limit", **RATE_LIMIT)
    parts.stripe("/_test/webhooks", chaos=WEBHOOK_FAULTS | {"seed": seed})


def end(parts: Parts) -> dict[str, int]:
    """Calls and webhooks get through again, every account too; how often each fault of a call has happened."""
    parts.stripe("/_test/webhooks", chaos={})
    parts.stripe("/_test/account", account=town.ANNEX, access=True)
    happened: dict[str, int] = parts.stripe("/_test/chaos", rates={})["happened"]
    return happened | {"too many in a second": parts.stripe("/_test/rate-limit", on=False)["refused"]}


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
        for _ in range(DEEDS):
            deeds[done_at_stripe(parts, diary.sessions, chance)] += 1
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
