"""What people, banks and Stripe itself do to money past the shop, in Stripe's dashboard or theirs; used by havoc.py."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from tests.faults.parts import Parts
from tests.faults.town import ANNEX

WIN, LOSE = "win-dispute", "lose-dispute"
TURNS = {
    "needs_response": (WIN, LOSE),
    "under_review": (WIN, LOSE),
    "warning_needs_response": (WIN, "escalate-dispute"),
    "warning_under_review": (WIN, "escalate-dispute"),
    "warning_closed": ("escalate-dispute",),
    "won": ("take-back-dispute",),
    "lost": ("appeal-dispute",),
    "appeal_needs_response": (WIN, LOSE),
    "appeal_under_review": (WIN, LOSE),
}
"""How a dispute of each state may go on, by the stand-in's switches."""
DECIDED = ("won", "lost", "warning_closed", "prevented")
TURNED = 0.3  # of all decisions, at the end


def done_at_stripe(parts: Parts, sessions: Sequence[str], chance: random.Random) -> str:
    """Do one of all this, to one of these sessions: its name."""
    deed = chance.choice(DEEDS)
    done = bool(sessions) and deed(parts, chance.choice(sessions), chance)
    return deed.__name__.strip("_").replace("_", " ") if done else "nothing"


def _copy_paid(parts: Parts, session: str, chance: random.Random) -> bool:
    """Somebody makes a second payment page for an order by hand, now and then of another amount, and it is paid.

    So money comes twice, too late, or wrong: what the program itself never lets happen must still go back (spec: H2).
    """
    made = parts.stripe("/_test/copy-session", session=session, add=chance.choice((0, 0, 0, 500)))
    return made is not None and parts.stripe("/_test/pay", session=made["id"]) is not None


def _paid_without_marks(parts: Parts, session: str, _chance: random.Random) -> bool:
    """Somebody makes a payment page by hand for what an order is about, without our metadata, and it is paid."""
    made = parts.stripe("/_test/copy-session", session=session, unmarked=True)
    return made is not None and parts.stripe("/_test/pay", session=made["id"]) is not None


def _disputed(parts: Parts, session: str, chance: random.Random) -> bool:
    """The buyer's bank takes the money back, or only asks, or the card network settles it before that."""
    how: dict[str, Any] = chance.choice(
        ({}, {}, {"inquiry": True}, {"prevented": "block"}, {"prevented": "resolution"})
    )
    return parts.stripe("/_test/dispute", session=session, **how) is not None


def _decided(parts: Parts, _session: str, chance: random.Random) -> bool:
    """A bank goes on with a dispute: decides it, appeals, or takes back what was decided."""
    open_to_more = [one for one in _disputes(parts) if one["status"] in TURNS]
    return bool(open_to_more) and _turn(parts, chance.choice(open_to_more), chance)


def _turn(parts: Parts, dispute: Any, chance: random.Random) -> bool:
    turn = chance.choice(TURNS[dispute["status"]])
    return parts.stripe(f"/_test/{turn}", dispute=dispute["id"]) is not None


def _refunded_by_hand(parts: Parts, session: str, chance: random.Random) -> bool:
    """The organizer refunds in Stripe's dashboard: all, or a part that belongs to no ticket yet."""
    part = {"amount": 300} if chance.random() < 0.5 else {}
    return parts.stripe("/_test/refund", session=session, **part) is not None


def _paid_out(parts: Parts, _session: str, chance: random.Random) -> bool:
    """Stripe sends what it has to the bank, or takes from there what is missing."""
    account = chance.choice(("", "", ANNEX))
    return bool(parts.stripe("/_test/pay-out", everything=True, account=account)["payouts"])


def _held_back(parts: Parts, _session: str, chance: random.Random) -> bool:
    """Stripe holds something back, or gives some of it back."""
    amount = chance.choice((700, 1300, -500))
    return parts.stripe("/_test/reserve", amount=amount, currency="eur") is not None


def _account_changed(parts: Parts, _session: str, chance: random.Random) -> bool:
    """An organizer's account may not charge for a while, or lets us in no more, or all is well again."""
    how = chance.choice(({"charges_enabled": False}, {"access": False}, {"access": True}, {"access": True}))
    return parts.stripe("/_test/account", account=ANNEX, **how) is not None


DEEDS = (
    _copy_paid, _copy_paid, _paid_without_marks, _paid_without_marks, _disputed, _disputed, _decided, _decided,
    _refunded_by_hand, _paid_out, _held_back, _account_changed,
)  # fmt: skip


def decide_disputes(parts: Parts, chance: random.Random) -> None:
    """The banks decide all that are open, half for us; some of it is appealed or taken back, and decided again."""
    for share in (TURNED, 0):
        for dispute in _disputes(parts):
            decided = dispute["status"] in DECIDED
            if dispute["status"] in TURNS and (not decided or chance.random() < share):
                _turn(parts, dispute, chance)
    for dispute in _disputes(parts):  # questions that became disputes just now
        if dispute["status"] not in DECIDED:
            parts.stripe(f"/_test/{chance.choice((WIN, LOSE))}", dispute=dispute["id"])


def _disputes(parts: Parts) -> Iterator[Any]:
    for book in parts.stripe("/_test/books")["accounts"].values():
        yield from book["disputes"]
