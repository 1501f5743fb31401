"""The connection to Stripe: one typed client, how a call is awaited and how a list is read; used by payments.

No call is made inside a transaction. Facts of the SDK and traps: Stripe's own pages on idempotent requests and errors.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any, TypeVar

import stripe
import structlog
from stripe import StripeClient

from shared import metrics
from shared.contracts.payment_errors import (
    AccountUnavailable,
    ChargeDisputed,
    CustomerGone,
    KeyRefused,
    PaymentsRefused,
    PaymentsUnavailable,
)
from shared.database import refuse_open_transaction
from shared.settings import Settings
from shared.stripe_calls import CountingClient, Tally
from shared.stripe_pacing import Crowded, Pacer

log = structlog.get_logger()
T = TypeVar("T")
S = TypeVar("S", bound=stripe.StripeObject)

TIMEOUT_SECONDS = 8  # with the retries, a buyer waits half a minute at most for a Stripe that does not answer
NETWORK_RETRIES = 2  # safe: every POST of ours carries its own idempotency key
LISTING_SECONDS = 30  # a page of a hundred with what each contains takes longer, and no buyer waits for it
PER_CALL = 100  # the most that Stripe lists at once
KEYS = (
    5  # a 5xx stays under its idempotency key for a day; so many keys are tried before it counts as no answer
)

# Only these say no about the request itself. A wrong key (401), a busy idempotency key (409), a rate limit or a 5xx say
# nothing about whether a session exists, so they never count as "there is none".
FINAL = (stripe.InvalidRequestError, stripe.CardError)
# A key that was rolled or revoked (401), or a restricted one that may not do this (403): nobody can pay until it is
# changed, and nothing else is said about the request.
KEY_PROBLEMS = (stripe.AuthenticationError, stripe.PermissionError)
ACCOUNT_CLOSED = "account_invalid"
"""Code of a 403 that is not about our key: a connected account was disconnected, closed or never ours."""
DISPUTED = "charge_disputed"


class AnswerKept(PaymentsUnavailable):
    """The payment provider failed at this. Your tickets stay held; please try again in a moment."""

    # A 5xx that Stripe replays, or a "disputed" of an earlier day: the call is over, and under its key nothing will
    # ever be done.


TOO_FAST = 429


class StripeConnection:
    """Stripe through the typed client (spec: E1), which belongs to the event loop that first uses it."""

    def __init__(self, settings: Settings) -> None:
        stripe.enable_telemetry = False  # it writes to the home folder
        self._settings = settings
        self.livemode = settings.stripe_secret_key.split("_", 2)[1:2] == ["live"]
        self.pacer = Pacer()
        self._clients: dict[int, StripeClient] = {}
        self._http: list[CountingClient] = []
        self.tally: Tally = Counter()
        """What this process has asked Stripe and not yet written down (stripe_calls.py)."""

    @property
    def client(self) -> StripeClient:
        """For what somebody waits for."""
        return self._patient_for(TIMEOUT_SECONDS)

    @property
    def lists(self) -> StripeClient:
        """For lists, which the worker and commands read."""
        return self._patient_for(LISTING_SECONDS)

    def _patient_for(self, seconds: int) -> StripeClient:
        """Made at first use, because it belongs to the running event loop."""
        if seconds not in self._clients:
            self._http.append(CountingClient(self.tally, seconds))
            base = self._settings.stripe_api_base
            self._clients[seconds] = StripeClient(
                self._settings.stripe_secret_key,
                base_addresses={"api": base} if base else None,
                max_network_retries=NETWORK_RETRIES,
                http_client=self._http[-1],
            )
        return self._clients[seconds]

    async def close(self) -> None:
        """Close the connections; called when the app stops serving."""
        for http in self._http:
            await http.close_async()  # type: ignore[no-untyped-call]
        self._http, self._clients = [], {}


def on_account(stripe_account: str) -> stripe.RequestOptions:
    return {"stripe_account": stripe_account} if stripe_account else {}


async def answer(call: Awaitable[T]) -> T:
    """Await one call; refuses inside a transaction; tells 'no' from 'unknown'."""
    try:
        refuse_open_transaction()
    except RuntimeError:
        if asyncio.iscoroutine(call):
            call.close()
        raise
    with metrics.stripe_call(_name(call)):
        return await _answered(call)


def _name(call: Awaitable[object]) -> str:
    """SessionService.create_async is counted as Session.create."""
    qualname: str = getattr(call, "__qualname__", "unknown")
    return qualname.replace("Service.", ".").removesuffix("_async")


async def _answered(call: Awaitable[T]) -> T:
    started = time.perf_counter()
    try:
        return await call
    except stripe.StripeError as error:
        if _is_about_account(error):
            log.warning("stripe account closed to us", error=str(error))
            raise AccountUnavailable from error
        if isinstance(error, KEY_PROBLEMS):
            log.error("stripe does not accept our key", error=str(error))  # noqa: TRY400 - the message says it all
            raise KeyRefused from error
        if error.http_status == TOO_FAST:
            log.warning("stripe was asked too fast", error=str(error), ms=_ms(started))
            raise Crowded from error
        if not isinstance(error, FINAL):
            log.warning("stripe did not answer", error=str(error), ms=_ms(started))
            raise (AnswerKept if _is_replayed(error) else PaymentsUnavailable) from error
        if error.code == DISPUTED and _is_replayed(error):
            raise AnswerKept from error  # it was so when this key was used; the dispute may be over by now
        log.error("stripe refused", error=str(error), code=error.code, ms=_ms(started))  # noqa: TRY400
        raise _refusal(error)(
            details={
                "reason": error.user_message or "",
                "code": error.code or "",
                "status": error.http_status or 0,
            }
        ) from error


async def under_next_key(key: str, ask: Callable[[str], Awaitable[T]]) -> T:
    """What `ask` gets under this idempotency key; where Stripe keeps a failure under it, under the next one.

    The next key is the same for everybody, and is used only where the one before can do nothing any more: so
    processes that ask at once, and one that was stopped for an hour in between, do the thing once together.
    """
    for number in range(KEYS):
        try:
            return await ask(f"{key}-{number + 1}" if number else key)
        except AnswerKept:
            continue
    raise PaymentsUnavailable


async def known(call: Awaitable[T]) -> T | None:
    """The answer, or None where Stripe says that there is no such object."""
    try:
        return await answer(call)
    except PaymentsRefused as error:
        if error.details.get("status") == 404:
            return None
        raise


def made_since(since: datetime | None) -> dict[str, Any]:
    """A list's parameters: objects made since a moment, or all."""
    created = {"created": {"gte": int(since.timestamp())}} if since else {}
    return {"limit": PER_CALL, **created}


