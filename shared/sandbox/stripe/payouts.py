"""Payouts to the account's bank: /v1/payouts, and automatic ones by a switch."""

from shared.sandbox.stripe import balance, objects
from shared.sandbox.stripe.catalog import merged_metadata
from shared.sandbox.stripe.core import Call, Route
from shared.sandbox.stripe.errors import StripeError, invalid
from shared.sandbox.stripe.lists import page_of, where, within
from shared.sandbox.stripe.params import PAGING, Fields, Json, Kind, need

ON_THE_WAY = 86_400  # seconds until a payout arrives
TRAVELLING = ("pending", "in_transit")


def pay_out(call: Call, *, everything: bool = False) -> list[Json]:
    """Automatic payouts, one per currency, of what is available and in no payout yet; none where nothing is left.

    Where more went than came, it is negative: Stripe takes the rest from the bank.

    `everything` makes what is pending available first.
    """
    if everything:
        for row in call.book.all("balance_transaction"):
            row["available_on"] = min(row["available_on"], call.now)
    balance.ripen(call)
    rows = where(call.book.all("balance_transaction"), balance_type=balance.PAYMENTS)
    unpaid = [row for row in rows if row["id"] not in call.book.hidden]
    ready = where(unpaid, status="available")
    made = [_automatic(call, currency, ready) for currency in sorted({row["currency"] for row in ready})]
    return [payout for payout in made if payout is not None]


def _automatic(call: Call, currency: str, ready: list[Json]) -> Json | None:
    rows = where(ready, currency=currency)
    amount = sum(row["net"] for row in rows)
    if amount == 0:
        return None
    payout = _send(call, {}, amount, currency, automatic=True)
    own = call.book.get("balance_transaction", payout["balance_transaction"])
    for row in (*rows, own):
        call.book.hidden[row["id"]] = {"payout": payout["id"]}
    return payout


def _send(call: Call, wishes: Json, amount: int, currency: str, *, automatic: bool) -> Json:
    payout = objects.payout(
        wishes,
        amount=amount,
        currency=currency,
        automatic=automatic,
        arrives=call.now + ON_THE_WAY,
        now=call.now,
    )
    payout["balance_transaction"] = balance.send_off(call, payout)["id"]
    call.book.put(payout)
    call.emit("payout.created", payout)
    return payout


def arrive(call: Call, payout: Json) -> None:
    """The bank has the money. Raises StripeError 400 for a payout that is not on its way."""
    _must_be(payout, TRAVELLING)
    payout.update(status="paid", arrival_date=min(payout["arrival_date"], call.now))
    payout["trace_id"] = {"status": "supported", "value": f"STANDIN{payout['created']}"}
    call.emit("payout.updated", payout)
    call.emit("payout.paid", payout)


def fail(call: Call, payout: Json, code: str, message: str) -> None:
    """The bank sends the money back, even days after it was `paid`. Raises StripeError 400 for a second time."""
    _must_be(payout, (*TRAVELLING, "paid"))
    returned = balance.come_back(call, payout, cancelled=False)
    payout.update(
        status="failed",
        failure_code=code,
        failure_message=message,
        failure_balance_transaction=returned["id"],
    )
    call.emit("payout.updated", payout)
    call.emit("payout.failed", payout)


def tick(call: Call) -> None:
    """What has reached its day of arrival is paid."""
    for payout in call.book.all("payout"):
        if payout["status"] in TRAVELLING and payout["arrival_date"] <= call.now:
            arrive(call, payout)


def _must_be(payout: Json, statuses: tuple[str, ...]) -> None:
    if payout["status"] not in statuses:
        raise StripeError(f"The payout has a status of {payout['status']}.", param="payout")


def create(call: Call) -> Json:
    """POST /v1/payouts: by hand; StripeError 400 for more than is available."""
    amount, currency = need(call.params, "amount"), need(call.params, "currency").lower()
    if amount < 1:
        raise invalid("Invalid positive integer", "amount", "parameter_invalid_integer")
    if amount > balance.sums(call)["available"].get(currency, 0):
        raise StripeError("You have insufficient funds in your Stripe account.", code="balance_insufficient")
    return _send(call, call.params, amount, currency, automatic=False)


def cancel(call: Call, object_id: str) -> Json:
    """POST /v1/payouts/{id}/cancel: one made by hand that is still pending; else StripeError 400."""
    payout = call.book.get("payout", object_id)
    _must_be(payout, ("pending",))
    returned = balance.come_back(call, payout, cancelled=True)
    payout.update(status="canceled", failure_balance_transaction=returned["id"])
    call.emit("payout.updated", payout)
    call.emit("payout.canceled", payout)
    return payout


def show(call: Call, object_id: str) -> Json:
    """GET /v1/payouts/{id}"""
    return call.book.get("payout", object_id)


def change(call: Call, object_id: str) -> Json:
    """POST /v1/payouts/{id}: metadata only."""
    payout = call.book.get("payout", object_id)
    payout["metadata"] = merged_metadata(payout, call.params)
    call.emit("payout.updated", payout)
    return payout


def list_payouts(call: Call) -> Json:
    """GET /v1/payouts"""
    asked = call.params
    rows = where(call.book.all("payout"), status=asked.get("status"), destination=asked.get("destination"))
    return page_of(call, within(call, rows, "arrival_date"), "/v1/payouts")


PAYOUT: Fields = {
    "amount": Kind.INT,
    "currency": Kind.TEXT,
    "description": Kind.TEXT,
    "destination": Kind.TEXT,
    "metadata": Kind.MAP,
    "method": ("instant", "standard"),
    "source_type": ("bank_account", "card", "fpx"),
    "statement_descriptor": Kind.TEXT,
}
LIST: Fields = {
    **PAGING,
    "arrival_date": Kind.ANY,
    "destination": Kind.TEXT,
    "status": ("canceled", "failed", "in_transit", "paid", "pending"),
}

ROUTES = (
    Route("POST", "/v1/payouts", create, PAYOUT),
    Route("GET", "/v1/payouts", list_payouts, LIST),
    Route("GET", "/v1/payouts/<object_id>", show),
    Route("POST", "/v1/payouts/<object_id>", change, {"metadata": Kind.MAP}),
    Route("POST", "/v1/payouts/<object_id>/cancel", cancel),
)
