"""What must hold once everything is back: the shop's books against Stripe's, read from both. Used by soak.py.

Each proof returns complaints; none is the proof.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text

from shared.database import Sessions
from tests import event_rows

Row = dict[str, Any]


def _sums_of(account: str) -> str:
    """Debits minus credits of one account of the ledger."""
    return (
        "SELECT stripe_account, currency,"  # noqa: S608 - our own words
        f" sum(amount * (CASE WHEN debit = '{account}' THEN 1 ELSE -1 END)) AS balance"
        f" FROM ledger_transfers WHERE '{account}' IN (debit, credit) GROUP BY stripe_account, currency"
    )


QUERIES = {
    "orders": "SELECT id, state, total, currency FROM orders",
    "payments": "SELECT id, order_id, stripe_account, payment_intent, amount, currency FROM payments",
    "refunds": "SELECT id, payment_id, stripe_account, stripe_refund_id, amount, state, unallocated FROM refunds",
    "attempts": "SELECT order_id, session_id, state FROM checkout_attempts",
    "tickets": (
        "SELECT t.id, t.state, t.order_id, t.blocked, l.unit_amount FROM tickets t"
        " LEFT JOIN order_lines l ON l.order_id = t.order_id AND t.id = ANY(l.item_ids)"
        " WHERE t.state IN ('reserved', 'confirmed', 'checked_in')"
    ),
    "mails": "SELECT dedupe_key, state FROM outgoing_mail WHERE dedupe_key IS NOT NULL",
    "events": "SELECT id, processed_at FROM webhook_events",
    "ledger": _sums_of("stripe_balance"),
    "reserved": _sums_of("reserved"),
    "foreign": "SELECT stripe_account, payment_intent, state FROM foreign_payments",
    "above_limits": (
        "SELECT t.user_id, k.id AS type_id, count(*) AS number, k.max_per_user FROM tickets t"
        " JOIN ticket_types k ON k.id = t.ticket_type_id"
        " WHERE t.state IN ('reserved', 'confirmed', 'checked_in')"
        " GROUP BY t.user_id, k.id HAVING count(*) > k.max_per_user"
    ),
}


@dataclass(frozen=True, slots=True)
class Books:
    """Both sides at one moment: ours by table, Stripe's per account as its stand-in reads them out."""

    ours: dict[str, list[Row]]
    pools_agree: bool
    stripe: dict[str, Row]

    def at_stripe(self, kind: str) -> Iterator[tuple[str, Row]]:
        """Objects of a kind, with their account."""
        for account, book in self.stripe.items():
            for row in book[kind]:
                yield account, row


async def read(sessions: Sessions, stripe: Row) -> Books:
    """Our side from the database, Stripe's as `/_test/books` tells it."""
    async with sessions() as session:
        ours = {
            name: [dict(row) for row in (await session.execute(text(query))).mappings()]
            for name, query in QUERIES.items()
        }
        return Books(ours, await event_rows.pools_agree(session), stripe["accounts"])


def complaints(books: Books, *, saw_paid: set[str], tries: Sequence[Row]) -> list[str]:
    """All that does not hold; `saw_paid` are orders shown as paid to their buyer, `tries` deliveries of webhooks."""
    found = [] if books.pools_agree else ["A pool's counter is not what its tickets say, or above its limit."]
    for proof in PROOFS:
        found += proof(books)
    paid = {str(order["id"]) for order in books.ours["orders"] if order["state"] == "paid"}
    found += [f"Order {one} was shown as paid to its buyer and is not." for one in sorted(saw_paid - paid)]
    done = {event["id"] for event in books.ours["events"] if event["processed_at"] is not None}
    taken = {one["event"] for one in tries if 200 <= one["status"] < 300}
    found += [f"Webhook {one} was answered 2xx and is not done." for one in sorted(taken - done)]
    return found


def counts(books: Books) -> dict[str, Counter[str]]:
    """How many orders, payments and refunds there are, by state or currency."""
    return {
        "orders": Counter(order["state"] for order in books.ours["orders"]),
        "payments": Counter(payment["currency"] for payment in books.ours["payments"]),
        "refunds": Counter(refund["state"] for refund in books.ours["refunds"]),
    }


