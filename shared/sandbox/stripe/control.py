"""Switches for tests and demos, under a path Stripe does not have: /_test/…; JSON both ways, same key."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from quart import Blueprint, Response, jsonify, request

from shared.sandbox.stripe import refunds
from shared.sandbox.stripe.api import authorise
from shared.sandbox.stripe.core import Call, Standin
from shared.sandbox.stripe.errors import StripeError, invalid, missing
from shared.sandbox.stripe.failures import FAULTS, Failure
from shared.sandbox.stripe.hosted import pay_with_number
from shared.sandbox.stripe.params import Json
from shared.sandbox.stripe.paying import Buyer, settle_delayed, tick
from shared.sandbox.stripe.webhooks import MODES

T = TypeVar("T")

GOOD_CARD = "4242424242424242"

Switch = Callable[[Standin, Json], Awaitable[Json]]


def control_blueprint(standin: Standin) -> Blueprint:
    """One POST address for each switch."""
    blueprint = Blueprint("control", __name__)

    @blueprint.post("/_test/<name>")
    async def turn(name: str) -> tuple[Response, int]:
        try:
            authorise(standin)
            switch = SWITCHES.get(name)
            if switch is None:
                raise missing("switch", name)
            body = await request.get_json(force=True, silent=True)
            answer = await switch(standin, body if isinstance(body, dict) else {})
        except StripeError as error:
            return jsonify(error.body()), error.status
        return jsonify(answer), 200

    return blueprint


def wish(wishes: Json, name: str, kind: type[T], default: T | None = None) -> T:
    """One value of the body. Raises StripeError 400 where it is missing or of another type."""
    value = wishes.get(name, default)
    if not isinstance(value, kind):
        raise invalid(f"{name} must be given, as {kind.__name__}.", name)
    return value


async def pay_session(standin: Standin, wishes: Json) -> Json:
    """`session`, and if wanted `number`, `method`, `email`, `name`: pays as the page does."""
    call, session = session_of(standin, wish(wishes, "session", str))
    number, method = wish(wishes, "number", str, GOOD_CARD), wish(wishes, "method", str, "card")
    buyer = Buyer(wish(wishes, "email", str, "buyer@example.com"), wish(wishes, "name", str, "") or None)
    pay_with_number(call, session, method, number, buyer)
    return session


async def set_clock(standin: Standin, wishes: Json) -> Json:
    """`now` in seconds since 1970 stops the clock there; 0 goes on with the machine's."""
    standin.store.clock.stop_at(wish(wishes, "now", int) or None)
    tick(standin)
    return {"now": standin.store.clock.now()}


async def finish_delayed(standin: Standin, wishes: Json) -> Json:
    """`session`: the delayed payment gets its answer now; `fails` overrides what its number stands for."""
    call, session = session_of(standin, wish(wishes, "session", str))
    waiting = call.book.hidden[session["id"]].get("delayed")
    if waiting is None:
        raise invalid("Nothing is on its way for this session.", "session")
    settle_delayed(call, session, fails=wish(wishes, "fails", bool, waiting["fails"]))
    return session


async def fail_next(standin: Standin, wishes: Json) -> Json:
    """`path`, `fault` (a status or one of failures.FAULTS), and if wanted `times`, `method`, `kept`."""
    fault = wishes.get("fault")
    if not isinstance(fault, int) and fault not in FAULTS:
        raise invalid(f"fault must be a status or one of: {', '.join(FAULTS)}", "fault")
    path, method = wish(wishes, "path", str), wish(wishes, "method", str, "") or None
    times, kept = wish(wishes, "times", int, 1), wish(wishes, "kept", bool, True)
    standin.failures.wishes.append(Failure(path, fault, times, method, kept))
    return {"open": len(standin.failures.wishes)}


async def webhooks(standin: Standin, wishes: Json) -> Json:
    """`mode` (deliver, hold, drop), `copies`; `deliver` true sends what is held, `order` by position."""
    deliveries = standin.deliveries
    mode = wish(wishes, "mode", str, deliveries.mode)
    order = wish(wishes, "order", list, list(range(len(deliveries.pending))))
    if mode not in MODES:
        raise invalid(f"mode must be one of: {', '.join(MODES)}", "mode")
    if any(position not in range(len(deliveries.pending)) for position in order):
        raise invalid("order must name positions of held events.", "order")
    deliveries.mode, deliveries.copies = mode, wish(wishes, "copies", int, deliveries.copies)
    statuses = await deliveries.deliver_pending(order) if wishes.get("deliver") else []
    return {"held": [event["type"] for event in deliveries.pending], "statuses": statuses}


async def fail_refund(standin: Standin, wishes: Json) -> Json:
    """`refund`, and `account` if connected: the buyer's bank sends the refund back."""
    call = standin.call(wish(wishes, "account", str, ""))
    refund = call.book.get("refund", wish(wishes, "refund", str), "refund")
    refunds.fail(call, refund)
    return refund


def session_of(standin: Standin, session_id: str) -> tuple[Call, Json]:
    """A session of any account, with a call on its account. Raises StripeError 400."""
    found = standin.store.find_session(session_id)
    if found is None:
        raise missing("checkout.session", session_id, "session", 400)
    return standin.call(found[0].account), found[1]


SWITCHES: dict[str, Switch] = {
    "pay": pay_session,
    "clock": set_clock,
    "finish-delayed": finish_delayed,
    "fail-next": fail_next,
    "webhooks": webhooks,
    "fail-refund": fail_refund,
}
