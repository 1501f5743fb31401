"""Customers and payment methods: /v1/customers, /v1/payment_methods."""

import hashlib

from shared.sandbox.stripe import objects
from shared.sandbox.stripe.catalog import merged_metadata
from shared.sandbox.stripe.core import Call, Route
from shared.sandbox.stripe.errors import StripeError, card_error, invalid
from shared.sandbox.stripe.lists import page_of, where
from shared.sandbox.stripe.params import PAGING, Fields, Json, Kind, need
from shared.sandbox.stripe.store import new_id
from shared.sandbox.stripe.testcards import CURRENCY_OF, INSTRUCTIONS, TOKENS, known_number

ADDRESS: Fields = dict.fromkeys(objects.NO_ADDRESS, Kind.CLEARABLE)

SHIPPING: Fields = {
    "address": ADDRESS,
    "carrier": Kind.TEXT,
    "name": Kind.TEXT,
    "phone": Kind.TEXT,
    "tracking_number": Kind.TEXT,
}

CUSTOMER: Fields = {
    "address": ADDRESS,
    "description": Kind.CLEARABLE,
    "email": Kind.CLEARABLE,
    "metadata": Kind.MAP,
    "name": Kind.CLEARABLE,
    "phone": Kind.CLEARABLE,
    "preferred_locales": [Kind.TEXT],
    "shipping": SHIPPING,
    "tax_exempt": ("exempt", "none", "reverse"),
}

BILLING: Fields = {
    "address": ADDRESS,
    "email": Kind.CLEARABLE,
    "name": Kind.CLEARABLE,
    "phone": Kind.CLEARABLE,
}

PAYMENT_METHOD: Fields = {
    "type": ("card", "sepa_debit", "bacs_debit"),
    "billing_details": BILLING,
    "card": {
        "token": Kind.TEXT,
        "number": Kind.TEXT,
        "exp_month": Kind.INT,
        "exp_year": Kind.INT,
        "cvc": Kind.TEXT,
    },
    "sepa_debit": {"iban": Kind.TEXT},
    "bacs_debit": {"account_number": Kind.TEXT, "sort_code": Kind.TEXT},
    "metadata": Kind.MAP,
}


def make_customer(call: Call) -> Json:
    """POST /v1/customers"""
    customer = call.book.put(objects.customer(call.params, now=call.now))
    call.emit("customer.created", customer)
    return customer


def show_customer(call: Call, object_id: str) -> Json:
    """GET /v1/customers/{id}; a deleted one is still told about, as Stripe does."""
    return call.book.get("customer", object_id)


def change_customer(call: Call, object_id: str) -> Json:
    """POST /v1/customers/{id}"""
    customer = living_customer(call, object_id)
    metadata = merged_metadata(customer, call.params)
    customer.update(
        {name: value for name, value in call.params.items() if name != "expand"}, metadata=metadata
    )
    if customer["address"]:
        customer["address"] = {**objects.NO_ADDRESS, **customer["address"]}
    call.emit("customer.updated", customer)
    return customer


def delete_customer(call: Call, object_id: str) -> Json:
    """DELETE /v1/customers/{id}"""
    call.emit("customer.deleted", living_customer(call, object_id))
    return call.book.put({"id": object_id, "object": "customer", "deleted": True})


def list_customers(call: Call) -> Json:
    """GET /v1/customers, by e-mail if asked (exact, case matters, as Stripe says)."""
    living = [row for row in call.book.all("customer") if "deleted" not in row]
    return page_of(call, where(living, email=call.params.get("email")), "/v1/customers")


def living_customer(call: Call, customer_id: str, param: str = "id") -> Json:
    """The customer, unless it was deleted. Raises StripeError `resource_missing`."""
    customer = call.book.get("customer", customer_id, param)
    if "deleted" in customer:
        raise invalid(f"No such customer: '{customer_id}'", param, "resource_missing")
    return customer


def make_payment_method(call: Call) -> Json:
    """POST /v1/payment_methods; keeps what a number does, never the number."""
    kind = need(call.params, "type")
    details = call.params.get(kind, {})
    number = details.get("number") or details.get("iban") or details.get("account_number") or ""
    token = details.get("token")
    if token is not None:
        number = TOKENS.get(token, "")
    return payment_method(call, kind, number, billing=call.params.get("billing_details", {}), card=details)


def payment_method(call: Call, kind: str, number: str, *, billing: Json, card: Json) -> Json:
    """A new payment method from a test number. Raises StripeError for one that is none: 402 of a card, else 400."""
    digits = "".join(number.split()).upper()
    try:
        known = known_number(kind, digits)
    except KeyError as unknown:
        message = "That is not a test number: this stand-in takes only Stripe's published test numbers."
        raise _not_known(kind, message) from unknown
    made = {
        "id": new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {
            "address": {**objects.NO_ADDRESS, **billing.get("address", {})},
            "email": billing.get("email"),
            "name": billing.get("name"),
            "phone": billing.get("phone"),
            "tax_id": None,
        },
        "created": call.now,
        "customer": None,
        "livemode": False,
        "metadata": call.params.get("metadata", {}),
        "type": kind,
        kind: _card(digits, known.brand, card, call.now) if kind == "card" else _account(kind, digits),
    }
    call.book.hidden[made["id"]] = {"number": digits}
    return call.book.put(made)