def webhook_counts(tries: Sequence[Row]) -> Counter[str]:
    """How deliveries ended: by answer, and how many were sent although they had been taken before."""
    taken: set[str] = set()
    counted: Counter[str] = Counter()
    for one in tries:
        ok = 200 <= one["status"] < 300
        counted["repeated" if one["event"] in taken else "taken" if ok else f"answer {one['status']}"] += 1
        if ok:
            taken.add(one["event"])
    return counted


def payments_match(books: Books) -> Iterator[str]:
    """Every payment at Stripe is booked here once, with its amount, and none that Stripe does not have.

    One without our marks may be nobody's; where it fits an order, a person has said what it is.
    """
    booked = {(row["stripe_account"], row["payment_intent"]): row for row in books.ours["payments"]}
    undecided = {
        (row["stripe_account"], row["payment_intent"])
        for row in books.ours["foreign"]
        if row["state"] == "open"
    }
    for account, intent in books.at_stripe("payment_intents"):
        if not intent["amount_received"]:
            continue
        row = booked.pop((account, intent["id"]), None)
        if row is None and not intent["metadata"]:
            if (account, intent["id"]) in undecided:
                yield f"{intent['id']} bears no marks, fits an order and is not decided."
        elif row is None:
            yield f"{intent['id']} was paid at Stripe and is not known here."
        elif (row["amount"], row["currency"]) != (intent["amount_received"], intent["currency"].upper()):
            yield f"{intent['id']} is booked with another amount than was paid."
    yield from (f"{intent} is booked here and was not paid at Stripe." for _, intent in booked)


def tickets_match_orders(books: Books) -> Iterator[str]:
    """Who holds a ticket has an order that goes on, who may enter has one that is paid."""
    states = {order["id"]: order["state"] for order in books.ours["orders"]}
    for ticket in books.ours["tickets"]:
        right = ("pending", "processing") if ticket["state"] == "reserved" else ("paid",)
        if states[ticket["order_id"]] not in right:
            yield f"Ticket {ticket['id']} is {ticket['state']}, its order {states[ticket['order_id']]}."
        if ticket["unit_amount"] is None:
            yield f"Ticket {ticket['id']} is {ticket['state']} and on no line of its order."


def money_matches_tickets(books: Books) -> Iterator[str]:
    """What Stripe keeps of an order's payments is exactly the price of its tickets, and came by one payment."""
    of_order = {row["payment_intent"]: row["order_id"] for row in books.ours["payments"]}
    kept: dict[UUID, list[int]] = defaultdict(list)
    for _, intent in books.at_stripe("payment_intents"):
        left = intent["amount_received"] - intent["amount_refunded"] - _lost(books, intent["id"])
        if left and intent["id"] in of_order:
            kept[of_order[intent["id"]]].append(left)
    worth = _worth(books)
    for order_id in {*kept, *worth}:
        if sum(kept[order_id]) != worth[order_id]:
            yield f"Order {order_id}: Stripe keeps {kept[order_id]}, its tickets are worth {worth[order_id]}."
        elif len(kept[order_id]) > 1:
            yield f"Order {order_id} is paid for by {len(kept[order_id])} payments."


def _lost(books: Books, payment_intent: str) -> int:
    """What banks hold of a payment: all is decided, so it is for good; whether lost, or settled before that."""
    return sum(
        dispute["withdrawn"]
        for _, dispute in books.at_stripe("disputes")
        if dispute["payment_intent"] == payment_intent
    )


def _worth(books: Books) -> Counter[UUID]:
    """The price of each order's tickets that open the door; less what was given back by hand for none of them."""
    worth: Counter[UUID] = Counter()
    for ticket in books.ours["tickets"]:
        if ticket["state"] != "reserved" and not ticket["blocked"]:
            worth[ticket["order_id"]] += ticket["unit_amount"] or 0
    orders = {payment["id"]: payment["order_id"] for payment in books.ours["payments"]}
    for refund in books.ours["refunds"]:
        if refund["unallocated"] and refund["state"] == "succeeded":
            order_id = orders[refund["payment_id"]]
            worth[order_id] = max(0, worth[order_id] - refund["amount"])
    return worth


