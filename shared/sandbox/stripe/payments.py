"""Payment intents and charges: how they move, and their part of the API."""

import secrets

from shared.sandbox.stripe import balance, objects
from shared.sandbox.stripe.catalog import merged_metadata
from shared.sandbox.stripe.core import Call, Route
from shared.sandbox.stripe.errors import StripeError
from shared.sandbox.stripe.lists import page_of, where
from shared.sandbox.stripe.params import PAGING, Fields, Json, Kind
from shared.sandbox.stripe.store import new_id
from shared.sandbox.stripe.testcards import INSTRUCTIONS, TestNumber, known_number

INTENT_NULLS = objects.nulls(
    "application",
    "automatic_payment_methods",
    "canceled_at",
    "cancellation_reason",
    "customer_account",
    "last_payment_error",
    "latest_charge",
    "next_action",
    "payment_method",
    "payment_method_configuration_details",
    "processing",
    "review",
    "source",
    "transfer_data",
)

CHARGE_NULLS = objects.nulls(
    "application",
    "application_fee",
    "application_fee_amount",
    "balance_transaction",
    "failure_balance_transaction",
    "failure_code",
    "failure_message",
    "outcome",
    "receipt_number",
    "receipt_url",
    "review",
    "source",
    "source_transfer",
    "transfer_data",
)


def make_intent(call: Call, session: Json) -> Json:
    """The payment intent of a session, made when the buyer first pays."""
    wishes = call.book.hidden[session["id"]]["intent"]
    intent_id = new_id("pi")
    intent = {
        **INTENT_NULLS,
        "id": intent_id,
        "object": "payment_intent",
        "amount": session["amount_total"],
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application_fee_amount": wishes.get("application_fee_amount"),
        "capture_method": wishes.get("capture_method", "automatic_async"),
        "client_secret": f"{intent_id}_secret_{secrets.token_hex(12)}",
        "confirmation_method": "automatic",
        "created": call.now,
        "currency": session["currency"],
        "customer": session["customer"],
        "description": wishes.get("description"),
        "excluded_payment_method_types": session["excluded_payment_method_types"],
        "livemode": False,
        "metadata": dict(wishes.get("metadata", {})),
        "on_behalf_of": wishes.get("on_behalf_of"),
        "payment_method_options": {},
        "payment_method_types": session["payment_method_types"],
        "receipt_email": wishes.get("receipt_email"),
        "setup_future_usage": wishes.get("setup_future_usage"),
        "shipping": wishes.get("shipping"),
        "statement_descriptor": wishes.get("statement_descriptor"),
        "statement_descriptor_suffix": wishes.get("statement_descriptor_suffix"),
        "status": "requires_payment_method",
        "transfer_group": wishes.get("transfer_group"),
    }
    call.book.put(intent)
    call.emit("payment_intent.created", intent)
    return intent


