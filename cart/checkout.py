"""From the cart to Stripe's page: reserve in one transaction, call Stripe with nothing open, then store the session.

Crash by crash: before step 1 commits nothing happened; after it, the stored request is replayed under its key.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from cart import accounts, attempts, cooldown, orders
from cart.models import CheckoutAttempt, Order, OrderLine
from cart.quote import CartChanged, EmptyCart, Quote, fingerprint, quotes
from cart.release import release
from cart.settle import settle_free
from cart.summary import of_page, summary_of_tickets
from cart.till import Till
from shared import audit
from shared.contracts.dtos import CartSummaryDTO, PageDTO
from shared.contracts.payment_errors import (
    AccountUnavailable,
    CustomerGone,
    PaymentsRefused,
)
from shared.contracts.protocols import (
    CalendarService,
    SoldOut,
)
from shared.contracts.states import OrderState
from shared.database import Sessions, retrying
from shared.errors import AppError, Conflict, NotFound

BACK_IN_CART = (
    "The payment provider refused this payment. No money was taken; your tickets are in your cart again."
)
SENT_AT_ONCE = timedelta(seconds=1)
LOOKED_AT, RELEASED_AT_ONCE = (
    100,
    5,
)  # lapsed orders of a short pool; each release is a call that the buyer waits for
MAX_OPEN_ORDERS = 10  # each holds stock without having paid, or by a payment that may still fail


class SessionExpired(AppError):
    """Your checkout session has expired. Please refresh the page and try again."""

    status = 400
    code = "CHECKOUT_SESSION_EXPIRED"


class NotExtended(Conflict):
    """This order no longer waits for a payment, so there is no time to extend."""

    code = "NOT_EXTENDED"


class TooManyOpenOrders(Conflict):
    """You have many unfinished checkouts. Please pay them or give their tickets back first."""

    code = "TOO_MANY_OPEN_ORDERS"


@dataclass(frozen=True, slots=True)
class Handover:
    """Where the buyer goes on: Stripe's page, or the order if there is nothing to pay (any more)."""

    order_id: UUID
    state: OrderState
    session_id: str | None = None
    url: str | None = None
    client_secret: str | None = None


async def start(
    sessions: Sessions,
    till: Till,
    *,
    user_id: UUID,
    seen: str,
    page_id: UUID | None,
    now: datetime,
    chosen: Mapping[UUID, int] | None = None,
) -> list[UUID]:
    """Turn the cart (or a page's part of it) into orders that hold their tickets; returns their ids (spec: B8, B12).

    `seen` is the fingerprint of what the buyer saw. The same cart sent twice gives the same orders.
    `chosen`: so many new tickets of these types alone, the cart left as it is; `seen` is then the form's own mark.
    Raises EmptyCart, CartChanged, NotChargeable, PaymentsStopped, Invalid (more of a type than one order may hold),
    SoldOut, TooManyOpenOrders, HoldTooSoon; then nothing was written.
    """

    async def reserve() -> list[UUID]:
        async with sessions.begin() as session:
            return await _reserve(
                session, till, user_id=user_id, seen=seen, page_id=page_id, now=now, chosen=chosen
            )

    try:
        return await retrying(reserve)
    except SoldOut as short:
        # time alone never gives stock to another buyer: whoever needs it asks Stripe and frees it
        if not await _free_lapsed(sessions, till, short, now=now):
            raise
    return await retrying(reserve)


async def _reserve(
    session: AsyncSession,
    till: Till,
    *,
    user_id: UUID,
    seen: str,
    page_id: UUID | None,
    now: datetime,
    chosen: Mapping[UUID, int] | None,
) -> list[UUID]:
    buyer = await orders.lock_buyer(session, user_id, livemode=till.payments.livemode)
    live, ended = await orders.orders_at_checkout(
        session, user_id, fingerprint=seen, ended_since=now - cooldown.REMEMBERED
    )
    if same := [order for order in live if order.fingerprint == seen]:
        return [order.id for order in orders.by_deadline(same)]
    if chosen:
        summary = await _add_chosen(session, till.calendar, user_id, chosen, now=now)
    else:
        summary = await _seen_cart(session, till.calendar, user_id, page_id, seen=seen)
    if len(live) >= MAX_OPEN_ORDERS:
        raise TooManyOpenOrders
    titles = {line.entry_id: line.name for line in summary.lines if line.entry_id is not None}
    await cooldown.refuse_too_soon(session, ended, titles, now=now)
    made = [
        await _place(session, till, quote, user_id=user_id, email=buyer.email, seen=seen, now=now)
        for quote in quotes(summary)
    ]
    await _store_first_attempt(session, till, made, buyer, summary, now=now)
    return [order.id for order in orders.by_deadline(made)]


