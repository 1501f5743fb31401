"""running_standin: the stand-in on a free port of this process, with typed switches; for tests and bench."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx

from shared.sandbox.stripe import refunds
from shared.sandbox.stripe.app import StandinApp, create_standin
from shared.sandbox.stripe.control import GOOD_CARD, session_of
from shared.sandbox.stripe.failures import Failure, Fault
from shared.sandbox.stripe.hosted import pay_with_number
from shared.sandbox.stripe.params import Json
from shared.sandbox.stripe.paying import Buyer, settle_delayed, tick
from shared.sandbox.stripe.serving import loopback_socket, serve_on
from shared.sandbox.stripe.webhooks import Deliveries

SECRET_KEY, WEBHOOK_SECRET = "sk_test_standin", "whsec_standin"


@dataclass(frozen=True, slots=True)
class RunningStandin:
    """A stand-in that is up: where it is, and the switches."""

    app: StandinApp
    url: str
    secret_key: str
    webhook_secret: str

    @property
    def webhooks(self) -> Deliveries:
        """Outgoing events: `mode`, `copies`, `deliver_pending`, `send`, `idle`."""
        return self.app.standin.deliveries

    async def pay(
        self,
        session_id: str,
        card: str = GOOD_CARD,
        *,
        iban: str | None = None,
        email: str = "buyer@example.com",
    ) -> Json:
        """Pay as the page does, by card or from a bank account; the session afterwards.

        Raises StripeError, 402 where the bank declines.
        """
        call, session = session_of(self.app.standin, session_id)
        method, number = ("sepa_debit", iban) if iban else ("card", card)
        pay_with_number(call, session, method, number, Buyer(email))
        return session

    def finish_delayed(self, session_id: str, *, fails: bool = False) -> None:
        """Let the bank answer for a delayed payment now."""
        call, session = session_of(self.app.standin, session_id)
        settle_delayed(call, session, fails=fails)

    def fail_refund(self, refund_id: str, account: str = "") -> None:
        """Let the buyer's bank send a refund back."""
        call = self.app.standin.call(account)
        refunds.fail(call, call.book.get("refund", refund_id))

    def set_clock(self, now: datetime | None) -> None:
        """Stop the clock there (None: go on with the machine's), and do what has become due."""
        self.app.standin.store.clock.stop_at(int(now.timestamp()) if now else None)
        tick(self.app.standin)

    def fail_next(
        self, path: str, fault: Fault, times: int = 1, *, method: str | None = None, kept: bool = True
    ) -> None:
        """Make the next calls of this path fail; see failures.py."""
        self.app.standin.failures.wishes.append(Failure(path, fault, times, method, kept))

    def events(self, kind: str | None = None, account: str = "") -> list[Json]:
        """The events of an account, oldest first."""
        rows = self.app.standin.store.book(account).tables.get("event", {}).values()
        return [row for row in rows if kind in (None, row["type"])]

    def find(self, kind: str, object_id: str, account: str = "") -> Json:
        """An object as it is now, such as `find("checkout.session", "cs_…")`."""
        return self.app.standin.store.book(account).get(kind, object_id)


@asynccontextmanager
async def running_standin(
    *,
    webhook_url: str | None = None,
    secret_key: str = SECRET_KEY,
    webhook_secret: str = WEBHOOK_SECRET,
    connect_secret: str | None = None,
    event_types: Sequence[str] = (),
    transport: httpx.AsyncBaseTransport | None = None,
    state_file: Path | None = None,
) -> AsyncIterator[RunningStandin]:
    """Serve a stand-in until the block ends. With `transport`, webhooks go there, not over the network."""
    listener = loopback_socket(0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app = create_standin(
        secret_key=secret_key,
        webhook_url=webhook_url,
        webhook_secret=webhook_secret,
        public_url=url,
        state_file=state_file,
        connect_secret=connect_secret,
        event_types=event_types,
        transport=transport,
    )
    stop = asyncio.Event()
    serving = asyncio.get_running_loop().create_task(serve_on(listener, app, stop.wait))
    try:
        yield RunningStandin(app, url, secret_key, webhook_secret)
    finally:
        stop.set()
        await serving
