"""Payments for which the buyer gets a slip or an account number, and then pays, or never does (Stripe: vouchers)."""

from shared.sandbox.stripe.core import Call
from shared.sandbox.stripe.params import Json
from shared.sandbox.stripe.store import new_id
from shared.sandbox.stripe.testcards import NO_END

LAPSES_AFTER = 3 * 86_400  # seconds until a slip that nobody has paid is worth nothing
NEVER = 2**40  # a moment that does not come: a bank transfer is waited for without end


def instruct(call: Call, session: Json, intent: Json, method: Json) -> None:
    """The buyer is told how to pay: nothing is on its way yet, and nothing of ours can be taken back any more."""
    ends = NEVER if method["type"] in NO_END else call.now + LAPSES_AFTER
    intent.update(
        status="requires_action", payment_method=method["id"], next_action=_next_action(method["type"], ends)
    )
    call.emit("payment_intent.requires_action", intent)
    call.book.hidden[session["id"]]["delayed"] = {"at": ends, "fails": True}


def _next_action(kind: str, ends: int) -> Json:
    number = new_id("")[1:13]
    details: Json = {
        "boleto": {"expires_at": ends, "number": number},
        "customer_balance": {"amount_remaining": None, "reference": number, "type": "eu_bank_transfer"},
        "konbini": {"expires_at": ends, "stores": {"familymart": {"payment_code": number}}},
        "multibanco": {"entity": "11249", "expires_at": ends, "reference": number},
        "oxxo": {"expires_after": ends, "number": number},
    }
    name = "display_bank_transfer_instructions" if kind in NO_END else f"{kind}_display_details"
    return {"type": name, name: details[kind]}
