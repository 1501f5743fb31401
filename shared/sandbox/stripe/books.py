"""The books of every account in one plain JSON, for proofs that hold the shop's own against them."""

from typing import Any

from shared.sandbox.stripe import balance
from shared.sandbox.stripe.core import Call, Standin
from shared.sandbox.stripe.lists import where
from shared.sandbox.stripe.params import Json

SESSION = ("id", "status", "payment_status", "payment_intent", "amount_total", "currency", "metadata")
INTENT = ("id", "status", "amount", "amount_received", "currency", "latest_charge", "metadata")
REFUND = ("id", "status", "amount", "currency", "charge", "payment_intent", "metadata")
DISPUTE = ("id", "status", "reason", "amount", "currency", "charge", "payment_intent")
PAYOUT = ("id", "status", "amount", "currency", "automatic")
MOVEMENT = ("id", "type", "balance_type", "reporting_category", "source", "amount", "fee", "net", "currency")


def read_out(standin: Standin) -> Json:
    """Per account: the balance per currency, and everything that moved it, oldest first, in minor units."""
    accounts = {name: _account(standin.call(name)) for name in sorted(standin.store.books)}
    return {"now": standin.store.clock.now(), "accounts": accounts}


def _account(call: Call) -> Json:
    return {
        "balance": _balance(call),
        "sessions": _rows(call, "checkout.session", SESSION),
        "payment_intents": [_intent(call, row) for row in _rows(call, "payment_intent", INTENT)],
        "refunds": _rows(call, "refund", REFUND),
        "disputes": [_dispute(call, row) for row in _rows(call, "dispute", DISPUTE)],
        "payouts": _rows(call, "payout", PAYOUT),
        "balance_transactions": _rows(call, "balance_transaction", MOVEMENT),
    }


def _balance(call: Call) -> dict[str, dict[str, int]]:
    sums = balance.sums(call)
    currencies = sorted({*sums["available"], *sums["pending"]})
    parts = {code: {name: part.get(code, 0) for name, part in sums.items()} for code in currencies}
    return {code: {**part, "total": sum(part.values())} for code, part in parts.items()}


def _rows(call: Call, kind: str, names: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{name: row[name] for name in names} for row in call.book.tables.get(kind, {}).values()]


def _intent(call: Call, intent: Json) -> Json:
    """With `amount_refunded` as its charge counts it: what failed is not in it."""
    charge = call.book.find("charge", intent["latest_charge"] or "")
    return {
        **intent,
        "amount_refunded": charge["amount_refunded"] if charge else 0,
        "disputed": charge["disputed"] if charge else False,
    }


def _dispute(call: Call, dispute: Json) -> Json:
    """With what it has taken so far, as it settled: `withdrawn` without fees, `net` (negative) with them."""
    rows = where(call.book.all("balance_transaction"), source=dispute["id"])
    withdrawn = -sum(row["amount"] for row in rows)
    return {**dispute, "withdrawn": withdrawn, "net": sum(row["net"] for row in rows)}
