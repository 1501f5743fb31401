"""running_standin: the stand-in on a free port of this process, with typed switches; for tests and bench."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx

from shared.sandbox.stripe import accounts, balance, disputes, endpoints, payouts, refunds
from shared.sandbox.stripe.app import StandinApp, create_standin
from shared.sandbox.stripe.books import read_out
from shared.sandbox.stripe.control import GOOD_CARD
from shared.sandbox.stripe.core import Standin
from shared.sandbox.stripe.failures import Chaos, Failure, Fault, RateLimit
from shared.sandbox.stripe.hosted import pay_with_number
from shared.sandbox.stripe.moneyswitches import NO_ACCOUNT, refund_by_hand
from shared.sandbox.stripe.params import Json
from shared.sandbox.stripe.paying import Buyer, settle_delayed, tick
from shared.sandbox.stripe.serving import loopback_socket, serve_on
from shared.sandbox.stripe.sessions import copy
from shared.sandbox.stripe.webhooks import Deliveries
from shared.sandbox.stripe.wishes import charge_of, located, session_of

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
        """Outgoing events: `mode`, `copies`, `chaos`, `deliver_pending`, `redeliver`, `send`, `tries`, `idle`."""
        return self.app.standin.deliveries

    @property
    def standin(self) -> Standin:
        """What is behind the address: its store, its clock, its failures."""
        return self.app.standin

    async def pay(
        self,
        session_id: str,
        card: str = GOOD_CARD,
        *,
        iban: str | None = None,
        slip: str | None = None,
        email: str = "buyer@example.com",
    ) -> Json:
        """Pay as the page does, by card, from a bank account or by a `slip` (boleto, …); the session afterwards.

        Raises StripeError, 402 where the bank declines.
        """
        call, session = session_of(self.standin, session_id)
        method, number = (slip, "") if slip else ("sepa_debit", iban) if iban else ("card", card)
        pay_with_number(call, session, method, number, Buyer(email))
        return session

    def finish_delayed(self, session_id: str, *, fails: bool = False) -> None:
        """Let the bank answer for a delayed payment now, or the buyer pay a slip."""
        call, session = session_of(self.standin, session_id)
        settle_delayed(call, session, fails=fails)

    def without_marks(self, session_id: str, *, add: int = 0) -> str:
        """Make a session by hand for what this one is for, without our metadata; the id of the new one."""
        call, session = session_of(self.standin, session_id)
        made: str = copy(call, session, add, marked=False)["id"]
        return made

    def booking(self, *, pending: bool = False, late: bool = False) -> None:
        """Have delayed payments in the balance while they wait; book payments some seconds after they succeed."""
        self.standin.book_pending, self.standin.book_late = pending, late

    def refund(self, of: str, amount: int | None = None) -> Json:
        """Refund by hand in the dashboard, without metadata: of a session, payment intent or charge."""
        return refund_by_hand(self.standin, of, amount)

    def hold_refunds(self, on: bool = True) -> None:
        """Let new refunds stay pending until `finish_refund` or `fail_refund`."""
        self.standin.refunds_pending = on

    def finish_refund(self, refund_id: str) -> None:
        """Let a pending refund succeed."""
        refunds.finish(*located(self.standin, "refund", refund_id, "refund"))

    def fail_refund(self, refund_id: str, reason: str = "lost_or_stolen_card") -> None:
        """Let the buyer's bank send a refund back."""
        call, refund = located(self.standin, "refund", refund_id, "refund")
        refunds.fail(call, refund, reason)

    def dispute(
        self, of: str, amount: int | None = None, *, reason: str = "fraudulent", inquiry: bool = False
    ) -> Json:
        """Let the buyer's bank dispute a session, payment intent or charge; the dispute."""
        call, charge = charge_of(self.standin, of)
        return disputes.open_dispute(call, charge, amount=amount, reason=reason, inquiry=inquiry)

    def win_dispute(self, dispute_id: str) -> None:
        """Decide it for the seller; an inquiry ends as `warning_closed`."""
        disputes.win(*located(self.standin, "dispute", dispute_id, "dispute"))

    def lose_dispute(self, dispute_id: str) -> None:
        """Decide it for the buyer; an inquiry ends as `warning_closed`."""
        disputes.lose(*located(self.standin, "dispute", dispute_id, "dispute"))

    def escalate_dispute(self, dispute_id: str) -> None:
        """Make a dispute of an inquiry, closed or not: now the money goes."""
        disputes.escalate(*located(self.standin, "dispute", dispute_id, "dispute"))

    def appeal_dispute(self, dispute_id: str) -> None:
        """Let a lost one be decided once more: it waits for evidence again."""
        disputes.appeal(*located(self.standin, "dispute", dispute_id, "dispute"))

    def take_back_dispute(self, dispute_id: str) -> None:
        """Let a won one be lost after all: the money goes again."""
        disputes.lose_after_all(*located(self.standin, "dispute", dispute_id, "dispute"))

    def prevent_dispute(self, of: str, amount: int | None = None, *, resolved: bool = False) -> Json:
        """Settle a dispute before it is one: nothing is taken, or (`resolved`) the buyer gets the money."""
        call, charge = charge_of(self.standin, of)
        return disputes.prevent(call, charge, amount=amount, resolved=resolved)

    def keep_dispute_fees(self, on: bool = True) -> None:
        """Let Stripe keep its fee of disputes that are won."""
        self.standin.keep_dispute_fees = on

    def reserve(self, amount: int, currency: str = "eur", account: str = "") -> None:
        """Hold so much back, or (negative) give it back."""
        balance.hold_back(self.standin.call(account), amount, currency)

    def pay_out(self, account: str = "", *, everything: bool = False) -> list[Json]:
        """Automatic payouts, one per currency, of what is available, or of what is pending too."""
        return payouts.pay_out(self.standin.call(account), everything=everything)

    def finish_payout(self, payout_id: str) -> None:
        """Let a payout arrive now."""
        payouts.arrive(*located(self.standin, "payout", payout_id, "payout"))

    def fail_payout(self, payout_id: str, code: str = NO_ACCOUNT[0], message: str = NO_ACCOUNT[1]) -> None:
        """Let the bank send a payout back."""
        call, payout = located(self.standin, "payout", payout_id, "payout")
        payouts.fail(call, payout, code, message)

    def settle_in(self, currency: str | None, rate: float = 1, account: str = "") -> None:
        """Settle everything in this currency from now on, others at `rate`; None: as charged."""
        balance.settle_in(self.standin.call(account), currency, rate)

    def open_account(self, account_id: str) -> None:
        """Make a connected account known: calls for any other are refused, 403."""
        accounts.open_account(self.standin, account_id)

    def restrict_account(self, account_id: str, *, charges_enabled: bool) -> None:
        """Say whether it may be paid ("" is the key's own account): no new sessions, no payments."""
        accounts.restrict(self.standin, account_id, charges_enabled=charges_enabled)

    def withdraw_account(self, account_id: str) -> None:
        """Let its owner take our access away: every call is refused, and no event comes any more."""
        accounts.withdraw(self.standin, account_id)

    def restore_account(self, account_id: str) -> None:
        """Give access again, with nothing restricted."""
        accounts.restore(self.standin, account_id)

    def set_endpoint(self, endpoint_id: str, status: str) -> None:
        """Set a webhook endpoint to `enabled` or `disabled`."""
        call, endpoint = located(self.standin, endpoints.KIND, endpoint_id, "endpoint")
        endpoints.set_status(call, endpoint, status)

    def books(self) -> Json:
        """Everything that moved money, per account; see books.py."""
        return read_out(self.standin)

    def set_clock(self, now: datetime | None) -> None:
        """Stop the clock there (None: go on with the machine's), and do what has become due."""
        self.standin.store.clock.stop_at(int(now.timestamp()) if now else None)
        tick(self.standin)

    def fail_next(
        self, path: str, fault: Fault, times: int = 1, *, method: str | None = None, kept: bool = True
    ) -> None:
        """Make the next calls of this path fail; see failures.py."""
        self.standin.failures.wishes.append(Failure(path, fault, times, method, kept))

    def chaos(self, rates: dict[str, float], seed: int, path: str = "/v1/*") -> None:
        """Random faults from now on, by the names of failures.RANDOM_FAULTS; no rates: none any more."""
        self.standin.failures.chaos = Chaos(rates, seed, path) if rates else None

    def limit_rate(self, per_endpoint: int | None = 25, overall: int = 100) -> None:
        """Answer 429 to more calls a second than that, as live; None: no limit any more."""
        self.standin.failures.rate_limit = RateLimit(per_endpoint, overall) if per_endpoint else None

    def events(self, kind: str | None = None, account: str = "") -> list[Json]:
        """The events of an account, oldest first."""
        rows = self.standin.store.book(account).tables.get("event", {}).values()
        return [row for row in rows if kind in (None, row["type"])]

    def find(self, kind: str, object_id: str, account: str = "") -> Json:
        """An object as it is now, such as `find("checkout.session", "cs_…")`."""
        return self.standin.store.book(account).get(kind, object_id)


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
