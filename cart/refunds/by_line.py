"""Refunds by wish: tickets of a paid order are cancelled and their money goes back, in one transaction (spec: H2).

Used by the organizer's and the buyer's order pages, by news.py and by cart.cancelled_entries.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from cart import orders
from cart.mails import owe_refund_mail
from cart.models import Order, OrderLine, Payment, Refund, RefundLine
from cart.refunds import owing
from cart.refunds.given import given_by_banks, note_given
from cart.refunds.owing import Part, RefundReason
from cart.sold import as_sold
from cart.till import Till
from shared import audit
from shared.contracts.dtos import TicketDTO
from shared.contracts.protocols import CalendarService
from shared.contracts.states import OrderState, TicketState
from shared.errors import Conflict, Invalid, NotFound
from shared.formats import clock_time, date_short, zone_name
from shared.jobs import nudge
from shared.money import STEPS, Money, format_minor, is_payable, split

REFUNDABLE = (TicketState.CONFIRMED, TicketState.CHECKED_IN)


class RefundChanged(Conflict):
    """What would go back has changed in the meantime, so nothing was cancelled. Please look at the amount again."""

    code = "REFUND_CHANGED"


class NotRefundable(Conflict):
    """These tickets can no longer be given back here. Nothing was changed."""

    code = "NOT_REFUNDABLE"


class NoTickets(Invalid):
    """Please choose at least one ticket."""

    code = "NO_TICKETS"


class TooMuch(Invalid):
    """That is more than is left to refund. Nothing was changed."""

    code = "TOO_MUCH"


class NotPayable(Invalid):
    """The payment provider cannot give back exactly this amount."""

    code = "NOT_PAYABLE"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a refund would do: the tickets it cancels and the money that goes back; empty where nothing is left."""

    order: Order
    payment: Payment | None
    tickets: tuple[TicketDTO, ...]
    parts: tuple[Part, ...]
    covered: tuple[Part, ...] = ()
    """What would go back if a bank had not given it to the buyer."""

    @property
    def amount(self) -> int:
        """What goes back in all, in minor units."""
        return sum(part.amount for part in self.parts)


async def plan_refund(
    session: AsyncSession,
    calendar: CalendarService,
    *,
    order: Order,
    lines: Sequence[OrderLine],
    item_ids: Collection[UUID],
) -> Plan:
    """What refunding these tickets would do, as things stand; tickets of other lines are left out. Writes nothing."""
    among = {item for line in lines for item in line.item_ids} & set(item_ids)
    held = await calendar.get_tickets_for_order(session, order.id)
    tickets = [ticket for ticket in refundable(order, held) if ticket.id in among]
    payment = await owing.payment_of_order(session, order.id)
    at_most = await owing.left_of_payment(session, payment) if payment else 0
    left = await owing.left_of_lines(session, lines)
    chosen = {ticket.id for ticket in tickets}
    parts = parts_of(lines, left, chosen, at_most=at_most)
    banks = await given_by_banks(session, payment) if payment else 0
    in_full = parts_of(lines, left, chosen, at_most=at_most + banks)
    covered = [
        Part(part.line, part.amount - owed.amount, part.item_ids)
        for part, owed in zip(in_full, parts, strict=True)
    ]
    sold = tuple(as_sold(tickets, lines, order.currency))
    return Plan(order, payment, sold, tuple(parts), tuple(part for part in covered if part.amount))


def refundable(order: Order, tickets: Iterable[TicketDTO]) -> list[TicketDTO]:
    """Which of an order's tickets can be cancelled and refunded."""
    return [ticket for ticket in tickets if order.state == OrderState.PAID and ticket.state in REFUNDABLE]


def parts_of(
    lines: Sequence[OrderLine], left: Mapping[UUID, int], item_ids: Collection[UUID], *, at_most: int
) -> list[Part]:
    """What each line gives back for these tickets: their share of it, but no more than is left, in all `at_most`."""
    parts = []
    for line in lines:
        shares = dict(zip(line.item_ids, split(line.amount + line.tax, line.quantity), strict=True))
        chosen = tuple(item for item in line.item_ids if item in item_ids)
        amount = min(sum(shares[item] for item in chosen), left[line.id], at_most)
        at_most -= amount
        if chosen:
            parts.append(Part(line, amount, chosen))
    return parts


