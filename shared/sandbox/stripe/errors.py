"""Stripe's error JSON: what is raised anywhere in the stand-in and answered by the pipeline in app.py."""

from typing import Any


class StripeError(Exception):
    """A refusal in Stripe's shape. `kept`: whether an idempotency key replays it."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        kept: bool = True,
        **extra: Any,
    ) -> None:
        super().__init__(message)
        self.message, self.status, self.kind, self.kept = message, status, kind, kept
        self.fields = {"code": code, "param": param, **extra}
        self.headers: dict[str, str] = {}

    def body(self) -> dict[str, Any]:
        """The JSON Stripe sends; fields that do not apply are left out, as Stripe does."""
        known = {name: value for name, value in self.fields.items() if value is not None}
        return {"error": {"message": self.message, "type": self.kind, **known}}


def invalid(message: str, param: str | None = None, code: str | None = None) -> StripeError:
    """A parameter is wrong: nothing began, so the idempotency key stays free."""
    return StripeError(message, param=param, code=code, kept=False)


def missing(kind: str, object_id: str, param: str = "id", status: int = 404) -> StripeError:
    """No such object in this account. Stripe says 404 for an id in the path, 400 for a parameter."""
    return StripeError(
        f"No such {kind}: '{object_id}'", status=status, code="resource_missing", param=param, kept=False
    )


def card_error(message: str, code: str, decline_code: str | None, **extra: Any) -> StripeError:
    """402: the bank said no."""
    return StripeError(message, status=402, kind="card_error", code=code, decline_code=decline_code, **extra)


def too_many(reason: str) -> StripeError:
    """429: too many calls in a second; nothing began. `reason` is what Stripe says in a header."""
    message = (
        "Request rate limit exceeded. You can learn more about rate limits here "
        "https://stripe.com/docs/rate-limits."
    )
    about = "https://stripe.com/docs/error-codes/rate-limit"
    error = StripeError(message, status=429, code="rate_limit", kept=False, doc_url=about)
    error.headers["Stripe-Rate-Limited-Reason"] = reason
    return error
