"""The way of every /v1 request: key, account, kept answer, failure on demand, parameters, the work, JSON."""

import asyncio
import base64
import binascii
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from quart import Blueprint, Response, request

from shared.sandbox.stripe import (
    accounts,
    balance,
    catalog,
    disputes,
    endpoints,
    eventlog,
    paying,
    payments,
    payouts,
    people,
    refunds,
    sessions,
)
from shared.sandbox.stripe.core import Route, Standin
from shared.sandbox.stripe.errors import StripeError, too_many
from shared.sandbox.stripe.failures import Failure
from shared.sandbox.stripe.idempotency import KeyedRequest, keyed_request
from shared.sandbox.stripe.lists import expanded
from shared.sandbox.stripe.params import Json, check, parse_form
from shared.sandbox.stripe.store import new_id

ROUTES: tuple[Route, ...] = (
    *accounts.ROUTES,
    *sessions.ROUTES,
    *paying.ROUTES,
    *payments.ROUTES,
    *balance.ROUTES,
    *refunds.ROUTES,
    *disputes.ROUTES,
    *payouts.ROUTES,
    *people.ROUTES,
    *catalog.ROUTES,
    *eventlog.ROUTES,
    *endpoints.ROUTES,
)

PATIENCE = 100  # seconds without an answer; longer than any caller waits (the SDK's default is 80)


def api_blueprint(standin: Standin) -> Blueprint:
    """Every route of the API, and Stripe's 404 for the rest."""
    blueprint = Blueprint("api", __name__)
    for route in ROUTES:
        name = f"{route.method}{route.path}".replace("/", "_").replace(".", "_")
        blueprint.add_url_rule(route.path, name, _view(standin, route), methods=[route.method])

    @blueprint.route("/v1/<path:rest>", methods=["GET", "POST", "DELETE"])
    async def unknown(rest: str) -> Response:
        message = f"Unrecognized request URL ({request.method}: /v1/{rest})."
        return _answer(404, StripeError(message).body(), new_id("req"))

    return blueprint


def _view(standin: Standin, route: Route) -> Callable[..., Awaitable[Response]]:
    async def view(**ids: str) -> Response:
        request_id = new_id("req")
        try:
            return await _serve(standin, route, request_id, ids)
        except StripeError as error:
            answer = _answer(error.status, error.body(), request_id)
            answer.headers.update(error.headers)
            return answer

    return view


async def _serve(standin: Standin, route: Route, request_id: str, ids: dict[str, str]) -> Response:
    authorise(standin)
    account = accounts.acting_for(standin, request.headers.get("Stripe-Account", ""))
    limit = standin.failures.rate_limit
    reason = limit.refuses(account, f"{route.method} {route.path}", time.monotonic()) if limit else None
    if reason is not None:
        raise too_many(reason)
    raw: bytes = await request.body if route.method == "POST" else request.query_string
    form = raw.decode(errors="replace")
    key = request.headers.get("Idempotency-Key")
    keyed = keyed_request(account, key, route.method, request.path, form)
    kept = keyed.replay(standin.store) if keyed else None
    failure = standin.failures.take(route.method, request.path)
    if failure is not None:
        failed = await _fail_before(standin, failure, None if kept else keyed, request_id)
        if failed is not None:
            return failed
    if kept is not None:
        return _answer(kept["status"], kept["body"], request_id, replayed=True)
    status, body = _work(standin, route, account, form, ids, request_id, keyed)
    return _answer(status, body, request_id) if failure is None else await _lose(failure)


def _work(
    standin: Standin,
    route: Route,
    account: str,
    form: str,
    ids: dict[str, str],
    request_id: str,
    keyed: KeyedRequest | None,
) -> tuple[int, str]:
    older = {} if "Stripe-Version" in request.headers else route.older
    key = keyed.key if keyed else None
    try:
        params = check({**route.fields, **older}, parse_form(form))
        call = standin.call(account, params, request_id=request_id, idempotency_key=key)
        answer = route.handler(call, **ids)
        status, body = 200, json.dumps(expanded(call.book, answer, params.get("expand", ())))
    except StripeError as error:
        if not error.kept:
            raise
        status, body = error.status, json.dumps(error.body())
    if route.method != "GET":
        standin.store.changed = True
    if keyed is not None:
        keyed.keep(standin.store, status, body)
    return status, body


def authorise(standin: Standin) -> None:
    """The request's key: Bearer, or Basic with the key as user name. Raises StripeError 401."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            given = ""
    if not given:
        raise StripeError("You did not provide an API key.", status=401, kept=False)
    if given != standin.secret_key:
        raise StripeError(f"Invalid API Key provided: {given[:7]}****{given[-4:]}", status=401, kept=False)


async def _fail_before(
    standin: Standin, failure: Failure, keyed: KeyedRequest | None, request_id: str
) -> Response | None:
    """The failure that comes in place of the work; None where the work is to be done first.

    `keyed` is the key to keep a 5xx under: none where it has its answer already.
    """
    if isinstance(failure.fault, str):
        return await _lose(failure) if failure.fault.endswith("_before") else None
    asked = StripeError("The stand-in was asked to fail this call.", kind="api_error")
    error = too_many("global-rate") if failure.fault == 429 else asked
    body = json.dumps(error.body())
    if keyed is not None and failure.kept and failure.fault >= 500:
        keyed.keep(standin.store, failure.fault, body)
    return _answer(failure.fault, body, request_id)


async def _lose(failure: Failure) -> Response:
    """Give no answer: hang until the caller leaves (which cancels us), or break off at once."""
    if str(failure.fault).startswith("timeout"):
        await asyncio.sleep(PATIENCE)
    return Response(_broken_off(), headers={"Content-Length": "2"})


async def _broken_off() -> AsyncIterator[bytes]:
    """A body that ends before its declared length: the server can only close the connection."""
    yield b""
    raise ConnectionAbortedError


def _answer(status: int, body: Json | str, request_id: str, *, replayed: bool = False) -> Response:
    text = body if isinstance(body, str) else json.dumps(body)
    headers = {"Request-Id": request_id}
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    return Response(text, status=status, headers=headers, content_type="application/json")
