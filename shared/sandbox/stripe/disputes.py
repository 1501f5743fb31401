"""Disputes: opened by test cards or by a switch, answered over /v1/disputes, and decided."""

from shared.sandbox.stripe import balance, objects, refunds
from shared.sandbox.stripe.catalog import merged_metadata
from shared.sandbox.stripe.core import Call, Route
from shared.sandbox.stripe.errors import StripeError, invalid
from shared.sandbox.stripe.lists import page_of, where
from shared.sandbox.stripe.params import PAGING, Fields, Json, Kind

ANSWER_WITHIN = 9 * 86_400  # seconds to send evidence; card networks give 7 to 21 days

OPEN = ("needs_response", "under_review")
INQUIRY = ("warning_needs_response", "warning_under_review")
APPEAL = ("appeal_needs_response", "appeal_under_review")
AWAITED = (*OPEN, *INQUIRY, *APPEAL)
UNDER_REVIEW = {
    **dict.fromkeys(OPEN, "under_review"),
    **dict.fromkeys(INQUIRY, "warning_under_review"),
    **dict.fromkeys(APPEAL, "appeal_under_review"),
}
"""What a dispute becomes by evidence that is sent."""

WINNING, LOSING = "winning_evidence", "losing_evidence"
"""Texts that decide a dispute at once (Stripe: testing, disputes, evidence)."""

REASONS = (
    "bank_cannot_process", "check_returned", "credit_not_processed", "customer_initiated",
    "debit_not_authorized", "duplicate", "fraudulent", "general", "incorrect_account_details",
    "insufficient_funds", "noncompliant", "product_not_received", "product_unacceptable",
    "subscription_canceled", "unrecognized",
)  # fmt: skip


def open_dispute(
    call: Call, charge: Json, *, amount: int | None = None, reason: str = "fraudulent", inquiry: bool = False
) -> Json:
    """The buyer's bank disputes a charge: all that was not refunded, or `amount` in minor units.

    The money goes at once, unless it is only an inquiry. Raises StripeError 400 where that can't be.
    """
    if reason not in REASONS:
        raise invalid(f"reason must be one of: {', '.join(REASONS)}", "reason")
    if any(row["status"] in AWAITED for row in where(call.book.all("dispute"), charge=charge["id"])):
        raise invalid("The charge has an open dispute already.", "charge")
    left = _left(call, charge)
    wanted = amount if amount is not None else left
    if charge["status"] != "succeeded" or not 0 < wanted <= charge["amount"] or left <= 0:
        raise invalid("There is no such amount to dispute.", "amount")
    dispute = objects.dispute(
        charge, amount=wanted, reason=reason, inquiry=inquiry, due_by=call.now + ANSWER_WITHIN, now=call.now
    )
    call.book.put(dispute)
    charge["disputed"] = True
    if not inquiry:
        dispute["balance_transactions"].append(balance.withdraw(call, dispute))
    call.emit("charge.dispute.created", dispute)
    if not inquiry:
        _withdrawn(call, dispute)
    return dispute


def _left(call: Call, charge: Json) -> int:
    """What a bank can still take of a charge: neither refunded nor taken by one of its disputes."""
    disputes = where(call.book.all("dispute"), charge=charge["id"])
    holding = [one for one in disputes if sum(row["amount"] for row in one["balance_transactions"]) < 0]
    taken = sum(one["amount"] for one in holding)
    return int(charge["amount"] - charge["amount_refunded"] - taken)


def _must_be_left(call: Call, dispute: Json) -> None:
    """Stripe: once a payment was refunded, no dispute takes it a second time."""
    charge = call.book.get("charge", dispute["charge"])
    if dispute["amount"] > _left(call, charge):
        raise invalid("The payment has been refunded, or another dispute holds it.", "dispute")


def prevent(call: Call, charge: Json, *, amount: int | None = None, resolved: bool = False) -> Json:
    """A dispute that the card network settled before it was one; `resolved`: by giving the buyer the money.

    Without a fee either way (Stripe: dispute prevention, case types `block` and `resolution`).
    """
    dispute = open_dispute(call, charge, amount=amount, inquiry=True)
    if dispute["payment_method_details"]:
        dispute["payment_method_details"]["card"]["case_type"] = "resolution" if resolved else "block"
    if resolved:
        dispute["is_charge_refundable"] = False
        dispute["balance_transactions"].append(balance.withdraw(call, dispute, fee=False))
        call.emit("charge.dispute.funds_withdrawn", dispute)
    _close(call, dispute, "prevented")
    return dispute


def _withdrawn(call: Call, dispute: Json) -> None:
    call.emit("charge.dispute.funds_withdrawn", dispute)
    for refund in where(call.book.all("refund"), charge=dispute["charge"], status="pending"):
        refunds.fail(call, refund, "charge_for_pending_refund_disputed")


def escalate(call: Call, dispute: Json) -> None:
    """An inquiry, closed or not, becomes a dispute: now the money goes. Raises StripeError 400 for anything else."""
    before = dispute["status"]
    if before not in (*INQUIRY, "warning_closed"):
        raise invalid(f"The dispute has a status of {dispute['status']}.", "dispute")
    _must_be_left(call, dispute)
    dispute.update(status="needs_response", is_charge_refundable=False)
    if dispute["payment_method_details"]:
        dispute["payment_method_details"]["card"]["case_type"] = "chargeback"
    dispute["balance_transactions"].append(balance.withdraw(call, dispute))
    call.emit("charge.dispute.updated", dispute, {"status": before})
    _withdrawn(call, dispute)