async def each(
    listing: Callable[..., Awaitable[stripe.ListObject[S]]],
    narrow: Callable[[S, str], T],
    stripe_account: str,
    params: dict[str, Any],
) -> AsyncIterator[T]:
    """Every object of one of Stripe's lists, as facts."""
    async for found in every(await answer(listing(params=params, options=on_account(stripe_account)))):
        yield narrow(found, stripe_account)


async def every(listed: stripe.ListObject[S]) -> AsyncIterator[S]:
    """Every object of a list, page after page; fetching the next page is a call as any other (spec: E3).

    Only the first page is measured: the next object is mostly at hand already.
    """
    pages = listed.auto_paging_iter()
    while True:
        try:
            refuse_open_transaction()
            found = await _answered(anext(pages))
        except StopAsyncIteration:
            return
        yield found


def _refusal(error: stripe.StripeError) -> type[PaymentsRefused]:
    if error.code == DISPUTED:
        return ChargeDisputed
    return CustomerGone if _is_about_customer(error) else PaymentsRefused


def _is_replayed(error: stripe.StripeError) -> bool:
    """Whether this is the kept answer of an earlier call under the same key (Stripe: idempotent requests)."""
    return (error.headers or {}).get("idempotent-replayed") == "true"


def _is_about_account(error: stripe.StripeError) -> bool:
    """Whether a 403 is about a connected account. The SDK gives this error no code: it is in the body alone."""
    said = error.error if isinstance(error, stripe.PermissionError) else None
    return said is not None and said.code == ACCOUNT_CLOSED


def _is_about_customer(error: stripe.StripeError) -> bool:
    """Whether a request names a customer that was deleted, or that these keys never knew."""
    return (
        isinstance(error, stripe.InvalidRequestError)
        and error.code == "resource_missing"
        and error.param == "customer"
    )


def _ms(started: float) -> int:
    return round((time.perf_counter() - started) * 1000)
