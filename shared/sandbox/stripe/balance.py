"""An account's balance: what is booked into it, the currency it settles in, /v1/balance and its transactions."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from shared.money import to_minor
from shared.sandbox.stripe import objects
from shared.sandbox.stripe.core import Call, Route
from shared.sandbox.stripe.errors import invalid
from shared.sandbox.stripe.lists import page_of, where
from shared.sandbox.stripe.objects import Entry
from shared.sandbox.stripe.params import PAGING, Fields, Json, Kind

FEE_PERMILLE, FEE_FIXED = 15, 25  # 1.5 % + 25 minor units: the European card price, near enough for a demo
DISPUTE_FEE = Decimal(15)  # major units of whatever currency the account settles in
PAYMENTS = "payments"  # the balance that money of buyers comes to and payouts leave
SETTLING = 2 * 86_400  # seconds until a payment's money is available

CHARGE, PAYMENT = Entry("charge", "charge"), Entry("payment", "charge")
PAYMENT_FAILURE = Entry("payment_failure_refund", "charge_failure")
REFUND, PAYMENT_REFUND = Entry("refund", "refund"), Entry("payment_refund", "refund")
REFUND_FAILURE = Entry("refund_failure", "refund_failure")
PAYMENT_REFUND_FAILURE = Entry("payment_refund", "refund_failure")
"""Stripe: balance transaction types; a bank's returned refund comes back under the refund's own type."""
DISPUTE = Entry("adjustment", "dispute", "Dispute fee")
DISPUTE_REVERSAL = Entry("adjustment", "dispute_reversal", "Dispute fee refund")
RESERVE_HOLD = Entry("reserve_hold", "risk_reserved_funds")
RESERVE_RELEASE = Entry("reserve_release", "risk_reserved_funds")
PAYOUT = Entry("payout", "payout")
PAYOUT_FAILURE = Entry("payout_failure", "payout_reversal")
PAYOUT_CANCEL = Entry("payout_cancel", "payout_reversal")

SETTLEMENT = "settlement"  # where a book keeps what its account settles in


@dataclass(frozen=True, slots=True)
class Settled:
    """An amount as the account books it: minor units, their currency, and the rate where it was converted."""

    amount: int
    currency: str
    rate: float | None = None


def settle_in(call: Call, currency: str | None, rate: float) -> None:
    """From now on the account settles everything in `currency`, other currencies at `rate`; None: as charged.

    `rate` turns minor units of the other currency into minor units of this one.
    """
    call.book.hidden.pop(SETTLEMENT, None)
    if currency is not None:
        call.book.hidden[SETTLEMENT] = {"currency": currency.lower(), "rate": rate}
    call.standin.store.changed = True


def settled(call: Call, amount: int, currency: str) -> Settled:
    """An amount of a payment, refund or dispute in the currency that the account settles in."""
    wanted = call.book.hidden.get(SETTLEMENT)
    if wanted is None or wanted["currency"] == currency:
        return Settled(amount, currency)
    exact = Decimal(amount) * Decimal(str(wanted["rate"]))
    converted = int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))
    return Settled(converted, wanted["currency"], wanted["rate"])


def take_in(call: Call, charge: Json, *, at_once: bool = False) -> Json:
    """Book a payment, less Stripe's fee; `at_once` makes it available without the usual wait."""
    value = settled(call, charge["amount"], charge["currency"])
    fee = value.amount * FEE_PERMILLE // 1000 + FEE_FIXED
    entry = CHARGE if _by_card(charge) else PAYMENT
    return _book(call, entry, charge, value, fee=fee, wait=0 if at_once else SETTLING)


def bounce(call: Call, charge: Json) -> Json:
    """Book that a delayed payment, which was in the balance while it waited, has failed."""
    return _reverse(call, PAYMENT_FAILURE, charge, charge["balance_transaction"], wait=SETTLING)


def give_back(call: Call, refund: Json) -> Json:
    """Book a refund at today's rate; Stripe keeps its fee."""
    value = settled(call, -refund["amount"], refund["currency"])
    return _book(call, REFUND if _by_card(refund) else PAYMENT_REFUND, refund, value, wait=SETTLING)


def take_back(call: Call, refund: Json) -> Json:
    """Book a refund that the buyer's bank returned: exactly what had been given."""
    entry = REFUND_FAILURE if _by_card(refund) else PAYMENT_REFUND_FAILURE
    return _reverse(call, entry, refund, refund["balance_transaction"], wait=SETTLING)


def withdraw(call: Call, dispute: Json, *, fee: bool = True) -> Json:
    """Book what a dispute takes at once: its amount, and the fee on top."""
    value = settled(call, -dispute["amount"], dispute["currency"])
    return _book(call, DISPUTE, dispute, value, fee=to_minor(DISPUTE_FEE, value.currency) if fee else 0)


