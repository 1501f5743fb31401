"""How Stripe's objects look: one builder each, complete with the fields that are null for us.

The conformance test holds every one of them against the SDK's own annotations.
"""

from collections.abc import Mapping
from typing import Any

from shared.sandbox.stripe.params import Json
from shared.sandbox.stripe.store import new_id

API_VERSION = "2026-10-28.endive"

NO_ADDRESS = {"city": None, "country": None, "line1": None, "line2": None, "postal_code": None, "state": None}


def nulls(*names: str) -> Json:
    """Fields that Stripe sends as null where, as here, they do not apply."""
    return dict.fromkeys(names)


def event(kind: str, data: Json, *, now: int, account: str, request: Mapping[str, str | None]) -> Json:
    """A webhook event; `account` is named only for connected accounts."""
    made: Json = {
        "id": new_id("evt"),
        "object": "event",
        "api_version": API_VERSION,
        "created": now,
        "data": data,
        "livemode": False,
        "pending_webhooks": 0,
        "request": dict(request),
        "type": kind,
    }
    return {**made, "account": account} if account else made


def customer(wishes: Json, *, now: int) -> Json:
    """A customer from the parameters of its creation."""
    address = wishes.get("address")
    return {
        "id": new_id("cus"),
        "object": "customer",
        "address": {**NO_ADDRESS, **address} if address else None,
        "balance": 0,
        "created": now,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": wishes.get("description"),
        "discount": None,
        "email": wishes.get("email"),
        "invoice_prefix": new_id("")[1:9].upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": wishes.get("metadata", {}),
        "name": wishes.get("name"),
        "next_invoice_sequence": 1,
        "phone": wishes.get("phone"),
        "preferred_locales": wishes.get("preferred_locales", []),
        "shipping": wishes.get("shipping"),
        "tax_exempt": wishes.get("tax_exempt", "none"),
        "test_clock": None,
    }


def product(wishes: Json, *, now: int) -> Json:
    """A product; those made by `price_data` on a line look the same."""
    return {
        "id": wishes.get("id") or new_id("prod"),
        "object": "product",
        "active": wishes.get("active", True),
        "created": now,
        "default_price": None,
        "description": wishes.get("description"),
        "images": wishes.get("images", []),
        "livemode": False,
        "marketing_features": [],
        "metadata": wishes.get("metadata", {}),
        "name": wishes["name"],
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": wishes.get("tax_code"),
        "type": "service",
        "unit_label": wishes.get("unit_label"),
        "updated": now,
        "url": wishes.get("url"),
    }


def price(wishes: Json, *, product_id: str, unit_amount: int, now: int) -> Json:
    """A one-time price in minor units of its currency."""
    return {
        "id": new_id("price"),
        "object": "price",
        "active": wishes.get("active", True),
        "billing_scheme": "per_unit",
        "created": now,
        "currency": wishes["currency"].lower(),
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": wishes.get("lookup_key"),
        "metadata": wishes.get("metadata", {}),
        "nickname": wishes.get("nickname"),
        "product": product_id,
        "recurring": None,
        "tax_behavior": wishes.get("tax_behavior", "unspecified"),
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "one_time",
        "unit_amount": unit_amount,
        "unit_amount_decimal": str(unit_amount),
    }


def coupon(wishes: Json, *, now: int) -> Json:
    """A coupon: either a percentage or an amount off."""
    return {
        "id": wishes.get("id") or new_id("")[1:9],
        "object": "coupon",
        "amount_off": wishes.get("amount_off"),
        "created": now,
        "currency": wishes["currency"].lower() if "currency" in wishes else None,
        "duration": wishes.get("duration", "once"),
        "duration_in_months": wishes.get("duration_in_months"),
        "livemode": False,
        "max_redemptions": wishes.get("max_redemptions"),
        "metadata": wishes.get("metadata", {}),
        "name": wishes.get("name"),
        "percent_off": wishes.get("percent_off"),
        "redeem_by": wishes.get("redeem_by"),
        "times_redeemed": 0,
        "valid": True,
    }


def line_item(unit_price: Json, *, name: str, quantity: int, metadata: Mapping[str, str] | None) -> Json:
    """A line of a session; discounts are taken off afterwards."""
    subtotal = unit_price["unit_amount"] * quantity
    return {
        "id": new_id("li"),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": subtotal,
        "amount_tax": 0,
        "amount_total": subtotal,
        "currency": unit_price["currency"],
        "description": name,
        "metadata": dict(metadata or {}),
        "price": unit_price,
        "quantity": quantity,
    }


def refund(charge: Json, *, amount: int, reason: str | None, metadata: Mapping[str, str], now: int) -> Json:
    """Money going back for a charge, in the charge's currency."""
    return {
        "id": new_id("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": now,
        "currency": charge["currency"],
        "destination_details": _refund_destination(charge),
        "metadata": dict(metadata),
        "payment_intent": charge["payment_intent"],
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


def _refund_destination(charge: Json) -> Json:
    if charge["payment_method_details"]["type"] == "card":
        return {"card": {"reference_status": "pending", "reference_type": "acquirer_reference_number",
                         "type": "refund"}, "type": "card"}  # fmt: skip
    return {
        "eu_bank_transfer": {"reference": None, "reference_status": "pending"},
        "type": "eu_bank_transfer",
    }


def balance_transaction(kind: str, source: Json, *, amount: int, fee: int, now: int) -> Json:
    """A movement of the account's balance; `amount` is signed, minor units, gross of `fee`."""
    detail = {"amount": fee, "application": None, "currency": source["currency"], "type": "stripe_fee"}
    return {
        "id": new_id("txn"),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": now + 2 * 86_400,
        "balance_type": "payments",
        "created": now,
        "currency": source["currency"],
        "description": None,
        "exchange_rate": None,
        "fee": fee,
        "fee_details": [{**detail, "description": "Stripe processing fees"}] if fee else [],
        "net": amount - fee,
        "reporting_category": kind,
        "source": source["id"],
        "status": "pending",
        "type": kind,
    }


def bare_list(rows: list[Any], url: str, *, has_more: bool = False) -> Json:
    """Stripe's list object."""
    return {"object": "list", "data": rows, "has_more": has_more, "url": url}
