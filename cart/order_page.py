"""What the order's pages show: an order with its tickets, its money going back, and the way on."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncSession

from cart import attempts, orders
from cart.foreign.views import looked_at
from cart.models import CheckoutAttempt, Order, Refund
from cart.sold import as_sold
from cart.summary import pages_of
from shared.contracts.dtos import PageDTO, TicketDTO
from shared.contracts.protocols import CalendarService
from shared.contracts.states import OrderState

MAY_BE_LOOKED_AT = (OrderState.PENDING, *orders.ENDED_UNPAID)


@dataclass(frozen=True, slots=True)
class OrderView:
    """One order as its buyer sees it."""

    order: Order
    tickets: list[TicketDTO]
    pages: list[PageDTO]
    refunds: list[Refund]
    attempt: CheckoutAttempt | None
    """The one that may still be paid, while the order is pending."""
    looked_at: bool
    """A payment without our marks fits this order, and the operator has not said yet what it is."""
    siblings: list[Order]
    """All live orders of the same cart, this one too, in the order in which they are paid."""

    @property
    def session_id(self) -> str | None:
        """Of the Checkout session that waits for the buyer."""
        return self.attempt.session_id if self.attempt else None

    @property
    def next_to_pay(self) -> Order | None:
        """Of the other orders of the same cart that wait for their payment, the one whose hold lapses first."""
        waiting = (
            one
            for one in orders.by_deadline(self.siblings)
            if one.state == OrderState.PENDING and one.id != self.order.id
        )
        return next(waiting, None)

    @property
    def time_zone(self) -> str:
        """Where the clock of the hold is read: the first page's zone."""
        return self.pages[0].time_zone if self.pages else "UTC"


async def order_view(
    session: AsyncSession, calendar: CalendarService, *, order_id: UUID, user_id: UUID
) -> OrderView:
    """An own order for its page. Raises NotFound for any other."""
    order, siblings = await orders.own_order_with_siblings(session, order_id, user_id=user_id)
    tickets = await calendar.get_tickets_for_order(session, order_id)
    # an order that was given back has no tickets any more to say whose they were
    pages = pages_of(tickets) or await calendar.get_pages(
        session, sorted({line.page_id for line in order.lines})
    )
    attempt, is_looked_at = None, False
    if order.state in MAY_BE_LOOKED_AT:
        attempt, is_looked_at = await _what_it_waits_for(session, order_id)
    return OrderView(
        order=order,
        tickets=as_sold(tickets, order.lines, order.currency),
        pages=list(pages.values()),
        refunds=await refunds_of(session, [order_id]),
        attempt=attempt,
        looked_at=is_looked_at,
        siblings=siblings,
    )


async def _what_it_waits_for(session: AsyncSession, order_id: UUID) -> tuple[CheckoutAttempt | None, bool]:
    """The attempt that may still be paid, and whether a payment without our marks may be for it; one statement."""
    active = and_(CheckoutAttempt.order_id == Order.id, CheckoutAttempt.state.in_(attempts.ACTIVE))
    query = select(CheckoutAttempt, looked_at(Order.id)).select_from(Order).outerjoin(CheckoutAttempt, active)
    row = (await session.execute(query.where(Order.id == order_id).limit(1))).one()
    return row[0], row[1]


async def refunds_of(session: AsyncSession, order_ids: Sequence[UUID]) -> list[Refund]:
    """Refunds of these orders, oldest first."""
    rows = await session.scalars(
        select(Refund).where(Refund.order_id.in_(order_ids)).order_by(Refund.created_at, Refund.id)
    )
    return list(rows)
