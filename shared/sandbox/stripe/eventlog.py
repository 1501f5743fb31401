"""The events of an account: /v1/events."""

from fnmatch import fnmatchcase

from shared.sandbox.stripe.core import Call, Route
from shared.sandbox.stripe.errors import invalid
from shared.sandbox.stripe.lists import page_of
from shared.sandbox.stripe.params import PAGING, Fields, Json, Kind

LIST: Fields = {**PAGING, "type": Kind.TEXT, "types": [Kind.TEXT], "delivery_success": Kind.BOOL}


def show(call: Call, object_id: str) -> Json:
    """GET /v1/events/{id}"""
    return call.book.get("event", object_id)


def list_events(call: Call) -> Json:
    """GET /v1/events, by type (`*` stands for anything) and by whether every endpoint has taken them."""
    asked = call.params
    if "type" in asked and "types" in asked:
        raise invalid("You may only specify one of these parameters: type, types.", "types")
    patterns = asked.get("types") or [asked.get("type", "*")]
    rows = [
        row
        for row in call.book.all("event")
        if any(fnmatchcase(row["type"], pattern) for pattern in patterns)
    ]
    if "delivery_success" in asked:
        rows = [row for row in rows if (row["pending_webhooks"] == 0) == asked["delivery_success"]]
    return page_of(call, rows, "/v1/events")


ROUTES = (Route("GET", "/v1/events", list_events, LIST), Route("GET", "/v1/events/<object_id>", show))
