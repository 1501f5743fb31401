"""Lists with Stripe's paging and `created` filters, and the expansion of ids into objects."""

from collections.abc import Callable, Iterable
from typing import Any

from shared.sandbox.stripe.core import Call
from shared.sandbox.stripe.errors import invalid
from shared.sandbox.stripe.objects import bare_list
from shared.sandbox.stripe.params import Json
from shared.sandbox.stripe.store import Book

MAX_EXPAND_DEPTH = 4  # Stripe: expanding responses

KIND_OF_PREFIX = {
    "cus": "customer",
    "pi": "payment_intent",
    "ch": "charge",
    "py": "charge",
    "pm": "payment_method",
    "prod": "product",
    "txn": "balance_transaction",
    "re": "refund",
    "pyr": "refund",
    "du": "dispute",
    "po": "payout",
}

_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "gt": int.__gt__,
    "gte": int.__ge__,
    "lt": int.__lt__,
    "lte": int.__le__,
}


def page_of(call: Call, rows: Iterable[Json], url: str) -> Json:
    """One page of rows that come newest first. Raises StripeError 400 for a limit outside 1 to 100."""
    params = call.params
    limit = params.get("limit", 10)
    if not 1 <= limit <= 100:
        raise invalid("This value must be between 1 and 100, inclusive.", "limit")
    kept = within(call, rows, "created")
    if "ending_before" in params:
        at = _position(kept, params["ending_before"], "ending_before")
        start = max(0, at - limit)
        return bare_list(kept[start:at], url, has_more=start > 0)
    start = (
        _position(kept, params["starting_after"], "starting_after") + 1 if "starting_after" in params else 0
    )
    return bare_list(kept[start : start + limit], url, has_more=len(kept) > start + limit)


def where(rows: Iterable[Json], **equal: Any) -> list[Json]:
    """The rows whose fields equal the values that are given; a value of None is no filter."""
    wanted = [(name, value) for name, value in equal.items() if value is not None]
    return [row for row in rows if all(row.get(name) == value for name, value in wanted)]


def within(call: Call, rows: Iterable[Json], name: str) -> list[Json]:
    """The rows whose moment `name` is as the parameter of that name asks. Raises StripeError 400."""
    limits = _limits(call.params.get(name), name)
    return [row for row in rows if all(fits(row.get(name, 0), moment) for fits, moment in limits)]


def _limits(asked: Any, name: str) -> list[tuple[Callable[[int, int], bool], int]]:
    """The comparisons that a filter asks for: one moment, or any of gt, gte, lt and lte."""
    if asked is None:
        return []
    if not isinstance(asked, dict):
        return [(int.__eq__, _moment(asked, name))]
    for word in asked.keys() - _COMPARISONS.keys():
        raise invalid(f"Received unknown parameter: {name}[{word}]", name, "parameter_unknown")
    return [(_COMPARISONS[word], _moment(value, name)) for word, value in asked.items()]


def _moment(value: Any, name: str) -> int:
    if not isinstance(value, str) or not value.isdecimal():
        raise invalid(f"Invalid timestamp: {value}", name, "parameter_invalid_integer")
    return int(value)


def _position(rows: list[Json], object_id: str, param: str) -> int:
    for index, row in enumerate(rows):
        if row["id"] == object_id:
            return index
    raise invalid(f"No such object: '{object_id}'", param, "resource_missing")


def expanded(book: Book, answer: Json, paths: Iterable[str]) -> Json:
    """The answer with these fields' ids replaced by their objects; the kept objects stay as they are."""
    for path in paths:
        parts = path.split(".")
        if len(parts) > MAX_EXPAND_DEPTH:
            raise invalid(f"You cannot expand more than {MAX_EXPAND_DEPTH} levels of a property.", "expand")
        answer = _expand(book, answer, parts, path)
    return answer


def _expand(book: Book, node: Json, parts: list[str], path: str) -> Json:
    name, *rest = parts
    if name == "data" and node.get("object") == "list":
        return {**node, "data": [_expand(book, row, rest, path) for row in node["data"]]}
    value = _included(book, node, name) if name not in node else node[name]
    if value is None:
        if name not in node:
            raise invalid(f"This property cannot be expanded ({path}).", "expand")
        return node
    if isinstance(value, str):
        value = _object_of(book, value, path)
    if not isinstance(value, dict):
        raise invalid(f"This property cannot be expanded ({path}).", "expand")
    return {**node, name: _expand(book, value, rest, path) if rest else value}


def _included(book: Book, node: Json, name: str) -> Json | None:
    """Lists that Stripe sends only when they are asked for."""
    if node.get("object") == "checkout.session" and name == "line_items":
        lines = book.hidden[node["id"]]["lines"]
        return bare_list(lines, f"/v1/checkout/sessions/{node['id']}/line_items")
    if node.get("object") == "charge" and name == "refunds":
        refunds = where(book.all("refund"), charge=node["id"])
        return bare_list(refunds, f"/v1/charges/{node['id']}/refunds")
    return None


def _object_of(book: Book, object_id: str, path: str) -> Json:
    kind = KIND_OF_PREFIX.get(object_id.partition("_")[0])
    found = book.find(kind, object_id) if kind else None
    if found is None:
        raise invalid(f"This property cannot be expanded ({path}).", "expand")
    return found
