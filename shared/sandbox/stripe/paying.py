"""What happens when a buyer pays a Checkout session: at once, refused, later, disputed. Also /v1/payment_pages."""

from dataclasses import dataclass

from shared.sandbox.stripe import accounts, balance, disputes, objects, payments, payouts, refunds
from shared.sandbox.stripe.core import Call, Route, Standin
from shared.sandbox.stripe.errors import StripeError, card_error, invalid, missing
from shared.sandbox.stripe.instructions import instruct
from shared.sandbox.stripe.params import Json, Kind
from shared.sandbox.stripe.payments import fail, make_charge, make_intent, succeed
from shared.sandbox.stripe.people import named_payment_method
from shared.sandbox.stripe.sessions import details_of, lapse
from shared.sandbox.stripe.testcards import INSTRUCTIONS, TestNumber, known_number

RETURNED = TestNumber(
    "delayed_fails", code="payment_intent_payment_attempt_failed", message="The bank returned the debit."
)

LAPSED = TestNumber(
    "instructed", code="payment_intent_payment_attempt_expired", message="The buyer has not paid in time."
)


@dataclass(frozen=True, slots=True)
class Buyer:
    """What the buyer typed on the payment page."""

    email: str | None = None
    name: str | None = None


def pay(call: Call, session: Json, method: Json | None, buyer: Buyer) -> None:
    """Pay an open session; `method` may be None where nothing is to pay.

    Raises StripeError: 400 where the session is not open or does not take the method, 402 where the bank
    declines; then the buyer may try again.
    """
    lapse(call, session)
    if session["status"] != "open":
        raise StripeError(
            "This Checkout Session is no longer open.", code="checkout_session_not_open", param="session"
        )
    if session["payment_status"] == "no_payment_required":
        _complete(call, session, buyer, paid=False)
        return
    if method is None or method["type"] not in session["payment_method_types"]:
        raise invalid("This Checkout Session does not take that payment method.", "payment_method")
    accounts.must_sell(call)
    _collect(call, session, method, buyer)


def _collect(call: Call, session: Json, method: Json, buyer: Buyer) -> None:
    intent = call.book.find("payment_intent", session["payment_intent"] or "") or make_intent(call, session)
    session["payment_intent"] = intent["id"]
    known = known_number(method["type"], call.book.hidden[method["id"]]["number"])
    if known.outcome == "instructed":
        instruct(call, session, intent, method)
        _complete(call, session, buyer, paid=False)
        return
    charge = make_charge(call, intent, method)
    if known.outcome == "declined":
        fail(call, intent, charge, known)
        raise card_error(known.message, known.code, known.decline_code, charge=charge["id"])
    if known.outcome == "paid":
        succeed(call, intent, charge)
        _complete(call, session, buyer, paid=True)
        if known.disputed:
            disputes.open_dispute(call, charge, reason=known.disputed, inquiry=known.inquiry)
        return
    intent["status"] = "processing"
    if call.standin.book_pending:
        payments.book(call, charge)
    call.emit("payment_intent.processing", intent)
    call.emit("charge.pending", charge)
    call.book.hidden[session["id"]]["delayed"] = {
        "at": call.now + call.standin.delayed_after,
        "fails": known.outcome == "delayed_fails",
    }
    _complete(call, session, buyer, paid=False)


def _complete(call: Call, session: Json, buyer: Buyer, *, paid: bool) -> None:
    before = session["customer_details"] or {}
    session.update(
        status="complete",
        url=None,
        customer_details=details_of(buyer.email or before.get("email"), buyer.name or before.get("name")),
        collected_information={"business_name": None, "individual_name": None, "shipping_details": None},
    )
    if paid:
        session["payment_status"] = "paid"
    if session["customer_creation"] == "always":
        made = objects.customer({"email": session["customer_details"]["email"]}, now=call.now)
        session["customer"] = call.book.put(made)["id"]
        call.emit("customer.created", made)
    call.emit("checkout.session.completed", session)


def settle_delayed(call: Call, session: Json, *, fails: bool) -> None:
    """The bank's late answer for a session that completed unpaid; a second one changes nothing."""
    if call.book.hidden[session["id"]].pop("delayed", None) is None:
        return
    intent = call.book.get("payment_intent", session["payment_intent"])
    intent["next_action"] = None
    charge = call.book.find("charge", intent["latest_charge"] or "") or make_charge(
        call, intent, call.book.get("payment_method", intent["payment_method"])
    )
    if fails:
        told = charge["payment_method_details"]["type"] in INSTRUCTIONS
        fail(call, intent, charge, LAPSED if told else RETURNED)
        call.emit("checkout.session.async_payment_failed", session)
        return
    succeed(call, intent, charge)
    session["payment_status"] = "paid"
    call.emit("checkout.session.async_payment_succeeded", session)


def tick(standin: Standin) -> None:
    """Do what the clock has made due: sessions expire, delayed payments and refunds get their answer, money arrives."""
    for account, book in list(standin.store.books.items()):
        call = standin.call(account)
        for session in book.all("checkout.session"):
            lapse(call, session)
        for session_id, waiting in book.due("delayed", call.now):
            settle_delayed(call, book.get("checkout.session", session_id), fails=waiting["fails"])
        payments.tick(call)
        refunds.tick(call)
        payouts.tick(call)
        balance.ripen(call)


def show_page(call: Call, object_id: str) -> Json:
    """GET /v1/payment_pages/{id}: what Stripe's own payment page reads; its command-line tool too."""
    session = call.book.find("checkout.session", object_id)
    if session is None:
        raise missing("payment page", object_id)
    return {**session, "session_id": session["id"]}


def confirm_page(call: Call, object_id: str) -> Json:
    """POST /v1/payment_pages/{id}/confirm: pays the session as its page does."""
    session = call.book.get("checkout.session", object_id)
    expected = call.params.get("expected_amount", session["amount_total"])
    if expected != session["amount_total"]:
        raise invalid("The amount has changed.", "expected_amount", "checkout_amount_mismatch")
    named = call.params.get("payment_method")
    method = named_payment_method(call, named) if named else None
    billing = method["billing_details"] if method else {}
    pay(call, session, method, Buyer(billing.get("email"), billing.get("name")))
    return {**session, "session_id": session["id"]}


ROUTES = (
    Route("GET", "/v1/payment_pages/<object_id>", show_page),
    Route(
        "POST",
        "/v1/payment_pages/<object_id>/confirm",
        confirm_page,
        {"payment_method": Kind.TEXT, "expected_amount": Kind.INT, "eid": Kind.TEXT, "key": Kind.TEXT},
    ),
)
