"""The services the rooms offer each other. A new method is one commit: protocol, SQL, stub, contract test."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.dtos import (
    CancelCostDTO,
    CartSummaryDTO,
    DecisionDTO,
    EntrySalesDTO,
    HoldDTO,
    PageDTO,
    SoldDTO,
    SoldOutLine,
    StockDifferenceDTO,
    TicketDTO,
    WayOnDTO,
)
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
from shared.contracts.sale_rules import describe_shortage
from shared.contracts.states import PageRole
from shared.database import Sessions
from shared.errors import AppError


class SoldOut(AppError):
    """Some of these tickets are no longer available. No money was taken."""

    status = 409
    code = "SOLD_OUT"

    def __init__(self, lines: Sequence[SoldOutLine]) -> None:
        all_yours = lines and all(line.yours and not line.left for line in lines)
        super().__init__(
            "The last of these tickets are held for you already. No money was taken." if all_yours else None,
            details={"lines": [describe_shortage(line) for line in lines]},
        )
        self.lines = tuple(lines)


class Confirmation(StrEnum):
    """The answer of `confirm_tickets_for_order`."""

    CONFIRMED = "confirmed"
    CLOSED = "closed"
    """An entry was cancelled: nothing was confirmed, the money goes back."""


class CalendarService(Protocol):
    """What events offers: tickets of calendars, their stock, and the pages that sell them.

    Every method runs inside the caller's transaction, flushes and never commits.
    """

    async def pending_tickets(self, session: AsyncSession, *, user_id: UUID) -> list[TicketDTO]:
        """The tickets in a user's cart, by page, start, type and id (spec: B6)."""

    async def pending_count(self, session: AsyncSession, *, user_id: UUID) -> int:
        """How many tickets are in a user's cart; for the badge, so one cheap statement."""

    async def set_pending_quantity(
        self, session: AsyncSession, *, user_id: UUID, ticket_type_id: UUID, quantity: int, now: datetime
    ) -> int:
        """Make exactly `quantity` pending tickets of a type (0 removes them); returns the number before.

        Raises `Invalid` (422) where the type's smallest or largest number, or the limit per user, is broken,
        `NotFound` for an unknown type, `Conflict` where more are asked for and it is not on sale, `SoldOut`
        where more are asked for than are left. Then nothing was changed.
        """

    async def add_pending_tickets(
        self, session: AsyncSession, *, user_id: UUID, chosen: Mapping[UUID, int], now: datetime
    ) -> list[UUID]:
        """Add so many tickets of each type to the cart; the ids of those added. Raises as set_pending_quantity does."""

    async def remove_pending_tickets(
        self, session: AsyncSession, *, user_id: UUID, page_id: UUID | None = None
    ) -> int:
        """Empty the cart, or a page's part of it; returns how many went."""

    async def claim_tickets_for_order(
        self,
        session: AsyncSession,
        order_id: UUID,
        user_id: UUID,
        page_id: UUID | None = None,
        *,
        ticket_ids: Sequence[UUID] | None = None,
        reserved_until: datetime,
        now: datetime,
    ) -> None:
        """`pending` → `reserved` for exactly these tickets, all or none (spec: B8).

        `ticket_ids` None = all pending ones of the user, or of the page; none at all is not an error. Raises
        `Conflict` where one of `ticket_ids` is not a pending ticket of this user (and page), `Invalid` where a type's
        smallest or largest number is broken, and `SoldOut` with the lines that do not fit or are not on sale at `now`.
        Either way nothing was changed, so the caller's transaction may go on without a savepoint.
        """

    async def confirm_tickets_for_order(self, session: AsyncSession, order_id: UUID) -> Confirmation:
        """`reserved` → `confirmed`, door codes made, once: a second call changes nothing (spec: B7).

        `CLOSED` where one of the order's entries or tickets is cancelled: then nothing was changed.
        """

    async def release_tickets_for_order(self, session: AsyncSession, order_id: UUID) -> int:
        """`reserved` → `pending`: stock back, tickets back in the cart (spec: B9); returns how many."""

    async def hold_tickets_until(
        self, session: AsyncSession, order_id: UUID, *, reserved_until: datetime | None
    ) -> None:
        """Move the hold of an order's reserved tickets (UTC); None = no clock, while money is on its way."""

    async def extend_hold(self, session: AsyncSession, order_id: UUID, *, reserved_until: datetime) -> bool:
        """The same to give a buyer more time; False, and nothing changes, where less than a tenth of a type or of its
        event is left (spec: L2)."""

    async def cancel_tickets(
        self, session: AsyncSession, order_id: UUID, *, ticket_ids: Sequence[UUID]
    ) -> list[UUID]:
        """`reserved | confirmed | checked_in` → `cancelled`, stock back; returns those that this call cancelled.

        Tickets of other orders, and those that hold no stock any more, are left alone.
        """

    async def block_tickets_for_order(self, session: AsyncSession, order_id: UUID, *, blocked: bool) -> int:
        """Put the overlay of a dispute on an order's tickets, or take it off; returns how many changed (spec: H4)."""

    async def orders_of_cancelled_entries(
        self, session: AsyncSession, *, after: UUID | None = None, limit: int
    ) -> list[UUID]:
        """Orders that still hold tickets of a cancelled entry, by id: each is to be released or refunded.

        `after` continues behind an order: one whose turn has not come keeps no other from it.
        """

    async def orders_holding_tickets(
        self, session: AsyncSession, *, after: UUID | None, limit: int
    ) -> list[UUID]:
        """Ids of orders that hold stock, in their order, beginning after one; for the reconciler (spec: H1)."""

    async def stock_differences(self, session: AsyncSession) -> list[StockDifferenceDTO]:
        """Pools whose counter is not the number of tickets that hold a place in it (spec: H1)."""

    async def recount_pools(self, session: AsyncSession, pool_ids: Sequence[UUID]) -> int:
        """Set these pools to what their tickets hold; returns how many were wrong."""

    async def get_tickets_for_order(self, session: AsyncSession, order_id: UUID) -> list[TicketDTO]:
        """The tickets of one order with their states (spec: B14)."""

    async def get_tickets_for_orders(
        self, session: AsyncSession, order_ids: Sequence[UUID]
    ) -> dict[UUID, list[TicketDTO]]:
        """The same for many orders in one statement; every id asked for is a key."""

    async def lapsed_orders(
        self, session: AsyncSession, *, ticket_type_ids: Sequence[UUID], now: datetime, limit: int = 5
    ) -> list[UUID]:
        """Orders whose hold on these types' pools lapsed before `now`, oldest first: candidates for release."""

    async def get_pages(self, session: AsyncSession, page_ids: Sequence[UUID]) -> dict[UUID, PageDTO]:
        """Pages by id; unknown ids are absent."""

    async def get_page_by_slug(self, session: AsyncSession, slug: str) -> PageDTO | None:
        """A page by its address."""

    async def pages_of_member(
        self, session: AsyncSession, *, user_id: UUID
    ) -> list[tuple[PageDTO, PageRole]]:
        """The pages a user works for, by name."""

    async def members_of_pages(
        self, session: AsyncSession, page_ids: Sequence[UUID]
    ) -> list[tuple[UUID, UUID, PageRole]]:
        """Who works for these pages: page, user, role, by page and user."""

    async def stripe_accounts(self, session: AsyncSession) -> list[str]:
        """The Stripe accounts that pages are paid into, '' for the platform's own."""

    async def set_payments_stopped(
        self, session: AsyncSession, *, stripe_account: str, stopped: bool
    ) -> list[str]:
        """Whether the pages of an account may sell what costs money; returns the names of those that changed."""

    async def orders_by_ticket_code(self, session: AsyncSession, *, page_id: UUID, code: str) -> list[UUID]:
        """Orders on this page that hold the ticket with this door code; for the organizer's search."""


