"""An event that takes place at another time or place: holders are told, calendars get a new file. For office_routes.

A draft is moved in silence; one that was cancelled or is over stays as it was.
"""

from dataclasses import asdict
from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from events.models import Entry, Ticket
from events.office import page_and_role
from shared import audit
from shared.contracts.dtos import Occasion, PageDTO
from shared.contracts.states import OPENING_STATES, EntryState, TicketState
from shared.errors import Conflict, Invalid, NotFound
from shared.identity.models import User
from shared.mail import owe_mails

HOLDING = (*OPENING_STATES, TicketState.RESERVED)


class NotMovable(Conflict):
    """This event is cancelled or over, so it can’t be moved. Nothing was changed."""

    code = "NOT_MOVABLE"


class NoSuchTime(Invalid):
    """Please enter a day and a time. Where clocks are changed that night, choose one that is there once."""


class EndsTooSoon(Invalid):
    """The event has to begin in the future and end after it has begun."""


def read_local(text: str, time_zone: str) -> datetime:
    """A form's local time (2026-12-08T20:00) in this zone as UTC. Raises NoSuchTime, for one skipped or doubled too."""
    try:
        local = datetime.fromisoformat(text)
    except ValueError:
        raise NoSuchTime from None
    zone = ZoneInfo(time_zone)
    if (
        local.tzinfo
        or local.replace(tzinfo=zone).utcoffset() != local.replace(tzinfo=zone, fold=1).utcoffset()
    ):
        raise NoSuchTime
    try:
        return local.replace(tzinfo=zone).astimezone(UTC)
    except OverflowError:
        raise NoSuchTime from None


async def entry_to_move(
    session: AsyncSession, *, user_id: UUID, page_slug: str, slug: str
) -> tuple[PageDTO, Entry]:
    """A page and an entry of it, for an owner or staff of the page. Raises NotFound for anybody else."""
    page, _ = await page_and_role(session, user_id=user_id, slug=page_slug)
    entry = await session.scalar(select(Entry).where(Entry.page_id == page.id, Entry.slug == slug))
    if entry is None:
        raise NotFound
    return page, entry


async def holders_of(session: AsyncSession, entry_id: UUID) -> int:
    """How many people hold a ticket of it, paid or reserved: so many mails go out."""
    held = select(func.count(Ticket.user_id.distinct())).where(
        Ticket.entry_id == entry_id, Ticket.state.in_(HOLDING)
    )
    return await session.scalar(held) or 0


async def move_entry(
    session: AsyncSession,
    *,
    page: PageDTO,
    entry_id: UUID,
    to: Occasion,
    public_url: str,
    actor: str,
    now: datetime,
) -> int:
    """Change when (UTC) and where, and owe one mail to each holder; returns how many.

    Raises NotMovable, EndsTooSoon. Four statements, however many hold a ticket.
    """
    entry = await session.get_one(Entry, entry_id, with_for_update=True, populate_existing=True)
    was = Occasion(entry.starts_at, entry.ends_at, page.time_zone, entry.place)
    if entry.state == EntryState.CANCELLED or entry.ends_at <= now:
        raise NotMovable
    if not now < to.starts_at < to.ends_at:
        raise EndsTooSoon(field="starts_at")
    if to == was:
        return 0
    changed = update(Entry).where(Entry.id == entry_id)
    revision = await session.scalar(
        changed.values(starts_at=to.starts_at, ends_at=to.ends_at, place=to.place).returning(Entry.revision)
    )
    await audit.record(
        session,
        at=now,
        actor=actor,
        subject="entry",
        subject_id=entry_id,
        what="moved",
        before=_written(was),
        after=_written(to),
    )
    if entry.state == EntryState.DRAFT:
        return 0
    held = select(Ticket.user_id).where(Ticket.entry_id == entry_id, Ticket.state.in_(HOLDING))
    addresses = list(await session.scalars(select(User.email).where(User.id.in_(held)).order_by(User.id)))
    await owe_mails(
        session,
        to=addresses,
        template="entry_moved",
        now=now,
        dedupe_key=f"entry_moved:{entry_id}:{revision}",
        title=entry.title,
        page=page.name,
        at=to,
        was=was,
        href=f"{public_url}/orders",
    )
    return len(addresses)


def _written(occasion: Occasion) -> dict[str, str]:
    return {name: str(value) for name, value in asdict(occasion).items()}
