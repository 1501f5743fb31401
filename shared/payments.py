"""StripePayments: the only module that imports stripe. Narrows its objects to our facts; no call inside a transaction.

Facts of the SDK and traps: Stripe's own pages on Checkout Sessions, idempotent requests and webhooks.
"""

import asyncio
import time
from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

import stripe
import structlog
from stripe import Event, Refund, StripeClient
from stripe.checkout import Session

from shared.contracts.dtos import CheckoutRequest, EventFacts, RefundFacts, SessionFacts
from shared.contracts.protocols import (
    CustomerGone,
    PaymentsRefused,
    PaymentsUnavailable,
    SignatureInvalid,
)
from shared.database import refuse_open_transaction
from shared.settings import Settings
from shared.web import Tillgate

log = structlog.get_logger()
T = TypeVar("T")

APP = "tillgate"
TIMEOUT_SECONDS = 8  # with the retries, a buyer waits half a minute at most for a Stripe that does not answer
NETWORK_RETRIES = 2  # safe: every POST of ours carries its own idempotency key
REQUIRED_METADATA = ("app", "installation_id", "order_id", "attempt_id", "page_id", "product_ids")
SIGNATURE_TOLERANCE_SECONDS = 300

# Only these say no about the request itself. A wrong key (401), a busy idempotency key (409), a rate limit or a 5xx say
# nothing about whether a session exists, so they never count as "there is none".
FINAL = (stripe.InvalidRequestError, stripe.CardError)

# Methods that complete a session unpaid and settle days later (Stripe: "delayed notification payment methods").
DELAYED_METHODS = (
    "acss_debit", "au_becs_debit", "bacs_debit", "boleto", "customer_balance", "konbini",
    "multibanco", "nz_bank_account", "oxxo", "payto", "sepa_debit", "sofort", "us_bank_account",
)  # fmt: skip


def init_app(app: Tillgate) -> None:
    """Fill services.payments, unless a stub stands there, and close the client with the app."""
    if app.services.filled("payments") or not app.settings.stripe_secret_key:
        return
    payments = StripePayments(app.settings)
    app.services.payments = payments
    app.after_serving(payments.close)


class StripePayments:
    """Stripe through one typed client (spec: E1). The client belongs to the event loop that first uses it."""

    def __init__(self, settings: Settings) -> None:
        stripe.enable_telemetry = False  # it writes to the home folder
        self._settings = settings
        self.livemode = settings.stripe_secret_key.split("_", 2)[1:2] == ["live"]
        self._client: StripeClient | None = None
        self._http: stripe.HTTPXClient | None = None

    @property
    def client(self) -> StripeClient:
        """The one client; made at first use, because it belongs to the running event loop."""
        if self._client is None:
            self._http = stripe.HTTPXClient(timeout=TIMEOUT_SECONDS)
            base = self._settings.stripe_api_base
            self._client = StripeClient(
                self._settings.stripe_secret_key,
                base_addresses={"api": base} if base else None,
                max_network_retries=NETWORK_RETRIES,
                http_client=self._http,
            )
        return self._client

    async def close(self) -> None:
        """Close the connections; called when the app stops serving."""
        if self._http is not None:
            await self._http.close_async()  # type: ignore[no-untyped-call]
        self._client = self._http = None

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
        key = f"customer-{installation_id}-{user_id}"
        customer = await _answer(
            self.client.v1.customers.create_async(
                params={
                    "email": email,
                    "metadata": {
                        "app": APP,
                        "installation_id": str(installation_id),
                        "user_id": str(user_id),
                    },
                },
                options={
                    **_account(stripe_account),
                    "idempotency_key": f"{key}-{replaces}" if replaces else key,
                },
            )
        )
        return customer.id

    async def create_checkout_session(self, request: CheckoutRequest) -> SessionFacts:
        """Make the Checkout session of one attempt: the one place that does so (spec: F1).

        Raises ValueError where the request lacks metadata: such a session could be paid and never be found again.
        """
        metadata = request.params.get("metadata", {})
        missing = [name for name in REQUIRED_METADATA if not metadata.get(name)]
        if missing or metadata["order_id"] != str(request.order_id):
            raise ValueError(f"checkout session without {missing or 'its own order_id'}")
        session = await _answer(
            self.client.v1.checkout.sessions.create_async(
                params=request.params,  # type: ignore[arg-type]  # stored as JSON; Stripe checks it
                options={
                    **_account(request.stripe_account),
                    "idempotency_key": request.idempotency_key,
                },
            )
        )
        return _session_facts(session, request.stripe_account)

    async def retrieve_session(self, session_id: str, *, stripe_account: str) -> SessionFacts | None:
        """The session as it stands; None where Stripe does not know it or the id is not one."""
        if not session_id.startswith("cs_"):
            return None  # an empty id would hit the list address
        try:
            session = await _answer(
                self.client.v1.checkout.sessions.retrieve_async(session_id, options=_account(stripe_account))
            )
        except PaymentsRefused as error:
            if error.details.get("status") == 404:
                return None
            raise
        return _session_facts(session, stripe_account)

    async def find_session(self, request: CheckoutRequest, *, created_after: datetime) -> SessionFacts | None:
        """The session of an attempt whose key is too old to be replayed: by customer and time, then by metadata."""
        params: stripe.params.checkout.SessionListParams = {
            "created": {"gte": int(created_after.timestamp())},
            "limit": 100,
        }
        if "customer" in request.params:
            params["customer"] = request.params["customer"]
        listed = await _answer(
            self.client.v1.checkout.sessions.list_async(
                params=params, options=_account(request.stripe_account)
            )
        )
        async for found in listed.auto_paging_iter():
            facts = _session_facts(found, request.stripe_account)
            if facts.metadata.get("attempt_id") == str(request.attempt_id):
                return facts
        return None

    async def expire_session(self, session_id: str, *, stripe_account: str) -> SessionFacts:
        """Expire the session if it is open; a complete or expired one is answered as it is."""
        try:
            session = await _answer(
                self.client.v1.checkout.sessions.expire_async(session_id, options=_account(stripe_account))
            )
        except PaymentsRefused:
            found = await self.retrieve_session(session_id, stripe_account=stripe_account)
            if found is None:
                raise
            return found
        return _session_facts(session, stripe_account)

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
        options = _account(stripe_account)
        listed = await _answer(
            self.client.v1.refunds.list_async(
                params={"payment_intent": payment_intent, "limit": 100}, options=options
            )
        )
        async for found in listed.auto_paging_iter():
            if found.metadata is not None and found.metadata.to_dict().get("refund_id") == str(refund_id):
                return _refund_facts(found)
        created = await _answer(
            self.client.v1.refunds.create_async(
                params={
                    "payment_intent": payment_intent,
                    "amount": amount,
                    "metadata": {**metadata, "refund_id": str(refund_id)},
                },
                options={**options, "idempotency_key": f"refund-{refund_id}"},
            )
        )
        return _refund_facts(created)

    def read_event(self, body: bytes, signature: str | None) -> EventFacts:
        """Verify and read a webhook against every secret we know (rotation; Connect has its own)."""
        try:
            return _event_facts(self._verified(body, signature))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise SignatureInvalid("The webhook's body is not an event we can read.") from error

    def _verified(self, body: bytes, signature: str | None) -> Event:
        for secret in self._settings.stripe_webhook_secrets:
            try:
                return self.client.construct_event(
                    body, signature, secret, tolerance=SIGNATURE_TOLERANCE_SECONDS
                )
            except (stripe.SignatureVerificationError, TypeError):
                continue  # TypeError: a signature that is not ASCII
        raise SignatureInvalid

    def read_stored_event(self, body: bytes) -> EventFacts:
        """An event from our own inbox; its signature was verified when it came in."""
        return _event_facts(self.client.construct_event_without_verification(body))