def make_charge(call: Call, intent: Json, method: Json) -> Json:
    """A charge on its way; `succeed` or `fail` decides it."""
    charge = {
        **CHARGE_NULLS,
        "id": new_id("ch" if method["type"] == "card" else "py"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": "TILLGATE STAND-IN",
        "captured": False,
        "created": call.now,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "fraud_details": {},
        "livemode": False,
        "metadata": dict(intent["metadata"]),
        "on_behalf_of": intent["on_behalf_of"],
        "paid": False,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {
            "type": method["type"],
            method["type"]: _method_details(method, intent["amount"]),
        },
        "radar_options": {},
        "receipt_email": intent["receipt_email"],
        "refunded": False,
        "shipping": intent["shipping"],
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": "pending",
        "transfer_group": intent["transfer_group"],
    }
    intent.update(latest_charge=charge["id"], payment_method=method["id"])
    return call.book.put(charge)


def _method_details(method: Json, amount: int) -> Json:
    known = method[method["type"]]
    if method["type"] != "card":
        kept = ("bank_code", "branch_code", "country", "fingerprint", "last4", "sort_code", "tax_id")
        mandate = {} if method["type"] in INSTRUCTIONS else {"mandate": None}
        return {**mandate, **{name: known[name] for name in kept if name in known}}
    shown = ("brand", "checks", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4",
            "regulated_status", "wallet")  # fmt: skip
    return {
        **{name: known[name] for name in shown},
        "amount_authorized": amount,
        "authorization_code": secrets.token_hex(3).upper(),
        "extended_authorization": {"status": "disabled"},
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": known["brand"],
        "network_token": {"used": False},
        "network_transaction_id": secrets.token_hex(8),
        "overcapture": {"maximum_amount_capturable": amount, "status": "unavailable"},
        "three_d_secure": None,
    }


def succeed(call: Call, intent: Json, charge: Json) -> None:
    """The money has come: charge, balance and intent say so."""
    if call.standin.book_late and charge["balance_transaction"] is None:
        call.book.hidden[charge["id"]] = {"booking": {"at": call.now + call.standin.delayed_after}}
    else:
        book(call, charge)
    charge.update(
        amount_captured=charge["amount"],
        captured=True,
        paid=True,
        status="succeeded",
        outcome=_outcome("authorized", "Payment complete.", None),
    )
    intent.update(
        status="succeeded", amount_received=intent["amount"], processing=None, last_payment_error=None
    )
    call.emit("charge.succeeded", charge)
    call.emit("payment_intent.succeeded", intent)


def book(call: Call, charge: Json) -> None:
    """Book a payment into the balance, unless it is there already."""
    if charge["balance_transaction"] is None:
        at_once = method_number(call, charge).available_at_once
        charge["balance_transaction"] = balance.take_in(call, charge, at_once=at_once)["id"]


def tick(call: Call) -> None:
    """Payments that were to be booked later are booked."""
    for charge_id, _ in call.book.due("booking", call.now):
        del call.book.hidden[charge_id]
        charge = call.book.get("charge", charge_id)
        book(call, charge)
        call.emit("charge.updated", charge, {"balance_transaction": None})


def fail(call: Call, intent: Json, charge: Json, why: TestNumber) -> None:
    """The bank said no: the intent waits for another payment method."""
    if charge["balance_transaction"] is not None:
        charge["failure_balance_transaction"] = balance.bounce(call, charge)["id"]
    charge.update(
        failure_code=why.code,
        failure_message=why.message,
        status="failed",
        outcome=_outcome("issuer_declined", why.message, why.decline_code),
    )
    method = call.book.get("payment_method", charge["payment_method"])
    error: Json = {"charge": charge["id"], "code": why.code, "message": why.message, "payment_method": method,
                   "type": "card_error" if method["type"] == "card" else "invalid_request_error"}  # fmt: skip
    if why.decline_code:
        error["decline_code"] = why.decline_code
    intent.update(
        status="requires_payment_method", payment_method=None, processing=None, last_payment_error=error
    )
    call.emit("charge.failed", charge)
    call.emit("payment_intent.payment_failed", intent)


def method_number(call: Call, charge: Json) -> TestNumber:
    """The test number that a charge was paid with, and so what happens to it later."""
    kept = call.book.hidden[charge["payment_method"]]
    return known_number(charge["payment_method_details"]["type"], kept["number"])


def charge_of_intent(call: Call, intent_id: str) -> Json:
    """The charge that paid a payment intent. Raises StripeError 400 where there is none."""
    intent = call.book.get("payment_intent", intent_id, "payment_intent")
    if intent["latest_charge"] is None:
        raise StripeError(f"The PaymentIntent {intent['id']} does not have a successful charge to refund.")
    return call.book.get("charge", intent["latest_charge"], "payment_intent")


def _outcome(kind: str, words: str, reason: str | None) -> Json:
    good = kind == "authorized"
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None if good else "05",
        "network_status": "approved_by_network" if good else "declined_by_network",
        "reason": reason,
        "risk_level": "normal",
        "risk_score": 7,
        "seller_message": words,
        "type": kind,
    }


def show_intent(call: Call, object_id: str) -> Json:
    """GET /v1/payment_intents/{id}"""
    return call.book.get("payment_intent", object_id)


def change_intent(call: Call, object_id: str) -> Json:
    """POST /v1/payment_intents/{id}: metadata and description; amounts belong to the session."""
    intent = call.book.get("payment_intent", object_id)
    intent["metadata"] = merged_metadata(intent, call.params)
    intent["description"] = call.params.get("description", intent["description"])
    return intent


def cancel_intent(call: Call, object_id: str) -> Json:
    """POST /v1/payment_intents/{id}/cancel; StripeError 400: every intent here belongs to a session."""
    call.book.get("payment_intent", object_id)
    raise StripeError(
        "You cannot cancel a PaymentIntent of a Checkout Session. Expire the Checkout Session instead.",
        code="payment_intent_unexpected_state",
    )


def list_intents(call: Call) -> Json:
    """GET /v1/payment_intents"""
    rows = where(call.book.all("payment_intent"), customer=call.params.get("customer"))
    return page_of(call, rows, "/v1/payment_intents")


def show_charge(call: Call, object_id: str) -> Json:
    """GET /v1/charges/{id}"""
    return call.book.get("charge", object_id)


def change_charge(call: Call, object_id: str) -> Json:
    """POST /v1/charges/{id}: metadata and description."""
    charge = call.book.get("charge", object_id)
    charge["metadata"] = merged_metadata(charge, call.params)
    charge["description"] = call.params.get("description", charge["description"])
    call.emit("charge.updated", charge)
    return charge


def list_charges(call: Call) -> Json:
    """GET /v1/charges"""
    asked = call.params
    rows = where(
        call.book.all("charge"), customer=asked.get("customer"), payment_intent=asked.get("payment_intent")
    )
    return page_of(call, rows, "/v1/charges")


CHANGE: Fields = {"description": Kind.CLEARABLE, "metadata": Kind.MAP}
BY_CUSTOMER: Fields = {**PAGING, "customer": Kind.TEXT}

ROUTES = (
    Route("GET", "/v1/payment_intents", list_intents, BY_CUSTOMER),
    Route("GET", "/v1/payment_intents/<object_id>", show_intent),
    Route("POST", "/v1/payment_intents/<object_id>", change_intent, CHANGE),
    Route(
        "POST", "/v1/payment_intents/<object_id>/cancel", cancel_intent, {"cancellation_reason": Kind.TEXT}
    ),
    Route("GET", "/v1/charges", list_charges, {**BY_CUSTOMER, "payment_intent": Kind.TEXT}),
    Route("GET", "/v1/charges/<object_id>", show_charge),
    Route("POST", "/v1/charges/<object_id>", change_charge, CHANGE),
)
