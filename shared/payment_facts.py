"""What Stripe's objects say, narrowed to the facts that the cart works with; used by payments.py alone.

Expandable fields are narrowed to an id or an object; amounts stay minor units, times become UTC (spec: E1, E2).
"""

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import overload

from stripe import (
    Account,
    Balance,
    BalanceTransaction,
    Charge,
    Dispute,
    Event,
    PaymentIntent,
    Payout,
    Refund,
    StripeObject,
    WebhookEndpoint,
)
from stripe.checkout import Session

from shared.contracts.facts import (
    AccountFacts,
    ChargeFacts,
    DisputeFacts,
    EndpointFacts,
    EventFacts,
    IntentFacts,
    PayoutFacts,
    RefundFacts,
    SessionFacts,
    TransactionFacts,
)
from shared.contracts.payment_errors import PaymentsRefused

LONGEST_NAME = 256
ACCOUNT = re.compile(r"acct_\w{1,64}", re.ASCII)


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _id(field: StripeObject | str | None) -> str | None:
    """The id of an expandable field, expanded or not."""
    if field is None or isinstance(field, str):
        return field
    object_id: str = field["id"]
    return object_id


def _email(of: StripeObject | None, name: str) -> str | None:
    """An address that Stripe may have, or not."""
    said = of.to_dict().get(name) if of is not None else None
    return said if isinstance(said, str) else None


def _texts(metadata: StripeObject | None) -> dict[str, str]:
    return metadata.to_dict() if metadata is not None else {}


def session_facts(session: Session, stripe_account: str) -> SessionFacts:
    """A Checkout session. Raises PaymentsRefused for one without a status or an amount."""
    intent = session.payment_intent
    if session.status is None or session.amount_total is None or session.currency is None:
        raise PaymentsRefused("The payment provider sent a session without a status or an amount.")
    return SessionFacts(
        id=session.id,
        stripe_account=stripe_account,
        status=session.status,
        payment_status=session.payment_status,
        payment_intent=_id(intent),
        amount_total=session.amount_total,
        currency=session.currency.upper(),
        metadata=_texts(session.metadata),
        livemode=session.livemode,
        expires_at=_moment(session.expires_at),
        url=session.url,
        client_secret=session.client_secret,
        customer=_id(session.customer),
        created=_moment(session.created),
        email=_email(session.customer_details, "email") or _email(session, "customer_email"),
        intent_status=intent.status if isinstance(intent, PaymentIntent) else None,
    )


def intent_facts(intent: PaymentIntent, stripe_account: str) -> IntentFacts:
    """A payment intent."""
    return IntentFacts(
        id=intent.id,
        stripe_account=stripe_account,
        status=intent.status,
        amount_received=intent.amount_received,
        currency=intent.currency.upper(),
        metadata=_texts(intent.metadata),
        livemode=intent.livemode,
        created=_moment(intent.created),
        customer=_id(intent.customer),
        email=_email(intent, "receipt_email"),
    )


def charge_facts(charge: Charge, stripe_account: str) -> ChargeFacts:
    """A charge."""
    return ChargeFacts(
        id=charge.id,
        stripe_account=stripe_account,
        payment_intent=_id(charge.payment_intent),
        status=charge.status,
        amount=charge.amount,
        amount_refunded=charge.amount_refunded,
        currency=charge.currency.upper(),
        disputed=charge.disputed,
        metadata=_texts(charge.metadata),
        created=_moment(charge.created),
        email=_email(charge.billing_details, "email"),
    )


def refund_facts(refund: Refund, stripe_account: str) -> RefundFacts:
    """A refund."""
    return RefundFacts(
        id=refund.id,
        status=refund.status or "pending",
        amount=refund.amount,
        currency=refund.currency.upper(),
        failure_reason=refund.to_dict().get("failure_reason"),
        stripe_account=stripe_account,
        payment_intent=_id(refund.payment_intent),
        metadata=_texts(refund.metadata),
        created=_moment(refund.created),
    )


def dispute_facts(dispute: Dispute, stripe_account: str, *, asked_at: datetime) -> DisputeFacts:
    """A dispute as Stripe had it when asked (UTC); what it took is read from its balance transactions (spec: E4)."""
    due_by = dispute.evidence_details.due_by
    return DisputeFacts(
        id=dispute.id,
        stripe_account=stripe_account,
        payment_intent=_id(dispute.payment_intent),
        amount=dispute.amount,
        currency=dispute.currency.upper(),
        reason=dispute.reason,
        status=dispute.status,
        created=_moment(dispute.created),
        evidence_due_by=None if due_by is None else _moment(due_by),
        transactions=tuple(
            transaction_facts(transaction, stripe_account) for transaction in dispute.balance_transactions
        ),
        asked_at=asked_at,
    )


