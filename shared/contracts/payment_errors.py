"""What a call to Stripe may raise, and what is wrong with a webhook. Docstrings are the messages to the buyer."""

from shared.errors import AppError


class PaymentsUnavailable(AppError):
    """The payment provider did not answer. Your tickets stay held; please try again in a moment."""

    status = 503
    code = "PAYMENTS_UNAVAILABLE"

    @property
    def for_office(self) -> str:
        return "Stripe gave no answer."


class KeyRefused(PaymentsUnavailable):
    """The payment provider does not accept our key, so nothing can be paid now. Your tickets stay held."""

    code = "KEY_REFUSED"

    @property
    def for_office(self) -> str:
        return "Stripe does not accept our key."


class AccountUnavailable(PaymentsUnavailable):
    """This shop can’t take payments at the moment. What was paid already is not lost: look again later."""

    # 403 for one connected account: nothing can be asked or done there until its owner lets us in again
    code = "ACCOUNT_UNAVAILABLE"

    @property
    def for_office(self) -> str:
        return "Stripe no longer lets us use this account."


class PaymentsRefused(AppError):
    """The payment provider refused this request. No money was taken."""

    status = 502
    code = "PAYMENTS_REFUSED"

    @property
    def for_office(self) -> str:
        said = self.details.get("reason") or self.details.get("code")
        return str(said or "Stripe refused it and gave no reason.")


class CustomerGone(PaymentsRefused):
    """The payment provider no longer knows you as a customer. No money was taken; please try again."""

    code = "CUSTOMER_GONE"


class ChargeDisputed(PaymentsRefused):
    """The buyer's bank is looking into this payment, so it cannot be refunded now. No money was moved."""

    code = "CHARGE_DISPUTED"


class SignatureInvalid(AppError):
    """The webhook's signature could not be verified."""

    status = 400
    code = "SIGNATURE_INVALID"


class EventUnreadable(AppError):
    """The webhook's signature is good, but its body is not an event that we can read."""

    status = 400
    code = "EVENT_UNREADABLE"
