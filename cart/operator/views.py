"""What the operator sees beyond the facts: Stripe's events with what they did, refunds that are stuck, any order."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import structlog
from sqlalchemy import and_, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from cart.models import CheckoutAttempt, Order, Payment, Refund, WebhookEvent
from cart.office.numbers import numbers_of
from cart.order_page import refunds_of
from cart.records import Dispute
from cart.refunds.by_line import refundable
from cart.refunds.decisions import ToDecide, to_decide
from cart.sold import as_sold
from cart.standing import standing_of
from cart.till import Till
from cart.webhooks import inbox
from shared import audit
from shared.contracts.dtos import TicketDTO
from shared.contracts.protocols import CalendarService
from shared.database import Sessions
from shared.errors import NotFound
from shared.models import AuditEntry

log = structlog.get_logger()

PER_PAGE = 50


class Show(StrEnum):
    """Which events are listed."""

    ALL = "all"
    OPEN = "open"
    UNMATCHED = "unmatched"


SHOW_WORDS = {Show.ALL: "All", Show.OPEN: "Not carried out", Show.UNMATCHED: "Match nothing"}


@dataclass(frozen=True, slots=True)
class OrderView:
    """One order with everything we know about it, whoever sells in it."""

    order: Order
    tickets: list[TicketDTO]
    attempts: list[CheckoutAttempt]
    payments: list[Payment]
    refunds: Sequence[Refund]
    to_decide: ToDecide
    history: list[AuditEntry]
    standing: str
    """An OrderState or an OrderStanding."""
    disputes: list[Dispute]

    @property
    def numbers(self) -> dict[UUID, int]:
        """Each ticket's number in the order, as forms name it."""
        return numbers_of(self.order.lines)

    @property
    def refundable(self) -> list[TicketDTO]:
        """Tickets that can be cancelled and refunded."""
        return refundable(self.order, self.tickets)


async def list_events(session: AsyncSession, *, show: Show, before: str = "") -> list[WebhookEvent]:
    """Events, newest first, `PER_PAGE` + 1 at most; `before` continues after an event's id."""
    query = (
        select(WebhookEvent)
        .order_by(WebhookEvent.received_at.desc(), WebhookEvent.id.desc())
        .limit(PER_PAGE + 1)
    )
    if show is Show.OPEN:
        query = query.where(WebhookEvent.processed_at.is_(None))
    if show is Show.UNMATCHED:
        query = query.where(WebhookEvent.result == "unmatched")
    if before:
        place = tuple_(WebhookEvent.received_at, WebhookEvent.id)
        last = select(WebhookEvent.received_at, WebhookEvent.id).where(WebhookEvent.id == before)
        query = query.where(place < last.scalar_subquery())
    return list(await session.scalars(query))


async def event_detail(session: AsyncSession, event_id: str) -> WebhookEvent:
    """One event. Raises NotFound."""
    event = await session.get(WebhookEvent, event_id)
    if event is None:
        raise NotFound
    return event


def readable(body: bytes) -> str:
    """An event's raw body, indented for people; as it came where it is no JSON."""
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body.decode(errors="replace")


async def process_again(sessions: Sessions, till: Till, *, event_id: str, now: datetime) -> str | None:
    """Carry an event out anew, whatever it did before: its effect is safe to repeat. Raises NotFound.

    Returns its result, or None where it failed; the reason then stands on the event's row.
    """
    async with sessions.begin() as session:
        row = await session.get(WebhookEvent, event_id, with_for_update=True)
        if row is None:
            raise NotFound
        row.processed_at = None
        body = row.body
    log.info("event asked for again", event_id=event_id)
    try:
        return await inbox.process(sessions, till, till.payments.read_stored_event(body), now=now)
    except Exception:
        log.exception("event failed again", event_id=event_id)
        return None


async def stuck_refunds(session: AsyncSession) -> list[tuple[Refund, Order]]:
    """Refunds that have not arrived, those that failed first, then the oldest."""
    unsolved = and_(Refund.state == "failed", Refund.solved_at.is_(None))
    rows = await session.execute(
        select(Refund, Order)
        .join(Order, Order.id == Refund.order_id)
        .where(or_(unsolved, Refund.state.in_(("due", "sent", "waiting_dispute"))))
        .order_by(unsolved.desc(), Refund.created_at)
        .limit(200)
    )
    return [(refund, order) for refund, order in rows]


async def order_view(session: AsyncSession, calendar: CalendarService, order_id: UUID) -> OrderView:
    """Any order. Raises NotFound."""
    order = await session.scalar(select(Order).where(Order.id == order_id).options(selectinload(Order.lines)))
    if order is None:
        raise NotFound
    attempts = await session.scalars(
        select(CheckoutAttempt).where(CheckoutAttempt.order_id == order_id).order_by(CheckoutAttempt.id)
    )
    payments = await session.scalars(
        select(Payment).where(Payment.order_id == order_id).order_by(Payment.created_at)
    )
    refunds = await refunds_of(session, [order_id])
    disputes = select(Dispute).where(Dispute.order_id == order_id).order_by(Dispute.opened_at)
    return OrderView(
        order=order,
        tickets=as_sold(await calendar.get_tickets_for_order(session, order_id), order.lines, order.currency),
        attempts=list(attempts),
        payments=list(payments),
        refunds=refunds,
        to_decide=await to_decide(session, refunds, order.lines),
        history=await audit.history(session, order_id),
        standing=await standing_of(session, order_id),
        disputes=list(await session.scalars(disputes)),
    )
