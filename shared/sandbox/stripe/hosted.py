"""The payment page a person uses: /c/pay/<session id>. Works without JavaScript and has none."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from quart import Blueprint, Response, render_template, request

from shared.money import format_minor
from shared.sandbox.stripe.core import Call, Standin
from shared.sandbox.stripe.errors import StripeError
from shared.sandbox.stripe.params import Json
from shared.sandbox.stripe.paying import Buyer, pay
from shared.sandbox.stripe.people import payment_method
from shared.sandbox.stripe.sessions import lapse
from shared.sandbox.stripe.testcards import INSTRUCTIONS

METHOD_NAMES = {
    "card": "Card",
    "sepa_debit": "SEPA debit",
    "bacs_debit": "Bacs debit",
    "boleto": "Boleto",
    "customer_balance": "Bank transfer",
    "konbini": "Konbini",
    "multibanco": "Multibanco",
    "oxxo": "OXXO",
}
TOLD = "You are told how to pay; nothing is paid yet."


@dataclass(frozen=True, slots=True)
class Sample:
    """A test number the page offers."""

    key: str
    method: str
    number: str
    label: str
    effect: str


SAMPLES = (
    Sample("pays", "card", "4242 4242 4242 4242", "Pays", "The payment succeeds."),
    Sample("declined", "card", "4000 0000 0000 0002", "Declined", "The bank refuses; you stay here."),
    Sample(
        "disputed", "card", "4000 0000 0000 0259", "Disputed", "It succeeds; then the bank takes it back."
    ),
    Sample("delayed", "sepa_debit", "AT61 1904 3002 3457 3201", "Delayed", "The money arrives later."),
    Sample("fails", "sepa_debit", "AT86 1904 3002 3547 3202", "Delayed, fails", "The bank returns it later."),
    Sample("delayed-bacs", "bacs_debit", "00012345", "Delayed", "The money arrives later."),
    Sample("fails-bacs", "bacs_debit", "33333335", "Delayed, fails", "The bank returns it later."),
    *(Sample(method, method, "", METHOD_NAMES[method], TOLD) for method in INSTRUCTIONS),
)


def hosted_blueprint(standin: Standin) -> Blueprint:
    """The payment page and its style sheet."""
    blueprint = Blueprint("hosted", __name__)

    @blueprint.get("/")
    async def home() -> Response:
        return await _page("home.html", None)

    @blueprint.get("/c/pay/<session_id>")
    async def show(session_id: str) -> Response:
        found = standin.store.locate("checkout.session", session_id)
        if found is None:
            return await _page("gone.html", None, 404, words=UNKNOWN)
        return await _show(standin.call(found[0].account), found[1])

    @blueprint.post("/c/pay/<session_id>")
    async def submit(session_id: str) -> Response:
        found = standin.store.locate("checkout.session", session_id)
        if found is None:
            return await _page("gone.html", None, 404, words=UNKNOWN)
        form = await request.form
        return await _pay(standin.call(found[0].account), found[1], form)

    return blueprint


UNKNOWN = (
    "There is no such payment",
    "The link may be incomplete. Go back to the shop and start the payment again.",
)
EXPIRED = ("This payment has expired", "Nothing was charged. Go back to the shop to start again.")
ON_ITS_WAY = ("Your payment is on its way", "The bank's answer takes a moment. The shop will tell you.")
DONE = ("This payment is complete", "You can close this page.")


async def _show(
    call: Call, session: Json, *, error: str = "", typed: Mapping[str, str] | None = None
) -> Response:
    lapse(call, session)
    if session["status"] != "open":
        words = _ending(session)
        return await _page("gone.html", session, words=words, back=destination(session))
    samples = [sample for sample in SAMPLES if sample.method in session["payment_method_types"]]
    chosen = _chosen(samples, request.args.get("with", ""), typed)
    status = 402 if error else 200
    return await _page(
        "pay.html",
        session,
        status,
        lines=call.book.hidden[session["id"]]["lines"],
        samples=samples,
        has_number=chosen.number != "",
        chosen=chosen,
        method_name=METHOD_NAMES[chosen.method],
        typed=typed
        or {"email": (session["customer_details"] or {}).get("email") or "", "number": chosen.number},
        error=error,
        left=_time_left(session["expires_at"] - call.now),
        until=datetime.fromtimestamp(session["expires_at"], UTC),
        merchant=(session["branding_settings"] or {}).get("display_name") or call.book.account or "Test shop",
        free=session["payment_status"] == "no_payment_required",
    )


def _ending(session: Json) -> tuple[str, str]:
    if session["status"] == "expired":
        return EXPIRED
    return ON_ITS_WAY if session["payment_status"] == "unpaid" else DONE


def _time_left(seconds: int) -> str:
    """Whole hours while there are many, else minutes, never less than one."""
    hours, minutes = seconds // 3600, max(1, seconds // 60)
    if hours >= 2:
        return f"{hours} hours"
    return f"{minutes} minute{'s' if minutes > 1 else ''}"


def _chosen(samples: list[Sample], key: str, typed: Mapping[str, str] | None) -> Sample:
    """The sample that was clicked, or after a refused try the one of the same method; else the first."""
    clicked = [sample for sample in samples if sample.key == key]
    alike = [sample for sample in samples if typed is not None and sample.method == typed["method"]]
    return next((sample for sample in clicked if not alike or sample in alike), (*alike, *samples)[0])


async def _pay(call: Call, session: Json, form: Mapping[str, str]) -> Response:
    """Take the form. A second submit of a complete session goes on to the shop and charges nothing."""
    if session["status"] == "complete" and destination(session):
        return _see_other(destination(session))
    typed = {name: form.get(name, "").strip() for name in ("email", "number", "name", "method")}
    if session["status"] == "open":
        if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", typed["email"]):
            return await _show(call, session, error="Please enter your e-mail address.", typed=typed)
        try:
            pay_with_number(
                call, session, typed["method"], typed["number"], Buyer(typed["email"], typed["name"] or None)
            )
        except StripeError as refused:
            return await _show(call, session, error=refused.message, typed=typed)
    target = destination(session)
    return _see_other(target) if session["status"] == "complete" and target else await _show(call, session)


def pay_with_number(call: Call, session: Json, kind: str, number: str, buyer: Buyer) -> None:
    """Pay as the page does, with a typed test number. Raises StripeError, 402 where the bank declines."""
    call.standin.store.changed = True
    if session["payment_status"] == "no_payment_required":
        pay(call, session, None, buyer)
        return
    billing = {"email": buyer.email, "name": buyer.name}
    pay(call, session, payment_method(call, kind, number, billing=billing, card={}), buyer)


def destination(session: Json) -> str:
    """Where the buyer goes when it is done; '' where the session says that they stay."""
    address: str = session["success_url"] or session["return_url"] or ""
    return address.replace("{CHECKOUT_SESSION_ID}", session["id"])


def _see_other(target: str) -> Response:
    return Response("", status=303, headers={"Location": target, "Cache-Control": "no-store"})


async def _page(template: str, session: Json | None, status: int = 200, **context: Any) -> Response:
    body = await render_template(template, session=session, money=format_minor, **context)
    answer = Response(body, status=status, content_type="text/html; charset=utf-8")
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Referrer-Policy"] = "same-origin"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; "
        f"form-action 'self' {_origin_of(session)}"
    )
    return answer


def _origin_of(session: Json | None) -> str:
    """Browsers hold form-action against the redirect after the submit too, so the shop must be named."""
    parts = urlsplit(destination(session) if session else "")
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""
