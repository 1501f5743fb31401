"""StripePayments: every call to Stripe. stripe_client makes the calls, payment_facts narrows what comes back.

No other module imports stripe. Facts of the SDK and traps: Stripe's pages on Checkout Sessions and webhooks.
"""

import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from uuid import UUID

import stripe
from stripe import WebhookSignature

from shared import payment_facts as facts
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
    EventUnreadable,
    PaymentsRefused,
    SignatureInvalid,
)
from shared.installation import mark
from shared.stripe_calls import keep_counting
from shared.stripe_client import (
    PER_CALL,
    StripeConnection,
    answer,
    each,
    every,
    known,
    made_since,
    on_account,
    under_next_key,
)
from shared.web import Tillgate

REQUIRED_METADATA = ("app", "installation_id", "order_id", "attempt_id", "page_id", "product_ids")
SIGNATURE_TOLERANCE_SECONDS = 300
PING = "tillgate.ping"
"""Type of the event that our webhook's own address is tried with; stored nowhere."""


def init_app(app: Tillgate) -> None:
    """Fill services.payments, unless a stub stands there, and close the client with the app."""
    if app.services.filled("payments") or not app.settings.stripe_secret_key:
        return
    payments = StripePayments(app.settings)
    app.services.payments = payments
    app.after_serving(payments.close)
    keep_counting(app, payments.tally)


