"""Reads what a switch is asked for: values of its JSON body, and the objects they name, of any account."""

from typing import TypeVar

from shared.sandbox.stripe.core import Call, Standin
from shared.sandbox.stripe.errors import invalid, missing
from shared.sandbox.stripe.params import Json
from shared.sandbox.stripe.payments import charge_of_intent

T = TypeVar("T")


def wish(wishes: Json, name: str, kind: type[T], default: T | None = None) -> T:
    """One value of the body. Raises StripeError 400 where it is missing or of another type."""
    value = wishes.get(name, default)
    if not isinstance(value, kind):
        raise invalid(f"{name} must be given, as {kind.__name__}.", name)
    return value


def number(wishes: Json, name: str, default: float | None = None) -> float:
    """A number of the body, whole or not. Raises StripeError 400."""
    value = wishes.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(f"{name} must be given, as a number.", name)
    return float(value)


def probability(wishes: Json, name: str, default: float | None = None) -> float:
    """A number from 0 to 1. Raises StripeError 400."""
    value = number(wishes, name, default)
    if not 0 <= value <= 1:
        raise invalid(f"{name} must be a probability: 0 to 1.", name)
    return value


def located(standin: Standin, kind: str, object_id: str, param: str) -> tuple[Call, Json]:
    """An object of any account, with a call on its account. Raises StripeError 400."""
    found = standin.store.locate(kind, object_id)
    if found is None:
        raise missing(kind, object_id, param, 400)
    return standin.call(found[0].account), found[1]


def session_of(standin: Standin, session_id: str) -> tuple[Call, Json]:
    """A session of any account, with a call on its account. Raises StripeError 400."""
    return located(standin, "checkout.session", session_id, "session")


def charge_of(standin: Standin, object_id: str) -> tuple[Call, Json]:
    """The charge behind a session, a payment intent or a charge's own id. Raises StripeError 400."""
    if object_id.startswith("cs_"):
        call, session = session_of(standin, object_id)
        return call, charge_of_intent(call, session["payment_intent"] or "")
    if object_id.startswith("pi_"):
        call, intent = located(standin, "payment_intent", object_id, "of")
        return call, charge_of_intent(call, intent["id"])
    return located(standin, "charge", object_id, "of")
