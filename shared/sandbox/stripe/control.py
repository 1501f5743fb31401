"""Switches for tests and demos, under a path Stripe does not have: /_test/…; JSON both ways, same key."""

from dataclasses import asdict
from secrets import randbelow

from quart import Blueprint, Response, jsonify, request

from shared.sandbox.stripe import accounts, endpoints, moneyswitches, sessions
from shared.sandbox.stripe.api import authorise
from shared.sandbox.stripe.books import read_out
from shared.sandbox.stripe.core import Standin
from shared.sandbox.stripe.errors import StripeError, invalid, missing
from shared.sandbox.stripe.failures import FAULTS, RANDOM_FAULTS, Chaos, Failure, RateLimit
from shared.sandbox.stripe.hosted import pay_with_number
from shared.sandbox.stripe.moneyswitches import Switch
from shared.sandbox.stripe.params import Json
from shared.sandbox.stripe.paying import Buyer, settle_delayed, tick
from shared.sandbox.stripe.webhooks import MODES, WebhookChaos
from shared.sandbox.stripe.wishes import located, number, probability, session_of, wish

GOOD_CARD = "4242424242424242"


def control_blueprint(standin: Standin) -> Blueprint:
    """One POST address for each switch, one GET address for each read-out."""
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

    @blueprint.get("/_test/<name>")
    async def read(name: str) -> tuple[Response, int]:
        try:
            authorise(standin)
            if name not in READ_OUTS:
                raise missing("read-out", name)
        except StripeError as error:
            return jsonify(error.body()), error.status
        return jsonify(READ_OUTS[name](standin)), 200

    return blueprint


async def pay_session(standin: Standin, wishes: Json) -> Json:
    """`session`, and if wanted `number`, `method`, `email`, `name`: pays as the page does."""
    call, session = session_of(standin, wish(wishes, "session", str))
    digits, method = wish(wishes, "number", str, GOOD_CARD), wish(wishes, "method", str, "card")
    buyer = Buyer(wish(wishes, "email", str, "buyer@example.com"), wish(wishes, "name", str, "") or None)
    pay_with_number(call, session, method, digits, buyer)
    return session


async def copy_session(standin: Standin, wishes: Json) -> Json:
    """`session`: another one with its metadata, open, made by hand; `add` makes it dearer by so much.

    `unmarked`: without its metadata and its customer, as from a payment link.
    """
    call, session = session_of(standin, wish(wishes, "session", str))
    unmarked = wish(wishes, "unmarked", bool, False)
    return sessions.copy(call, session, wish(wishes, "add", int, 0), marked=not unmarked)


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


async def chaos(standin: Standin, wishes: Json) -> Json:
    """`rates` (probabilities by name, see failures.RANDOM_FAULTS), `seed`, `path`; no rates switch it off.

    Answers the seed, and how often each fault happened since the last time.
    """
    before = standin.failures.chaos
    rates = wish(wishes, "rates", dict, {})
    for name in rates:
        if name not in RANDOM_FAULTS:
            raise invalid(f"rates may have: {', '.join(RANDOM_FAULTS)}", "rates")
    chances = {name: probability(rates, name) for name in rates}
    if sum(chances.values()) > 1:
        raise invalid("The rates must add up to 1 at most.", "rates")
    seed = wish(wishes, "seed", int, randbelow(2**31))
    path = wish(wishes, "path", str, "/v1/*")
    standin.failures.chaos = Chaos(chances, seed, path) if chances else None
    return {"seed": seed, "happened": before.counts if before else {}}


async def rate_limit(standin: Standin, wishes: Json) -> Json:
    """`on`, and if wanted `per_endpoint` and `overall`: calls a second that an account may make, as live.

    Answers how many were refused by the limit before.
    """
    before = standin.failures.rate_limit
    limit = RateLimit(wish(wishes, "per_endpoint", int, 25), wish(wishes, "overall", int, 100))
    standin.failures.rate_limit = limit if wish(wishes, "on", bool, True) else None
    refused = before.refused if before else 0
    return {"per_endpoint": limit.per_endpoint, "overall": limit.overall, "refused": refused}


