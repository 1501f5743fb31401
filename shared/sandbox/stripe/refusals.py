"""What Stripe refuses of a new Checkout session although each parameter is good: what does not go together."""

import re

from shared.sandbox.stripe import accounts
from shared.sandbox.stripe.core import Call
from shared.sandbox.stripe.errors import StripeError, invalid
from shared.sandbox.stripe.params import Json

EXCLUSIVE = (
    ("allow_promotion_codes", "discounts"),
    ("allowed_payment_method_types", "excluded_payment_method_types"),
    ("customer", "customer_creation"),
    ("customer", "customer_email"),
)
NOT_OF_ELEMENTS = ("branding_settings", "custom_text", "origin_context", "submit_type")
MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")


def refuse(call: Call, ui_mode: str) -> None:
    """Raises StripeError 400 for parameters that are each good, and not with each other or in this mode."""
    params = call.params
    for pair in EXCLUSIVE:
        if all(name in params for name in pair):
            one_of = f"You may only specify one of these parameters: {', '.join(pair)}."
            raise invalid(one_of, pair[0])
    if "payment_method_collection" in params:
        name = "payment_method_collection"
        raise invalid(f"You can not pass `{name}` in `payment` mode.", name)
    for name in NOT_OF_ELEMENTS if ui_mode == "elements" else ():
        refuse_in_mode(params, name, ui_mode)
    if ui_mode != "embedded_page":
        refuse_in_mode(params, "redirect_on_completion", ui_mode)
    check_mail(params.get("customer_email"), "customer_email")
    check_mail(
        params.get("payment_intent_data", {}).get("receipt_email"), "payment_intent_data[receipt_email]"
    )
    _check_destination(call, params.get("payment_intent_data", {}))


def refuse_in_mode(params: Json, name: str, ui_mode: str) -> None:
    """Raises StripeError 400 where this parameter is given, which this mode has not."""
    if name in params:
        raise invalid(f"You can not pass `{name}` when `ui_mode` is `{ui_mode}`.", name)


def check_mail(address: str | None, param: str) -> None:
    """Raises StripeError 400 for what is no e-mail address; none is good."""
    if address and not MAIL.fullmatch(address):
        raise invalid(f"Invalid email address: {address}", param, "email_invalid")


def _check_destination(call: Call, wishes: Json) -> None:
    param = "payment_intent_data[transfer_data][destination]"
    destination = wishes.get("transfer_data", {}).get("destination")
    if destination is None:
        return
    try:
        accounts.acting_for(call.standin, destination)
    except StripeError:
        raise invalid(f"No such destination: '{destination}'", param, "resource_missing") from None


def check_fee(call: Call, wishes: Json, total: int) -> None:
    """Raises StripeError 400 for a platform's fee of its own payment, or of more than all."""
    fee, param = wishes.get("application_fee_amount"), "payment_intent_data[application_fee_amount]"
    if fee is None:
        return
    if not call.book.account and "transfer_data" not in wishes:
        message = (
            "Can only apply an application_fee_amount when the PaymentIntent is attempting a direct payment (using an "
            "OAuth key or Stripe-Account header) or destination payment (using `transfer_data[destination]`)."
        )
        raise invalid(message, param)
    if not 0 <= fee <= total:
        raise invalid(f"The application_fee_amount ({fee}) must be at most the total ({total}).", param)