class CartService(Protocol):
    """What cart offers: the summary of a user's cart, and what was earned."""

    async def cart_summary(self, session: AsyncSession, *, user_id: UUID) -> CartSummaryDTO:
        """Lines, counts and totals of a user's cart (spec: B10)."""

    async def badge_count(self, session: AsyncSession, *, user_id: UUID) -> int:
        """The number on the cart's badge, in as few statements as there are kinds."""

    async def entry_sales(
        self, session: AsyncSession, *, page_id: UUID, since: datetime
    ) -> Mapping[UUID, EntrySalesDTO]:
        """Revenue, paid orders, and tickets sold since then, per entry of a page."""

    async def decisions(self, session: AsyncSession, *, page: PageDTO) -> list[DecisionDTO]:
        """What of the page's orders waits for a person, oldest first."""

    async def cost_of_cancelling(
        self, session: AsyncSession, *, page_id: UUID, entry_id: UUID
    ) -> CancelCostDTO:
        """What goes back to an entry's buyers if it is cancelled now, and Stripe's fees that are lost with it."""

    async def sold_items(self, session: AsyncSession, *, order_id: UUID) -> Mapping[UUID, SoldDTO]:
        """Each item of an order, by its id, as it was called, priced and dated when it was sold, in one statement."""

    async def open_holds(self, session: AsyncSession, *, user_id: UUID) -> list[HoldDTO]:
        """The user's orders that hold stock and are not paid yet, newest first, in one statement."""

    async def buy_now(
        self, sessions: Sessions, *, user_id: UUID, chosen: Mapping[UUID, int], token: str, now: datetime
    ) -> WayOnDTO:
        """An order of its own for so many tickets of each type, held; returns where it is paid.

        `token` is of the form that was sent: the same one with the same numbers gives the same order. What the cart
        holds besides stays there. Raises what checkout raises; then nothing is held.
        """


