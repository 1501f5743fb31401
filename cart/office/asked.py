"""What waits for a decision, each a sentence with the way to its order: for an organizer's start, and the operator."""

from sqlalchemy.ext.asyncio import AsyncSession

from cart.refunds.decisions import OpenDecision, open_decisions
from cart.words import DISPUTE_REASONS
from shared.contracts.dtos import DecisionDTO, PageDTO
from shared.formats import clock_time, date_short, zone_name
from shared.money import format_minor


async def asked_of_page(session: AsyncSession, page: PageDTO) -> list[DecisionDTO]:
    """What a page's organizer is asked, with deadlines in the page's zone."""
    found = await open_decisions(session, page_id=page.id)
    return [_said(one, f"/organizer/{page.slug}/orders", page.time_zone) for one in found]


async def asked_of_operator(session: AsyncSession) -> list[DecisionDTO]:
    """What all pages' organizers are asked, with deadlines in UTC."""
    return [_said(one, "/operator/orders", "UTC") for one in await open_decisions(session)]


def _said(one: OpenDecision, base: str, time_zone: str) -> DecisionDTO:
    return DecisionDTO(_words(one, time_zone), one.order.number, f"{base}/{one.order.id}")


def _words(one: OpenDecision, time_zone: str) -> str:
    if one.dispute is not None:
        reason = DISPUTE_REASONS.get(one.dispute.reason, one.dispute.reason)
        words = f"Dispute over {format_minor(one.dispute.amount, one.dispute.currency)}: {reason}."
        if one.dispute.evidence_due_by is None:
            return words
        due = one.dispute.evidence_due_by
        by = f"{date_short(due, time_zone)}, {clock_time(due, time_zone)} ({zone_name(time_zone)})"
        return f"{words} Answer it by {by}."
    if one.is_failed or one.refund is None:
        return "A refund failed: try again, or say how it was paid back."
    amount = format_minor(one.refund.amount, one.refund.currency)
    return f"{amount} refunded by hand at Stripe: not yet said for which tickets."