def refunds_match(books: Books) -> Iterator[str]:
    """Every refund at Stripe is one row of ours with its amount, and each row that is done is at Stripe."""
    rows = {row["stripe_refund_id"]: row for row in books.ours["refunds"] if row["stripe_refund_id"]}
    for _, refund in books.at_stripe("refunds"):
        row = rows.pop(refund["id"], None)
        if row is None or row["amount"] != refund["amount"]:
            yield f"{refund['id']} of {refund['amount']} at Stripe is not ours, or of another amount."
    yield from (f"{refund} is done here and not at Stripe." for refund in rows)
    for row in books.ours["refunds"]:
        if row["state"] not in ("succeeded", "withdrawn"):  # withdrawn: the bank has paid the buyer
            yield f"Refund {row['id']} is still {row['state']}."


def nothing_is_open(books: Books) -> Iterator[str]:
    """No order waits any more, and nothing at Stripe can be paid for one that is over."""
    states = {str(order["id"]): order["state"] for order in books.ours["orders"]}
    for order_id, state in states.items():
        if state in ("pending", "processing"):
            yield f"Order {order_id} is still {state}."
    for row in books.ours["attempts"]:
        if row["state"] in ("creating", "open"):
            yield f"An attempt of order {row['order_id']} is still {row['state']}."
    for _, session in books.at_stripe("sessions"):
        order_id = session["metadata"].get("order_id", "")
        if not order_id:
            continue  # made by hand, and for no order of ours
        if session["status"] == "open" and states.get(order_id) not in ("pending", "processing"):
            yield f"{session['id']} can still be paid, but its order {order_id} is {states.get(order_id)}."


def mails_match(books: Books) -> Iterator[str]:
    """Each paid order's buyer is told once, and no mail stays behind."""
    owed = {row["dedupe_key"]: row["state"] for row in books.ours["mails"]}
    for order in books.ours["orders"]:
        key = f"order_paid:{order['id']}"
        if (order["state"] == "paid") != (key in owed):
            yield f"Order {order['id']} is {order['state']}, and its mail is {owed.get(key, 'not owed')}."
    yield from (f"Mail {key} is still {state}." for key, state in owed.items() if state != "sent")


def ledger_matches(books: Books) -> Iterator[str]:
    """Per account and currency, the ledger has what Stripe's balance has, to the cent."""
    stripe = {
        (account, currency.upper()): sums["total"]
        for account, book in books.stripe.items()
        for currency, sums in book["balance"].items()
    }
    yield from _differing("Ledger", books.ours["ledger"], stripe)


def reserves_match(books: Books) -> Iterator[str]:
    """Per account and currency, the ledger has set aside what Stripe holds back."""
    stripe: Counter[tuple[str, str]] = Counter()
    for account, row in books.at_stripe("balance_transactions"):
        if row["balance_type"] != "payments":
            stripe[account, row["currency"].upper()] += row["net"]
    yield from _differing("Reserve", books.ours["reserved"], stripe)


def _differing(what: str, rows: Sequence[Row], stripe: Mapping[tuple[str, str], int]) -> Iterator[str]:
    ours = {(row["stripe_account"], row["currency"]): int(row["balance"]) for row in rows}
    for key in sorted({*ours, *stripe}):
        if ours.get(key, 0) != stripe.get(key, 0):
            yield f"{what} {' '.join(key).strip()}: {ours.get(key, 0)} here, {stripe.get(key, 0)} at Stripe."


def limits_hold(books: Books) -> Iterator[str]:
    """Nobody has more of a kind of tickets than one person may have."""
    for row in books.ours["above_limits"]:
        yield f"{row['user_id']} has {row['number']} of {row['type_id']}, and {row['max_per_user']} are the limit."


PROOFS = (
    payments_match,
    tickets_match_orders,
    money_matches_tickets,
    refunds_match,
    nothing_is_open,
    mails_match,
    ledger_matches,
    reserves_match,
    limits_hold,
)
