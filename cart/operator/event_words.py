"""What Stripe's events say and what they did here, in words; a code that is new to us is shown as it stands."""

EVENT_WORDS = {
    "checkout.session.completed": "Payment page completed",
    "checkout.session.async_payment_succeeded": "Slow payment arrived",
    "checkout.session.async_payment_failed": "Slow payment failed",
    "checkout.session.expired": "Payment page expired",
    "payment_intent.payment_failed": "Payment failed",
    "payment_intent.created": "Payment begun",
    "payment_intent.succeeded": "Payment received",
    "charge.succeeded": "Payment received",
    "charge.refunded": "Payment refunded",
    "refund.created": "Refund begun",
    "refund.updated": "News of a refund",
    "refund.failed": "Refund failed",
    "charge.dispute.created": "Dispute opened",
    "charge.dispute.updated": "News of a dispute",
    "charge.dispute.funds_withdrawn": "Bank took disputed money",
    "charge.dispute.funds_reinstated": "Bank gave disputed money back",
    "charge.dispute.closed": "Dispute over",
    "payout.paid": "Payout made",
    "payout.failed": "Payout failed",
    "account.updated": "News of a seller’s account",
    "capability.updated": "A seller’s account may do more or less",
    "account.application.deauthorized": "A seller’s account was disconnected",
}

RESULT_WORDS = {
    "paid": "Order paid",
    "processing": "Payment on its way",
    "failed": "Payment failed",
    "expired": "Order expired",
    "open": "Nothing yet: the page is still open",
    "refund_due": "Money goes back",
    "nothing_paid": "Nothing: no payment was needed",
    "already": "Nothing new: known before",
    "unmatched": "Matches nothing",
    "unknown": "Left alone: a state that is new to us",
    "foreign": "Not ours",
    "ignored": "Not for us to act on",
    "other_mode": "Of the other mode (test or live)",
    "applied": "Taken over",
    "unchanged": "Nothing new",
}


def result_words(result: str | None) -> str:
    """What an event did."""
    return RESULT_WORDS.get(result or "", (result or "").replace("_", " ").capitalize())
