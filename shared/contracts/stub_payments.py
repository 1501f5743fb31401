"""StubPayments: Stripe in memory, for tests of the cart and for the cart on its own."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from shared.contracts.dtos import CheckoutRequest, EventFacts, RefundFacts, SessionFacts
from shared.contracts.protocols import PaymentsRefused, PaymentsUnavailable, SignatureInvalid
from shared.database import refuse_open_transaction


class StubPayments:
    """Sessions, payments and refunds; `pay` and `expire` do what a buyer and Stripe's clock do."""

    livemode = False

    def __init__(self) -> None:
        self.sessions: dict[str, SessionFacts] = {}
        self.requests: dict[str, CheckoutRequest] = {}
        self.refunds: dict[UUID, RefundFacts] = {}
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
        self._by_key: dict[str, str] = {}

    def pay(self, session_id: str, *, paid: bool = True) -> SessionFacts:
        """What a buyer does on the hosted page; `paid` False is a delayed method."""
        facts = self.sessions[session_id]
        if facts.status != "open":
            raise PaymentsRefused(f"session is {facts.status}")
        return self._store(
            replace(
                facts,
                status="complete",
                payment_status="paid" if paid else "unpaid",
                payment_intent=f"pi_{session_id}",
                url=None,
            )
        )

    def arrive(self, session_id: str) -> SessionFacts:
        """A delayed payment has arrived."""
        return self._store(replace(self.sessions[session_id], payment_status="paid"))

    def _store(self, facts: SessionFacts) -> SessionFacts:
        self.sessions[facts.id] = facts
        return facts

    def _called(self, name: str) -> None:
        refuse_open_transaction()
        self.calls.append(name)

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
        self._called("customer")
        key = (user_id, stripe_account, replaces)
        return self.customers.setdefault(key, f"cus_{len(self.customers) + 1}")

    async def create_checkout_session(self, request: CheckoutRequest) -> SessionFacts:
        """The same key gives the same session."""
        self._called("create")
        if self.unanswered_creates:
            self.unanswered_creates -= 1
            raise PaymentsUnavailable
        if self.refused_calls:
            self.refused_calls -= 1
            raise PaymentsRefused
        if request.idempotency_key not in self._by_key:
            number = len(self.sessions) + 1
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
            )
            self._by_key[request.idempotency_key] = self._store(facts).id
            self.requests[facts.id] = request
        self._lose_answer()
        return self.sessions[self._by_key[request.idempotency_key]]

    async def retrieve_session(self, session_id: str, *, stripe_account: str) -> SessionFacts | None:
        """As it stands; None for an unknown id or another account."""
        self._called("retrieve")
        self._lose_answer()
        facts = self.sessions.get(session_id)
        return facts if facts is not None and facts.stripe_account == stripe_account else None

    async def find_session(self, request: CheckoutRequest, *, created_after: datetime) -> SessionFacts | None:
        """By the attempt's id in the metadata."""
        self._called("find")
        for facts in self.sessions.values():
            if facts.metadata["attempt_id"] == str(request.attempt_id):
                return facts
        return None

    async def expire_session(self, session_id: str, *, stripe_account: str) -> SessionFacts:
        """Expires an open session; a complete one is answered as it is, an unknown one refused."""
        self._called("expire")
        if session_id in self.silent:
            raise PaymentsUnavailable
        if session_id not in self.sessions:
            raise PaymentsRefused
        facts = self.sessions[session_id]
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
        """Once per refund id."""
        self._called("refund")
        made = self.refunds.setdefault(
            refund_id,
            RefundFacts(f"re_{len(self.refunds) + 1}", "succeeded", amount, "EUR", None),
        )
        self._lose_answer()
        return made

    def read_event(self, body: bytes, signature: str | None) -> EventFacts:
        """No signature is ever good here: webhooks are tested with real ones."""
        raise SignatureInvalid

    def read_stored_event(self, body: bytes) -> EventFacts:
        """Nothing is ever stored without a signature."""
        raise SignatureInvalid
