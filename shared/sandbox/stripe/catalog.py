"""Products, prices and coupons: /v1/products, /v1/prices, /v1/coupons."""

from decimal import ROUND_HALF_UP, Decimal

from shared.sandbox.stripe import objects
from shared.sandbox.stripe.core import Call, Route
from shared.sandbox.stripe.currencies import check_currency
from shared.sandbox.stripe.errors import invalid
from shared.sandbox.stripe.lists import page_of, where
from shared.sandbox.stripe.params import PAGING, Fields, Json, Kind, Text, inside, need

PRODUCT: Fields = {
    "active": Kind.BOOL,
    "description": Text(40_000),
    "images": [Kind.TEXT],
    "metadata": Kind.MAP,
    "name": Text(5000),
    "tax_code": Kind.TEXT,
    "unit_label": Text(12),
    "url": Kind.TEXT,
}

PRICE: Fields = {
    "active": Kind.BOOL,
    "currency": Kind.TEXT,
    "lookup_key": Kind.TEXT,
    "metadata": Kind.MAP,
    "nickname": Kind.TEXT,
    "product": Kind.TEXT,
    "product_data": {**PRODUCT, "id": Kind.TEXT},
    "tax_behavior": ("exclusive", "inclusive", "unspecified"),
    "unit_amount": Kind.INT,
    "unit_amount_decimal": Kind.NUMBER,
}

MAX_IMAGES = 8

COUPON: Fields = {
    "amount_off": Kind.INT,
    "currency": Kind.TEXT,
    "duration": ("forever", "once", "repeating"),
    "duration_in_months": Kind.INT,
    "id": Kind.TEXT,
    "max_redemptions": Kind.INT,
    "metadata": Kind.MAP,
    "name": Kind.TEXT,
    "percent_off": Kind.NUMBER,
    "redeem_by": Kind.INT,
}


def make_product(call: Call) -> Json:
    """POST /v1/products"""
    need(call.params, "name")
    _check_images(call.params, "images")
    return _announced(call, "product.created", objects.product(call.params, now=call.now))


def make_price(call: Call) -> Json:
    """POST /v1/prices"""
    return _announced(call, "price.created", price_from(call, call.params))


def price_from(call: Call, wishes: Json, param: str = "") -> Json:
    """A price of an existing or a new product, here or as `price_data` of a line. Raises StripeError 400."""
    check_currency(need(wishes, "currency"), inside(param, "currency"))
    if "product" in wishes:
        product = call.book.get("product", wishes["product"], inside(param, "product"))
    else:
        data = need(wishes, "product_data")
        need(data, "name")
        _check_images(data, inside(inside(param, "product_data"), "images") if param else "images")
        product = call.book.put(objects.product(data, now=call.now))
    return objects.price(
        wishes, product_id=product["id"], unit_amount=_unit_amount(wishes, param), now=call.now
    )


def _check_images(wishes: Json, param: str) -> None:
    if len(wishes.get("images", [])) > MAX_IMAGES:
        raise invalid(f"A maximum of {MAX_IMAGES} images is allowed.", param)


def _unit_amount(wishes: Json, param: str) -> int:
    name = inside(param, "unit_amount")
    if "unit_amount" not in wishes and "unit_amount_decimal" not in wishes:
        raise invalid(f"Missing required param: {name}.", name, "parameter_missing")
    exact = Decimal(str(wishes.get("unit_amount", wishes.get("unit_amount_decimal"))))
    amount = int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))
    if amount < 0:
        raise invalid("Invalid non-negative integer", name, "parameter_invalid_integer")
    return amount


def make_coupon(call: Call) -> Json:
    """POST /v1/coupons"""
    params = call.params
    if ("percent_off" in params) == ("amount_off" in params):
        raise invalid("You must pass either percent_off or amount_off, not both.", "percent_off")
    if "amount_off" in params:
        need(params, "currency")
    if not 0 < params.get("percent_off", 1) <= 100:
        raise invalid("Invalid percent_off: must be more than 0 and at most 100", "percent_off")
    if params.get("id") in call.book.tables.get("coupon", {}):
        raise invalid("Coupon already exists.", "id", "resource_already_exists")
    return _announced(call, "coupon.created", objects.coupon(params, now=call.now))


def _announced(call: Call, kind: str, made: Json) -> Json:
    call.book.put(made)
    call.emit(kind, made)
    return made


def change_product(call: Call, object_id: str) -> Json:
    """POST /v1/products/{id}"""
    product = call.book.get("product", object_id)
    metadata = merged_metadata(product, call.params)
    product.update(
        {name: value for name, value in call.params.items() if name != "expand"},
        metadata=metadata,
        updated=call.now,
    )
    call.emit("product.updated", product)
    return product


def merged_metadata(subject: Json, params: Json) -> Json:
    """Metadata after an update: given keys replace, empty values remove, others stay (Stripe: Metadata)."""
    merged = {**subject["metadata"], **params.get("metadata", {})}
    return {key: value for key, value in merged.items() if value != ""}


def delete_coupon(call: Call, object_id: str) -> Json:
    """DELETE /v1/coupons/{id}"""
    coupon = call.book.get("coupon", object_id)
    del call.book.tables["coupon"][object_id]
    call.emit("coupon.deleted", coupon)
    return {"id": object_id, "object": "coupon", "deleted": True}


def show_product(call: Call, object_id: str) -> Json:
    """GET /v1/products/{id}"""
    return call.book.get("product", object_id)


def show_price(call: Call, object_id: str) -> Json:
    """GET /v1/prices/{id}"""
    return call.book.get("price", object_id)


def show_coupon(call: Call, object_id: str) -> Json:
    """GET /v1/coupons/{id}"""
    return call.book.get("coupon", object_id)


def list_products(call: Call) -> Json:
    """GET /v1/products"""
    return page_of(call, where(call.book.all("product"), active=call.params.get("active")), "/v1/products")


def list_prices(call: Call) -> Json:
    """GET /v1/prices"""
    asked = call.params
    rows = where(call.book.all("price"), product=asked.get("product"), active=asked.get("active"))
    return page_of(call, rows, "/v1/prices")


def list_coupons(call: Call) -> Json:
    """GET /v1/coupons"""
    return page_of(call, call.book.all("coupon"), "/v1/coupons")


ROUTES = (
    Route("POST", "/v1/products", make_product, {**PRODUCT, "id": Kind.TEXT}),
    Route("GET", "/v1/products", list_products, {**PAGING, "active": Kind.BOOL}),
    Route("GET", "/v1/products/<object_id>", show_product),
    Route("POST", "/v1/products/<object_id>", change_product, PRODUCT),
    Route("POST", "/v1/prices", make_price, PRICE),
    Route("GET", "/v1/prices", list_prices, {**PAGING, "active": Kind.BOOL, "product": Kind.TEXT}),
    Route("GET", "/v1/prices/<object_id>", show_price),
    Route("POST", "/v1/coupons", make_coupon, COUPON),
    Route("GET", "/v1/coupons", list_coupons, PAGING),
    Route("GET", "/v1/coupons/<object_id>", show_coupon),
    Route("DELETE", "/v1/coupons/<object_id>", delete_coupon),
)