async def refund_items(
    session: AsyncSession,
    till: Till,
    *,
    order_id: UUID,
    item_ids: Collection[UUID],
    page_id: UUID | None,
    actor: str,
    reason: RefundReason,
    now: datetime,
    seen: int | None = None,
) -> Plan:
    """Cancel these tickets of a paid order and owe their money back: all in this transaction (spec: H2).

    `page_id`: only lines of this page may be touched. `seen`: the amount (minor units) that was agreed to. Tickets
    that are cancelled already do nothing, so a second click changes nothing; the answer says what was done.
    Raises NotFound where the order, or the page's part in it, does not exist; RefundChanged for another amount.
    """
    order, lines = await orders.lock_order_with_lines(session, order_id)
    lines = [line for line in lines if page_id in (None, line.page_id)]
    if not lines:
        raise NotFound
    plan = await plan_refund(session, till.calendar, order=order, lines=lines, item_ids=item_ids)
    if not plan.tickets:
        return plan
    if seen is not None and seen != plan.amount:
        raise RefundChanged
    gone = await till.calendar.cancel_tickets(
        session, order_id, ticket_ids=[ticket.id for ticket in plan.tickets]
    )
    assert len(gone) == len(plan.tickets), "the order's lock is ours, and nobody else cancels"
    await _owe(session, till, plan, actor=actor, reason=reason, now=now)
    return plan


async def _owe(
    session: AsyncSession, till: Till, plan: Plan, *, actor: str, reason: RefundReason, now: datetime
) -> None:
    """The refund of tickets that were just cancelled, the order's history, and the mail to the buyer."""
    about = plan.tickets[0].id
    await note_cancelled(session, plan.order.id, plan.tickets, actor=actor, reason=reason, now=now)
    if plan.payment is not None and plan.amount:
        refund = await owing.add_refund(
            session,
            plan.payment,
            amount=plan.amount,
            reason=reason,
            actor=actor,
            now=now,
            parts=plan.parts,
        )
        about = refund.id
    if plan.payment is not None:
        await note_given(session, plan.payment, plan.covered, reason=reason, actor=actor, now=now)
    await owe_refund_mail(
        session,
        till,
        plan.order,
        about=about,
        amount=Money(plan.amount, plan.order.currency),
        reason=reason,
        parts=plan.parts,
        now=now,
    )
    await nudge(session, "books")


async def note_cancelled(
    session: AsyncSession,
    order_id: UUID,
    tickets: Sequence[TicketDTO],
    *,
    actor: str,
    reason: str,
    now: datetime,
) -> None:
    """Note in the order's history which tickets a refund cancelled."""
    await audit.record(
        session,
        at=now,
        actor=actor,
        subject="order",
        subject_id=order_id,
        what="tickets_cancelled",
        after={"tickets": [str(ticket.id) for ticket in tickets], "reason": reason},
    )


async def refund_own_items(
    session: AsyncSession,
    till: Till,
    *,
    order_id: UUID,
    user_id: UUID,
    item_ids: Collection[UUID],
    seen: int,
    now: datetime,
) -> Plan:
    """A buyer gives tickets back, within each page's policy (spec: H2).

    Raises NotFound for another's order or ticket, NoTickets, NotRefundable where it is too late for one of them or it
    was used at the door, RefundChanged where the amount is not the one that was seen.
    """
    order, lines = await orders.lock_order_with_lines(session, order_id)
    if order.user_id != user_id or not set(item_ids) <= set(orders.item_ids(lines)):
        raise NotFound
    if not item_ids:
        raise NoTickets
    tickets = await till.calendar.get_tickets_for_order(session, order_id)
    chosen = [ticket for ticket in tickets if ticket.id in item_ids and ticket.state in REFUNDABLE]
    for ticket in chosen:
        if words := why_not(ticket, now=now):
            raise NotRefundable(
                f"{ticket.entry_title}, {ticket.ticket_type_name}: {words} Nothing was changed."
            )
    plan = await refund_items(
        session,
        till,
        order_id=order_id,
        item_ids=[ticket.id for ticket in chosen],
        page_id=None,
        actor=f"user:{user_id}",
        reason=RefundReason.BUYER,
        now=now,
        seen=seen,
    )
    after = await till.calendar.get_tickets_for_order(session, order_id)
    gone = {ticket.id for ticket in plan.tickets}
    if any(ticket.id in gone and ticket.checked_in_at is not None for ticket in after):
        raise NotRefundable  # the door was faster; the tickets are locked now, so this reading is exact
    return plan


