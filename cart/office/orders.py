"""What an organizer sees of a page's orders: the list with its search, and one order with its history."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from cart.models import Order, OrderLine, Payment, Refund, RefundLine
from cart.records import Dispute
from cart.refunds.by_line import refundable
from cart.refunds.decisions import ToDecide, concerns, to_decide
from cart.refunds.owing import RefundReason, left_of_lines, left_of_payment, part_of_page, payment_of_order
from cart.sold import as_sold
from shared import audit
from shared.contracts.dtos import PageDTO, TicketDTO
from shared.contracts.protocols import CalendarService
from shared.contracts.states import SELLING_ROLES, OrderState
from shared.errors import NotFound
from shared.models import AuditEntry
from shared.typed import stored_address

PER_PAGE = 50


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One order in the list. `amount` is this page's part, in minor units."""

    order: Order
    quantity: int
    amount: int


@dataclass(frozen=True, slots=True)
class OrderDetail:
    """One order as the organizer of one of its pages sees it: that page's lines, tickets and refunds only."""

    order: Order
    lines: list[OrderLine]
    tickets: list[TicketDTO]
    payments: list[Payment]
    refunds: list[Refund]
    refund_lines: list[RefundLine]
    disputes: list[Dispute]
    left: dict[UUID, int]
    """What may still be refunded of each line, in minor units."""
    to_decide: ToDecide
    history: list[AuditEntry]

    @property
    def is_shared(self) -> bool:
        """Whether other pages sold in this order too: what was paid in all is not this organizer's to see."""
        return len(self.lines) < len(self.order.lines)

    @property
    def total(self) -> int:
        """What the page's part of the order costs, in minor units."""
        return sum(line.amount + line.tax for line in self.lines)

    @property
    def refundable(self) -> list[TicketDTO]:
        """Tickets that can be cancelled and refunded."""
        return refundable(self.order, self.tickets)

    @property
    def repayable(self) -> set[UUID]:
        """Lines of which something is left to refund."""
        paid = self.order.state == OrderState.PAID
        return {line.id for line in self.lines if paid and self.left[line.id]}

    @property
    def wrong_amount(self) -> bool:
        """Whether somebody paid another amount than the order's: the organizer is warned."""
        return any(refund.reason == RefundReason.WRONG_AMOUNT for refund in self.refunds)

    def part_of(self, refund: Refund) -> int:
        """This page's part of a refund, in minor units."""
        return part_of_page(refund, self.refund_lines, self.lines, is_shared=self.is_shared)


async def page_for_seller(
    session: AsyncSession, calendar: CalendarService, *, user_id: UUID, slug: str
) -> PageDTO:
    """The page, if this user may see its sales. Raises NotFound otherwise: others' pages do not exist for them."""
    for page, role in await calendar.pages_of_member(session, user_id=user_id):
        if page.slug == slug and role in SELLING_ROLES:
            return page
    raise NotFound


async def list_orders(
    session: AsyncSession,
    calendar: CalendarService,
    *,
    page_id: UUID,
    search: str = "",
    state: OrderState | None = None,
    before: UUID | None = None,
) -> list[OrderRow]:
    """A page's orders, newest first, `PER_PAGE` + 1 at most; `before` continues after an order's id (they grow)."""
    of_page = (
        select(
            OrderLine.order_id,
            func.sum(OrderLine.quantity).label("quantity"),
            func.sum(OrderLine.amount).label("amount"),
        )
        .where(OrderLine.page_id == page_id)
        .group_by(OrderLine.order_id)
        .subquery()
    )
    query = (
        select(Order, of_page.c.quantity, of_page.c.amount)
        .join(of_page, of_page.c.order_id == Order.id)
        .order_by(Order.id.desc())
        .limit(PER_PAGE + 1)
    )
    if search:
        query = query.where(await _matches(session, calendar, page_id=page_id, search=search))
    if state is not None:
        query = query.where(Order.state == state)
    if before is not None:
        query = query.where(Order.id < before)
    return [OrderRow(row[0], int(row[1]), int(row[2])) for row in await session.execute(query)]


async def _matches(
    session: AsyncSession, calendar: CalendarService, *, page_id: UUID, search: str
) -> ColumnElement[bool]:
    """E-mail (part of it), order number (with or without its dash), or a ticket's door code."""
    text = search.strip()
    bare = text.replace("-", "").replace(" ", "").upper()
    by_code = await calendar.orders_by_ticket_code(session, page_id=page_id, code=bare)
    return or_(
        Order.email.contains(stored_address(text), autoescape=True),
        func.replace(Order.number, "-", "") == bare,
        Order.id.in_(by_code),
    )


async def order_detail(
    session: AsyncSession, calendar: CalendarService, *, page_id: UUID, order_id: UUID
) -> OrderDetail:
    """One order with lines of this page. Raises NotFound where the page has no part in it."""
    has_part = exists().where(OrderLine.order_id == Order.id, OrderLine.page_id == page_id)
    order = await session.scalar(
        select(Order).where(Order.id == order_id, has_part).options(selectinload(Order.lines))
    )
    if order is None:
        raise NotFound
    lines = [line for line in order.lines if line.page_id == page_id]
    tickets = await calendar.get_tickets_for_order(session, order_id)
    payments = select(Payment).where(Payment.order_id == order_id).order_by(Payment.created_at)
    of_order = select(Refund).where(Refund.order_id == order_id, concerns(page_id))
    refunds = list(await session.scalars(of_order.order_by(Refund.created_at, Refund.id)))
    of_page = select(RefundLine).where(RefundLine.order_line_id.in_([line.id for line in lines]))
    disputes = select(Dispute).where(Dispute.order_id == order_id).order_by(Dispute.opened_at)
    return OrderDetail(
        order=order,
        lines=lines,
        tickets=[ticket for ticket in as_sold(tickets, lines, order.currency) if ticket.page_id == page_id],
        payments=list(await session.scalars(payments)),
        refunds=refunds,
        refund_lines=list(await session.scalars(of_page)),
        disputes=list(await session.scalars(disputes)),
        left=await _left(session, order_id, lines),
        to_decide=await to_decide(session, refunds, lines),
        history=await audit.history(session, order_id),
    )


async def _left(session: AsyncSession, order_id: UUID, lines: Sequence[OrderLine]) -> dict[UUID, int]:
    """What may still be refunded of each line: no more than is left of the payment, which a dispute may have taken."""
    payment = await payment_of_order(session, order_id)
    at_most = await left_of_payment(session, payment) if payment else 0
    return {line_id: min(left, at_most) for line_id, left in (await left_of_lines(session, lines)).items()}