async def _store_first_attempt(
    session: AsyncSession,
    till: Till,
    made: list[Order],
    buyer: orders.Buyer,
    summary: CartSummaryDTO,
    *,
    now: datetime,
) -> None:
    """The order that is paid first goes to Stripe at once; the others get their request when it is their turn,
    since Stripe wants the end of a session to be 30 minutes ahead when the call arrives."""
    first = next((order for order in orders.by_deadline(made) if order.total), None)
    if first is not None:
        pages = {group.page.id: group.page for group in summary.groups}
        customer = buyer.customers.get(first.stripe_account)
        starts_at = _nearest_start(first, summary)
        await _add_attempt(
            session, till, first, first.lines, pages, customer=customer, starts_at=starts_at, now=now
        )


def _nearest_start(order: Order, summary: CartSummaryDTO) -> datetime | None:
    """When the first event of an order begins, UTC; None where it has none."""
    entries = {line.entry_id for line in order.lines}
    lines = [line for group in summary.groups for line in group.lines if line.entry_id in entries]
    return min((line.starts_at for line in lines if line.starts_at), default=None)


async def _add_attempt(
    session: AsyncSession,
    till: Till,
    order: Order,
    lines: Sequence[OrderLine],
    pages: Mapping[UUID, PageDTO],
    *,
    customer: str | None,
    starts_at: datetime | None,
    now: datetime,
) -> CheckoutAttempt:
    return await attempts.add_attempt(
        session,
        order,
        lines,
        pages=pages,
        customer=customer,
        livemode=till.payments.livemode,
        public_url=till.public_url,
        starts_at=starts_at,
        now=now,
    )


async def _seen_cart(
    session: AsyncSession, calendar: CalendarService, user_id: UUID, page_id: UUID | None, *, seen: str
) -> CartSummaryDTO:
    cart = summary_of_tickets(await calendar.pending_tickets(session, user_id=user_id))
    if not cart.lines:
        raise EmptyCart
    summary = of_page(cart, page_id)
    if not summary.lines or fingerprint(summary.lines) != seen:
        raise CartChanged
    return summary


async def _add_chosen(
    session: AsyncSession,
    calendar: CalendarService,
    user_id: UUID,
    chosen: Mapping[UUID, int],
    *,
    now: datetime,
) -> CartSummaryDTO:
    """New tickets of this form alone, added by the transaction that claims them: refused, none is left behind."""
    added = set(await calendar.add_pending_tickets(session, user_id=user_id, chosen=chosen, now=now))
    pending = await calendar.pending_tickets(session, user_id=user_id)
    return summary_of_tickets([ticket for ticket in pending if ticket.id in added])


async def _place(
    session: AsyncSession, till: Till, quote: Quote, *, user_id: UUID, email: str, seen: str, now: datetime
) -> Order:
    """One order with its claim; paid at once where it is free."""
    order = await orders.add_order(session, quote, user_id=user_id, email=email, fingerprint=seen, now=now)
    assert order.reserved_until is not None
    await audit.record(
        session,
        at=now,
        actor=f"user:{user_id}",
        subject="order",
        subject_id=order.id,
        what="placed",
        after={"state": order.state, "total": order.total, "currency": order.currency},
    )
    await till.calendar.claim_tickets_for_order(
        session,
        order.id,
        user_id,
        quote.page_id,
        ticket_ids=orders.item_ids(order.lines),
        reserved_until=order.reserved_until,
        now=now,
    )
    if not quote.total:
        await settle_free(session, till, order, now=now)
    return order


async def _free_lapsed(sessions: Sessions, till: Till, short: SoldOut, *, now: datetime) -> bool:
    """Release up to five lapsed orders of the short pools; True if any stock came free."""
    async with sessions.reading() as session:
        holding = await till.calendar.lapsed_orders(
            session, ticket_type_ids=[line.ticket_type_id for line in short.lines], now=now, limit=LOOKED_AT
        )
        lapsed = await orders.lapsed_orders(session, now=now, among=holding, limit=RELEASED_AT_ONCE)
    freed = [
        await release(sessions, till, order_id=order_id, now=now) is OrderState.EXPIRED for order_id in lapsed
    ]
    return any(freed)