def why_not(ticket: TicketDTO, *, now: datetime) -> str | None:
    """Why its buyer can't give a ticket back, in words; None where they can (the page's policy, `refund_hours`)."""
    hours = ticket.page.refund_hours
    if ticket.state not in REFUNDABLE:
        return "there is nothing to give back."
    if ticket.state == TicketState.CHECKED_IN:
        return "it was used at the door."
    if ticket.blocked:
        return "your bank is looking into its payment."
    if now >= ticket.starts_at:
        return "the event has begun."
    if hours is None:
        return "please ask the organizer, who decides about refunds."
    if now > ticket.starts_at - timedelta(hours=hours):
        return f"tickets could be given back until {_last_moment(ticket, hours)}."
    return None


def _last_moment(ticket: TicketDTO, hours: int) -> str:
    until, zone = ticket.starts_at - timedelta(hours=hours), ticket.time_zone
    return f"{date_short(until, zone)}, {clock_time(until, zone)} ({zone_name(zone)}), {hours} hours before the start"


def check_payable(amount: int, currency: str) -> None:
    """Raises NotPayable where Stripe would refuse to move exactly this amount (minor units)."""
    if not is_payable(amount, currency):
        raise NotPayable(
            f"The payment provider gives back only multiples of {format_minor(STEPS[currency], currency)}.",
            field="amount",
        )


async def refund_amount(
    session: AsyncSession,
    till: Till,
    *,
    order_id: UUID,
    line_id: UUID,
    amount: int,
    page_id: UUID,
    refund_id: UUID,
    actor: str,
    now: datetime,
) -> Refund:
    """Money back for a line while its tickets stay, once per `refund_id`: goodwill. `amount` in minor units.

    Raises NotFound where the page has no such line or the id is another refund's, TooMuch where so much is not left,
    NotPayable for an amount that cannot be moved, NotRefundable where nobody has paid.
    """
    order, lines = await orders.lock_order_with_lines(session, order_id)
    line = next((line for line in lines if line.id == line_id and line.page_id == page_id), None)
    made = await session.get(Refund, refund_id)
    if line is None:
        raise NotFound
    if made is not None:
        if not await _gives_to(session, made, line):
            raise NotFound
        return made
    payment = await owing.payment_of_order(session, order_id)
    if payment is None:
        raise NotRefundable
    left = await owing.left_of_lines(session, [line])
    if not 0 < amount <= min(left[line.id], await owing.left_of_payment(session, payment)):
        raise TooMuch
    check_payable(amount, order.currency)
    refund = await owing.add_refund(
        session,
        payment,
        amount=amount,
        reason=RefundReason.GOODWILL,
        actor=actor,
        now=now,
        parts=[Part(line, amount)],
        refund_id=refund_id,
    )
    await owe_refund_mail(
        session,
        till,
        order,
        about=refund.id,
        amount=Money(amount, order.currency),
        reason=RefundReason.GOODWILL,
        now=now,
    )
    await nudge(session, "books")
    return refund


async def _gives_to(session: AsyncSession, made: Refund, line: OrderLine) -> bool:
    """Whether a refund is money back for this line: the same form sent again, and not one that names another's."""
    part = await session.get(RefundLine, (made.id, line.id))
    return part is not None and made.reason == RefundReason.GOODWILL
