"""Switches for tests and demos, under a path Stripe does not have: /_test/…; JSON both ways, same key."""

from collections.abc import Awaitable, Callable

from quart import Blueprint, Response, jsonify, request

from shared.sandbox.stripe import refunds
from shared.sandbox.stripe.api import authorise
from shared.sandbox.stripe.core import Call, Standin
from shared.sandbox.stripe.errors import StripeError, invalid, missing
from shared.sandbox.stripe.failures import FAULTS, Failure
from shared.sandbox.stripe.hosted import pay_with_number
from shared.sandbox.stripe.params import Json
from shared.sandbox.stripe.paying import Buyer, settle_delayed, tick

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
            answer = await switch(standin, await request.get_json(force=True, silent=True) or {})
        except StripeError as error:
            return jsonify(error.body()), error.status
        return jsonify(answer), 200

    return blueprint


async def pay_session(standin: Standin, wishes: Json) -> Json:
    """`session`, and if wanted `number`, `method`, `email`, `name`: pays as the page does."""
    call, session = session_of(standin, wishes)
    number, method = wishes.get("number", "4242424242424242"), wishes.get("method", "card")
    buyer = Buyer(wishes.get("email", "buyer@example.com"), wishes.get("name"))
    pay_with_number(call, session, method, number, buyer)
    return session


async def set_clock(standin: Standin, wishes: Json) -> Json:
    """`now` in seconds since 1970 stops the clock there, null goes on with the machine's."""
    standin.store.clock.stop_at(wishes.get("now"))
    tick(standin)
    return {"now": standin.store.clock.now()}


async def finish_delayed(standin: Standin, wishes: Json) -> Json:
    """`session`: the delayed payment gets its answer now; `fails` overrides what its number stands for."""
    call, session = session_of(standin, wishes)
    waiting = call.book.hidden[session["id"]].get("delayed")
    if waiting is None:
        raise invalid("Nothing is on its way for this session.", "session")
    settle_delayed(call, session, fails=wishes.get("fails", waiting["fails"]))
    return session


async def fail_next(standin: Standin, wishes: Json) -> Json:
    """`path`, `fault` (a status or one of failures.FAULTS), and if wanted `times`, `method`, `kept`."""
    fault = wishes.get("fault")
    if not isinstance(fault, int) and fault not in FAULTS:
        raise invalid(f"fault must be a status or one of: {', '.join(FAULTS)}", "fault")
    standin.failures.wishes.append(
        Failure(wishes["path"], fault, wishes.get("times", 1), wishes.get("method"), wishes.get("kept", True))
    )
    return {"open": len(standin.failures.wishes)}


async def webhooks(standin: Standin, wishes: Json) -> Json:
    """`mode` (deliver, hold, drop), `copies`; `deliver` true sends what is held, `order` by position."""
    deliveries = standin.deliveries
    deliveries.mode = wishes.get("mode", deliveries.mode)
    deliveries.copies = wishes.get("copies", deliveries.copies)
    statuses = await deliveries.deliver_pending(wishes.get("order")) if wishes.get("deliver") else []
    return {"held": [event["type"] for event in deliveries.pending], "statuses": statuses}


async def fail_refund(standin: Standin, wishes: Json) -> Json:
    """`refund`, and `account` if connected: the buyer's bank sends the refund back."""
    call = standin.call(wishes.get("account", ""))
    refund = call.book.get("refund", wishes.get("refund", ""), "refund")
    refunds.fail(call, refund)
    return refund


def session_of(standin: Standin, wishes: Json) -> tuple[Call, Json]:
    """The session named in the wishes, with a call on its account."""
    found = standin.store.find_session(str(wishes.get("session")))
    if found is None:
        raise missing("checkout.session", str(wishes.get("session")), "session")
    return standin.call(found[0].account), found[1]


SWITCHES: dict[str, Switch] = {
    "pay": pay_session,
    "clock": set_clock,
    "finish-delayed": finish_delayed,
    "fail-next": fail_next,
    "webhooks": webhooks,
    "fail-refund": fail_refund,
}
