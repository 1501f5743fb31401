"""Checkout sessions: /v1/checkout/sessions."""

import secrets
from typing import Any

from shared.sandbox.stripe import accounts, objects
from shared.sandbox.stripe.catalog import merged_metadata
from shared.sandbox.stripe.core import Call, Route
from shared.sandbox.stripe.errors import StripeError, invalid
from shared.sandbox.stripe.lines import LINE, OLDER_LINE, build_lines, check_total, take_off
from shared.sandbox.stripe.lists import page_of, where
from shared.sandbox.stripe.params import PAGING, Fields, Json, Kind, Text
from shared.sandbox.stripe.people import SHIPPING, living_customer
from shared.sandbox.stripe.refusals import check_fee, refuse, refuse_in_mode
from shared.sandbox.stripe.store import snapshot
from shared.sandbox.stripe.testcards import CURRENCY_OF, INSTRUCTIONS, METHODS, NO_END

SHORTEST, LONGEST = 30 * 60, 24 * 3600  # seconds ahead that expires_at may be (Stripe: sessions, expires_at)

INTENT_DATA: Fields = {
    "application_fee_amount": Kind.INT,
    "capture_method": ("automatic", "automatic_async"),
    "description": Text(1000),
    "metadata": Kind.MAP,
    "on_behalf_of": Kind.TEXT,
    "receipt_email": Kind.TEXT,
    "setup_future_usage": ("off_session", "on_session"),
    "shipping": SHIPPING,
    "statement_descriptor": Text(22),
    "statement_descriptor_suffix": Text(22),
    "transfer_data": {"amount": Kind.INT, "destination": Kind.TEXT},
    "transfer_group": Kind.TEXT,
}

SHOWN_AS_GIVEN: Fields = {
    "allow_promotion_codes": Kind.BOOL,
    "allowed_payment_method_types": [(*METHODS, "link")],
    "billing_address_collection": ("auto", "required"),
    "client_reference_id": Text(200),
    "customer_email": Kind.TEXT,
    "excluded_payment_method_types": [METHODS],
    "integration_identifier": Kind.TEXT,
    "locale": Kind.TEXT,
    "metadata": Kind.MAP,
    "origin_context": ("mobile_app", "web"),
    "payment_method_collection": ("always", "if_required"),
    "submit_type": ("auto", "book", "donate", "pay", "subscribe"),
    "cancel_url": Kind.TEXT,
    "return_url": Kind.TEXT,
    "success_url": Kind.TEXT,
}
"""Parameters that stand unchanged in the session."""

TEXTS = ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")

SESSION: Fields = {
    **SHOWN_AS_GIVEN,
    "branding_settings": {
        "background_color": Kind.TEXT,
        "border_style": ("pill", "rectangular", "rounded"),
        "button_color": Kind.TEXT,
        "display_name": Kind.TEXT,
        "font_family": Kind.TEXT,
    },
    "currency": Kind.TEXT,
    "custom_text": {name: {"message": Text(1200)} for name in TEXTS},
    "customer": Kind.TEXT,
    "customer_creation": ("always", "if_required"),
    "discounts": [{"coupon": Kind.TEXT}],
    "expires_at": Kind.INT,
    "line_items": [LINE],
    "mode": ("payment",),
    "payment_intent_data": INTENT_DATA,
    "phone_number_collection": {"enabled": Kind.BOOL},
    "redirect_on_completion": ("always", "if_required", "never"),
    "ui_mode": ("hosted_page", "embedded_page", "elements", "form"),
}
"""What we do. Subscriptions, set-up, shipping and tax are refused by name, never silently ignored."""

BRANDING = {
    "background_color": "#ffffff",
    "border_style": "rounded",
    "button_color": "#3d3ab8",
    "display_name": "",
    "font_family": "default",
    "icon": None,
    "logo": None,
}

SESSION_NULLS = objects.nulls(
    "after_expiration",
    "collected_information",
    "consent",
    "consent_collection",
    "currency_conversion",
    "customer_account",
    "invoice",
    "invoice_creation",
    "payment_intent",
    "payment_link",
    "payment_method_configuration_details",
    "permissions",
    "recovered_from",
    "saved_payment_method_options",
    "setup_intent",
    "shipping_address_collection",
    "shipping_cost",
    "subscription",
    "wallet_options",
)

OLDER_SESSION: Fields = {"line_items": [OLDER_LINE], "payment_method_types": [Kind.TEXT]}

UPDATE: Fields = {
    "metadata": Kind.MAP,
    "payment_intent_data": {"description": Kind.TEXT, "metadata": Kind.MAP},
}

LIST: Fields = {
    **PAGING,
    "customer": Kind.TEXT,
    "customer_details": {"email": Kind.TEXT},
    "payment_intent": Kind.TEXT,
    "payment_link": Kind.TEXT,
    "status": ("complete", "expired", "open"),
    "subscription": Kind.TEXT,
}


