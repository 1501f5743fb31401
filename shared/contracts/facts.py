"""What Stripe says, narrowed to frozen facts; and the stored request of a Checkout session. Amounts in minor units.

Made by payment_facts and by the stub; read by the cart. Currencies in upper case, times in UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class CheckoutRequest:
    """The stored, replayable request for one Checkout session: built in transaction 1, sent with nothing open."""

    order_id: UUID
    attempt_id: UUID
    page_id: UUID | None
    stripe_account: str
    idempotency_key: str
    params: dict[str, Any]
    """Stripe's own parameters, JSON-clean, complete: a replay sends the very same."""


SESSION_STATES = frozenset({"open", "complete", "expired"})
PAYMENT_STATES = frozenset({"paid", "unpaid", "no_payment_required"})


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What Stripe says of one Checkout session, narrowed to what settling needs."""

    id: str
    stripe_account: str
    status: str
    """open | complete | expired"""
    payment_status: str
    """paid | unpaid | no_payment_required"""
    payment_intent: str | None
    amount_total: int
    """Minor units."""
    currency: str
    """Upper case."""
    metadata: dict[str, str]
    livemode: bool
    expires_at: datetime
    url: str | None = None
    client_secret: str | None = None
    customer: str | None = None
    created: datetime | None = None
    email: str | None = None
    """What the payer typed, or the session was made with."""
    intent_status: str | None = None
    """Of the payment intent, where it was asked for: tells a delayed payment that failed from one on its way."""

    @property
    def is_known(self) -> bool:
        """Whether this program understands both states; what Stripe adds one day is shown to a person, not guessed."""
        return self.status in SESSION_STATES and self.payment_status in PAYMENT_STATES

    @property
    def has_failed(self) -> bool:
        """Whether a delayed payment has failed for good: complete, unpaid, and nothing on its way any more."""
        return (
            self.status == "complete"
            and self.payment_status == "unpaid"
            and self.intent_status in ("requires_payment_method", "canceled")
        )


@dataclass(frozen=True, slots=True)
class IntentFacts:
    """What Stripe says of one payment intent. Amounts in minor units."""

    id: str
    stripe_account: str
    status: str
    amount_received: int
    currency: str
    metadata: dict[str, str]
    livemode: bool
    created: datetime
    customer: str | None = None
    email: str | None = None
    """Where its receipt goes."""


@dataclass(frozen=True, slots=True)
class ChargeFacts:
    """What Stripe says of one charge. Amounts in minor units."""

    id: str
    stripe_account: str
    payment_intent: str | None
    status: str
    """succeeded | pending | failed"""
    amount: int
    amount_refunded: int
    currency: str
    disputed: bool
    metadata: dict[str, str]
    created: datetime
    email: str | None = None
    """The payer's, as typed."""


@dataclass(frozen=True, slots=True)
class RefundFacts:
    """What Stripe says of one refund. `amount` in minor units."""

    id: str
    status: str
    """pending | requires_action | succeeded | failed | canceled"""
    amount: int
    currency: str
    failure_reason: str | None
    stripe_account: str = ""
    payment_intent: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    created: datetime | None = None


@dataclass(frozen=True, slots=True)
class TransactionFacts:
    """What Stripe says of one balance transaction: minor units of the currency it settles in."""

    id: str
    stripe_account: str
    type: str
    category: str
    """Stripe's reporting_category."""
    balance_type: str
    """Stripe's: the balance that it moves; payments, unless it is of a reserve or the like."""
    amount: int
    """Signed, before the fee."""
    fee: int
    net: int
    currency: str
    exchange_rate: Decimal | None
    source: str | None
    payment_intent: str | None
    """Of the charge, refund or dispute it comes from."""
    metadata: dict[str, str]
    """Of what it comes from; a dispute has none of ours."""
    created: datetime
    available_on: datetime


@dataclass(frozen=True, slots=True)
class DisputeFacts:
    """What Stripe says of one dispute. `amount` in minor units of the payment's currency."""

    id: str
    stripe_account: str
    payment_intent: str | None
    amount: int
    currency: str
    reason: str
    status: str
    created: datetime
    evidence_due_by: datetime | None
    transactions: tuple[TransactionFacts, ...]
    asked_at: datetime
    """When Stripe was asked, UTC: what was asked later is newer, in whatever order it is applied."""

    @property
    def withdrawn(self) -> int:
        """What the bank holds now, without fees; the sum over its balance transactions (spec: E4)."""
        return -sum(transaction.amount for transaction in self.transactions)

    @property
    def is_closed(self) -> bool:
        """Whether the bank has decided."""
        return self.status in ("won", "lost", "warning_closed", "prevented")


@dataclass(frozen=True, slots=True)
class PayoutFacts:
    """What Stripe says of one payout. `amount` in minor units."""

    id: str
    stripe_account: str
    amount: int
    currency: str
    status: str
    automatic: bool
    created: datetime
    arrives_at: datetime
    failure: str | None


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """Whether a Stripe account may charge."""

    stripe_account: str
    charges_enabled: bool
    reason: str = ""
    """Why not, in words for those who run the shop."""


@dataclass(frozen=True, slots=True)
class EndpointFacts:
    """One webhook endpoint as Stripe has it."""

    url: str
    enabled: bool
    """False where somebody, or Stripe after days of failures, has switched it off."""
    events: tuple[str, ...]
    """Event types it is sent; `*` for all."""
    api_version: str | None
    """None = the account's default."""


@dataclass(frozen=True, slots=True)
class EventFacts:
    """One verified webhook event; `session` is set for checkout.session.* events that carry all of it."""

    id: str
    type: str
    stripe_account: str
    livemode: bool
    session: SessionFacts | None
    session_id: str = ""
    """Of a session that pays but could not be read from the event: Stripe has to be asked for it."""
    subject_id: str = ""
    """Of the object it is about: pi_…, ch_…, re_…, dp_…, po_…"""
    payment_intent: str | None = None
    """Of the charge, refund, dispute or intent it is about."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Of the intent it is about; empty for events about anything else."""
