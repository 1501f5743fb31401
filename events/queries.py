"""Tickets and pages as DTOs, each list in one statement. Used by SqlCalendarService and the ticket page."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select, update
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncSession

from events.models import Calendar, Entry, Page, PageMember, Ticket, TicketType
from shared.contracts.dtos import PageDTO, TicketDTO
from shared.contracts.states import EntryState, PageRole, TicketState
from shared.money import to_major

# made once: to compose it costs as much as to send it
_TICKETS = (
    select(
        Ticket.id,
        Ticket.entry_id,
        Ticket.ticket_type_id,
        Page,
        Ticket.user_id,
        func.coalesce(TicketType.cost, Entry.ticket_price, 0).label("price"),
        Calendar.container_id.label("calendar_container_id"),
        Calendar.container_type.label("calendar_container_type"),
        Ticket.code,
        Entry.title.label("entry_title"),
        Entry.slug.label("entry_slug"),
        TicketType.name.label("ticket_type_name"),
        Entry.place,
        Entry.starts_at,
        Entry.ends_at,
        Ticket.state,
        Ticket.order_id,
        Ticket.reserved_until,
        func.coalesce(TicketType.hold_minutes, Page.hold_minutes).label("hold_minutes"),
        (Entry.state == EntryState.CANCELLED).label("entry_cancelled"),
        Ticket.blocked,
        Ticket.confirmed_at,
        Ticket.checked_in_at,
        Entry.revision,
        TicketType.max_per_order,
    )
    .join(TicketType, TicketType.id == Ticket.ticket_type_id)
    .join(Entry, Entry.id == Ticket.entry_id)
    .join(Calendar, Calendar.id == Entry.calendar_id)
    .join(Page, Page.id == Ticket.page_id)
    .order_by(Page.name, Page.id, Entry.starts_at, Entry.id, TicketType.position, TicketType.id, Ticket.id)
)
"""Columns named as TicketDTO's fields; `price` in minor units stands for `cost`, `Page` for `page`."""


async def _read_tickets(session: AsyncSession, query: Select[*tuple[Any, ...]]) -> list[TicketDTO]:
    return [_ticket(dict(row)) for row in (await session.execute(query)).mappings()]


def _ticket(row: dict[str, Any]) -> TicketDTO:
    page = page_dto(row.pop("Page"))
    cost = to_major(row.pop("price"), page.currency)
    return TicketDTO(**{**row, "page": page, "cost": cost, "state": TicketState(row["state"])})


async def pending_tickets(session: AsyncSession, *, user_id: UUID) -> list[TicketDTO]:
    """The tickets in a user's cart, by page, start, type and id."""
    mine = _TICKETS.where(Ticket.user_id == user_id, sql("tickets.state = 'pending'"))
    return await _read_tickets(session, mine)


async def tickets_of_orders(session: AsyncSession, order_ids: Sequence[UUID]) -> dict[UUID, list[TicketDTO]]:
    """Tickets by order; every id asked for is a key."""
    found: dict[UUID, list[TicketDTO]] = {order_id: [] for order_id in order_ids}
    for ticket in await _read_tickets(session, _TICKETS.where(Ticket.order_id.in_(order_ids))):
        if ticket.order_id is not None:
            found[ticket.order_id].append(ticket)
    return found


async def ticket_by_id(session: AsyncSession, ticket_id: UUID) -> TicketDTO | None:
    """One ticket by its public address."""
    found = await _read_tickets(session, _TICKETS.where(Ticket.id == ticket_id))
    return found[0] if found else None


async def orders_by_code(session: AsyncSession, *, page_id: UUID, code: str) -> list[UUID]:
    """Orders on this page that hold the ticket with this door code; typed codes may be in small letters."""
    rows = await session.scalars(
        select(Ticket.order_id).where(Ticket.page_id == page_id, Ticket.code == code.strip().upper())
    )
    return [order_id for order_id in rows if order_id is not None]


def page_dto(page: Page) -> PageDTO:
    """A page as the rest of the house knows it."""
    return PageDTO(
        id=page.id,
        slug=page.slug,
        name=page.name,
        currency=page.currency,
        time_zone=page.time_zone,
        hold_minutes=page.hold_minutes,
        stripe_account=page.stripe_account,
        delayed_methods=page.delayed_methods,
        accent=page.accent,
        refund_hours=page.refund_hours,
        payments_stopped=page.payments_stopped,
    )


async def stripe_accounts(session: AsyncSession) -> list[str]:
    """The Stripe accounts that pages are paid into."""
    return list(await session.scalars(select(Page.stripe_account).distinct().order_by(Page.stripe_account)))


async def set_payments_stopped(session: AsyncSession, *, stripe_account: str, stopped: bool) -> list[str]:
    """Stop or resume what costs money on all pages of an account; returns the names of those that changed."""
    changed = (
        update(Page)
        .where(Page.stripe_account == stripe_account, Page.payments_stopped != stopped)
        .values(payments_stopped=stopped)
        .returning(Page.name)
        .execution_options(synchronize_session=False)
    )
    return sorted(await session.scalars(changed))


async def pages_by_id(session: AsyncSession, page_ids: Iterable[UUID]) -> dict[UUID, PageDTO]:
    """Pages by id; unknown ids are absent."""
    pages = await session.scalars(select(Page).where(Page.id.in_(page_ids)))
    return {page.id: page_dto(page) for page in pages}


async def entry_href(session: AsyncSession, entry_id: UUID) -> str | None:
    """The address of an event's own page."""
    query = select(Page.slug, Entry.slug).join(Entry, Entry.page_id == Page.id).where(Entry.id == entry_id)
    found = (await session.execute(query)).first()
    return f"/p/{found[0]}/{found[1]}" if found else None


async def page_by_slug(session: AsyncSession, slug: str) -> PageDTO | None:
    """A page by its address."""
    page = await session.scalar(select(Page).where(Page.slug == slug))
    return page_dto(page) if page else None


async def pages_of_member(session: AsyncSession, *, user_id: UUID) -> list[tuple[PageDTO, PageRole]]:
    """The pages a user works for and as what, by name."""
    rows = await session.execute(
        select(Page, PageMember.role)
        .join(PageMember, PageMember.page_id == Page.id)
        .where(PageMember.user_id == user_id)
        .order_by(Page.name, Page.id)
    )
    return [(page_dto(page), PageRole(role)) for page, role in rows]


async def members_of_pages(
    session: AsyncSession, page_ids: Sequence[UUID]
) -> list[tuple[UUID, UUID, PageRole]]:
    """Page, user and role of everybody who works for these pages."""
    rows = await session.execute(
        select(PageMember.page_id, PageMember.user_id, PageMember.role)
        .where(PageMember.page_id.in_(page_ids))
        .order_by(PageMember.page_id, PageMember.user_id)
    )
    return [(page_id, user_id, PageRole(role)) for page_id, user_id, role in rows]
