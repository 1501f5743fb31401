"""Demo data: three organizers' pages with a dozen events around today. Used by `seed` and `demo` through cli.

The texts are in seed_data.py. All tickets that are sold already are free ones: the books of a new shop are empty.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from events.models import Calendar, Entry, Page, PageMember, Pool, Ticket, TicketType
from events.seed_data import PAGES, SeedEntry, SeedPage, SeedType
from shared.contracts.states import EntryState, PageRole, TicketState
from shared.identity.users import find_or_create_user
from shared.ids import new_door_code, new_id

GUEST = "guest@tillgate.example"


async def seed(
    session: AsyncSession, *, now: datetime, team: Mapping[UUID, PageRole], second_account: str = ""
) -> None:
    """Fill an empty shop with events relative to `now`, one team on all pages; nothing where pages exist.

    `second_account`: the Stripe account of the page that has one of its own; '' = the platform's for all.
    """
    if await session.scalar(select(Page.id).limit(1)) is not None:
        return
    guest = await find_or_create_user(session, email=GUEST)
    for data in PAGES:
        account = second_account if data.own_account else ""
        await _add_page(session, data, now=now, team=team, account=account, guest_id=guest.id)


async def _add_page(
    session: AsyncSession,
    data: SeedPage,
    *,
    now: datetime,
    team: Mapping[UUID, PageRole],
    account: str,
    guest_id: UUID,
) -> None:
    page = Page(
        id=new_id(),
        slug=data.slug,
        name=data.name,
        text=data.text,
        currency=data.currency,
        time_zone=data.time_zone,
        hold_minutes=data.hold_minutes,
        accent=data.accent,
        delayed_methods=data.delayed_methods,
        refund_hours=data.refund_hours,
        stripe_account=account,
    )
    session.add(page)
    await session.flush()
    calendar = Calendar(id=new_id(), page_id=page.id, name="Programme", container_id=page.id)
    members = [PageMember(page_id=page.id, user_id=user_id, role=role) for user_id, role in team.items()]
    session.add_all([calendar, *members])
    await session.flush()
    for entry in data.entries:
        await _add_entry(session, page, calendar, entry, now=now, guest_id=guest_id)


async def _add_entry(
    session: AsyncSession, page: Page, calendar: Calendar, data: SeedEntry, *, now: datetime, guest_id: UUID
) -> None:
    starts_at = _local(now, page.time_zone, data.days, data.hour)
    pool = await _add_pool(session, data.capacity, closed=data.state is not EntryState.CONFIRMED)
    entry = Entry(
        id=new_id(),
        calendar_id=calendar.id,
        page_id=page.id,
        slug=data.slug,
        title=data.title,
        text=data.text,
        place=data.place,
        picture=data.picture,
        starts_at=starts_at,
        ends_at=starts_at + timedelta(hours=data.hours),
        state=data.state,
        ticket_price=data.ticket_price,
        max_per_user=data.max_per_user,
        pool_id=pool.id,
    )
    session.add(entry)
    await session.flush()
    for position, kind in enumerate(data.types):
        await _add_type(session, page, entry, pool, kind, position, now=now, guest_id=guest_id)


async def _add_type(
    session: AsyncSession,
    page: Page,
    entry: Entry,
    entry_pool: Pool,
    data: SeedType,
    position: int,
    *,
    now: datetime,
    guest_id: UUID,
) -> None:
    pool = await _add_pool(session, data.capacity)
    opens = None if data.opens_in_days is None else _local(now, page.time_zone, data.opens_in_days, 10)
    kind = TicketType(
        id=new_id(),
        entry_id=entry.id,
        page_id=page.id,
        name=data.name,
        text=data.text,
        cost=data.cost,
        pool_id=pool.id,
        sale_starts_at=opens,
        min_per_order=data.min_per_order,
        max_per_order=data.max_per_order,
        max_per_user=data.max_per_user,
        hold_minutes=data.hold_minutes,
        position=position,
    )
    session.add(kind)
    await session.flush()
    session.add_all(_taken(kind, data.taken, over=entry.ends_at <= now, now=now, guest_id=guest_id))
    pool.allocated += data.taken
    entry_pool.allocated += data.taken
    await session.flush()


def _taken(kind: TicketType, number: int, *, over: bool, now: datetime, guest_id: UUID) -> list[Ticket]:
    """Tickets that are gone already: checked in where the event is over, else confirmed."""
    order_id = new_id()
    return [
        Ticket(
            ticket_type_id=kind.id,
            entry_id=kind.entry_id,
            page_id=kind.page_id,
            user_id=guest_id,
            state=TicketState.CHECKED_IN if over else TicketState.CONFIRMED,
            order_id=order_id,
            code=new_door_code(),
            confirmed_at=now,
        )
        for _ in range(number)
    ]


async def _add_pool(session: AsyncSession, capacity: int | None, *, closed: bool = False) -> Pool:
    pool = Pool(id=new_id(), capacity=capacity, allocated=0, closed=closed)
    session.add(pool)
    await session.flush()
    return pool


def _local(now: datetime, time_zone: str, days: int, hour: float) -> datetime:
    """A time of day in a page's time zone, `days` from today; 19.5 is half past seven in the evening."""
    day = now.astimezone(ZoneInfo(time_zone)).date() + timedelta(days=days)
    hours, minutes = int(hour), int(hour % 1 * 60)
    return datetime(day.year, day.month, day.day, hours, minutes, tzinfo=ZoneInfo(time_zone))
