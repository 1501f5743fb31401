"""The evidence pack for a dispute: what was ordered, paid, mailed and used at the door, as plain data (spec: H4).

Given to the organizer as JSON, and as a PDF by evidence_pdf.py, to be sent to the bank by Stripe's dashboard.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cart import words
from cart.office import orders
from cart.office.orders import OrderDetail
from cart.sold import occasion_of
from shared.contracts.dtos import Occasion, PageDTO, TicketDTO
from shared.contracts.protocols import CalendarService
from shared.formats import state_words, when
from shared.models import OutgoingMail
from shared.money import format_minor
from shared.typed import shown_address


async def evidence(
    session: AsyncSession, calendar: CalendarService, *, page: PageDTO, order_id: UUID, now: datetime
) -> dict[str, Any]:
    """All that we know of an order of this page; amounts as people read them, times in UTC as ISO 8601.

    Raises NotFound where the page has no part in it. Of an order that other pages share it holds this page's part.
    """
    detail = await orders.order_detail(session, calendar, page_id=page.id, order_id=order_id)
    order = detail.order
    mails = await _mails(session, detail)
    return {
        "made_at": _at(now),
        "seller": page.name,
        "order": {
            "number": order.number,
            "id": str(order.id),
            "buyer": shown_address(order.email),
            "placed_at": _at(order.created_at),
            "state": state_words(order.state, "order"),
            "total": format_minor(detail.total, order.currency),
        },
        "lines": [
            {
                "what": f"{line.name}, {line.detail}",
                "sold_for": _occasion(occasion_of(line)),
                "number": line.quantity,
                "amount": format_minor(line.amount + line.tax, order.currency),
            }
            for line in detail.lines
        ],
        "payments": [] if detail.is_shared else _payments(detail),
        "refunds": _refunds(detail),
        "disputes": _disputes(detail),
        "tickets": [_ticket(ticket) for ticket in detail.tickets],
        "mails": [_mail(mail, with_text=not detail.is_shared) for mail in mails],
        "history": _history(detail),
    }


def _payments(detail: OrderDetail) -> list[dict[str, Any]]:
    return [
        {
            "at": _at(payment.created_at),
            "amount": format_minor(payment.amount, payment.currency),
            "payment_intent": payment.payment_intent,
            "checkout_session": payment.session_id,
        }
        for payment in detail.payments
    ]


def _refunds(detail: OrderDetail) -> list[dict[str, Any]]:
    return [
        {
            "at": _at(refund.created_at),
            "amount": format_minor(detail.part_of(refund), refund.currency),
            "why": words.REFUND_REASONS.get(refund.reason, refund.reason),  # type: ignore[call-overload]
            "state": words.REFUND_STATES[refund.state],
            "refund": refund.stripe_refund_id,
        }
        for refund in detail.refunds
    ]


def _disputes(detail: OrderDetail) -> list[dict[str, Any]]:
    return [
        {
            "opened_at": _at(dispute.opened_at),
            "dispute": dispute.dispute_id,
            "amount": format_minor(dispute.amount, dispute.currency),
            "reason": words.DISPUTE_REASONS.get(dispute.reason, dispute.reason),
            "state": words.DISPUTE_STATES.get(dispute.status, dispute.status),
        }
        for dispute in detail.disputes
    ]


def _ticket(ticket: TicketDTO) -> dict[str, Any]:
    """Without its address, which opens it for whoever has it."""
    return {
        "event": ticket.entry_title,
        "type": ticket.ticket_type_name,
        "place": ticket.place,
        "when": when(ticket.starts_at, ticket.ends_at, ticket.time_zone),
        "moved_from": _occasion(ticket.was),
        "code_ends_with": ticket.code[-4:] if ticket.code else None,
        "state": state_words(ticket.state),
        "confirmed_at": _at(ticket.confirmed_at),
        "used_at_the_door_at": _at(ticket.checked_in_at),
    }


def _occasion(at: Occasion | None) -> str | None:
    if at is None:
        return None
    return ", ".join(filter(None, (when(at.starts_at, at.ends_at, at.time_zone), at.place)))


async def _mails(session: AsyncSession, detail: OrderDetail) -> list[OutgoingMail]:
    """The mails about this order, found by what they are owed for."""
    of_order = [f"{template}:{detail.order.id}" for template in ("order_paid", "payment_failed")]
    about: Iterable[Sequence[Any]] = (detail.payments, detail.refunds, detail.tickets)
    of_refunds = [f"refund:{one.id}" for some in about for one in some]
    rows = await session.scalars(
        select(OutgoingMail)
        .where(OutgoingMail.dedupe_key.in_(of_order + of_refunds))
        .order_by(OutgoingMail.created_at)
    )
    return list(rows)


def _mail(mail: OutgoingMail, *, with_text: bool) -> dict[str, Any]:
    told = {"to": shown_address(mail.to), "subject": mail.subject, "sent_at": _at(mail.sent_at)}
    return told | {"text": mail.text} if with_text else told


def _history(detail: OrderDetail) -> list[dict[str, Any]]:
    buyer = f"user:{detail.order.user_id}"
    return [
        {
            "at": _at(entry.at),
            "what": words.DEEDS.get(entry.what, entry.what.replace("_", " ")),
            "who": words.who(entry.actor, buyer),
        }
        for entry in detail.history
    ]


def _at(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None