def appeal(call: Call, dispute: Json) -> None:
    """A lost one goes on: evidence is wanted once more. Raises StripeError 400 for anything else."""
    _must_be(dispute, ("lost",))
    dispute["status"] = "appeal_needs_response"
    dispute["evidence_details"]["due_by"] = call.now + ANSWER_WITHIN
    call.emit("charge.dispute.updated", dispute, {"status": "lost"})


def lose_after_all(call: Call, dispute: Json) -> None:
    """What was won is taken back: the buyer's bank has the last word. Raises StripeError 400 for anything else."""
    _must_be(dispute, ("won",))
    _must_be_left(call, dispute)
    kept = call.standin.keep_dispute_fees  # then the fee of the first time was never given back
    dispute["balance_transactions"].append(balance.withdraw(call, dispute, fee=not kept))
    dispute.update(status="lost", is_charge_refundable=False)
    call.emit("charge.dispute.funds_withdrawn", dispute)
    call.emit("charge.dispute.updated", dispute, {"status": "won"})


def win(call: Call, dispute: Json) -> None:
    """The bank decides for the seller: the money comes back, mostly with the fee; an inquiry just ends."""
    if dispute["status"] in INQUIRY:
        _close(call, dispute, "warning_closed")
        return
    _must_be_open(dispute)
    dispute["balance_transactions"].append(balance.reinstate(call, dispute))
    dispute.update(status="won", is_charge_refundable=True)
    call.emit("charge.dispute.funds_reinstated", dispute)
    _close(call, dispute, "won")


def lose(call: Call, dispute: Json) -> None:
    """The bank decides for the buyer, or the seller gives in; an inquiry just ends."""
    if dispute["status"] in INQUIRY:
        _close(call, dispute, "warning_closed")
        return
    _must_be_open(dispute)
    _close(call, dispute, "lost")


def _must_be(dispute: Json, statuses: tuple[str, ...]) -> None:
    if dispute["status"] not in statuses:
        raise invalid(f"The dispute has a status of {dispute['status']}.", "dispute")


def _must_be_open(dispute: Json) -> None:
    if dispute["status"] not in (*OPEN, *APPEAL):
        raise StripeError(f"This dispute is already closed: {dispute['status']}.", param="dispute")


def _close(call: Call, dispute: Json, status: str) -> None:
    dispute["status"] = status
    call.emit("charge.dispute.closed", dispute)


def show(call: Call, object_id: str) -> Json:
    """GET /v1/disputes/{id}"""
    return call.book.get("dispute", object_id)


def change(call: Call, object_id: str) -> Json:
    """POST /v1/disputes/{id}: evidence, sent at once unless `submit` is false; StripeError 400 when closed."""
    dispute = call.book.get("dispute", object_id)
    dispute["metadata"] = merged_metadata(dispute, call.params)
    evidence = call.params.get("evidence")
    if evidence is not None:
        _take_evidence(call, dispute, evidence, submit=call.params.get("submit", True))
    call.emit("charge.dispute.updated", dispute)
    text = dispute["evidence"]["uncategorized_text"]
    if dispute["evidence_details"]["submission_count"] and dispute["status"] in AWAITED:
        if text == WINNING:
            win(call, dispute)
        elif text == LOSING:
            lose(call, dispute)
    return dispute


def _take_evidence(call: Call, dispute: Json, evidence: Json, *, submit: bool) -> None:
    if dispute["status"] not in INQUIRY:
        _must_be_open(dispute)
    dispute["evidence"].update(evidence)
    details = dispute["evidence_details"]
    details["has_evidence"] = any(dispute["evidence"][name] for name in objects.EVIDENCE)
    if submit:
        details["past_due"] = details["due_by"] < call.now
        details["submission_count"] += 1
        details["submission_method"] = "manual"
        dispute["status"] = UNDER_REVIEW[dispute["status"]]


def close(call: Call, object_id: str) -> Json:
    """POST /v1/disputes/{id}/close: the seller gives in."""
    dispute = call.book.get("dispute", object_id)
    lose(call, dispute)
    return dispute


def list_disputes(call: Call) -> Json:
    """GET /v1/disputes"""
    asked = call.params
    rows = where(
        call.book.all("dispute"), charge=asked.get("charge"), payment_intent=asked.get("payment_intent")
    )
    return page_of(call, rows, "/v1/disputes")


CHANGE: Fields = {
    "evidence": dict.fromkeys(objects.EVIDENCE, Kind.CLEARABLE),
    "metadata": Kind.MAP,
    "submit": Kind.BOOL,
}

ROUTES = (
    Route("GET", "/v1/disputes", list_disputes, {**PAGING, "charge": Kind.TEXT, "payment_intent": Kind.TEXT}),
    Route("GET", "/v1/disputes/<object_id>", show),
    Route("POST", "/v1/disputes/<object_id>", change, CHANGE),
    Route("POST", "/v1/disputes/<object_id>/close", close),
)
