"""Orders, whatever Stripe lists: held past their time, on their way for ever, paid with no payment or tickets."""

from collections.abc import Sequence
from functools import partial
from uuid import UUID

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from cart.models import LedgerTransfer, Order, OrderLine, Payment, RefundLine
from cart.overdue import is_overdue
from cart.reconcile import repairs
from cart.reconcile.differences import NEEDS_A_PERSON, Difference, Kind, Repair, Scope
from cart.reconcile.reading import OrderBrief, among, orders_by_id
from shared.contracts.dtos import TicketDTO
from shared.contracts.protocols import CalendarService
from shared.contracts.states import OrderState, TicketState
from shared.formats import state_words
from shared.ids import parse_ids
from shared.models import AuditEntry
from shared.money import format_minor

ADMITTED = (TicketState.CONFIRMED, TicketState.CHECKED_IN)
PER_STEP = 500


async def compare_orders(session: AsyncSession, scope: Scope) -> list[Difference]:
    """Orders that stand still, and orders that say paid where nothing else does."""
    paid = (Order.state == OrderState.PAID, Order.total > 0)
    lapsed = Order.reserved_until < scope.now - scope.grace
    of_payment = exists().where(Payment.order_id == Order.id)
    in_ledger = exists().where(LedgerTransfer.order_id == Order.id, LedgerTransfer.kind == "gross")
    return [
        *await _standing(session, Kind.ORDER_LAPSED, Order.state == OrderState.PENDING, lapsed),
        *await _standing(session, Kind.ORDER_PROCESSING, is_overdue(scope.now)),
        *await _standing(session, Kind.PAID_WITHOUT_LEDGER, *paid, ~(of_payment & in_ledger)),
    ]


async def _standing(session: AsyncSession, kind: Kind, *conditions: ColumnElement[bool]) -> list[Difference]:
    ids = list(await session.scalars(select(Order.id).where(*conditions).order_by(Order.id)))
    briefs = await orders_by_id(session, ids)
    return [_about_order(kind, briefs[order_id]) for order_id in ids]


def _about_order(
    kind: Kind,
    order: OrderBrief,
    *,
    here: str = "",
    remedy: str = NEEDS_A_PERSON,
    repair: Repair | None = None,
) -> Difference:
    if kind is Kind.ORDER_LAPSED:
        remedy, repair = "ask Stripe, free its stock", partial(repairs.release_order, order_id=order.id)
    return Difference(
        kind=kind,
        about=order.words,
        here=here or f"{state_words(order.state, 'order')}, {format_minor(order.total, order.currency)}",
        stripe="",
        remedy=remedy,
        repair=repair,
        stripe_account=order.stripe_account,
        order_id=order.id,
        page_ids=order.page_ids,
    )


async def compare_held(session: AsyncSession, calendar: CalendarService, scope: Scope) -> list[Difference]:
    """Tickets that hold stock against the orders they hold it for."""
    found: list[Difference] = []
    after: UUID | None = None
    while step := await calendar.orders_holding_tickets(session, after=after, limit=PER_STEP):
        after = step[-1]
        before = await orders_by_id(session, step)
        unpaid = [one for one in step if one not in before or before[one].state != OrderState.PAID]
        tickets = await calendar.get_tickets_for_orders(session, unpaid)
        # the orders anew: one that was paid in between is read as paid, one that ended as just ended
        orders = await orders_by_id(session, unpaid)
        for one in unpaid:
            found += _judge_held(one, orders.get(one), tickets[one], scope)
    return found


def _judge_held(
    order_id: UUID, order: OrderBrief | None, tickets: Sequence[TicketDTO], scope: Scope
) -> list[Difference]:
    reserved = [one for one in tickets if one.state == TicketState.RESERVED]
    entered = [one for one in tickets if one.state in ADMITTED]
    if order is None:
        return [_held_without_order(order_id, [*reserved, *entered])] if reserved or entered else []
    if order.state == OrderState.PAID or scope.is_young(order.closed_at):
        return []
    found = []
    if reserved and order.state in repairs.OVER:
        free = partial(repairs.free_tickets, order_id=order.id)
        here = f"{state_words(order.state, 'order')}, {len(reserved)} tickets held"
        found.append(
            _about_order(Kind.TICKETS_HELD_FOR_NOBODY, order, here=here, remedy="free them", repair=free)
        )
    if entered:
        here = f"{state_words(order.state, 'order')}, {len(entered)} tickets confirmed"
        found.append(_about_order(Kind.TICKETS_WITHOUT_PAYMENT, order, here=here))
    return found


