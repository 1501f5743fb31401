"""Who is told about events: /v1/webhook_endpoints, kept in step with the deliveries."""

import secrets
from collections.abc import Sequence

from shared.sandbox.stripe import objects
from shared.sandbox.stripe.catalog import merged_metadata
from shared.sandbox.stripe.core import Call, Route, Standin
from shared.sandbox.stripe.errors import invalid
from shared.sandbox.stripe.lists import page_of
from shared.sandbox.stripe.params import PAGING, Fields, Json, Kind, need
from shared.sandbox.stripe.webhooks import Target

CHANGE: Fields = {
    "description": Kind.CLEARABLE,
    "disabled": Kind.BOOL,
    "enabled_events": [Kind.TEXT],
    "metadata": Kind.MAP,
    "url": Kind.TEXT,
}
CREATE: Fields = {**CHANGE, "api_version": Kind.TEXT, "connect": Kind.BOOL}

KIND = "webhook_endpoint"


def adopt(standin: Standin, url: str, secret: str, connect_secret: str, event_types: Sequence[str]) -> None:
    """List the endpoint that the stand-in was started with; it hears of all accounts.

    Endpoints from the state file are told again too.
    """
    call = standin.call("")
    for endpoint_id, endpoint in call.book.tables.get(KIND, {}).items():
        if endpoint["url"] != url:
            _tell(call, endpoint, **call.book.hidden[endpoint_id]["secrets"])
    known = [row for row in call.book.all(KIND) if row["url"] == url]
    wishes = {"url": url, "enabled_events": list(event_types) or ["*"]}
    endpoint = known[0] if known else call.book.put(objects.webhook_endpoint(wishes, now=call.now))
    endpoint["enabled_events"] = wishes["enabled_events"]
    _tell(call, endpoint, secret=secret, connect_secret=connect_secret)


def _tell(call: Call, endpoint: Json, *, secret: str | None, connect_secret: str | None) -> None:
    call.book.hidden[endpoint["id"]] = {"secrets": {"secret": secret, "connect_secret": connect_secret}}
    call.standin.deliveries.targets[endpoint["id"]] = Target(
        endpoint["url"],
        secret,
        connect_secret,
        tuple(endpoint["enabled_events"]),
        enabled=endpoint["status"] == "enabled",
    )


def create(call: Call) -> Json:
    """POST /v1/webhook_endpoints; `connect` hears of connected accounts only. The answer has the secret."""
    need(call.params, "enabled_events")
    _check_url(need(call.params, "url"))
    made = call.book.put(objects.webhook_endpoint(call.params, now=call.now))
    secret = f"whsec_{secrets.token_hex(16)}"
    connect = call.params.get("connect", False)
    _tell(call, made, secret=None if connect else secret, connect_secret=secret if connect else None)
    return {**made, "secret": secret}


def _check_url(url: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise invalid("Not a valid URL", "url", "url_invalid")


def change(call: Call, object_id: str) -> Json:
    """POST /v1/webhook_endpoints/{id}"""
    endpoint = call.book.get(KIND, object_id)
    endpoint["metadata"] = merged_metadata(endpoint, call.params)
    for name in ("description", "enabled_events", "url"):
        endpoint[name] = call.params.get(name, endpoint[name])
    _check_url(endpoint["url"])
    if "disabled" in call.params:
        endpoint["status"] = "disabled" if call.params["disabled"] else "enabled"
    _tell(call, endpoint, **call.book.hidden[object_id]["secrets"])
    return endpoint


def set_status(call: Call, endpoint: Json, status: str) -> None:
    """Enable or disable an endpoint, as Stripe does by itself after days of failures."""
    endpoint["status"] = status
    call.standin.deliveries.targets[endpoint["id"]].enabled = status == "enabled"
    call.standin.store.changed = True


def delete(call: Call, object_id: str) -> Json:
    """DELETE /v1/webhook_endpoints/{id}"""
    call.book.get(KIND, object_id)
    del call.book.tables[KIND][object_id], call.standin.deliveries.targets[object_id]
    return {"id": object_id, "object": KIND, "deleted": True}


def show(call: Call, object_id: str) -> Json:
    """GET /v1/webhook_endpoints/{id}"""
    return call.book.get(KIND, object_id)


def list_endpoints(call: Call) -> Json:
    """GET /v1/webhook_endpoints"""
    return page_of(call, call.book.all(KIND), "/v1/webhook_endpoints")


ROUTES = (
    Route("POST", "/v1/webhook_endpoints", create, CREATE),
    Route("GET", "/v1/webhook_endpoints", list_endpoints, PAGING),
    Route("GET", "/v1/webhook_endpoints/<object_id>", show),
    Route("POST", "/v1/webhook_endpoints/<object_id>", change, CHANGE),
    Route("DELETE", "/v1/webhook_endpoints/<object_id>", delete),
)
