"""Mails about orders: to the buyer when one was paid or failed, or money goes back; to sellers, what needs them."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cart import orders
from cart.models import Order, OrderLine, Refund, RefundLine
from cart.refunds.owing import REASON_WORDS, Part, RefundReason, part_of_page
from cart.till import Till
from cart.words import why_failed
from shared.contracts.states import SELLING_ROLES
from shared.identity.users import emails_of
from shared.mail import owe_mail
from shared.money import Money, format_minor


async def owe_paid_mail(
    session: AsyncSession,
    order: Order,
    lines: Sequence[OrderLine],
    *,
    public_url: str,
    now: datetime,
    late: bool = False,
) -> None:
    """The tickets; `late`: the payment came after the hold had lapsed, and they were still to be had."""
    bought = [_line(line, line.quantity, line.amount, order.currency) for line in lines]
    await _owe(
        session, order, "order_paid", order.id, public_url=public_url, now=now, lines=bought, late=late
    )


async def owe_failed_mail(session: AsyncSession, order: Order, *, public_url: str, now: datetime) -> None:
    """A delayed payment did not arrive."""
    await _owe(session, order, "payment_failed", order.id, public_url=public_url, now=now)


async def owe_refund_mail(
    session: AsyncSession,
    order: Order,
    *,
    about: UUID,
    amount: Money,
    reason: RefundReason,
    public_url: str,
    now: datetime,
    parts: Sequence[Part] = (),
    whole: bool = False,
) -> None:
    """Money that goes back (0 for free tickets), why, and for which cancelled tickets.

    Once per `about`: the refund, the payment, or a ticket. `whole`: a payment that bought nothing.
    """
    gone = [
        _line(part.line, len(part.item_ids), part.amount, order.currency) for part in parts if part.item_ids
    ]
    await _owe(
        session,
        order,
        "refund",
        about,
        public_url=public_url,
        now=now,
        lines=gone,
        reason=REASON_WORDS[reason],
        amount=str(amount) if amount.amount else "",
        whole=whole,
    )


def _line(line: OrderLine, quantity: int, amount: int, currency: str) -> dict[str, Any]:
    return {
        "quantity": quantity,
        "name": line.name,
        "detail": line.detail,
        "amount": format_minor(amount, currency),
    }


async def _owe(
    session: AsyncSession,
    order: Order,
    template: str,
    about: UUID,
    *,
    public_url: str,
    now: datetime,
    **context: Any,
) -> None:
    """Owe one mail about an order; once per template and what it is about."""
    await owe_mail(
        session,
        to=order.email,
        template=template,
        now=now,
        dedupe_key=f"{template}:{about}",
        number=order.number,
        href=f"{public_url}/orders/{order.id}",
        total=format_minor(order.total, order.currency),
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
            f"A refund of {amount} failed: {why_failed(refund.last_error)}. The buyer has not got the money. On the"
            " order’s page you can try again, or write down how it was paid back.",
            key=f"refund_failed:{refund.id}",
            now=now,
        )