def payout_facts(payout: Payout, stripe_account: str) -> PayoutFacts:
    """A payout."""
    return PayoutFacts(
        id=payout.id,
        stripe_account=stripe_account,
        amount=payout.amount,
        currency=payout.currency.upper(),
        status=payout.status,
        automatic=payout.automatic,
        created=_moment(payout.created),
        arrives_at=_moment(payout.arrival_date),
        failure=payout.failure_message or payout.failure_code,
    )


def transaction_facts(transaction: BalanceTransaction, stripe_account: str) -> TransactionFacts:
    """A balance transaction; where its source is expanded, with the source's intent and metadata."""
    source, rate = transaction.source, transaction.exchange_rate
    metadata = source.metadata if isinstance(source, Charge | Refund) else None
    return TransactionFacts(
        id=transaction.id,
        stripe_account=stripe_account,
        type=transaction.type,
        category=transaction.reporting_category,
        balance_type=transaction.balance_type,
        amount=transaction.amount,
        fee=transaction.fee,
        net=transaction.net,
        currency=transaction.currency.upper(),
        exchange_rate=None if rate is None else Decimal(str(rate)),
        source=_id(source),
        payment_intent=_intent_of(source),
        metadata=_texts(metadata),
        created=_moment(transaction.created),
        available_on=_moment(transaction.available_on),
    )


def account_facts(account: Account, stripe_account: str) -> AccountFacts:
    """Whether an account may charge, and what Stripe says is in the way."""
    if account.charges_enabled:
        return AccountFacts(stripe_account, charges_enabled=True)
    reason = account.requirements.disabled_reason if account.requirements is not None else None
    said = f" ({reason})" if reason else ""
    return AccountFacts(stripe_account, False, f"Stripe does not let this account take payments{said}.")


def balance_by_currency(balance: Balance) -> dict[str, int]:
    """Available and pending together, minor units by currency."""
    sums: dict[str, int] = {}
    parts = [(part.currency, part.amount) for part in balance.available]
    parts += [(part.currency, part.amount) for part in balance.pending]
    for currency, amount in parts:
        sums[currency.upper()] = sums.get(currency.upper(), 0) + amount
    return sums


def endpoint_facts(endpoint: WebhookEndpoint) -> EndpointFacts:
    """A webhook endpoint."""
    return EndpointFacts(
        url=endpoint.url,
        enabled=endpoint.status == "enabled",
        events=tuple(endpoint.enabled_events),
        api_version=endpoint.api_version,
    )


def storable(body: bytes) -> bytes:
    """An event's JSON with marks in place of what no database stores: NUL, and halves of a character (surrogates).

    Whoever pays can write such into a name; it must not keep their event from being carried out.
    """
    if b"\\u" not in body:
        return body
    return json.dumps(json.loads(body, object_pairs_hook=_storable_pairs)).encode()


def _storable_pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    return {_storable(name): _storable(value) for name, value in pairs}


@overload
def _storable(value: str) -> str: ...
@overload
def _storable(value: object) -> object: ...
def _storable(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")
    return [_storable(part) for part in value] if isinstance(value, list) else value


def event_facts(event: Event) -> EventFacts:
    """A webhook event and what it is about. Raises ValueError, KeyError, TypeError, AttributeError where it is none."""
    said = event.to_dict()
    if not all(isinstance(said[name], str) and 0 < len(said[name]) < LONGEST_NAME for name in ("id", "type")):
        raise ValueError("an event has an id and a type")
    if not isinstance(said["livemode"], bool):
        raise TypeError("an event is of one mode")
    account = str(said.get("account") or "")
    if account and not ACCOUNT.fullmatch(account):
        raise ValueError("an account is like acct_…")  # it becomes part of an address at Stripe
    subject = event.data.object
    # only sessions that pay have an amount; those of other kinds are other programs' on the same account
    pays = isinstance(subject, Session) and subject.mode == "payment"
    session = _readable_session(subject, account) if isinstance(subject, Session) and pays else None
    subject_id = str(subject.to_dict().get("id", ""))
    return EventFacts(
        id=event.id,
        type=event.type,
        stripe_account=account,
        livemode=event.livemode,
        session=session,
        session_id=subject_id if pays and session is None else "",
        subject_id=subject_id,
        payment_intent=_intent_of(subject),
        metadata=_texts(subject.metadata) if isinstance(subject, PaymentIntent) else {},
    )


def _readable_session(session: Session, account: str) -> SessionFacts | None:
    try:
        return session_facts(session, account)
    except (PaymentsRefused, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


def _intent_of(subject: object) -> str | None:
    if isinstance(subject, PaymentIntent):
        return subject.id
    if isinstance(subject, Charge | Refund | Dispute):
        return _id(subject.payment_intent)
    return None
