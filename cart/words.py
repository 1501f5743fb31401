"""How the office says what happened to an order's money: deeds, states and reasons in words. For pages and mails."""

from cart.models import Refund
from cart.refunds.owing import RefundReason

DEEDS = {
    "placed": "Order placed",
    "handed_over": "Sent to the payment page",
    "extended": "Time extended",
    "on_its_way": "Payment on its way",
    "paid": "Paid",
    "paid_late": "Paid after the hold had ended; the tickets were still free",
    "free": "Confirmed, nothing to pay",
    "given_back": "Tickets given back",
    "foreign_assigned": "A payment made outside of the checkout was said to be this order’s",
    "foreign_sent_back": "A payment made outside of the checkout was sent back",
    "tickets_cancelled": "Tickets cancelled",
    "refund_due": "Refund decided",
    "refund_by_hand": "Refunded by hand at Stripe",
    "refund_allocated": "Refund assigned to tickets",
    "refund_sent": "Refund on its way",
    "refund_succeeded": "Refunded",
    "refund_failed": "Refund failed",
    "refund_tried_again": "Refund tried again",
    "refund_paid_otherwise": "Refunded outside Stripe",
    "refund_waiting_dispute": "Refund waits for the dispute",
    "refund_withdrawn": "Refund not needed any more",
    "dispute_opened": "The buyer’s bank disputes the payment",
    "dispute_changed": "News of the dispute",
    "dispute_closed": "Dispute over",
}

ACTORS = {"stripe": "Stripe", "worker": "Tillgate", "operator": "Operator"}

REFUND_REASONS = {
    RefundReason.PAID_TWICE: "Paid twice",
    RefundReason.PAID_TOO_LATE: "Paid too late",
    RefundReason.WRONG_AMOUNT: "Wrong amount paid",
    RefundReason.ENTRY_CLOSED: "Event cancelled before it was paid",
    RefundReason.OUTSIDE_CHECKOUT: "Paid outside of the checkout",
    RefundReason.ENTRY_CANCELLED: "Event cancelled",
    RefundReason.ORGANIZER: "Refunded here",
    RefundReason.BUYER: "Given back by the buyer",
    RefundReason.GOODWILL: "Money back, tickets kept",
    RefundReason.BY_HAND: "By hand at Stripe",
}

REFUND_STATES = {
    "due": "About to be sent",
    "sent": "On its way",
    "succeeded": "Refunded",
    "failed": "Failed",
    "waiting_dispute": "Waits for the dispute",
    "withdrawn": "Not needed: the money went back another way",
}

REFUND_FAILURES = {
    "charge_for_pending_refund_disputed": "the buyer disputed the payment while the refund was on its way",
    "declined": "the buyer’s bank declined it",
    "expired_or_canceled_card": "the buyer’s card has expired or was cancelled",
    "insufficient_funds": "there is not enough money on the Stripe account",
    "lost_or_stolen_card": "the buyer’s card was reported lost or stolen",
    "merchant_request": "it was cancelled at the seller’s request",
    "unknown": "the bank gave no reason",
    # codes of a refusal, where Stripe says no more than that
    "balance_insufficient": "there is not enough money on the Stripe account",
    "charge_already_refunded": "the payment was refunded already",
    "charge_disputed": "the buyer’s bank is looking into the payment",
}
"""Why a refund did not go through (Stripe's API reference, Refund.failure_reason and error codes)."""

DISPUTE_REASONS = {
    "bank_cannot_process": "the bank could not process the payment",
    "check_returned": "the cheque was returned",
    "credit_not_processed": "the buyer says that a refund was promised and did not come",
    "customer_initiated": "the buyer took the debit back",
    "debit_not_authorized": "the buyer says that the debit was not allowed",
    "duplicate": "the buyer says that they paid twice",
    "fraudulent": "the owner of the card says that they did not pay",
    "general": "no reason was given",
    "incorrect_account_details": "the account’s details were wrong",
    "insufficient_funds": "there was not enough money on the account",
    "noncompliant": "the card network’s rules were not kept",
    "product_not_received": "the buyer says that they did not get what they paid for",
    "product_unacceptable": "the buyer says that it was not as described",
    "subscription_canceled": "the buyer says that they had cancelled",
    "unrecognized": "the buyer does not recognise the payment",
}
"""Stripe's reasons of a dispute (its API reference, Dispute.reason)."""

DISPUTE_STATES = {
    "warning_needs_response": "The bank asks about this payment. It has taken no money.",
    "warning_under_review": "The bank looks at your answer. It has taken no money.",
    "warning_closed": "The bank’s question is closed. No money was taken.",
    "needs_response": "The bank has taken the money for now.",
    "under_review": "The bank has taken the money for now and looks at your answer.",
    "won": "Won: the bank has given the money back.",
    "lost": "Lost: the bank has given the money to the buyer. The tickets stay blocked; cancel them to free places.",
    "prevented": "Settled before it became a dispute; what was taken for it is the buyer’s.",
    "appeal_needs_response": "The decision is appealed, and the bank waits for an answer.",
    "appeal_under_review": "The decision is appealed, and the bank looks at your answer.",
}

TO_ANSWER = ("needs_response", "warning_needs_response", "appeal_needs_response")
"""States of a dispute in which the bank waits for an answer."""


def why_failed(said: str | None) -> str:
    """What Stripe said of a refund that did not go through, for people; what we have no words for as it stands."""
    return REFUND_FAILURES.get(said, said).rstrip(".") if said else "no reason was given"


def why_not_through(refund: Refund) -> str:
    """Why a refund has not gone through; nothing where the word for its state says it.

    What holds it up or has made it needless is in that word; Stripe's words for it are about a charge.
    """
    told = refund.state in ("waiting_dispute", "withdrawn") or not refund.last_error
    return "" if told else why_failed(refund.last_error)


def state_of_refund(refund: Refund) -> str:
    """How a refund stands, how a failure of it was solved, or why it has not gone through."""
    state = REFUND_STATES[refund.state]
    if refund.solved_note:
        return f"{state}; refunded outside Stripe: {refund.solved_note}"
    if refund.solved_at:
        return f"{state}; tried again"
    why = why_not_through(refund)
    return f"{state}: {why}" if why else state


def who(actor: str, buyer: str) -> str:
    """Whose deed it was; `buyer` is the actor that the order's own buyer is."""
    if actor == buyer:
        return "Buyer"
    return "Organizer" if actor.startswith("user:") else ACTORS.get(actor, actor)
