"""What goes wrong, at random moments: parts are killed, calls to Stripe fail, webhooks get lost; used by soak.py."""

import random
import time
from collections.abc import Iterator
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from tests.faults import town
from tests.faults.parts import DATABASE, KILLABLE, Parts

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
    """Everything works again; how often each fault of a call has happened."""
    parts.wait_until_ready()
    parts.stripe("/_test/webhooks", chaos={})
    happened: dict[str, int] = parts.stripe("/_test/chaos", rates={})["happened"]
    return happened


def rage(parts: Parts, *, seconds: float, pause: float, chance: random.Random) -> int:
    """Kill something about every `pause` seconds, now and then two at a time, and start it again soon.

    Returns how many sessions were paid whose order was over.
    """
    until, victims, haunted = time.monotonic() + seconds, _victims(chance), 0
    while time.monotonic() < until:
        time.sleep(chance.uniform(0.5, 1.5) * pause)
        parts.look()
        haunted += _meddle(parts)
        killed = {next(victims) for _ in range(chance.choice((1, 1, 1, 2)))}
        for name in killed:
            parts.kill(name)
        time.sleep(chance.uniform(0, LONGEST_DOWN))
        for name in sorted(killed, key=lambda name: name != DATABASE):  # the others would wait for it
            parts.revive(name)
    return haunted


def _victims(chance: random.Random) -> Iterator[str]:
    """Every part in turn, each turn in another order."""
    while True:
        yield from chance.sample(KILLABLE, len(KILLABLE))


def _meddle(parts: Parts) -> int:
    """Some holds lapse, a few more places are offered, old sessions are paid; not while something needed is away."""
    with suppress(SQLAlchemyError, OSError):
        parts.in_database(lambda sessions: town.lapse(sessions, share=LAPSE_SHARE))
        parts.in_database(town.add_places)
        return _haunt(parts)
    return 0


def _haunt(parts: Parts) -> int:
    """Pay what can still be paid at Stripe although its order is over: a session whose answer was lost, say."""
    listed = parts.stripe("/v1/checkout/sessions?status=open&limit=100")
    orders = {one["metadata"]["order_id"]: one["id"] for one in listed["data"]} if listed else {}
    over = parts.in_database(lambda sessions: town.orders_over(sessions, list(orders)))
    paid = [parts.stripe("/_test/pay", session=orders[order_id]) for order_id in over]
    return sum(one is not None for one in paid)
