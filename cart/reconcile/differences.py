"""What a difference is: its kind in words, both sides, what would be done about it and what was done."""

from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from cart.till import Till
from shared.database import Sessions
from shared.installation import is_marked


class Kind(StrEnum):
    """What can differ. The value is for machines and stays; the words are in KIND_WORDS."""

    SESSION_NOT_SETTLED = "session_not_settled"
    PAYMENT_ON_ITS_WAY = "payment_on_its_way"
    DELAYED_FAILED = "delayed_failed"
    SESSION_EXPIRED = "session_expired"
    SESSION_OF_NO_USE = "session_of_no_use"
    SESSION_AMOUNT = "session_amount"
    SESSION_UNKNOWN = "session_unknown"
    SESSION_STATE = "session_state"
    ATTEMPT_UNANSWERED = "attempt_unanswered"
    ORDER_LAPSED = "order_lapsed"
    ORDER_PROCESSING = "order_processing"
    INTENT_WITHOUT_PAYMENT = "intent_without_payment"
    PAYMENT_UNKNOWN = "payment_unknown"
    AMOUNT_DIFFERS = "amount_differs"
    PAYMENT_WITHOUT_END = "payment_without_end"
    REFUND_NOT_HERE = "refund_not_here"
    REFUND_DIFFERS = "refund_differs"
    REFUND_UNKNOWN = "refund_unknown"
    REFUND_OVERDUE = "refund_overdue"
    REFUND_FAILED = "refund_failed"
    DISPUTE_NOT_HERE = "dispute_not_here"
    DISPUTE_DIFFERS = "dispute_differs"
    TICKETS_BLOCKED_WRONGLY = "tickets_blocked_wrongly"
    PAYOUT_NOT_HERE = "payout_not_here"
    PAYOUT_DIFFERS = "payout_differs"
    TRANSACTION_NOT_POSTED = "transaction_not_posted"
    TRANSACTION_UNKNOWN = "transaction_unknown"
    BALANCE_DIFFERS = "balance_differs"
    EVENT_CANCELLED = "event_cancelled"
    PAID_WITHOUT_LEDGER = "paid_without_ledger"
    PAID_WITHOUT_TICKETS = "paid_without_tickets"
    TICKETS_WITHOUT_PAYMENT = "tickets_without_payment"
    TICKETS_HELD_FOR_NOBODY = "tickets_held_for_nobody"
    POOL_DIFFERS = "pool_differs"
    ORPHAN = "orphan"
    PAID_WITHOUT_MARKS = "paid_without_marks"