def _not_known(kind: str, message: str) -> StripeError:
    """Stripe: what is wrong with an account at a bank is a matter of the request, only a card's is a `card_error`."""
    if kind == "sepa_debit":
        return StripeError(message, code="invalid_bank_account_iban", param="sepa_debit[iban]")
    if kind == "bacs_debit":
        return StripeError(message, code="account_number_invalid", param="bacs_debit[account_number]")
    return card_error(message, "incorrect_number", None, param="number")


def _fingerprint(digits: str) -> str:
    return hashlib.sha256(digits.encode()).hexdigest()[:16]


def _card(digits: str, brand: str, wishes: Json, now: int) -> Json:
    return {
        "brand": brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": "US",
        "display_brand": brand,
        "exp_month": wishes.get("exp_month", 12),
        "exp_year": wishes.get("exp_year", 1970 + now // 31_556_952 + 3),
        "fingerprint": _fingerprint(digits),
        "funding": "credit",
        "generated_from": None,
        "last4": digits[-4:],
        "networks": {"available": [brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def _account(kind: str, digits: str) -> Json:
    if kind in INSTRUCTIONS:
        return {"tax_id": "00000000000"} if kind == "boleto" else {}
    common = {"fingerprint": _fingerprint(digits), "last4": digits[-4:]}
    if kind == "bacs_debit":
        return {**common, "sort_code": "108800"}
    return {
        **common,
        "bank_code": digits[4:9],
        "branch_code": "",
        "country": digits[:2],
        "generated_from": {"charge": None, "setup_attempt": None},
    }


def named_payment_method(call: Call, name: str) -> Json:
    """A payment method by its id, or by one of Stripe's test names such as `pm_card_visa`."""
    if name in TOKENS:
        return payment_method(call, "card", TOKENS[name], billing={}, card={})
    return call.book.get("payment_method", name, "payment_method")


def show_payment_method(call: Call, object_id: str) -> Json:
    """GET /v1/payment_methods/{id}"""
    return call.book.get("payment_method", object_id)


def list_payment_methods(call: Call, object_id: str | None = None) -> Json:
    """GET /v1/payment_methods and /v1/customers/{id}/payment_methods"""
    customer = object_id or need(call.params, "customer")
    living_customer(call, customer, "customer")
    rows = where(call.book.all("payment_method"), customer=customer, type=call.params.get("type"))
    url = f"/v1/customers/{object_id}/payment_methods" if object_id else "/v1/payment_methods"
    return page_of(call, rows, url)


def attach(call: Call, object_id: str) -> Json:
    """POST /v1/payment_methods/{id}/attach"""
    customer = living_customer(call, need(call.params, "customer"), "customer")
    method = named_payment_method(call, object_id)
    if method["customer"] not in (None, customer["id"]):
        raise invalid("The payment method is already attached to another customer.", "customer")
    method["customer"] = customer["id"]
    call.emit("payment_method.attached", method)
    return method


def detach(call: Call, object_id: str) -> Json:
    """POST /v1/payment_methods/{id}/detach"""
    method = call.book.get("payment_method", object_id)
    if method["customer"] is None:
        raise invalid("The payment method is not attached to a customer.", "payment_method")
    method["customer"] = None
    call.emit("payment_method.detached", method)
    return method


METHOD_LIST: Fields = {**PAGING, "customer": Kind.TEXT, "type": ("card", *CURRENCY_OF, *INSTRUCTIONS)}

ROUTES = (
    Route("POST", "/v1/customers", make_customer, CUSTOMER),
    Route("GET", "/v1/customers", list_customers, {**PAGING, "email": Kind.TEXT}),
    Route("GET", "/v1/customers/<object_id>", show_customer),
    Route("POST", "/v1/customers/<object_id>", change_customer, CUSTOMER),
    Route("DELETE", "/v1/customers/<object_id>", delete_customer),
    Route("GET", "/v1/customers/<object_id>/payment_methods", list_payment_methods, METHOD_LIST),
    Route("POST", "/v1/payment_methods", make_payment_method, PAYMENT_METHOD),
    Route("GET", "/v1/payment_methods", list_payment_methods, METHOD_LIST),
    Route("GET", "/v1/payment_methods/<object_id>", show_payment_method),
    Route("POST", "/v1/payment_methods/<object_id>/attach", attach, {"customer": Kind.TEXT}),
    Route("POST", "/v1/payment_methods/<object_id>/detach", detach),
)
