"""Which payment methods a Checkout session may not offer: the one table of methods that take days; used by attempts.py.

Stripe's list of them: https://docs.stripe.com/payments/payment-methods#payment-notification.
"""

from datetime import datetime, timedelta

INSTRUCTIONS = ("boleto", "customer_balance", "konbini", "multibanco", "oxxo")
"""The buyer gets a slip or an account number: the session is complete while no money is on its way, perhaps never.
https://docs.stripe.com/payments/vouchers, https://docs.stripe.com/payments/bank-transfers"""

REDIRECTS = ("sofort",)
"""Neither a debit nor an answer at once: up to 14 days."""

DEBITS = {
    "acss_debit": timedelta(days=14),
    "au_becs_debit": timedelta(days=14),
    "bacs_debit": timedelta(days=11),
    "nz_bank_account": timedelta(days=14),
    "payto": timedelta(days=14),
    "sepa_debit": timedelta(days=7),
    "us_bank_account": timedelta(days=6),
}
"""How long a debit takes at most until Stripe knows whether it is paid. Stripe gives business days, here with the
weekends that they can hold: SEPA 5, ACH 4, Bacs up to 7. The others have the longest that Stripe gives for any, 14.
https://docs.stripe.com/payments/bank-debits"""

SLOWEST = max(DEBITS.values()) + timedelta(days=7)
"""After that, holidays and all, no payment is still on its way."""


def excluded_methods(*, debits: bool, starts_at: datetime | None, now: datetime) -> list[str]:
    """What a session leaves out: instructions always; debits where they are not wanted, or where the nearest event
    (`starts_at`, UTC; None = no event) begins before their answer is sure to be there."""
    too_slow = [
        name
        for name, takes in DEBITS.items()
        if not debits or (starts_at is not None and starts_at - now < takes)
    ]
    return sorted((*INSTRUCTIONS, *REDIRECTS, *too_slow))