class StripePayments(StripeConnection):
    """Implements `Payments` with Stripe's SDK; the protocol's docstrings hold here."""

    api_version = stripe.api_version

    async def customer_for(
        self,
        *,
        user_id: UUID,
        email: str,
        stripe_account: str,
        installation_id: UUID,
        replaces: str | None = None,
    ) -> str:
        """Create the user's customer; the key makes a repeat return the same one (spec: E5)."""
        first = f"customer-{installation_id}-{user_id}" + (f"-{replaces}" if replaces else "")
        metadata = {**mark(installation_id), "user_id": str(user_id)}

        async def make(key: str) -> str:
            customer = await self.pacer.patiently(
                "customers",
                stripe_account,
                lambda: answer(
                    self.client.v1.customers.create_async(
                        params={"email": email, "metadata": metadata},
                        options={**on_account(stripe_account), "idempotency_key": key},
                    )
                ),
            )
            return customer.id

        return await under_next_key(first, make)

    async def create_checkout_session(self, request: CheckoutRequest) -> SessionFacts:
        """Make the Checkout session of one attempt: the one place that does so (spec: F1).

        Raises ValueError where the request lacks metadata: such a session could be paid and never be found again.
        """
        metadata = request.params.get("metadata", {})
        missing = [name for name in REQUIRED_METADATA if not metadata.get(name)]
        if missing or metadata["order_id"] != str(request.order_id):
            raise ValueError(f"checkout session without {missing or 'its own order_id'}")
        session = await self.pacer.patiently(
            "checkout sessions",
            request.stripe_account,
            lambda: answer(
                self.client.v1.checkout.sessions.create_async(
                    params=request.params,  # type: ignore[arg-type]  # stored as JSON; Stripe checks it
                    options={
                        **on_account(request.stripe_account),
                        "idempotency_key": request.idempotency_key,
                    },
                )
            ),
        )
        return facts.session_facts(session, request.stripe_account)

    async def retrieve_session(self, session_id: str, *, stripe_account: str) -> SessionFacts | None:
        """The session as it stands; None where Stripe does not know it or the id is not one."""
        if not session_id.startswith("cs_"):
            return None  # an empty id would hit the list address
        try:
            session = await answer(
                self.client.v1.checkout.sessions.retrieve_async(
                    session_id, options=on_account(stripe_account)
                )
            )
        except PaymentsRefused as error:
            if error.details.get("status") == 404:
                return None
            raise
        return facts.session_facts(session, stripe_account)

    async def find_session(self, request: CheckoutRequest, *, created_after: datetime) -> SessionFacts | None:
        """The session of an attempt whose key is too old to be replayed: by customer and time, then by metadata."""
        params: stripe.params.checkout.SessionListParams = {
            "created": {"gte": int(created_after.timestamp())},
            "limit": PER_CALL,
        }
        if "customer" in request.params:
            params["customer"] = request.params["customer"]
        listed = await answer(
            self.client.v1.checkout.sessions.list_async(
                params=params, options=on_account(request.stripe_account)
            )
        )
        async for found in every(listed):
            if found.mode != "payment":
                continue  # one that only saves a card has no amount
            session = facts.session_facts(found, request.stripe_account)
            if session.metadata.get("attempt_id") == str(request.attempt_id):
                return session
        return None

    async def expire_session(self, session_id: str, *, stripe_account: str) -> SessionFacts:
        """Expire the session if it is open; a complete or expired one is answered as it is."""
        try:
            session = await answer(
                self.client.v1.checkout.sessions.expire_async(session_id, options=on_account(stripe_account))
            )
        except PaymentsRefused:
            found = await self.retrieve_session(session_id, stripe_account=stripe_account)
            if found is None:
                raise
            return found
        return facts.session_facts(session, stripe_account)

    async def session_of_intent(self, payment_intent: str, *, stripe_account: str) -> SessionFacts | None:
        """The Checkout session that a payment intent belongs to, with the intent's status; None where there is none."""
        found = await answer(
            self.client.v1.checkout.sessions.list_async(
                params={
                    "payment_intent": payment_intent,
                    "limit": 1,
                    "expand": ["data.payment_intent"],
                },
                options=on_account(stripe_account),
            )
        )
        return facts.session_facts(found.data[0], stripe_account) if found.data else None

    async def retrieve_dispute(self, dispute_id: str, *, stripe_account: str) -> DisputeFacts | None:
        """A dispute as it stands, with its balance transactions; None where Stripe does not know it."""
        if not dispute_id.startswith(("dp_", "du_")):
            return None
        asked_at = datetime.fromtimestamp(time.time(), UTC)
        call = self.client.v1.disputes.retrieve_async(dispute_id, options=on_account(stripe_account))
        found = await known(call)
        return None if found is None else facts.dispute_facts(found, stripe_account, asked_at=asked_at)

    async def retrieve_payout(self, payout_id: str, *, stripe_account: str) -> PayoutFacts | None:
        """A payout as it stands; None where Stripe does not know it."""
        if not payout_id.startswith("po_"):
            return None
        call = self.client.v1.payouts.retrieve_async(payout_id, options=on_account(stripe_account))
        found = await known(call)
        return None if found is None else facts.payout_facts(found, stripe_account)

    async def sessions(self, *, stripe_account: str, since: datetime) -> AsyncIterator[SessionFacts]:
        """All Checkout sessions that pay, made since (UTC), newest first, each with its intent's status (spec: E3)."""
        call = self.lists.v1.checkout.sessions.list_async(
            params={
                "created": {"gte": int(since.timestamp())},
                "limit": PER_CALL,
                "expand": ["data.payment_intent"],
            },
            options=on_account(stripe_account),
        )
        async for found in every(await answer(call)):
            if found.mode == "payment":
                yield facts.session_facts(found, stripe_account)

    def intents(self, *, stripe_account: str, since: datetime) -> AsyncIterator[IntentFacts]:
        """All payment intents made since, newest first."""
        return each(
            self.lists.v1.payment_intents.list_async, facts.intent_facts, stripe_account, made_since(since)
        )

    def charges(self, *, stripe_account: str, since: datetime) -> AsyncIterator[ChargeFacts]:
        """All charges made since, newest first."""
        return each(self.lists.v1.charges.list_async, facts.charge_facts, stripe_account, made_since(since))

    def refunds(
        self, *, stripe_account: str, since: datetime | None = None, payment_intent: str | None = None
    ) -> AsyncIterator[RefundFacts]:
        """All refunds made since, or those of one payment, newest first."""
        params = made_since(since) | ({"payment_intent": payment_intent} if payment_intent else {})
        return each(self.lists.v1.refunds.list_async, facts.refund_facts, stripe_account, params)

    def disputes(self, *, stripe_account: str, since: datetime) -> AsyncIterator[DisputeFacts]:
        """All disputes opened since, newest first."""
        read = partial(facts.dispute_facts, asked_at=datetime.fromtimestamp(time.time(), UTC))
        return each(self.client.v1.disputes.list_async, read, stripe_account, made_since(since))

    def payouts(self, *, stripe_account: str, since: datetime) -> AsyncIterator[PayoutFacts]:
        """All payouts made since, newest first."""
        return each(self.lists.v1.payouts.list_async, facts.payout_facts, stripe_account, made_since(since))

    def transactions(
        self, *, stripe_account: str, since: datetime | None = None, payout: str | None = None
    ) -> AsyncIterator[TransactionFacts]:
        """All balance transactions made since, or those that a payout contains, newest first."""
        params = made_since(since) | {"expand": ["data.source"]} | ({"payout": payout} if payout else {})
        return each(
            self.lists.v1.balance_transactions.list_async, facts.transaction_facts, stripe_account, params
        )

    async def account(self, *, stripe_account: str) -> AccountFacts:
        """Whether an account may charge."""
        try:
            found = await answer(
                self.client.v1.accounts.retrieve_async(stripe_account)
                if stripe_account
                else self.client.v1.accounts.retrieve_current_async()
            )
        except AccountUnavailable as error:
            return AccountFacts(stripe_account, charges_enabled=False, reason=error.for_office)
        return facts.account_facts(found, stripe_account)

    async def balance(self, *, stripe_account: str) -> dict[str, int]:
        """What the account holds now, available and pending together: minor units by currency, upper case."""
        call = self.client.v1.balance.retrieve_async(options=on_account(stripe_account))
        return facts.balance_by_currency(await answer(call))

    async def refund(
        self,
        *,
        refund_id: UUID,
        payment_intent: str,
        amount: int,
        stripe_account: str,
        metadata: Mapping[str, str],
    ) -> RefundFacts:
        """Refund once per `refund_id`: the key guards 24 hours, the look at its metadata guards for ever."""
        options = on_account(stripe_account)

        async def make(key: str) -> RefundFacts:
            found = await self._made_refund(refund_id, payment_intent, options)
            if found is None:
                found = await answer(
                    self.client.v1.refunds.create_async(
                        params={
                            "payment_intent": payment_intent,
                            "amount": amount,
                            "metadata": {**metadata, "refund_id": str(refund_id)},
                        },
                        options={**options, "idempotency_key": key},
                    )
                )
            return facts.refund_facts(found, stripe_account)

        return await under_next_key(f"refund-{refund_id}", make)

    async def _made_refund(
        self, refund_id: UUID, payment_intent: str, options: stripe.RequestOptions
    ) -> stripe.Refund | None:
        listed = await answer(
            self.client.v1.refunds.list_async(
                params={"payment_intent": payment_intent, "limit": PER_CALL}, options=options
            )
        )
        async for found in every(listed):
            if found.metadata is not None and found.metadata.to_dict().get("refund_id") == str(refund_id):
                return found
        return None

    async def clock_difference(self) -> float:
        """Seconds that our clock is ahead of Stripe's, read from the `Date` of a cheap answer: right to a second."""
        asked = time.time()
        balance = await answer(self.client.v1.balance.retrieve_async())
        between = (asked + time.time()) / 2
        response = balance.last_response
        assert response is not None, "an answer has headers"
        # the header is cut to whole seconds: on average half a second early
        return between - parsedate_to_datetime(response.headers["date"]).timestamp() - 0.5

    async def webhook_endpoints(self) -> list[EndpointFacts]:
        """The addresses that Stripe sends events to."""
        listed = await answer(self.client.v1.webhook_endpoints.list_async(params={"limit": PER_CALL}))
        return [facts.endpoint_facts(found) async for found in every(listed)]

    def ping(self) -> tuple[bytes, str]:
        """An event of our own type, signed in Stripe's scheme (Stripe: "verify manually") with our first secret.

        The first is the newest (docs/operating.md): Stripe signs with it for good once a rotation is over.
        """
        stamp = int(time.time())
        event = {
            "id": f"evt_ping_{stamp}",
            "object": "event",
            "type": PING,
            "created": stamp,
            "livemode": self.livemode,
            "data": {"object": {}},
        }
        body = json.dumps(event).encode()
        secret = self._settings.stripe_webhook_secrets[0].encode()
        digest = hmac.new(secret, b"%d." % stamp + body, hashlib.sha256).hexdigest()
        return body, f"t={stamp},v1={digest}"

    def read_event(self, body: bytes, signature: str | None) -> EventFacts:
        """Verify and read a webhook against every secret we know (rotation; Connect has its own)."""
        self._verify(body, signature)
        return self.read_stored_event(body)

    def _verify(self, body: bytes, signature: str | None) -> None:
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            raise SignatureInvalid from error
        for secret in self._settings.stripe_webhook_secrets:
            try:
                WebhookSignature.verify_header(text, signature or "", secret, SIGNATURE_TOLERANCE_SECONDS)
            except (stripe.SignatureVerificationError, TypeError):
                continue  # TypeError: a signature that is not ASCII
            return
        raise SignatureInvalid

    def read_stored_event(self, body: bytes) -> EventFacts:
        """An event from our own inbox; its signature was verified when it came in. Raises EventUnreadable."""
        try:
            return facts.event_facts(self.client.construct_event_without_verification(facts.storable(body)))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise EventUnreadable from error
