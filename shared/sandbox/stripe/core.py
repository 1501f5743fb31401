"""The stand-in's parts in one place, and Call: what every piece of its work is given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.sandbox.stripe import objects
from shared.sandbox.stripe.failures import Failures
from shared.sandbox.stripe.params import Fields, Json
from shared.sandbox.stripe.store import WITHDRAWN, Book, Store, snapshot
from shared.sandbox.stripe.webhooks import Deliveries

Handler = Callable[..., Json]


@dataclass(frozen=True, slots=True)
class Route:
    """One call of the API: its parameters and what does it. `older` is added where no version is sent."""

    method: str
    path: str
    handler: Handler
    fields: Fields = field(default_factory=dict)
    older: Fields = field(default_factory=dict)


@dataclass(slots=True)
class Standin:
    """The running stand-in: its keys, its memory, its webhooks and the failures it was asked to have."""

    secret_key: str
    public_url: str
    store: Store
    deliveries: Deliveries
    failures: Failures = field(default_factory=Failures)
    delayed_after: int = 10
    """Seconds until a delayed payment method or a pending refund settles by itself."""
    refunds_pending: bool = False
    """Whether new refunds stay pending until a switch decides them."""
    keep_dispute_fees: bool = False
    """Whether the fee of a dispute stays with Stripe even where it is won."""
    book_pending: bool = False
    """Whether a delayed payment is in the balance while it waits (Stripe: balance transaction types, payment)."""
    book_late: bool = False
    """Whether a payment gets its balance transaction some seconds later (Stripe: asynchronous capture)."""

    def call(self, account: str, params: Json | None = None, **request: Any) -> "Call":
        """A call on an account's book; work that no request asked for has no `request` facts."""
        return Call(self, self.store.book(account), params or {}, self.store.clock.now(), **request)


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler needs: the account's book, checked parameters, the time in seconds since 1970, UTC."""

    standin: Standin
    book: Book
    params: Json
    now: int
    request_id: str | None = None
    idempotency_key: str | None = None

    def emit(self, kind: str, subject: Json, previous: Mapping[str, Any] | None = None) -> None:
        """Record an event about an object as it is now, and offer it to the webhook endpoint."""
        data: Json = {"object": snapshot(subject)}
        if previous is not None:
            data["previous_attributes"] = dict(previous)
        event = objects.event(
            kind,
            data,
            now=self.now,
            account=self.book.account,
            request={"id": self.request_id, "idempotency_key": self.idempotency_key},
        )
        self.book.put(event)
        self.standin.store.changed = True
        if WITHDRAWN not in self.book.hidden:  # Stripe: nothing is sent to a platform that was sent away
            self.standin.deliveries.offer(event)
