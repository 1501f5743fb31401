"""Stripe's published test numbers and what each of them does (Stripe: testing)."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["paid", "declined", "delayed", "delayed_fails", "instructed"]


@dataclass(frozen=True, slots=True)
class TestNumber:
    """A card or bank account that behaves in a known way."""

    outcome: Outcome
    brand: str = ""
    code: str = ""
    decline_code: str | None = None
    message: str = ""
    disputed: str = ""
    """The reason why the buyer's bank disputes the payment right after it."""
    inquiry: bool = False
    """It only asks first."""
    refund: Literal["at_once", "later", "returned"] = "at_once"
    """A refund is done at once, pending for a while, or sent back after a while."""
    available_at_once: bool = False


DECLINED = "Your card was declined."

CARDS = {
    "4242424242424242": TestNumber("paid", "visa"),
    "5555555555554444": TestNumber("paid", "mastercard"),
    "378282246310005": TestNumber("paid", "amex"),
    "4000000000000077": TestNumber("paid", "visa", available_at_once=True),
    "4000000000000259": TestNumber("paid", "visa", disputed="fraudulent"),
    "4000000000002685": TestNumber("paid", "visa", disputed="product_not_received"),
    "4000000000001976": TestNumber("paid", "visa", disputed="fraudulent", inquiry=True),
    "4000000000007726": TestNumber("paid", "visa", refund="later"),
    "4000000000005126": TestNumber("paid", "visa", refund="returned"),
    "4000000000000002": TestNumber("declined", "visa", "card_declined", "generic_decline", DECLINED),
    "4000000000009995": TestNumber(
        "declined", "visa", "card_declined", "insufficient_funds", "Your card has insufficient funds."
    ),
    "4000000000000069": TestNumber("declined", "visa", "expired_card", None, "Your card has expired."),
    "4000000000000127": TestNumber(
        "declined", "visa", "incorrect_cvc", None, "Your card's security code is incorrect."
    ),
    "4000000000000119": TestNumber(
        "declined", "visa", "processing_error", None,
        "An error occurred while processing your card. Try again in a little bit.",
    ),
}  # fmt: skip

ACCOUNTS = {
    "sepa_debit": {
        "AT611904300234573201": TestNumber("delayed"),
        "AT861904300235473202": TestNumber("delayed_fails"),
    },
    "bacs_debit": {"00012345": TestNumber("delayed"), "33333335": TestNumber("delayed_fails")},
}

CURRENCY_OF = {"sepa_debit": "eur", "bacs_debit": "gbp"}
"""The debits we know, and the one currency each takes."""

INSTRUCTIONS = {
    "boleto": "brl",
    "customer_balance": "eur",
    "konbini": "jpy",
    "multibanco": "eur",
    "oxxo": "mxn",
}
"""Methods that only tell the buyer how to pay, with a currency of each; they have no number."""
NO_END = ("customer_balance",)
"""Those that are waited for without end, and need a customer, whose balance they pay into."""

_METHODS = """
    acss_debit affirm afterpay_clearpay alipay alma amazon_pay au_becs_debit bacs_debit bancontact billie
    bizum blik boleto card cashapp crypto customer_balance eps fpx giropay grabpay ideal kakao_pay klarna
    konbini kr_card mb_way mobilepay multibanco naver_pay nz_bank_account oxxo p24 pay_by_bank payco paynow
    paypal paypay payto pix promptpay revolut_pay samsung_pay satispay scalapay sepa_debit sequra sofort
    sunbit swish twint upi us_bank_account wechat_pay zip
"""
METHODS = tuple(_METHODS.split())
"""All names that a session may exclude; it may allow these and `link`."""

TOKENS = {
    "tok_visa": "4242424242424242",
    "tok_mastercard": "5555555555554444",
    "tok_amex": "378282246310005",
    "tok_chargeDeclined": "4000000000000002",
    "tok_chargeDeclinedInsufficientFunds": "4000000000009995",
    "pm_card_visa": "4242424242424242",
    "pm_card_mastercard": "5555555555554444",
    "pm_card_amex": "378282246310005",
    "pm_card_bypassPending": "4000000000000077",
    "pm_card_createDispute": "4000000000000259",
    "pm_card_createDisputeProductNotReceived": "4000000000002685",
    "pm_card_createDisputeInquiry": "4000000000001976",
    "pm_card_pendingRefund": "4000000000007726",
    "pm_card_refundFail": "4000000000005126",
    "pm_card_visa_chargeDeclined": "4000000000000002",
    "pm_card_chargeDeclined": "4000000000000002",
    "pm_card_chargeDeclinedInsufficientFunds": "4000000000009995",
}
"""Names that stand for a card in requests, so that no number needs to be sent."""


def known_number(method: str, digits: str) -> TestNumber:
    """What this number of this payment method does. Raises KeyError for one that is no test number."""
    if method in INSTRUCTIONS:
        return TestNumber("instructed")
    return CARDS[digits] if method == "card" else ACCOUNTS[method][digits]