def create(call: Call) -> Json:
    """POST /v1/checkout/sessions"""
    params = call.params
    accounts.must_sell(call)
    ui_mode = params.get("ui_mode", "hosted_page")
    refuse(call, ui_mode)
    _check_addresses(params, ui_mode)
    expires_at = _expiry(call)
    customer = living_customer(call, params["customer"], "customer") if "customer" in params else None
    lines = build_lines(call, params.get("line_items", []))
    discounts = params.get("discounts", [])
    take_off(call, lines, discounts)
    total = sum(line["amount_total"] for line in lines)
    currency: str = lines[0]["currency"]
    if str(params.get("currency", currency)).lower() != currency:
        raise invalid("The currency must be that of the line items.", "currency")
    check_total(total, currency)
    check_fee(call, params.get("payment_intent_data", {}), total)
    session = _blank(call, ui_mode, expires_at)
    session.update(
        amount_subtotal=sum(line["amount_subtotal"] for line in lines),
        amount_total=total,
        currency=currency,
        customer=customer["id"] if customer else None,
        customer_details=_known_of(customer, params.get("customer_email")),
        discounts=[{**discount, "promotion_code": None} for discount in discounts],
        payment_method_types=_methods(params, currency),
        payment_status="unpaid" if total else "no_payment_required",
    )
    session["total_details"]["amount_discount"] = session["amount_subtotal"] - total
    call.book.hidden[session["id"]] = {"lines": lines, "intent": params.get("payment_intent_data", {})}
    return call.book.put(session)


def copy(call: Call, session: Json, add: int, *, marked: bool = True) -> Json:
    """An open session with all that another one has, dearer by `add`: as somebody with the key makes it by hand.

    Not `marked`: for the same things, but without metadata and for nobody that is known.
    """
    made = snapshot(session)
    made["id"] = f"cs_test_b1{secrets.token_hex(28)}"
    made.update(status="open", payment_status="unpaid", payment_intent=None, created=call.now)
    made.update(expires_at=call.now + LONGEST, url=f"{call.standin.public_url}/c/pay/{made['id']}")
    made.update(amount_subtotal=made["amount_subtotal"] + add, amount_total=made["amount_total"] + add)
    hidden = call.book.hidden[session["id"]]
    call.book.hidden[made["id"]] = {name: snapshot(hidden[name]) for name in ("lines", "intent")}
    if not marked:
        made.update(metadata={}, client_reference_id=None, customer=None, customer_details=None)
        call.book.hidden[made["id"]]["intent"] = {}
    return call.book.put(made)


def _blank(call: Call, ui_mode: str, expires_at: int) -> Json:
    params = call.params
    session_id = f"cs_test_a1{secrets.token_hex(28)}"
    hosted = ui_mode == "hosted_page"
    branding = params.get("branding_settings")
    given = {name: params.get(name) for name in SHOWN_AS_GIVEN}
    return {
        **SESSION_NULLS,
        **given,
        "id": session_id,
        "object": "checkout.session",
        "adaptive_pricing": {"enabled": False},
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "branding_settings": {**BRANDING, **branding} if branding else None,
        "client_secret": None if hosted else f"{session_id}_secret_{secrets.token_hex(24)}",
        "created": call.now,
        "custom_fields": [],
        "custom_text": {**dict.fromkeys(TEXTS), **params.get("custom_text", {})},
        "customer_creation": None if "customer" in params else params.get("customer_creation", "if_required"),
        "expires_at": expires_at,
        "livemode": False,
        "metadata": params.get("metadata", {}),
        "mode": "payment",
        "payment_method_collection": params.get("payment_method_collection", "if_required"),
        "payment_method_options": {},
        "phone_number_collection": params.get("phone_number_collection", {"enabled": False}),
        "redirect_on_completion": None if hosted else params.get("redirect_on_completion", "always"),
        "shipping_options": [],
        "status": "open",
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": ui_mode,
        "url": f"{call.standin.public_url}/c/pay/{session_id}" if hosted else None,
    }


def _check_addresses(params: Json, ui_mode: str) -> None:
    """Which addresses a mode takes (Stripe: ui_mode). Raises StripeError 400."""
    for name in ("success_url", "cancel_url", "return_url"):
        address = params.get(name)
        if address is not None and not address.startswith(("http://", "https://")):
            raise invalid("Not a valid URL", name, "url_invalid")
    if ui_mode == "hosted_page":
        if "return_url" in params:
            raise invalid("You can not pass `return_url` when `ui_mode` is `hosted_page`.", "return_url")
        if "success_url" not in params:
            raise invalid(
                "You must pass `success_url` when `ui_mode` is `hosted_page`.",
                "success_url",
                "parameter_missing",
            )
        return
    for name in ("success_url", "cancel_url"):
        refuse_in_mode(params, name, ui_mode)
    if "return_url" not in params and params.get("redirect_on_completion") != "never":
        raise invalid(
            f"You must pass `return_url` when `ui_mode` is `{ui_mode}`.", "return_url", "parameter_missing"
        )


