"""Mails to those who sell: what needs their eyes, with a link to the order in the office."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from cart.models import Order, OrderLine
from cart.till import Till
from shared.contracts.states import SELLING_ROLES
from shared.identity.users import emails_of
from shared.mail import owe_mail


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
