"""StubPayments: Stripe in memory, for tests of the cart and for the cart on its own."""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from shared.contracts.facts import (
    AccountFacts,
    ChargeFacts,
    CheckoutRequest,
    DisputeFacts,
    EndpointFacts,
    EventFacts,
    IntentFacts,
    PayoutFacts,
    RefundFacts,
    SessionFacts,
    TransactionFacts,
)
from shared.contracts.payment_errors import (
    AccountUnavailable,
    ChargeDisputed,
    KeyRefused,
    PaymentsRefused,
    PaymentsUnavailable,
    SignatureInvalid,
)
from shared.contracts.stub_bank import StubBank
from shared.database import refuse_open_transaction


class StubPayments(StubBank):
    """Implements `Payments` over what StubBank holds; calls can be made to fail or to lose their answer."""

    livemode = False
    api_version = "2026-10-28.endive"

    def __init__(self) -> None:
        super().__init__()
        self.requests: dict[str, CheckoutRequest] = {}
        self.customers: dict[tuple[UUID, str, str | None], str] = {}
        self.calls: list[str] = []
        self.lost_answers = 0
        """So many next calls take effect, but their answer is lost."""
        self.refused_calls = 0
        """So many next calls to create a session are refused for good."""
        self.unanswered_creates = 0
        """So many next calls to create a session have no effect and no answer."""
        self.silent: set[str] = set()
        """Sessions about which expiring gets no answer, ever."""
        self.clock_ahead = 0.0
        """Seconds that our clock is ahead of this Stripe's."""
        self.key_refused = False
        """Whether this Stripe no longer knows our key."""
        self.closed_accounts: set[str] = set()
        """Connected accounts that no longer let us in."""
        self.uncharging_accounts: set[str] = set()
        """Those that let us in and may not charge."""
        self.endpoints: list[EndpointFacts] = []
        self._by_key: dict[str, str] = {}

    def _called(self, name: str, account: str = "") -> None:
        refuse_open_transaction()
        self.calls.append(name)
        if account in self.closed_accounts:
            raise AccountUnavailable

    def _lose_answer(self) -> None:
        if self.lost_answers:
            self.lost_answers -= 1
            raise PaymentsUnavailable

    async def customer_for(
        self,
        *,
        user_id: UUID,
        email: str,
        stripe_account: str,
        installation_id: UUID,
        replaces: str | None = None,
    ) -> str:
        """One per user and account, and one for each that it replaces."""
        self._called("customer", stripe_account)
        key = (user_id, stripe_account, replaces)
        return self.customers.setdefault(key, f"cus_{len(self.customers) + 1}")

    async def create_checkout_session(self, request: CheckoutRequest) -> SessionFacts:
        """The same key gives the same session."""
        self._called("create", request.stripe_account)
        if self.unanswered_creates:
            self.unanswered_creates -= 1
            raise PaymentsUnavailable
        if self.refused_calls:
            self.refused_calls -= 1
            raise PaymentsRefused
        if request.idempotency_key not in self._by_key:
            number = len(self.known) + 1
            total = sum(
                item["quantity"] * item["price_data"]["unit_amount"] for item in request.params["line_items"]
            )
            facts = SessionFacts(
                id=f"cs_test_{number}",
                stripe_account=request.stripe_account,
                status="open",
                payment_status="unpaid",
                payment_intent=None,
                amount_total=total,
                currency=request.params["line_items"][0]["price_data"]["currency"].upper(),
                metadata=dict(request.params["metadata"]),
                livemode=False,
                expires_at=datetime.fromtimestamp(request.params["expires_at"], UTC),
                url=f"https://checkout.stripe.com/c/pay/cs_test_{number}",
                customer=request.params.get("customer"),
                created=self.now,
            )
            self._by_key[request.idempotency_key] = self._store(facts).id
            self.requests[facts.id] = request
        self._lose_answer()
        return self.known[self._by_key[request.idempotency_key]]

    async def retrieve_session(self, session_id: str, *, stripe_account: str) -> SessionFacts | None:
        """As it stands; None for an unknown id or another account."""
        self._called("retrieve", stripe_account)
        self._lose_answer()
        facts = self.known.get(session_id)
        return facts if facts is not None and facts.stripe_account == stripe_account else None

    async def find_session(self, request: CheckoutRequest, *, created_after: datetime) -> SessionFacts | None:
        """By the attempt's id in the metadata."""
        self._called("find", request.stripe_account)
        for facts in self.known.values():
            if facts.metadata["attempt_id"] == str(request.attempt_id):
                return facts
        return None

    async def expire_session(self, session_id: str, *, stripe_account: str) -> SessionFacts:
        """Expires an open session; a complete one is answered as it is, an unknown one refused."""
        self._called("expire", stripe_account)
        if session_id in self.silent:
            raise PaymentsUnavailable
        if session_id not in self.known:
            raise PaymentsRefused
        facts = self.known[session_id]
        if facts.status == "open":
            facts = self._store(replace(facts, status="expired", url=None))
        self._lose_answer()
        return facts

    async def refund(
        self,
        *,
        refund_id: UUID,
        payment_intent: str,
        amount: int,
        stripe_account: str,
        metadata: Mapping[str, str],
    ) -> RefundFacts:
        """Once per refund id; refused while the payment is disputed, or beyond what was paid."""
        self._called("refund", stripe_account)
        key = {"refund_id": str(refund_id)}
        made = next(
            (one for one in self.made_refunds if one.metadata.get("refund_id") == str(refund_id)), None
        )
        if made is None:
            session = self._session_of(payment_intent)
            if any(
                one.payment_intent == payment_intent and not one.is_closed and one.withdrawn
                for one in self.open_disputes.values()
            ):
                raise ChargeDisputed(details={"reason": "This charge is disputed.", "status": 400})
            before = [one for one in self.made_refunds if one.payment_intent == payment_intent]
            if amount + sum(one.amount for one in before if one.status != "failed") > session.amount_total:
                raise PaymentsRefused(details={"reason": "More than is left of the charge.", "status": 400})
            made = self._refund(session, amount, {**metadata, **key})
        self._lose_answer()
        return made

    async def session_of_intent(self, payment_intent: str, *, stripe_account: str) -> SessionFacts | None:
        """By payment intent, within an account."""
        self._called("session_of_intent", stripe_account)
        of_account = (one for one in self.known.values() if one.stripe_account == stripe_account)
        return next((one for one in of_account if one.payment_intent == payment_intent), None)

    async def retrieve_dispute(self, dispute_id: str, *, stripe_account: str) -> DisputeFacts | None:
        """As it stands."""
        self._called("retrieve_dispute")
        return self.open_disputes.get(dispute_id)

    async def retrieve_payout(self, payout_id: str, *, stripe_account: str) -> PayoutFacts | None:
        """As it stands."""
        self._called("retrieve_payout")
        return self.made_payouts.get(payout_id)

    def sessions(self, *, stripe_account: str, since: datetime) -> AsyncIterator[SessionFacts]:
        """Every session, newest first."""
        return self._listed("sessions", self.known.values(), stripe_account, since)

    def intents(self, *, stripe_account: str, since: datetime) -> AsyncIterator[IntentFacts]:
        """One for each session that somebody has begun to pay."""
        made = [_intent(one) for one in self.known.values() if one.payment_intent]
        return self._listed("intents", made, stripe_account, since)

    def charges(self, *, stripe_account: str, since: datetime) -> AsyncIterator[ChargeFacts]:
        """One for each paid session."""
        made = [self._charge(one) for one in self.known.values() if one.payment_status == "paid"]
        return self._listed("charges", made, stripe_account, since)

    def refunds(
        self, *, stripe_account: str, since: datetime | None = None, payment_intent: str | None = None
    ) -> AsyncIterator[RefundFacts]:
        """Every refund, or those of a payment."""
        made = [one for one in self.made_refunds if payment_intent in (None, one.payment_intent)]
        return self._listed("refunds", made, stripe_account, since)

    def disputes(self, *, stripe_account: str, since: datetime) -> AsyncIterator[DisputeFacts]:
        """Every dispute."""
        return self._listed("disputes", self.open_disputes.values(), stripe_account, since)

    def payouts(self, *, stripe_account: str, since: datetime) -> AsyncIterator[PayoutFacts]:
        """Every payout."""
        return self._listed("payouts", self.made_payouts.values(), stripe_account, since)

    def transactions(
        self, *, stripe_account: str, since: datetime | None = None, payout: str | None = None
    ) -> AsyncIterator[TransactionFacts]:
        """Every balance transaction, or those of a payout."""
        made = [one for one in self.booked if payout in (None, self.payout_of.get(one.id))]
        return self._listed("transactions", made, stripe_account, since)

    async def account(self, *, stripe_account: str) -> AccountFacts:
        """As it was set."""
        self._called("account")
        able = stripe_account not in self.closed_accounts | self.uncharging_accounts
        return AccountFacts(stripe_account, able, "" if able else "It may not charge.")

    async def balance(self, *, stripe_account: str) -> dict[str, int]:
        """The sum of all balance transactions."""
        self._called("balance", stripe_account)
        sums: dict[str, int] = {}
        for one in self.booked:
            if one.stripe_account == stripe_account:
                sums[one.currency] = sums.get(one.currency, 0) + one.net
        return sums

    async def _listed(
        self, name: str, rows: Iterable[Any], stripe_account: str, since: datetime | None
    ) -> AsyncIterator[Any]:
        """Newest first, within an account and a time."""
        self._called(name, stripe_account)
        for row in reversed(list(rows)):
            if row.stripe_account == stripe_account and (since is None or row.created >= since):
                yield row

    def _charge(self, session: SessionFacts) -> ChargeFacts:
        gone = [one for one in self.made_refunds if one.payment_intent == session.payment_intent]
        return ChargeFacts(
            id=f"ch_{session.id}",
            stripe_account=session.stripe_account,
            payment_intent=session.payment_intent,
            status="succeeded",
            amount=session.amount_total,
            amount_refunded=sum(one.amount for one in gone if one.status != "failed"),
            currency=session.currency,
            disputed=any(one.payment_intent == session.payment_intent for one in self.open_disputes.values()),
            metadata=dict(session.metadata),
            created=session.created or self.now,
        )

    async def clock_difference(self) -> float:
        """As it was set."""
        self._called("clock")
        if self.key_refused:
            raise KeyRefused
        return self.clock_ahead

    async def webhook_endpoints(self) -> list[EndpointFacts]:
        """As they were set."""
        self._called("endpoints")
        if self.key_refused:
            raise KeyRefused
        return list(self.endpoints)

    def ping(self) -> tuple[bytes, str]:
        """Signed with a secret that nobody knows."""
        return b'{"type": "tillgate.ping"}', "t=0,v1=stub"

    def read_event(self, body: bytes, signature: str | None) -> EventFacts:
        """No signature is ever good here: webhooks are tested with real ones."""
        raise SignatureInvalid

    def read_stored_event(self, body: bytes) -> EventFacts:
        """Nothing is ever stored without a signature."""
        raise SignatureInvalid


def _intent(session: SessionFacts) -> IntentFacts:
    assert session.payment_intent is not None
    assert session.created is not None
    return IntentFacts(
        id=session.payment_intent,
        stripe_account=session.stripe_account,
        status=session.intent_status or "requires_payment_method",
        amount_received=session.amount_total if session.payment_status == "paid" else 0,
        currency=session.currency,
        metadata=dict(session.metadata),
        livemode=False,
        created=session.created,
    )
