"""Mails about orders: what to say to the buyer when one was paid, failed, or money goes back."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from cart.models import Order, OrderLine, Payment
from cart.refunds import REASON_WORDS, RefundReason
from shared.mail import owe_mail
from shared.money import format_minor


async def owe_order_mail(
    session: AsyncSession,
    order: Order,
    template: str,
    *,
    public_url: str,
    now: datetime,
    lines: Sequence[OrderLine] = (),
    reason: RefundReason | None = None,
    payment: Payment | None = None,
) -> None:
    """Owe one mail about an order; once per template, order and payment."""
    await owe_mail(
        session,
        to=order.email,
        template=template,
        now=now,
        dedupe_key=f"{template}:{payment.id if payment else order.id}",
        number=order.number,
        href=f"{public_url}/orders/{order.id}",
        total=format_minor(order.total, order.currency),
        lines=[
            {
                "quantity": line.quantity,
                "name": line.name,
                "detail": line.detail,
                "amount": format_minor(line.amount, order.currency),
            }
            for line in lines
        ],
        reason=REASON_WORDS[reason] if reason else "",
        amount=format_minor(payment.amount, payment.currency) if payment else "",
    )
