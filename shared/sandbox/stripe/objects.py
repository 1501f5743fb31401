"""How Stripe's objects look: one builder each, complete with the fields that are null for us.

The conformance test holds every one of them against the SDK's own annotations.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.sandbox.stripe.params import Json
from shared.sandbox.stripe.store import new_id

API_VERSION = "2026-10-28.endive"

NO_ADDRESS = {"city": None, "country": None, "line1": None, "line2": None, "postal_code": None, "state": None}


def nulls(*names: str) -> Json:
    """Fields that Stripe sends as null where, as here, they do not apply."""
    return dict.fromkeys(names)


@dataclass(frozen=True, slots=True)
class Entry:
    """How a kind of movement is called in a balance transaction (Stripe: reporting categories)."""

    type: str
    category: str
    fee_words: str = "Stripe processing fees"


def event(kind: str, data: Json, *, now: int, account: str, request: Mapping[str, str | None]) -> Json:
    """A webhook event; `account` is named only for connected accounts, `context` as the newer way to say it."""
    made: Json = {
        "id": new_id("evt"),
        "object": "event",
        "api_version": API_VERSION,
        "context": account or None,
        "created": now,
        "data": data,
        "livemode": False,
        "pending_webhooks": 0,
        "request": dict(request),
        "type": kind,
    }
    return {**made, "account": account} if account else made


def account(account_id: str, *, now: int) -> Json:
    """An account that may sell and is paid out."""
    return {
        "id": account_id,
        "object": "account",
        "business_profile": {"mcc": "7922", "name": "Tillgate stand-in", "url": None},
        "business_type": "company",
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "country": "DE",
        "created": now,
        "default_currency": "eur",
        "details_submitted": True,
        "email": None,
        "metadata": {},
        "payouts_enabled": True,
        "requirements": _requirements(None),
        "type": "standard",
    }


def _requirements(disabled_reason: str | None) -> Json:
    lists = ("alternatives", "currently_due", "errors", "eventually_due", "past_due", "pending_verification")
    return {**{name: [] for name in lists}, "current_deadline": None, "disabled_reason": disabled_reason}


def capability(name: str, of: Json) -> Json:
    """What an account may do by this name, as the account says it now."""
    able = of["capabilities"][name] == "active"
    return {
        "id": name,
        "object": "capability",
        "account": of["id"],
        "requested": True,
        "requested_at": of["created"],
        "requirements": _requirements(None if able else "requirements.fields_needed"),
        "status": of["capabilities"][name],
    }


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
        "id": new_id("re" if charge["id"].startswith("ch_") else "pyr"),
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


def balance_transaction(
    entry: Entry,
    source_id: str | None,
    *,
    balance_type: str,
    amount: int,
    currency: str,
    rate: float | None = None,
    fee: int = 0,
    available_on: int,
    now: int,
) -> Json:
    """A movement of the account's balance: signed minor units of `currency`, in which it settles.

    `amount` is gross of `fee`; a fee that comes back is negative. `rate` says from what it was converted.
    """
    detail = {"amount": fee, "application": None, "currency": currency, "type": "stripe_fee"}
    return {
        "id": new_id("txn"),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": available_on,
        "balance_type": balance_type,
        "created": now,
        "currency": currency,
        "description": None,
        "exchange_rate": rate,
        "fee": fee,
        "fee_details": [{**detail, "description": entry.fee_words}] if fee else [],
        "net": amount - fee,
        "reporting_category": entry.category,
        "source": source_id,
        "status": "available" if available_on <= now else "pending",
        "type": entry.type,
    }


EVIDENCE = (
    "access_activity_log", "billing_address", "cancellation_policy", "cancellation_policy_disclosure",
    "cancellation_rebuttal", "customer_communication", "customer_email_address", "customer_name",
    "customer_purchase_ip", "customer_signature", "duplicate_charge_documentation",
    "duplicate_charge_explanation", "duplicate_charge_id", "product_description", "receipt", "refund_policy",
    "refund_policy_disclosure", "refund_refusal_explanation", "service_date", "service_documentation",
    "shipping_address", "shipping_carrier", "shipping_date", "shipping_documentation",
    "shipping_tracking_number", "uncategorized_file", "uncategorized_text",
)  # fmt: skip


def dispute(charge: Json, *, amount: int, reason: str, inquiry: bool, due_by: int, now: int) -> Json:
    """A dispute of a charge, in the charge's currency; an inquiry is one that has taken no money yet."""
    details = charge["payment_method_details"]
    card = details.get("card")
    shown: Json | None = None
    if card is not None:
        shown = {"card": {"brand": card["brand"], "case_type": "inquiry" if inquiry else "chargeback",
                          "network": card["network"], "network_reason_code": "10.4"}, "type": "card"}  # fmt: skip
    return {
        "id": new_id("du"),
        "object": "dispute",
        "amount": amount,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": now,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**nulls(*EVIDENCE), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": due_by,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "is_charge_refundable": inquiry,
        "livemode": False,
        "metadata": {},
        "network_reason_code": "10.4",
        "payment_intent": charge["payment_intent"],
        "payment_method_details": shown,
        "reason": reason,
        "status": "warning_needs_response" if inquiry else "needs_response",
    }


def payout(wishes: Json, *, amount: int, currency: str, automatic: bool, arrives: int, now: int) -> Json:
    """Money on its way from the account's balance to its bank, in minor units of `currency`."""
    return {
        **nulls("application_fee", "application_fee_amount", "balance_transaction",
                "failure_balance_transaction", "failure_code", "failure_message", "original_payout",
                "payout_method", "reversed_by"),
        "id": new_id("po"),
        "object": "payout",
        "amount": amount,
        "arrival_date": arrives,
        "automatic": automatic,
        "created": now,
        "currency": currency,
        "description": wishes.get("description", "STRIPE PAYOUT"),
        "destination": wishes.get("destination", "ba_standin"),
        "livemode": False,
        "metadata": wishes.get("metadata", {}),
        "method": wishes.get("method", "standard"),
        "reconciliation_status": "completed" if automatic else "not_applicable",
        "source_type": wishes.get("source_type", "card"),
        "statement_descriptor": wishes.get("statement_descriptor"),
        "status": "in_transit" if automatic else "pending",
        "trace_id": {"status": "pending", "value": None},
        "type": "bank_account",
    }  # fmt: skip


def webhook_endpoint(wishes: Json, *, now: int) -> Json:
    """An address that is told about events; its secret is shown only in the answer that made it."""
    return {
        "id": new_id("we"),
        "object": "webhook_endpoint",
        "api_version": wishes.get("api_version", API_VERSION),
        "application": None,
        "created": now,
        "description": wishes.get("description"),
        "enabled_events": list(wishes["enabled_events"]),
        "livemode": False,
        "metadata": wishes.get("metadata", {}),
        "status": "enabled",
        "url": wishes["url"],
    }


def bare_list(rows: list[Any], url: str, *, has_more: bool = False) -> Json:
    """Stripe's list object."""
    return {"object": "list", "data": rows, "has_more": has_more, "url": url}