def reinstate(call: Call, dispute: Json) -> Json:
    """Book what comes back when a dispute is won: what was last taken, the fee too unless it is kept."""
    taken = dispute["balance_transactions"][-1]
    fee = 0 if call.standin.keep_dispute_fees else -taken["fee"]
    return _reverse(call, DISPUTE_REVERSAL, dispute, taken["id"], fee=fee)


def hold_back(call: Call, amount: int, currency: str) -> list[Json]:
    """Put so much aside as a reserve, or (negative) give it back: out of one balance, into the other."""
    entry = RESERVE_HOLD if amount > 0 else RESERVE_RELEASE
    return [
        _book(call, entry, None, Settled(-amount, currency)),
        _book(call, entry, None, Settled(amount, currency), of="risk_reserved"),
    ]


def send_off(call: Call, payout: Json) -> Json:
    """Book a payout, which is in the currency it is paid in."""
    return _book(call, PAYOUT, payout, Settled(-payout["amount"], payout["currency"]))


def come_back(call: Call, payout: Json, *, cancelled: bool) -> Json:
    """Book a payout that failed or was cancelled."""
    entry = PAYOUT_CANCEL if cancelled else PAYOUT_FAILURE
    return _reverse(call, entry, payout, payout["balance_transaction"])


def _by_card(source: Json) -> bool:
    """Stripe tells cards from other methods by the id: ch_ and re_, or py_ and pyr_."""
    return not str(source["id"]).startswith("py")


def _book(
    call: Call,
    entry: Entry,
    source: Json | None,
    value: Settled,
    *,
    fee: int = 0,
    wait: int = 0,
    of: str = PAYMENTS,
) -> Json:
    made = objects.balance_transaction(
        entry,
        source["id"] if source else None,
        balance_type=of,
        amount=value.amount,
        currency=value.currency,
        rate=value.rate,
        fee=fee,
        available_on=call.now + wait,
        now=call.now,
    )
    return call.book.put(made)


def _reverse(
    call: Call, entry: Entry, source: Json, booked: str, *, wait: int = 0, fee: int | None = None
) -> Json:
    before = call.book.get("balance_transaction", booked)
    value = Settled(-before["amount"], before["currency"], before["exchange_rate"])
    return _book(call, entry, source, value, fee=-before["fee"] if fee is None else fee, wait=wait)


def ripen(call: Call) -> None:
    """Money whose time has come is available."""
    for row in call.book.tables.get("balance_transaction", {}).values():
        if row["status"] == "pending" and row["available_on"] <= call.now:
            row["status"] = "available"
            call.standin.store.changed = True


def sums(call: Call) -> dict[str, dict[str, int]]:
    """`available` and `pending`, each per currency: exactly what the transactions of payments add up to.

    What is held as a reserve is in neither.
    """
    found: dict[str, dict[str, int]] = {"available": {}, "pending": {}}
    for row in where(call.book.all("balance_transaction"), balance_type=PAYMENTS):
        part = found["available" if row["available_on"] <= call.now else "pending"]
        part[row["currency"]] = part.get(row["currency"], 0) + row["net"]
    return found


def show(call: Call, object_id: str) -> Json:
    """GET /v1/balance_transactions/{id}"""
    return call.book.get("balance_transaction", object_id)


def list_transactions(call: Call) -> Json:
    """GET /v1/balance_transactions; by payout: what an automatic payout contains, and its own movement."""
    asked = call.params
    rows = call.book.all("balance_transaction")
    if "payout" in asked:
        rows = _of_payout(call, rows, asked["payout"])
    currency = asked["currency"].lower() if "currency" in asked else None
    rows = where(rows, currency=currency, source=asked.get("source"), type=asked.get("type"))
    return page_of(call, rows, "/v1/balance_transactions")


def _of_payout(call: Call, rows: list[Json], payout_id: str) -> list[Json]:
    if not call.book.get("payout", payout_id, "payout")["automatic"]:
        message = "Balance transaction history can only be filtered on automatic payouts, not manual."
        raise invalid(message, "payout")
    return [row for row in rows if call.book.hidden.get(row["id"], {}).get("payout") == payout_id]


def show_balance(call: Call) -> Json:
    """GET /v1/balance: what is available and what is pending, per currency, minor units."""
    rows = {
        name: [
            {"amount": amount, "currency": currency, "source_types": {"card": amount}}
            for currency, amount in part.items()
        ]
        for name, part in sums(call).items()
    }
    return {"object": "balance", "livemode": False, **rows}


TRANSACTIONS: Fields = {
    **PAGING,
    "currency": Kind.TEXT,
    "payout": Kind.TEXT,
    "source": Kind.TEXT,
    "type": Kind.TEXT,
}

ROUTES = (
    Route("GET", "/v1/balance_transactions", list_transactions, TRANSACTIONS),
    Route("GET", "/v1/balance_transactions/<object_id>", show),
    Route("GET", "/v1/balance", show_balance),
)