def _held_without_order(order_id: UUID, tickets: Sequence[TicketDTO]) -> Difference:
    return Difference(
        kind=Kind.TICKETS_WITHOUT_PAYMENT,
        about=f"Order {order_id}",
        here=f"no such order, {len(tickets)} tickets hold stock for it",
        stripe="",
        page_ids=tuple(sorted({ticket.page_id for ticket in tickets})),
    )


async def compare_cancelled(
    session: AsyncSession, calendar: CalendarService, scope: Scope
) -> list[Difference]:
    """Orders that hold tickets of cancelled events. Those whose payment is on its way are left to it."""
    found: list[Difference] = []
    after: UUID | None = None
    while step := await calendar.orders_of_cancelled_entries(session, after=after, limit=PER_STEP):
        after = step[-1]
        briefs = await orders_by_id(session, step)
        found += [
            _about_order(
                Kind.EVENT_CANCELLED,
                briefs[one],
                remedy="give its tickets back, refund what was paid",
                repair=partial(repairs.unwind_order, order_id=one),
            )
            for one in step
            if one in briefs and briefs[one].state in (OrderState.PENDING, OrderState.PAID)
        ]
    return found


async def compare_paid(session: AsyncSession, calendar: CalendarService, scope: Scope) -> list[Difference]:
    """Orders paid since the scope's beginning against their tickets: each paid for is confirmed, or was refunded."""
    found: list[Difference] = []
    paid = (Order.state == OrderState.PAID, Order.closed_at.between(scope.since, scope.now - scope.grace))
    ids = list(await session.scalars(select(Order.id).where(*paid).order_by(Order.id)))
    for start in range(0, len(ids), PER_STEP):
        step = ids[start : start + PER_STEP]
        tickets = await calendar.get_tickets_for_orders(session, step)
        sold = await _sold_items(session, step)
        briefs = await orders_by_id(session, step)
        for one in step:
            state = {ticket.id: ticket.state for ticket in tickets[one]}
            missing = [item for item in sold[one] if state.get(item) not in ADMITTED]
            if missing:
                held = all(state.get(item) == TicketState.RESERVED for item in missing)
                found.append(_without_tickets(briefs[one], len(missing), only_held=held))
    return found


async def _sold_items(session: AsyncSession, order_ids: Sequence[UUID]) -> dict[UUID, set[UUID]]:
    """What was paid for and neither refunded nor cancelled, by order.

    Free tickets are given back without a refund, so none counts; nor does one whose money the bank has taken, or that
    had all gone back before: it is cancelled for nothing, and only the order's history knows it.
    """
    items: dict[UUID, set[UUID]] = {one: set() for one in order_ids}
    lines = select(OrderLine.order_id, OrderLine.item_ids).where(
        among(OrderLine.order_id, order_ids), OrderLine.kind == "ticket", OrderLine.amount > 0
    )
    for order_id, item_ids in await session.execute(lines):
        items[order_id] |= set(item_ids)
    # asked last: tickets go together with their refund line
    gone = (
        select(OrderLine.order_id, RefundLine.item_ids)
        .join(OrderLine, OrderLine.id == RefundLine.order_line_id)
        .where(among(OrderLine.order_id, order_ids))
    )
    for order_id, item_ids in await session.execute(gone):
        items[order_id] -= set(item_ids)
    noted = select(AuditEntry.subject_id, AuditEntry.after).where(
        among(AuditEntry.subject_id, order_ids), AuditEntry.what == "tickets_cancelled"
    )
    for order_id, after in await session.execute(noted):
        items[order_id] -= set(parse_ids(after["tickets"]))
    return items


def _without_tickets(order: OrderBrief, missing: int, *, only_held: bool) -> Difference:
    return _about_order(
        Kind.PAID_WITHOUT_TICKETS,
        order,
        here=f"Paid, {missing} of its tickets {'only held' if only_held else 'gone'}",
        remedy="confirm them" if only_held else NEEDS_A_PERSON,
        repair=partial(repairs.confirm_tickets, order_id=order.id) if only_held else None,
    )


async def compare_pools(session: AsyncSession, calendar: CalendarService, scope: Scope) -> list[Difference]:
    """Counters of stock against the tickets that hold a place."""
    return [
        Difference(
            kind=Kind.POOL_DIFFERS,
            about=pool.name,
            here=f"counter {pool.allocated}, tickets {pool.tickets}",
            stripe="",
            remedy=f"set it to {pool.tickets}",
            repair=partial(repairs.recount, pool_id=pool.pool_id),
            page_ids=(pool.page_id,),
        )
        for pool in await calendar.stock_differences(session)
    ]
