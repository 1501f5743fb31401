"""Mails about orders: what to say to the buyer when one was paid, failed, or money goes back."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from cart.models import Order, OrderLine
from cart.refunds import REASON_WORDS, Part, RefundReason
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