def _expiry(call: Call) -> int:
    expires_at: int = call.params.get("expires_at", call.now + LONGEST)
    if expires_at < call.now + SHORTEST:
        raise invalid(
            "The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation.",
            "expires_at",
        )
    if expires_at > call.now + LONGEST:
        raise invalid(
            "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation.",
            "expires_at",
        )
    return expires_at


def _methods(params: Json, currency: str) -> list[str]:
    """What the buyer may pay with, of the methods we know. Raises StripeError 400 where none is left."""
    known = {**CURRENCY_OF, **INSTRUCTIONS}
    offered = ["card", *(name for name, only in known.items() if only == currency)]
    if "customer" not in params:
        offered = [name for name in offered if name not in NO_END]
    allowed = params.get("payment_method_types") or params.get("allowed_payment_method_types") or offered
    excluded = params.get("excluded_payment_method_types") or []
    left = [name for name in offered if name in allowed and name not in excluded]
    if not left:
        raise invalid(
            "No valid payment method types for this Checkout Session.", "allowed_payment_method_types"
        )
    return left


def _known_of(customer: Json | None, email: str | None) -> Json | None:
    known = customer["email"] if customer else email
    return details_of(known, None) if known else None


def details_of(email: str | None, name: str | None) -> Json:
    """`customer_details` of a session."""
    return {
        "address": None,
        "business_name": None,
        "email": email,
        "individual_name": None,
        "name": name,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": [],
    }


def show(call: Call, object_id: str) -> Json:
    """GET /v1/checkout/sessions/{id}"""
    session = call.book.get("checkout.session", object_id)
    lapse(call, session)
    return session


def change(call: Call, object_id: str) -> Json:
    """POST /v1/checkout/sessions/{id}: metadata, and while it is open the wishes for its payment."""
    session = call.book.get("checkout.session", object_id)
    session["metadata"] = merged_metadata(session, call.params)
    wishes = call.params.get("payment_intent_data")
    if wishes is not None:
        if session["ui_mode"] != "elements":
            message = "You can only update `payment_intent_data` when `ui_mode` is `elements`."
            raise invalid(message, "payment_intent_data")
        _must_be_open(session, "updated")
        call.book.hidden[object_id]["intent"].update(wishes)
    return session


def expire(call: Call, object_id: str) -> Json:
    """POST /v1/checkout/sessions/{id}/expire; StripeError 400 unless it is open."""
    session = call.book.get("checkout.session", object_id)
    lapse(call, session)
    _must_be_open(session, "expired")
    close_unpaid(call, session)
    return session


def _must_be_open(session: Json, verb: str) -> None:
    if session["status"] != "open":
        raise StripeError(
            f'Only Checkout Sessions with a status in ["open"] can be {verb}. '
            f"This Checkout Session has a status of {session['status']}.",
            param="session",
        )


def close_unpaid(call: Call, session: Json) -> None:
    """The end of an open session: by request or by its clock. Its payment, if one was tried, is cancelled."""
    session.update(status="expired", url=None)
    intent = call.book.find("payment_intent", session["payment_intent"] or "")
    if intent is not None:
        intent.update(status="canceled", canceled_at=call.now, cancellation_reason="expired")
        call.emit("payment_intent.canceled", intent)
    call.emit("checkout.session.expired", session)


def lapse(call: Call, session: Json) -> None:
    """End an open session whose time is over; any other stays as it is."""
    if session["status"] == "open" and session["expires_at"] <= call.now:
        close_unpaid(call, session)


def list_sessions(call: Call) -> Json:
    """GET /v1/checkout/sessions"""
    asked = call.params
    rows = where(
        call.book.all("checkout.session"),
        customer=asked.get("customer"),
        payment_intent=asked.get("payment_intent"),
        payment_link=asked.get("payment_link"),
        status=asked.get("status"),
        subscription=asked.get("subscription"),
    )
    email: Any = asked.get("customer_details", {}).get("email")
    if email is not None:
        rows = [row for row in rows if (row["customer_details"] or {}).get("email") == email]
    return page_of(call, rows, "/v1/checkout/sessions")


def list_lines(call: Call, object_id: str) -> Json:
    """GET /v1/checkout/sessions/{id}/line_items, in the order they were given."""
    call.book.get("checkout.session", object_id)
    return page_of(
        call, call.book.hidden[object_id]["lines"], f"/v1/checkout/sessions/{object_id}/line_items"
    )


ROUTES = (
    Route("POST", "/v1/checkout/sessions", create, SESSION, OLDER_SESSION),
    Route("GET", "/v1/checkout/sessions", list_sessions, LIST),
    Route("GET", "/v1/checkout/sessions/<object_id>", show),
    Route("POST", "/v1/checkout/sessions/<object_id>", change, UPDATE),
    Route("POST", "/v1/checkout/sessions/<object_id>/expire", expire),
    Route("GET", "/v1/checkout/sessions/<object_id>/line_items", list_lines, PAGING),
)