class Payments(Protocol):
    """Stripe, seen from the cart. Every call refuses to run while a transaction of this task is open.

    Raises `PaymentsUnavailable` where the outcome is unknown (time-out, 5xx, 429), `PaymentsRefused` where
    Stripe has said no for good.
    """

    livemode: bool
    api_version: str
    """That the SDK speaks; webhook endpoints should speak it too."""

    async def customer_for(
        self,
        *,
        user_id: UUID,
        email: str,
        stripe_account: str,
        installation_id: UUID,
        replaces: str | None = None,
    ) -> str:
        """Create the user's customer under a key of its own (spec: E5); a repeat returns the same id.

        `replaces`: a customer of theirs that was deleted at Stripe; it gets one successor.
        """

    async def create_checkout_session(self, request: CheckoutRequest) -> SessionFacts:
        """The one place a Checkout session is made (spec: F1); replays `request` under its stored key.

        Raises `CustomerGone` where the request's customer was deleted at Stripe.
        """

    async def retrieve_session(self, session_id: str, *, stripe_account: str) -> SessionFacts | None:
        """What Stripe says of a session now; None where it does not know the id."""

    async def find_session(self, request: CheckoutRequest, *, created_after: datetime) -> SessionFacts | None:
        """The session of an attempt too old to be replayed; None where it was never made."""

    async def expire_session(self, session_id: str, *, stripe_account: str) -> SessionFacts:
        """Expire the session if it is open; answers the session as it then stands, whatever that is."""

    async def refund(
        self,
        *,
        refund_id: UUID,
        payment_intent: str,
        amount: int,
        stripe_account: str,
        metadata: Mapping[str, str],
    ) -> RefundFacts:
        """Refund `amount` minor units of a payment, once per `refund_id`: looks first, then creates under its key.

        Raises `ChargeDisputed` where the payment is disputed.
        """

    async def session_of_intent(self, payment_intent: str, *, stripe_account: str) -> SessionFacts | None:
        """The Checkout session that a payment intent belongs to, with the intent's status; None where there is none."""

    async def retrieve_dispute(self, dispute_id: str, *, stripe_account: str) -> DisputeFacts | None:
        """A dispute as it stands, with its balance transactions."""

    async def retrieve_payout(self, payout_id: str, *, stripe_account: str) -> PayoutFacts | None:
        """A payout as it stands."""

    def sessions(self, *, stripe_account: str, since: datetime) -> AsyncIterator[SessionFacts]:
        """All Checkout sessions that pay, made since (UTC), newest first, each with its intent's status (spec: E3)."""

    def intents(self, *, stripe_account: str, since: datetime) -> AsyncIterator[IntentFacts]:
        """All payment intents made since, newest first."""

    def charges(self, *, stripe_account: str, since: datetime) -> AsyncIterator[ChargeFacts]:
        """All charges made since, newest first."""

    def refunds(
        self, *, stripe_account: str, since: datetime | None = None, payment_intent: str | None = None
    ) -> AsyncIterator[RefundFacts]:
        """All refunds made since, or those of one payment, newest first."""

    def disputes(self, *, stripe_account: str, since: datetime) -> AsyncIterator[DisputeFacts]:
        """All disputes opened since, newest first."""

    def payouts(self, *, stripe_account: str, since: datetime) -> AsyncIterator[PayoutFacts]:
        """All payouts made since, newest first."""

    def transactions(
        self, *, stripe_account: str, since: datetime | None = None, payout: str | None = None
    ) -> AsyncIterator[TransactionFacts]:
        """All balance transactions made since, or those that a payout contains, newest first."""

    async def account(self, *, stripe_account: str) -> AccountFacts:
        """Whether an account may charge; one that no longer lets us in may not.

        Raises `KeyRefused` where our key may not ask about the platform's own.
        """

    async def balance(self, *, stripe_account: str) -> dict[str, int]:
        """What the account holds now, available and pending together: minor units by currency, upper case."""

    async def clock_difference(self) -> float:
        """Seconds that our clock is ahead of Stripe's (negative: behind); signatures are refused beyond 300.

        Raises `KeyRefused` where Stripe does not accept our key.
        """

    async def webhook_endpoints(self) -> list[EndpointFacts]:
        """The addresses that Stripe sends events to."""

    def ping(self) -> tuple[bytes, str]:
        """An event of our own type `tillgate.ping` and its signature, as Stripe would send it to our webhook."""

    def read_event(self, body: bytes, signature: str | None) -> EventFacts:
        """Verify a webhook's bytes against every signing secret; raises `SignatureInvalid`, `EventUnreadable`."""

    def read_stored_event(self, body: bytes) -> EventFacts:
        """Read an event from our own inbox; its signature was verified when it came in."""
