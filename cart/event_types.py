"""The Stripe events that the inbox acts on: what an endpoint at Stripe must send. README, checks and facts read it."""

PAYING = ("checkout.session.completed", "checkout.session.async_payment_succeeded")
"""Those that say that a buyer has paid."""

HANDLED = (
    *PAYING,
    "checkout.session.expired",
    "checkout.session.async_payment_failed",
    "payment_intent.payment_failed",
    "charge.refunded",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
    "charge.dispute.closed",
    "payout.paid",
    "payout.failed",
)
