"""Refunds: at once, pending first, or coming back later; /v1/refunds."""

from shared.sandbox.stripe import balance, objects
from shared.sandbox.stripe.catalog import merged_metadata
from shared.sandbox.stripe.core import Call, Route
from shared.sandbox.stripe.errors import StripeError, invalid
from shared.sandbox.stripe.lines import check_step
from shared.sandbox.stripe.lists import page_of, where
from shared.sandbox.stripe.params import PAGING, Fields, Json, Kind
from shared.sandbox.stripe.payments import charge_of_intent, method_number

REFUND: Fields = {
    "amount": Kind.INT,
    "charge": Kind.TEXT,
    "metadata": Kind.MAP,
    "payment_intent": Kind.TEXT,
    "reason": ("duplicate", "fraudulent", "requested_by_customer"),
}


def create(call: Call) -> Json:
    """POST /v1/refunds; StripeError 400 for more than is left of the charge, or where a dispute took it."""
    charge = _charge_of(call)
    left = charge["amount"] - charge["amount_refunded"]
    disputes = where(call.book.all("dispute"), charge=charge["id"])
    if not all(dispute["is_charge_refundable"] for dispute in disputes):
        raise StripeError(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed"
        )
    amount = call.params.get("amount", left)
    if charge["status"] != "succeeded":
        raise StripeError(
            f"Charge {charge['id']} has not succeeded, so it can't be refunded.", code="charge_not_refundable"
        )
    if left == 0:
        raise StripeError(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    if amount < 1:
        raise invalid("Invalid positive integer", "amount", "parameter_invalid_integer")
    if amount > left:
        raise StripeError(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})",
            code="amount_too_large",
            param="amount",
        )
    check_step(amount, charge["currency"].upper(), "amount")
    return _book(call, charge, amount)


def _charge_of(call: Call) -> Json:
    params = call.params
    if "charge" in params:
        return call.book.get("charge", params["charge"], "charge")
    if "payment_intent" not in params:
        message = "One of the following params should be provided for this request: payment_intent or charge."
        raise invalid(message, None, "parameter_missing")
    return charge_of_intent(call, params["payment_intent"])


def _book(call: Call, charge: Json, amount: int) -> Json:
    params = call.params
    refund = objects.refund(
        charge, amount=amount, reason=params.get("reason"), metadata=params.get("metadata", {}), now=call.now
    )
    refund["balance_transaction"] = balance.give_back(call, refund)["id"]
    call.book.put(refund)
    _plan(call, charge, refund)
    before = {"amount_refunded": charge["amount_refunded"], "refunded": charge["refunded"]}
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    call.emit("refund.created", refund)
    call.emit("charge.refunded", charge, before)
    return refund


def _plan(call: Call, charge: Json, refund: Json) -> None:
    """What will become of a refund: pending while its bank needs time, or good at first and returned later."""
    standin, number = call.standin, method_number(call, charge)
    by_card = "card" in charge["payment_method_details"]
    if standin.refunds_pending or number.refund == "later" or not by_card:
        refund.update(status="pending", pending_reason="processing")
    if standin.refunds_pending:
        return  # until a switch decides
    if refund["status"] == "pending" or number.refund == "returned":
        fails = "expired_or_canceled_card" if number.refund == "returned" else None
        call.book.hidden[refund["id"]] = {"answer": {"at": call.now + standin.delayed_after, "fails": fails}}


def finish(call: Call, refund: Json) -> None:
    """The bank took a pending refund. Raises StripeError 400 for any other."""
    if refund["status"] != "pending":
        raise invalid(f"The refund has a status of {refund['status']}.", "refund")
    call.book.hidden.pop(refund["id"], None)
    del refund["pending_reason"]
    refund["status"] = "succeeded"
    call.emit("refund.updated", refund, {"status": "pending"})
    call.emit("charge.refund.updated", refund, {"status": "pending"})


def fail(call: Call, refund: Json, reason: str = "lost_or_stolen_card") -> None:
    """The buyer's bank sends a refund back: the charge counts it no more, and the money is ours again."""
    if refund["status"] not in ("succeeded", "pending"):
        raise invalid(f"The refund has a status of {refund['status']}.", "status")
    call.book.hidden.pop(refund["id"], None)
    refund.pop("pending_reason", None)
    refund.update(
        status="failed",
        failure_reason=reason,
        failure_balance_transaction=balance.take_back(call, refund)["id"],
    )
    charge = call.book.get("charge", refund["charge"])
    charge["amount_refunded"] -= refund["amount"]
    charge["refunded"] = False
    for kind in ("refund.updated", "charge.refund.updated", "refund.failed"):
        call.emit(kind, refund)


def tick(call: Call) -> None:
    """Banks give the answers that are due."""
    for refund_id, answer in call.book.due("answer", call.now):
        refund = call.book.get("refund", refund_id)
        if answer["fails"] is None:
            finish(call, refund)
        else:
            fail(call, refund, answer["fails"])


def show(call: Call, object_id: str) -> Json:
    """GET /v1/refunds/{id}"""
    return call.book.get("refund", object_id)


def change(call: Call, object_id: str) -> Json:
    """POST /v1/refunds/{id}: metadata only."""
    refund = call.book.get("refund", object_id)
    refund["metadata"] = merged_metadata(refund, call.params)
    call.emit("refund.updated", refund)
    call.emit("charge.refund.updated", refund)
    return refund


def list_refunds(call: Call) -> Json:
    """GET /v1/refunds"""
    asked = call.params
    rows = where(
        call.book.all("refund"), charge=asked.get("charge"), payment_intent=asked.get("payment_intent")
    )
    return page_of(call, rows, "/v1/refunds")


def list_of_charge(call: Call, object_id: str) -> Json:
    """GET /v1/charges/{id}/refunds"""
    call.book.get("charge", object_id)
    return page_of(call, where(call.book.all("refund"), charge=object_id), f"/v1/charges/{object_id}/refunds")


ROUTES = (
    Route("POST", "/v1/refunds", create, REFUND),
    Route("GET", "/v1/refunds", list_refunds, {**PAGING, "charge": Kind.TEXT, "payment_intent": Kind.TEXT}),
    Route("GET", "/v1/refunds/<object_id>", show),
    Route("POST", "/v1/refunds/<object_id>", change, {"metadata": Kind.MAP}),
    Route("GET", "/v1/charges/<object_id>/refunds", list_of_charge, PAGING),
)
