"""StubBank: what buyers, banks and Stripe's clock do to the objects of StubPayments, with their transactions."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from shared.contracts.facts import (
    DisputeFacts,
    PayoutFacts,
    RefundFacts,
    SessionFacts,
    TransactionFacts,
)
from shared.contracts.payment_errors import PaymentsRefused

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
FEE, DISPUTE_FEE = 50, 1500  # minor units
AVAILABLE_AFTER = timedelta(days=2)


class StubBank:
    """Sessions, refunds, disputes and payouts by what happens to them: pay, arrive, dispute, pay out …"""

    def __init__(self) -> None:
        self.known: dict[str, SessionFacts] = {}
        """Every session by id."""
        self.made_refunds: list[RefundFacts] = []
        """Oldest first; replace an element to let it fail."""
        self.open_disputes: dict[str, DisputeFacts] = {}
        """Every dispute by id, closed ones too."""
        self.made_payouts: dict[str, PayoutFacts] = {}
        self.booked: list[TransactionFacts] = []
        """Balance transactions, oldest first."""
        self.payout_of: dict[str, str] = {}
        """Payout by transaction."""
        self.now = BEGINNING
        """The time of what happens next."""

    def pay(self, session_id: str, *, paid: bool = True) -> SessionFacts:
        """What a buyer does on the hosted page; `paid` False is a delayed method."""
        facts = self.known[session_id]
        if facts.status != "open":
            raise PaymentsRefused(f"session is {facts.status}")
        done = replace(
            facts, status="complete", payment_status="unpaid", payment_intent=f"pi_{session_id}", url=None
        )
        self._store(replace(done, intent_status="processing"))
        return self.arrive(session_id) if paid else self.known[session_id]

    def arrive(self, session_id: str) -> SessionFacts:
        """A delayed payment has arrived."""
        facts = replace(self.known[session_id], payment_status="paid", intent_status="succeeded")
        self._book("charge", facts.amount_total, facts.currency, f"ch_{session_id}", facts, fee=FEE)
        return self._store(facts)

    def pay_again(self, session_id: str) -> SessionFacts:
        """A second payment for the same attempt, as a session made by hand would bring."""
        again = replace(
            self.known[session_id], id=f"{session_id}_again", payment_intent=f"pi_{session_id}_again"
        )
        self._store(again)
        return self.arrive(again.id)

    def bounce(self, session_id: str) -> SessionFacts:
        """A delayed payment has failed for good."""
        return self._store(replace(self.known[session_id], intent_status="requires_payment_method"))

    def refund_by_hand(self, session_id: str, amount: int) -> RefundFacts:
        """Somebody refunds in Stripe's dashboard: no id of ours in the metadata."""
        return self._refund(self.known[session_id], amount, {})

    def fail_refund(self, stripe_refund_id: str) -> RefundFacts:
        """The buyer's bank sends a refund back: the money is ours again."""
        place = next(n for n, made in enumerate(self.made_refunds) if made.id == stripe_refund_id)
        made = self.made_refunds[place]
        failed = replace(made, status="failed", failure_reason="lost_or_stolen_card")
        self.made_refunds[place] = failed
        assert made.payment_intent is not None
        session = self._session_of(made.payment_intent)
        self._book("refund_failure", made.amount, made.currency, made.id, session)
        return failed

    def dispute(self, session_id: str, *, amount: int | None = None, inquiry: bool = False) -> DisputeFacts:
        """The buyer's bank asks for the whole payment back, or for an amount of it; an inquiry takes nothing."""
        session = self.known[session_id]
        facts = DisputeFacts(
            id=f"dp_{len(self.open_disputes) + 1}",
            stripe_account=session.stripe_account,
            payment_intent=session.payment_intent,
            amount=session.amount_total if amount is None else amount,
            currency=session.currency,
            reason="fraudulent",
            status="warning_needs_response" if inquiry else "needs_response",
            created=self.now,
            evidence_due_by=self.now + timedelta(days=7),
            transactions=(),
            asked_at=self.now,
        )
        if not inquiry:
            taken = self._book(
                "adjustment", -facts.amount, facts.currency, facts.id, session, fee=DISPUTE_FEE, of="dispute"
            )
            facts = replace(facts, transactions=(taken,))
        self.open_disputes[facts.id] = facts
        return facts

    def close_dispute(self, dispute_id: str, *, won: bool) -> DisputeFacts:
        """The bank has decided; won, the money comes back and the fee with it."""
        facts = self.open_disputes[dispute_id]
        inquiry = facts.status.startswith("warning")
        status = "warning_closed" if inquiry else ("won" if won else "lost")
        facts = replace(facts, status=status)
        if won and not inquiry:
            assert facts.payment_intent is not None
            session, category = self._session_of(facts.payment_intent), "dispute_reversal"
            back = self._book(
                "adjustment", facts.amount, facts.currency, dispute_id, session, fee=-DISPUTE_FEE, of=category
            )
            facts = replace(facts, transactions=(*facts.transactions, back))
        self.open_disputes[dispute_id] = facts
        return facts

    def pay_out(self, currency: str, *, stripe_account: str = "") -> PayoutFacts:
        """Everything that no payout contains yet goes to the bank."""
        contents = [
            one
            for one in self.booked
            if (one.currency, one.stripe_account) == (currency, stripe_account)
            and one.id not in self.payout_of
        ]
        facts = PayoutFacts(
            id=f"po_{len(self.made_payouts) + 1}",
            stripe_account=stripe_account,
            amount=sum(one.net for one in contents),
            currency=currency,
            status="paid",
            automatic=True,
            created=self.now,
            arrives_at=self.now + timedelta(days=1),
            failure=None,
        )
        out = self._book("payout", -facts.amount, currency, facts.id, None, account=stripe_account)
        self.payout_of |= {one.id: facts.id for one in (*contents, out)}
        self.made_payouts[facts.id] = facts
        return facts

    def fail_payout(self, payout_id: str) -> PayoutFacts:
        """The bank sends a payout back."""
        made = self.made_payouts[payout_id]
        failed = replace(made, status="failed", failure="The bank account has been closed.")
        self._book(
            "payout_failure", made.amount, made.currency, payout_id, None,
            of="payout_reversal", account=made.stripe_account,
        )  # fmt: skip
        self.made_payouts[payout_id] = failed
        return failed

    def _session_of(self, payment_intent: str) -> SessionFacts:
        return next(one for one in self.known.values() if one.payment_intent == payment_intent)

    def _refund(self, session: SessionFacts, amount: int, metadata: dict[str, str]) -> RefundFacts:
        made = RefundFacts(
            id=f"re_{len(self.made_refunds) + 1}",
            status="succeeded",
            amount=amount,
            currency=session.currency,
            failure_reason=None,
            stripe_account=session.stripe_account,
            payment_intent=session.payment_intent,
            metadata=metadata,
            created=self.now,
        )
        self._book("refund", -amount, session.currency, made.id, session)
        self.made_refunds.append(made)
        return made

    def _book(
        self,
        kind: str,
        amount: int,
        currency: str,
        source: str,
        session: SessionFacts | None,
        *,
        fee: int = 0,
        of: str = "",
        account: str = "",
    ) -> TransactionFacts:
        made = TransactionFacts(
            id=f"txn_{len(self.booked) + 1}",
            stripe_account=session.stripe_account if session else account,
            type=kind,
            balance_type="payments",
            category=of or kind,
            amount=amount,
            fee=fee,
            net=amount - fee,
            currency=currency,
            exchange_rate=None,
            source=source,
            payment_intent=session.payment_intent if session else None,
            metadata=dict(session.metadata) if session and source.startswith("ch_") else {},
            created=self.now,
            available_on=self.now + AVAILABLE_AFTER,
        )
        self.booked.append(made)
        return made

    def _store(self, facts: SessionFacts) -> SessionFacts:
        self.known[facts.id] = facts
        return facts
