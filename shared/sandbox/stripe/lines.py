"""The lines of a Checkout session, their coupons, and what they add up to."""

from shared.money import MAXIMUM_CHARGE, MINIMUM_CHARGE, STEPS, format_minor, is_payable
from shared.sandbox.stripe import objects
from shared.sandbox.stripe.catalog import PRICE, price_from
from shared.sandbox.stripe.core import Call
from shared.sandbox.stripe.errors import StripeError, invalid
from shared.sandbox.stripe.params import Fields, Json, Kind

MAX_LINES = 100  # Stripe: line_items of a session

PRICE_DATA = ("currency", "product", "product_data", "tax_behavior", "unit_amount", "unit_amount_decimal")

LINE: Fields = {
    "adjustable_quantity": Kind.ANY,
    "metadata": Kind.MAP,
    "price": Kind.TEXT,
    "price_data": {name: PRICE[name] for name in PRICE_DATA},
    "quantity": Kind.INT,
}

OLDER_LINE: Fields = {
    **LINE,
    "amount": Kind.INT,
    "currency": Kind.TEXT,
    "description": Kind.TEXT,
    "images": [Kind.TEXT],
    "name": Kind.TEXT,
}
"""Requests of the days before prices put amount and name on the line itself."""


def build_lines(call: Call, wishes: list[Json]) -> list[Json]:
    """The session's lines. StripeError 400 for none, too many, several currencies or a wrong amount."""
    if not wishes:
        raise invalid("You must pass line_items in payment mode.", "line_items", "parameter_missing")
    if len(wishes) > MAX_LINES:
        raise invalid(f"A maximum of {MAX_LINES} line items is allowed.", "line_items")
    lines = [_line(call, wish, f"line_items[{index}]") for index, wish in enumerate(wishes)]
    if len({line["currency"] for line in lines}) > 1:
        raise invalid("All line items must have the same currency.", "line_items")
    return lines


def _line(call: Call, wish: Json, param: str) -> Json:
    quantity = wish.get("quantity")
    if quantity is None:
        raise invalid(
            "Quantity is required. Add `quantity` to the line item.",
            f"{param}[quantity]",
            "parameter_missing",
        )
    if quantity < 1:
        raise invalid("Invalid integer: quantity must be at least 1", f"{param}[quantity]")
    price = _price_of(call, wish, param)
    product = call.book.get("product", price["product"], param)
    if price["unit_amount"] * quantity > MAXIMUM_CHARGE:
        raise invalid(
            "The amount is too large: at most eight digits.",
            f"{param}[price_data][unit_amount]",
            "amount_too_large",
        )
    return objects.line_item(price, name=product["name"], quantity=quantity, metadata=wish.get("metadata"))


def _price_of(call: Call, wish: Json, param: str) -> Json:
    if "price" in wish:
        return call.book.get("price", wish["price"], f"{param}[price]")
    if "price_data" in wish:
        data = wish["price_data"]
    elif "amount" in wish:
        about = {key: wish[key] for key in ("name", "description", "images") if key in wish}
        data = {"currency": wish.get("currency"), "unit_amount": wish["amount"], "product_data": about}
    else:
        raise invalid(f"You must pass either `price` or `price_data` in {param}.", param, "parameter_missing")
    if not data.get("currency"):
        raise invalid(
            "Missing required param: currency.", f"{param}[price_data][currency]", "parameter_missing"
        )
    price = price_from(call, data, f"{param}[price_data]")
    price["active"] = False  # Stripe: a price made on the fly can't be bought again
    return call.book.put(price)


def take_off(call: Call, lines: list[Json], discounts: list[Json]) -> None:
    """Lower the lines by a coupon, spread by their share, exact to the minor unit. Raises StripeError 400."""
    if len(discounts) > 1:
        raise invalid("You can only apply one discount.", "discounts")
    for discount in discounts:
        coupon = call.book.get("coupon", discount.get("coupon", ""), "discounts[0][coupon]")
        total = sum(line["amount_subtotal"] for line in lines)
        off = _amount_off(coupon, total, lines[0]["currency"])
        for line in lines:
            share = off * line["amount_subtotal"] // total if total else 0
            total, off = total - line["amount_subtotal"], off - share
            line["amount_discount"] = share
            line["amount_total"] = line["amount_subtotal"] - share


def _amount_off(coupon: Json, total: int, currency: str) -> int:
    if coupon["percent_off"] is not None:
        return int(total * coupon["percent_off"] / 100 + 0.5)
    if coupon["currency"] != currency:
        raise invalid(
            f"The coupon is in {coupon['currency']}, the session in {currency}.", "discounts[0][coupon]"
        )
    return min(total, int(coupon["amount_off"]))


def check_step(amount: int, code: str, param: str) -> None:
    """Raises StripeError 400 for an amount between the steps in which a currency is moved."""
    if not is_payable(amount, code):
        words = f"Invalid amount. {code} amounts must be divisible by {STEPS[code]}."
        raise invalid(words, param, "invalid_charge_amount")


def check_total(total: int, currency: str) -> None:
    """Raises StripeError 400 where the total can't be charged; nothing to pay is allowed."""
    code = currency.upper()
    if total > MAXIMUM_CHARGE:
        raise invalid("The total is too large: at most eight digits.", "line_items", "amount_too_large")
    check_step(total, code, "line_items")
    if 0 < total < MINIMUM_CHARGE.get(code, 1):
        least = format_minor(MINIMUM_CHARGE[code], code)
        raise StripeError(
            f"The Checkout Session's total amount must be at least {least}.",
            code="amount_too_small",
            param="line_items",
            kept=False,
        )
