"""Each proof of the soak test complains where its promise is broken: a proof that cannot fail proves nothing."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest

from shared.ids import new_id
from tests.faults.proofs import Books, complaints

ORDER, TICKET, PAYMENT = new_id(), new_id(), new_id()
OURS: dict[str, list[dict[str, Any]]] = {
    "orders": [{"id": ORDER, "state": "paid", "total": 2000, "currency": "EUR"}],
    "payments": [
        {
            "id": PAYMENT,
            "order_id": ORDER,
            "stripe_account": "",
            "payment_intent": "pi_1",
            "amount": 2000,
            "currency": "EUR",
        }
    ],
    "refunds": [],
    "attempts": [{"order_id": ORDER, "session_id": "cs_1", "state": "complete"}],
    "tickets": [
        {"id": TICKET, "state": "confirmed", "order_id": ORDER, "blocked": False, "unit_amount": 2000}
    ],
    "mails": [{"dedupe_key": f"order_paid:{ORDER}", "state": "sent"}],
    "events": [{"id": "evt_1", "processed_at": "then"}],
    "ledger": [{"stripe_account": "", "currency": "EUR", "balance": 1940}],
    "reserved": [{"stripe_account": "", "currency": "EUR", "balance": 300}],
    "foreign": [{"stripe_account": "", "payment_intent": "pi_2", "state": "dismissed"}],
    "above_limits": [],
}
STRIPE: dict[str, Any] = {
    "balance": {"eur": {"available": 0, "pending": 1940, "total": 1940}},
    "sessions": [{"id": "cs_1", "status": "complete", "metadata": {"order_id": str(ORDER)}}],
    "payment_intents": [
        {
            "id": "pi_1",
            "amount_received": 2000,
            "amount_refunded": 0,
            "currency": "eur",
            "metadata": {"order_id": str(ORDER)},
        },
        {"id": "pi_2", "amount_received": 700, "amount_refunded": 0, "currency": "eur", "metadata": {}},
    ],
    "balance_transactions": [
        {"balance_type": "payments", "net": 1940, "currency": "eur"},
        {"balance_type": "risk_reserved", "net": 300, "currency": "eur"},
    ],
    "refunds": [],
    "disputes": [],
}
TRIES = [{"event": "evt_1", "status": 200}]


@dataclass(frozen=True, slots=True)
class Case:
    """Both sides, to be changed."""

    ours: dict[str, list[dict[str, Any]]]
    stripe: dict[str, Any]


Change = Callable[[Case], object]


def unchanged(_case: Case) -> None:
    """As it should be."""


def complained(change: Change, *, pools_agree: bool = True, saw_paid: str = str(ORDER)) -> list[str]:
    """What is said of these books after a change."""
    case = Case(deepcopy(OURS), deepcopy(STRIPE))
    change(case)
    return complaints(Books(case.ours, pools_agree, {"": case.stripe}), saw_paid={saw_paid}, tries=TRIES)


def test_books_that_balance() -> None:
    """One order, paid, with its ticket, its mail and its money: nothing to complain about."""
    assert complained(unchanged) == []


CHANGES: dict[str, Change] = {
    "not known here": lambda case: case.ours["payments"].clear(),
    "not paid at Stripe": lambda case: case.stripe["payment_intents"].clear(),
    "another amount": lambda case: case.ours["payments"][0].update(amount=1999),
    "its order failed": lambda case: case.ours["orders"][0].update(state="failed"),
    "on no line of its order": lambda case: case.ours["tickets"][0].update(unit_amount=None),
    "Stripe keeps [2000], its tickets are worth 0": lambda case: case.ours["tickets"].clear(),
    "Stripe keeps [], its tickets are worth 2000": lambda case: case.stripe["payment_intents"][0].update(
        amount_refunded=2000
    ),
    "keeps [], its tickets are worth": lambda case: case.stripe["disputes"].append(
        {"payment_intent": "pi_1", "status": "lost", "amount": 2000, "withdrawn": 2000}
    ),
    "not ours": lambda case: case.stripe["refunds"].append({"id": "re_1", "amount": 5}),
    "still due": lambda case: case.ours["refunds"].append(
        {
            "id": new_id(),
            "payment_id": PAYMENT,
            "stripe_refund_id": None,
            "amount": 5,
            "state": "due",
            "unallocated": False,
        }
    ),
    "still processing": lambda case: case.ours["orders"][0].update(state="processing"),
    "is still open": lambda case: case.ours["attempts"][0].update(state="open"),
    "can still be paid": lambda case: case.stripe["sessions"][0].update(status="open"),
    "its mail is not owed": lambda case: case.ours["mails"].clear(),
    "is still failed": lambda case: case.ours["mails"][0].update(state="failed"),
    "answered 2xx": lambda case: case.ours["events"][0].update(processed_at=None),
    "Ledger EUR: 1941 here, 1940 at Stripe": lambda case: case.ours["ledger"][0].update(balance=1941),
    "Reserve EUR: 0 here, 300 at Stripe": lambda case: case.ours["reserved"].clear(),
    "fits an order and is not decided": lambda case: case.ours["foreign"][0].update(state="open"),
    "2 are the limit": lambda case: case.ours["above_limits"].append(
        {"user_id": new_id(), "type_id": new_id(), "number": 3, "max_per_user": 2}
    ),
}


@pytest.mark.parametrize("words", CHANGES)
def test_what_does_not_hold_is_said(words: str) -> None:
    """Each broken promise has its words."""
    assert any(words in one for one in complained(CHANGES[words]))


def test_pools_and_what_buyers_saw() -> None:
    """Both come from elsewhere than the books."""
    assert "counter" in complained(unchanged, pools_agree=False)[0]
    assert "was shown as paid" in complained(unchanged, saw_paid=str(new_id()))[0]