KIND_WORDS = {
    Kind.SESSION_NOT_SETTLED: "Paid at Stripe, not settled here",
    Kind.PAYMENT_ON_ITS_WAY: "Payment on its way, not noted here",
    Kind.DELAYED_FAILED: "Delayed payment failed, not noted here",
    Kind.SESSION_EXPIRED: "Payment page expired, still open here",
    Kind.SESSION_OF_NO_USE: "Open payment page that is no longer needed",
    Kind.SESSION_AMOUNT: "Payment page asks for another amount",
    Kind.SESSION_UNKNOWN: "Payment page that Stripe does not know",
    Kind.SESSION_STATE: "Payment page in a state that this version does not know",
    Kind.ATTEMPT_UNANSWERED: "Payment page asked for, answer lost",
    Kind.ORDER_LAPSED: "Hold is over, stock still held",
    Kind.ORDER_PROCESSING: "Payment on its way for too long",
    Kind.INTENT_WITHOUT_PAYMENT: "Money at Stripe without a payment here",
    Kind.PAYMENT_UNKNOWN: "Payment that Stripe does not know",
    Kind.AMOUNT_DIFFERS: "Amounts differ",
    Kind.PAYMENT_WITHOUT_END: "Payment not applied to an order and not refunded",
    Kind.REFUND_NOT_HERE: "Refund at Stripe, not noted here",
    Kind.REFUND_DIFFERS: "Refund status differs from Stripe",
    Kind.REFUND_UNKNOWN: "Refund that Stripe does not know",
    Kind.REFUND_OVERDUE: "Refund owed for too long",
    Kind.REFUND_FAILED: "Refund failed",
    Kind.DISPUTE_NOT_HERE: "Dispute at Stripe, not noted here",
    Kind.DISPUTE_DIFFERS: "Dispute status differs from Stripe",
    Kind.TICKETS_BLOCKED_WRONGLY: "Tickets and dispute disagree",
    Kind.PAYOUT_NOT_HERE: "Payout at Stripe, not noted here",
    Kind.PAYOUT_DIFFERS: "Payout status differs from Stripe",
    Kind.TRANSACTION_NOT_POSTED: "Movement at Stripe, not in the ledger",
    Kind.TRANSACTION_UNKNOWN: "Movement in the ledger that Stripe does not know",
    Kind.BALANCE_DIFFERS: "Ledger and Stripe's balance differ",
    Kind.EVENT_CANCELLED: "Event cancelled, its tickets still held",
    Kind.PAID_WITHOUT_LEDGER: "Paid, and the ledger does not say so",
    Kind.PAID_WITHOUT_TICKETS: "Paid without its tickets",
    Kind.TICKETS_WITHOUT_PAYMENT: "Tickets without a payment",
    Kind.TICKETS_HELD_FOR_NOBODY: "Stock held by an order that is over",
    Kind.POOL_DIFFERS: "Stock counter is not what tickets hold",
    Kind.ORPHAN: "Ours at Stripe, unknown here",
    Kind.PAID_WITHOUT_MARKS: "Paid without our marks, fits an order",
}

NEEDS_A_PERSON = "needs a person"


class NotRepaired(Exception):
    """A repair that could not be carried out; its text says why."""


class Repair(Protocol):
    """Puts one difference right; says in words what it did. Raises NotRepaired."""

    def __call__(self, sessions: Sessions, till: Till, *, now: datetime) -> Coroutine[Any, Any, str]: ...


@dataclass(slots=True, kw_only=True)
class Difference:
    """One thing that is not the same on both sides. Texts are for people."""

    kind: Kind
    about: str
    """Such as `Order K7M2-9QXT` or `Payout po_…`"""
    here: str
    stripe: str
    remedy: str = NEEDS_A_PERSON
    """What would be done."""
    repair: Repair | None = None
    stripe_account: str = ""
    reference: str = ""
    """Stripe's id of what it is about, where there is one."""
    payment_intent: str | None = None
    order_id: UUID | None = None
    page_ids: tuple[UUID, ...] = ()
    """Whose organizers are told; none: the operator's alone."""
    done: str = ""
    repaired: bool = False

    def as_json(self) -> dict[str, Any]:
        """For the row of the run, and for machines."""
        return {
            "kind": self.kind.value,
            "words": KIND_WORDS[self.kind],
            "about": self.about,
            "here": self.here,
            "stripe": self.stripe,
            "would": self.remedy,
            "done": self.done,
            "repaired": self.repaired,
            "stripe_account": self.stripe_account,
            "reference": self.reference,
            "payment_intent": self.payment_intent,
            "order_id": str(self.order_id) if self.order_id else None,
            "page_ids": [str(page_id) for page_id in self.page_ids],
        }


@dataclass(frozen=True, slots=True)
class Scope:
    """What a run looks at, and who "we" are. Times in UTC."""

    now: datetime
    since: datetime
    grace: timedelta
    """What is younger may still be being processed by a request or a webhook, and no difference."""
    installation_id: UUID
    livemode: bool
    refund_orphans: bool = False

    def is_young(self, at: datetime | None) -> bool:
        """Whether something that happened then may still be on its way."""
        return at is not None and at > self.now - self.grace

    def is_ours(self, metadata: dict[str, str]) -> bool:
        """Whether an object at Stripe carries our installation's id; any other is foreign."""
        return is_marked(metadata, self.installation_id)
