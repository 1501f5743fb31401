"""What an organizer sees of a page's orders: the list with its search, and one order with its history."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from cart.models import Order, OrderLine, Payment, Refund, RefundLine
from cart.office.numbers import numbers_of
from cart.records import Dispute
from cart.refunds.by_line import refundable
from cart.refunds.decisions import ToDecide, concerns, to_decide
from cart.refunds.owing import RefundReason, left_of_lines, left_of_payment, part_of_page, payment_of_order
from cart.sold import as_sold
from cart.standing import gone
from shared import audit
from shared.contracts.dtos import PageDTO, TicketDTO
from shared.contracts.protocols import CalendarService
from shared.contracts.states import OPENING_STATES, SELLING_ROLES, OrderStanding, OrderState
from shared.errors import NotFound
from shared.models import AuditEntry
from shared.typed import stored_address

PER_PAGE = 50


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One order in the list: this page's part of it, amounts in minor units."""

    order: Order
    quantity: int
    """Tickets that were ordered; of one that was paid, those that are still good or were used."""
    amount: int
    gone: int
    """What of it went back to the buyer, is about to, or is held by a bank."""
    standing: str
    """An OrderState, or an OrderStanding."""

    @property
    def kept(self) -> int:
        """What of it the page has; nothing unless it was paid."""
        return self.amount - self.gone if self.order.state == OrderState.PAID else 0

    @property
    def sold(self) -> int:
        """How many tickets of it are paid for and not given back."""
        return self.quantity if self.order.state == OrderState.PAID else 0


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
    standing: str
    """An OrderState or an OrderStanding, of the page's part."""

    @property
    def numbers(self) -> dict[UUID, int]:
        """Each ticket's number in the order, as forms name it."""
        return numbers_of(self.order.lines)

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
    standing: str = "",
    entry_id: UUID | None = None,
    before: UUID | None = None,
) -> list[OrderRow]:
    """A page's orders, newest first, `PER_PAGE` + 1 at most; `before` continues after an order's id (they grow).

    `standing`: only those that stand so: an OrderState or an OrderStanding. `entry_id`: only those with this event.
    """
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
    money = gone(page_id, of_page.c.amount)
    query = (
        select(Order, of_page.c.quantity, of_page.c.amount, money.amount, money.standing)
        .join(of_page, of_page.c.order_id == Order.id)
        .order_by(Order.id.desc())
        .limit(PER_PAGE + 1)
    )
    if search:
        query = query.where(await _matches(session, calendar, page_id=page_id, search=search))
    if standing:
        query = query.where(money.standing == standing)
    if entry_id is not None:
        query = query.where(Order.id.in_(_with_entry(page_id, entry_id)))
    if before is not None:
        query = query.where(Order.id < before)
    rows = (await session.execute(query)).all()
    tickets = await calendar.get_tickets_for_orders(session, [row[0].id for row in rows])
    return [_row(row, [one for one in tickets[row[0].id] if one.page_id == page_id]) for row in rows]


def _row(row: Row[Order, int, int, int, str], tickets: Sequence[TicketDTO]) -> OrderRow:
    order, quantity, amount, back, standing = row
    if order.state != OrderState.PAID:
        return OrderRow(order, int(quantity), int(amount), 0, standing)
    still = sum(one.state in OPENING_STATES for one in tickets)
    return OrderRow(order, still, int(amount), int(back), _told(standing, tickets))


def _with_entry(page_id: UUID, entry_id: UUID) -> Select[UUID]:
    return select(OrderLine.order_id).where(OrderLine.page_id == page_id, OrderLine.entry_id == entry_id)


async def name_of_entry(session: AsyncSession, *, page_id: UUID, entry_id: UUID | None) -> str:
    """What an event of the page was called when it was last sold; nothing where it never was."""
    of_entry = select(OrderLine.name).where(OrderLine.page_id == page_id, OrderLine.entry_id == entry_id)
    return await session.scalar(of_entry.order_by(OrderLine.id.desc()).limit(1)) or ""


def _told(standing: str, tickets: Sequence[TicketDTO]) -> str:
    """The word for an order by its money; a paid one without a ticket left is no paid one to anybody."""
    if standing == OrderState.PAID and not any(one.state in OPENING_STATES for one in tickets):
        return OrderStanding.GIVEN_BACK
    return standing


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
    part = (
        select(func.sum(OrderLine.amount + OrderLine.tax))
        .where(OrderLine.order_id == Order.id, OrderLine.page_id == page_id)
        .scalar_subquery()
    )
    has_part = exists().where(OrderLine.order_id == Order.id, OrderLine.page_id == page_id)
    found = await session.execute(
        select(Order, gone(page_id, part).standing)
        .where(Order.id == order_id, has_part)
        .options(selectinload(Order.lines))
    )
    row = found.one_or_none()
    if row is None:
        raise NotFound
    order, standing = row
    lines = [line for line in order.lines if line.page_id == page_id]
    held = await calendar.get_tickets_for_order(session, order_id)
    tickets = [one for one in as_sold(held, lines, order.currency) if one.page_id == page_id]
    payments = select(Payment).where(Payment.order_id == order_id).order_by(Payment.created_at)
    of_order = select(Refund).where(Refund.order_id == order_id, concerns(page_id))
    refunds = list(await session.scalars(of_order.order_by(Refund.created_at, Refund.id)))
    of_page = select(RefundLine).where(RefundLine.order_line_id.in_([line.id for line in lines]))
    disputes = select(Dispute).where(Dispute.order_id == order_id).order_by(Dispute.opened_at)
    return OrderDetail(
        order=order,
        lines=lines,
        tickets=tickets,
        payments=list(await session.scalars(payments)),
        refunds=refunds,
        refund_lines=list(await session.scalars(of_page)),
        disputes=list(await session.scalars(disputes)),
        left=await _left(session, order_id, lines),
        to_decide=await to_decide(session, refunds, lines),
        history=await audit.history(session, order_id),
        standing=_told(standing, tickets),
    )


async def _left(session: AsyncSession, order_id: UUID, lines: Sequence[OrderLine]) -> dict[UUID, int]:
    """What may still be refunded of each line: no more than is left of the payment, which a dispute may have taken."""
    payment = await payment_of_order(session, order_id)
    at_most = await left_of_payment(session, payment) if payment else 0
    return {line_id: min(left, at_most) for line_id, left in (await left_of_lines(session, lines)).items()}
