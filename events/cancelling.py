"""An event that does not take place: nothing is sold any more, and the money goes back. Used by office_routes.

Here only the entry and its stock are closed. Who holds its tickets gets them released or refunded by the sweep
`cancelled_entries`, order by order, since Stripe has to be asked: the truth it works from is the entry's state.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from events.models import Entry, Ticket
from events.office import EntryRow, entry_of_seller
from shared import audit
from shared.contracts.dtos import PageDTO
from shared.contracts.states import OPENING_STATES, EntryState, PageRole
from shared.errors import Conflict, Forbidden, Invalid
from shared.jobs import nudge
from shared.typed import compared

SWEEP = "cancelled_entries"


class OwnersOnly(Forbidden):
    """Only an owner of this page may cancel an event: the money of all its buyers goes back."""

    code = "OWNERS_ONLY"


class NotTheTitle(Invalid):
    """That is not the event’s title. Nothing was cancelled."""

    code = "NOT_THE_TITLE"


class Over(Conflict):
    """This event is over, so it can’t be cancelled. Single orders can still be refunded. Nothing was changed."""

    code = "ENTRY_IS_OVER"


class NotOnSale(Conflict):
    """This event is a draft. Nothing of it was sold, so there is nothing to cancel."""

    code = "ENTRY_IS_DRAFT"


# In id order, as every claim locks them: who claimed before is released or refunded, who comes later is refused.
_CLOSE_POOLS = text("""
WITH locked AS MATERIALIZED (
    SELECT id FROM pools WHERE id IN (
        SELECT pool_id FROM entries WHERE id = :entry_id
        UNION ALL SELECT pool_id FROM ticket_types WHERE entry_id = :entry_id
    ) ORDER BY id FOR NO KEY UPDATE
)
UPDATE pools SET closed = true FROM locked WHERE pools.id = locked.id
""")


async def entry_of_owner(
    session: AsyncSession, *, user_id: UUID, page_slug: str, slug: str, now: datetime
) -> tuple[PageDTO, EntryRow]:
    """A page and an entry of it with its numbers, for an owner of the page.

    Raises NotFound where the user does not see the page's sales or there is no such entry, OwnersOnly for its staff.
    """
    page, role, entry = await entry_of_seller(
        session, user_id=user_id, page_slug=page_slug, slug=slug, now=now
    )
    if role is not PageRole.OWNER:
        raise OwnersOnly
    return page, entry


async def orders_with(session: AsyncSession, entry_id: UUID) -> int:
    """How many orders have paid for tickets of it that are still good, or were used."""
    held = select(func.count(Ticket.order_id.distinct())).where(
        Ticket.entry_id == entry_id, Ticket.state.in_(OPENING_STATES)
    )
    return await session.scalar(held) or 0


def check_title(entry: EntryRow, typed: str) -> None:
    """Raise NotTheTitle unless the entry's title was typed; capitals and spaces are not counted."""
    if _plain(typed) != _plain(entry.view.title):
        raise NotTheTitle


def _plain(title: str) -> str:
    return " ".join(compared(title).split()).casefold()


async def cancel_entry(session: AsyncSession, *, entry_id: UUID, actor: str, now: datetime) -> bool:
    """Confirmed → cancelled, its pools closed, the refunds nudged; False where it is cancelled already.

    Raises NotOnSale for a draft, Over for what has ended. The tickets stay as they are until the sweep comes to
    their orders (issue 3.3).
    """
    cancelled = await session.scalar(
        update(Entry)
        .where(Entry.id == entry_id, Entry.state == EntryState.CONFIRMED, Entry.ends_at > now)
        .values(state=EntryState.CANCELLED)
        .returning(Entry.id)
    )
    if cancelled is None:
        state = await session.scalar(select(Entry.state).where(Entry.id == entry_id))
        if state == EntryState.DRAFT:
            raise NotOnSale
        if state == EntryState.CONFIRMED:
            raise Over
        return False
    await session.execute(_CLOSE_POOLS, {"entry_id": entry_id})
    await audit.record(
        session,
        at=now,
        actor=actor,
        subject="entry",
        subject_id=entry_id,
        what="cancelled",
        before={"state": EntryState.CONFIRMED},
        after={"state": EntryState.CANCELLED},
    )
    await nudge(session, SWEEP)
    return True