def _account(stripe_account: str) -> stripe.RequestOptions:
    return {"stripe_account": stripe_account} if stripe_account else {}


async def _answer(call: Awaitable[T]) -> T:
    """Await one call; refuses inside a transaction; tells 'no' from 'unknown'."""
    try:
        refuse_open_transaction()
    except RuntimeError:
        if asyncio.iscoroutine(call):
            call.close()
        raise
    started = time.perf_counter()
    try:
        return await call
    except stripe.StripeError as error:
        if not isinstance(error, FINAL):
            log.warning("stripe did not answer", error=str(error), ms=_ms(started))
            raise PaymentsUnavailable from error
        log.error("stripe refused", error=str(error), code=error.code, ms=_ms(started))  # noqa: TRY400
        kind = CustomerGone if _is_about_customer(error) else PaymentsRefused
        raise kind(details={"reason": error.user_message or "", "status": error.http_status or 0}) from error


def _is_about_customer(error: stripe.StripeError) -> bool:
    """Whether a request names a customer that was deleted, or that these keys never knew."""
    return (
        isinstance(error, stripe.InvalidRequestError)
        and error.code == "resource_missing"
        and error.param == "customer"
    )


def _ms(started: float) -> int:
    return round((time.perf_counter() - started) * 1000)


def _session_facts(session: Session, stripe_account: str) -> SessionFacts:
    intent = session.payment_intent
    customer = session.customer
    if session.status is None or session.amount_total is None or session.currency is None:
        raise PaymentsRefused("The payment provider sent a session without a status or an amount.")
    return SessionFacts(
        id=session.id,
        stripe_account=stripe_account,
        status=session.status,
        payment_status=session.payment_status,
        payment_intent=intent if intent is None or isinstance(intent, str) else intent.id,
        amount_total=session.amount_total,
        currency=session.currency.upper(),
        metadata=session.metadata.to_dict() if session.metadata is not None else {},
        livemode=session.livemode,
        expires_at=datetime.fromtimestamp(session.expires_at, UTC),
        url=session.url,
        client_secret=session.client_secret,
        customer=customer if customer is None or isinstance(customer, str) else customer.id,
    )


def _refund_facts(refund: Refund) -> RefundFacts:
    return RefundFacts(
        id=refund.id,
        status=refund.status or "pending",
        amount=refund.amount,
        currency=refund.currency.upper(),
        failure_reason=refund.to_dict().get("failure_reason"),
    )


def _event_facts(event: Event) -> EventFacts:
    account = event.to_dict().get("account") or ""
    subject = event.data.object
    # only sessions that pay have an amount; those of other kinds are other programs' on the same account
    session = subject if isinstance(subject, Session) and subject.mode == "payment" else None
    return EventFacts(
        id=event.id,
        type=event.type,
        stripe_account=account,
        livemode=event.livemode,
        created=datetime.fromtimestamp(event.created, UTC),
        session=_session_facts(session, account) if session is not None else None,
    )