async def hand_over(
    sessions: Sessions, till: Till, *, order_id: UUID, user_id: UUID, now: datetime
) -> Handover:
    """Bring an own pending order to Stripe's page: its open session, or a new one (spec: C1).

    Raises NotFound, PaymentsUnavailable (the order stays held; trying again replays the same request),
    AccountUnavailable (its pages stop selling), PaymentsRefused (the order was taken back; its tickets are in the cart
    again).
    """
    async with sessions.reading() as session:
        found = await attempts.order_with_attempt(session, order_id)
    if found is None or found[0].user_id != user_id:
        raise NotFound
    order, attempt = found
    if attempt is None and order.state == OrderState.PENDING:
        async with sessions.begin() as session:
            order, attempt = await _new_attempt(session, till, order_id=order_id, now=now)
    if attempt is None or attempt.state == "open":
        return _handover(order, attempt)
    try:
        facts = await attempts.obtain(sessions, till.payments, order, attempt, now=now)
    except AccountUnavailable as closed:
        await accounts.close(sessions, till, closed, order.stripe_account, now=now)
        raise
    except PaymentsRefused as refusal:
        if not await _can_be_mended(sessions, order, attempt, refusal, now=now):
            await release(sessions, till, order_id=order_id, to=OrderState.CANCELLED, actor="stripe", now=now)
            raise PaymentsRefused(BACK_IN_CART, details=refusal.details) from refusal
        facts = None
    if facts is None:
        return await _with_new_attempt(sessions, till, order, attempt, now=now)
    async with sessions.single() as session:
        stored = await attempts.store_session(session, attempt.id, facts)
    if not stored:
        await till.payments.expire_session(facts.id, stripe_account=facts.stripe_account)
        raise SessionExpired
    return Handover(order.id, OrderState.PENDING, facts.id, facts.url, facts.client_secret)


async def _can_be_mended(
    sessions: Sessions, order: Order, attempt: CheckoutAttempt, refusal: PaymentsRefused, *, now: datetime
) -> bool:
    """Whether Stripe will take a new request where it has refused this one; else the refusal is for good.

    `attempt` as it was before it was sent: a customer made just now that is gone already is not made again.
    """
    if isinstance(refusal, CustomerGone) and "customer" in attempt.request:
        async with sessions.single() as session:
            await attempts.forget_customer(session, attempt, order)
        return True
    # it has waited, and its end is too near by now
    return attempt.expires_at - now < attempts.SHORTEST_SESSION - SENT_AT_ONCE


async def _with_new_attempt(
    sessions: Sessions, till: Till, order: Order, attempt: CheckoutAttempt, *, now: datetime
) -> Handover:
    """No session stands under the old attempt's key, and none will: the order gets a new one."""
    async with sessions.single() as session:
        await attempts.end_attempt(session, attempt.id, "failed")
    return await hand_over(sessions, till, order_id=order.id, user_id=order.user_id, now=now)


async def _new_attempt(
    session: AsyncSession, till: Till, *, order_id: UUID, now: datetime
) -> tuple[Order, CheckoutAttempt | None]:
    """The order, locked, with a new attempt, or with one that another tab has made meanwhile; None: not pending."""
    order = await orders.lock_order(session, order_id)
    assert order is not None
    if order.state != OrderState.PENDING:
        return order, None
    attempt = await attempts.active_attempt(session, order_id)
    if attempt is None:
        lines = await orders.lines_of(session, order_id)
        pages = await till.calendar.get_pages(session, sorted({line.page_id for line in lines}))
        customer = await attempts.customer_of(session, order, livemode=till.payments.livemode)
        tickets = await till.calendar.get_tickets_for_order(session, order_id)
        starts_at = min((ticket.starts_at for ticket in tickets), default=None)
        attempt = await _add_attempt(
            session, till, order, lines, pages, customer=customer, starts_at=starts_at, now=now
        )
    return order, attempt


def _handover(order: Order, attempt: CheckoutAttempt | None) -> Handover:
    if attempt is None:
        return Handover(order.id, OrderState(order.state))
    return Handover(order.id, OrderState.PENDING, attempt.session_id, attempt.url, attempt.client_secret)


async def extend(
    session: AsyncSession, till: Till, *, order_id: UUID, user_id: UUID, now: datetime
) -> datetime:
    """Hold an own order's tickets once more, for as long as the first time; returns the new end (UTC) (spec: H10).

    Raises NotFound, NotExtended where the order is no longer held, was extended before, or the event runs short.
    """
    order = await orders.lock_order(session, order_id)
    if order is None or order.user_id != user_id:
        raise NotFound
    if order.state != OrderState.PENDING or order.reserved_until is None:
        raise NotExtended
    if order.reserved_until <= now:
        raise NotExtended("The hold has ended, so it can no longer be extended.")
    if order.extensions:
        raise NotExtended("You have already extended the time for this order; it can be done once.")
    until = order.reserved_until + timedelta(minutes=order.hold_minutes)
    if not await till.calendar.extend_hold(session, order_id, reserved_until=until):
        raise NotExtended(
            "Few tickets are left and others may be waiting, so the time can't be extended now."
        )
    order.reserved_until, order.extensions = until, 1
    await audit.record(
        session, at=now, actor=f"user:{user_id}", subject="order", subject_id=order_id, what="extended",
        after={"reserved_until": until.isoformat()},
    )  # fmt: skip
    return until