async def webhooks(standin: Standin, wishes: Json) -> Json:
    """`mode` (deliver, hold, drop), `copies`; `deliver` true sends what is held, `order` by position.

    `chaos` with `drop`, `repeat`, `copies`, `delay`, `seconds`, `reorder`, `seed` makes deliveries random; {}
    switches that off.
    """
    deliveries = standin.deliveries
    mode = wish(wishes, "mode", str, deliveries.mode)
    order = wish(wishes, "order", list, list(range(len(deliveries.pending))))
    if mode not in MODES:
        raise invalid(f"mode must be one of: {', '.join(MODES)}", "mode")
    if any(position not in range(len(deliveries.pending)) for position in order):
        raise invalid("order must name positions of held events.", "order")
    copies = wish(wishes, "copies", int, deliveries.copies)
    if "chaos" in wishes:
        deliveries.chaos = _webhook_chaos(wish(wishes, "chaos", dict))
    deliveries.mode, deliveries.copies = mode, copies
    statuses = await deliveries.deliver_pending(order) if wishes.get("deliver") else []
    answer = {"held": [event["type"] for event in deliveries.pending], "statuses": statuses}
    return {**answer, "seed": deliveries.chaos.seed} if deliveries.chaos else answer


def _webhook_chaos(wishes: Json) -> WebhookChaos | None:
    if not wishes:
        return None
    return WebhookChaos(
        wish(wishes, "seed", int, randbelow(2**31)),
        drop=probability(wishes, "drop", 0),
        repeat=probability(wishes, "repeat", 0),
        copies=wish(wishes, "copies", int, 2),
        delay=probability(wishes, "delay", 0),
        seconds=number(wishes, "seconds", 5),
        reorder=probability(wishes, "reorder", 0),
    )


async def redeliver(standin: Standin, wishes: Json) -> Json:
    """Send all events since `since` (seconds since 1970) once more, of all accounts or of `account`."""
    since, account = wish(wishes, "since", int, 0), wishes.get("account")
    events = [
        event
        for name, book in standin.store.books.items()
        for event in book.tables.get("event", {}).values()
        if account in (None, name) and event["created"] >= since
    ]
    statuses = await standin.deliveries.redeliver(events)
    return {"sent": len(statuses), "taken": sum(200 <= status < 300 for status in statuses)}


async def endpoint(standin: Standin, wishes: Json) -> Json:
    """`endpoint` (we_…) and `status`: enabled or disabled, as Stripe does by itself after days of failures."""
    call, found = located(standin, endpoints.KIND, wish(wishes, "endpoint", str), "endpoint")
    status = wish(wishes, "status", str)
    if status not in ("enabled", "disabled"):
        raise invalid("status must be enabled or disabled.", "status")
    endpoints.set_status(call, found, status)
    return found


async def account(standin: Standin, wishes: Json) -> Json:
    """`account` (acct_…), and if wanted `charges_enabled`, or `access` that is withdrawn or given again.

    An account that was not known is from now on.
    """
    account_id = wish(wishes, "account", str)
    found = accounts.open_account(standin, account_id)
    if "charges_enabled" in wishes:
        accounts.restrict(standin, account_id, charges_enabled=wish(wishes, "charges_enabled", bool))
    if "access" in wishes:
        (accounts.restore if wish(wishes, "access", bool) else accounts.withdraw)(standin, account_id)
    return found


def webhook_tries(standin: Standin) -> Json:
    """Every try to deliver an event, oldest first, with its answer; status 0 = no answer."""
    return {"tries": [asdict(one) for one in standin.deliveries.tries]}


SWITCHES: dict[str, Switch] = {
    "account": account,
    "pay": pay_session,
    "copy-session": copy_session,
    "clock": set_clock,
    "finish-delayed": finish_delayed,
    "fail-next": fail_next,
    "chaos": chaos,
    "rate-limit": rate_limit,
    "webhooks": webhooks,
    "redeliver": redeliver,
    "endpoint": endpoint,
    **moneyswitches.SWITCHES,
}

READ_OUTS = {"books": read_out, "webhook-tries": webhook_tries}
