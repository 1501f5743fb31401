"""Mails about orders: to the buyer when one was paid or failed, or money goes back; to sellers, what needs them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cart import orders
from cart.models import Order, OrderLine, Refund, RefundLine
from cart.refunds.owing import REASON_WORDS, Part, RefundReason, part_of_page
from cart.sold import occasion_of
from cart.till import Till
from cart.words import why_failed
from shared.contracts.dtos import TicketDTO
from shared.contracts.states import SELLING_ROLES
from shared.identity.users import emails_of
from shared.mail import owe_mail
from shared.money import Money, format_minor


async def owe_paid_mail(
    session: AsyncSession,
    till: Till,
    order: Order,
    lines: Sequence[OrderLine],
    *,
    now: datetime,
    late: bool = False,
) -> None:
    """The tickets; `late`: the payment came after the hold had lapsed, and they were still available."""
    parts = _whole_lines(lines)
    await _owe(session, till, order, "order_paid", order.id, parts, now=now, late=late)


async def owe_failed_mail(
    session: AsyncSession, till: Till, order: Order, lines: Sequence[OrderLine], *, now: datetime
) -> None:
    """A delayed payment did not arrive."""
    await _owe(session, till, order, "payment_failed", order.id, _whole_lines(lines), now=now)


async def owe_refund_mail(
    session: AsyncSession,
    till: Till,
    order: Order,
    *,
    about: UUID,
    amount: Money,
    reason: RefundReason,
    now: datetime,
    parts: Sequence[Part] = (),
) -> None:
    """Money that goes back (0 for free tickets), why, and for which cancelled tickets.

    Once per `about`: the refund, the payment, or a ticket.
    """
    gone = [part for part in parts if part.item_ids]
    about_money = _of_refund(amount, reason, whole=False)
    await _owe(session, till, order, "refund", about, gone, now=now, **about_money)


async def owe_sent_back_mail(
    session: AsyncSession,
    till: Till,
    order: Order,
    lines: Sequence[OrderLine],
    *,
    about: UUID,
    amount: Money,
    reason: RefundReason,
    now: datetime,
) -> None:
    """A payment, `about`, that bought nothing goes back whole; and what its order was for."""
    about_money = _of_refund(amount, reason, whole=True)
    await _owe(session, till, order, "refund", about, _whole_lines(lines), now=now, **about_money)


def _of_refund(amount: Money, reason: RefundReason, *, whole: bool) -> dict[str, Any]:
    return {
        "amount": str(amount) if amount.amount else "",
        "reason": REASON_WORDS[reason],
        "whole": whole,
    }


def _whole_lines(lines: Sequence[OrderLine]) -> list[Part]:
    return [Part(line, line.amount, tuple(line.item_ids)) for line in lines]


async def _tickets(
    session: AsyncSession, till: Till, order: Order, parts: Sequence[Part]
) -> dict[UUID, TicketDTO]:
    """The order's tickets by id: its own, or back in the buyer's cart. What was removed there is missing."""
    found = {one.id: one for one in await till.calendar.get_tickets_for_order(session, order.id)}
    if any(item not in found for part in parts for item in part.item_ids):
        in_cart = await till.calendar.pending_tickets(session, user_id=order.user_id)
        found |= {one.id: one for one in in_cart}
    return found


def _line(part: Part, tickets: Mapping[UUID, TicketDTO], currency: str) -> dict[str, Any]:
    """A line as a mail shows it: when and where it is now, and was when it was sold if that is another (spec: L6)."""
    sold = occasion_of(part.line)
    ticket = next((tickets[item] for item in part.item_ids if item in tickets), None)
    at = ticket.occasion if ticket else sold
    return {
        "quantity": len(part.item_ids),
        "name": part.line.name,
        "detail": part.line.detail,
        "amount": format_minor(part.amount, currency),
        "at": at,
        "was": sold if sold != at else None,
    }


async def _owe(
    session: AsyncSession,
    till: Till,
    order: Order,
    template: str,
    about: UUID,
    parts: Sequence[Part],
    *,
    now: datetime,
    **context: Any,
) -> None:
    """Owe one mail about an order and these parts of it; once per template and what it is about."""
    tickets = await _tickets(session, till, order, parts) if parts else {}
    await owe_mail(
        session,
        to=order.email,
        template=template,
        now=now,
        dedupe_key=f"{template}:{about}",
        number=order.number,
        href=f"{till.public_url}/orders/{order.id}",
        total=format_minor(order.total, order.currency),
        lines=[_line(part, tickets, order.currency) for part in parts],
        **context,
    )


async def warn_office(
    session: AsyncSession,
    till: Till,
    order: Order,
    lines: Sequence[OrderLine],
    title: str,
    words: str,
    *,
    key: str,
    now: datetime,
) -> None:
    """Tell owners and staff of every page that has a part in an order; each of them once per `key` and page."""
    page_ids = sorted({line.page_id for line in lines})
    pages = await till.calendar.get_pages(session, page_ids)
    members = await till.calendar.members_of_pages(session, page_ids)
    sellers = [(page_id, user_id) for page_id, user_id, role in members if role in SELLING_ROLES]
    addresses = await emails_of(session, {user_id for _, user_id in sellers})
    for page_id, user_id in sellers:
        await owe_mail(
            session,
            to=addresses[user_id],
            template="office_notice",
            now=now,
            dedupe_key=f"{key}:{page_id}:{user_id}",
            title=title,
            words=words,
            number=order.number,
            page=pages[page_id].name,
            href=f"{till.public_url}/organizer/{pages[page_id].slug}/orders/{order.id}",
        )


async def warn_of_failed_refund(session: AsyncSession, till: Till, refund: Refund, *, now: datetime) -> None:
    """Tell those whose tickets a refund was for that it failed, each their page's part of it; once per refund.

    Everybody who sells in the order, where it is of no line.
    """
    order = await session.get_one(Order, refund.order_id)
    lines_of, parts_of = defaultdict[UUID, list[OrderLine]](list), defaultdict[UUID, list[RefundLine]](list)
    for line in await orders.lines_of(session, refund.order_id):
        lines_of[line.page_id].append(line)
    for part in await session.scalars(select(RefundLine).where(RefundLine.refund_id == refund.id)):
        parts_of[part.page_id].append(part)
    for page_id in sorted(parts_of or lines_of):
        lines = lines_of[page_id]
        minor = part_of_page(refund, parts_of[page_id], lines, is_shared=len(lines_of) > 1)
        amount = Money(minor, refund.currency)
        await warn_office(
            session,
            till,
            order,
            lines,
            f"A refund of {amount} failed",
            f"A refund of {amount} failed: {why_failed(refund.last_error)}. The buyer has not got the money. The"
            " order’s page says what can be done.",
            key=f"refund_failed:{refund.id}",
            now=now,
        )
