"""Tickets in a cart: `pending`, holding no stock (spec: B2). For the service, the buy form, the sign-in.

Every change locks the user first, so that two tabs cannot both pass a limit.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncSession

from events.models import Ticket
from events.offers import (
    Offer,
    SaleState,
    add_own_holds,
    has_lapsed_holds,
    lock_user_and_read_offers,
    sold_out_line,
)
from shared.contracts.protocols import SoldOut
from shared.contracts.sale_rules import Mine
from shared.contracts.states import TicketState
from shared.database import Sessions, lock_user
from shared.errors import AppError, Conflict, Invalid, NotFound
from shared.ids import new_id

MAX_PENDING = 50
KEPT_FOR = timedelta(days=7)
SWEEP_BATCH = 500
REMOVED_KEPT_FOR, REMOVED_BATCH = timedelta(days=1), 10_000

REFUSALS = {
    SaleState.NOT_YET: "The sale has not begun yet.",
    SaleState.OVER: "The sale is over.",
    SaleState.CLOSED: "This is not on sale.",
}

Pending = dict[UUID, list[UUID]]
"""Ids of pending tickets by ticket type, oldest first."""


async def set_quantity(
    session: AsyncSession, *, user_id: UUID, ticket_type_id: UUID, quantity: int, now: datetime
) -> int:
    """Make it exactly `quantity` pending tickets of a type; returns the number before.

    Raises what CalendarService.set_pending_quantity says; then nothing changed.
    """
    offers, mine = await lock_user_and_read_offers(session, {ticket_type_id}, user_id=user_id)
    if ticket_type_id not in offers:
        raise NotFound
    pending = await _lock_pending(session, user_id)
    before = len(pending.get(ticket_type_id, ()))
    await _check(
        session, offers[ticket_type_id], mine[ticket_type_id], pending, quantity, user_id=user_id, now=now
    )
    await _apply(session, offers[ticket_type_id], pending, quantity, user_id=user_id)
    return before


async def add(
    session: AsyncSession, *, user_id: UUID, entry_id: UUID, chosen: Mapping[UUID, int], now: datetime
) -> dict[UUID, AppError]:
    """Add chosen numbers of an entry's types to the cart; what cannot be added is answered by type."""
    offers, mine = await lock_user_and_read_offers(session, set(chosen), user_id=user_id)
    pending = await _lock_pending(session, user_id)
    refused: dict[UUID, AppError] = {}
    for type_id, number in sorted(chosen.items()):
        offer = offers.get(type_id)
        if offer is None or offer.entry_id != entry_id:
            refused[type_id] = NotFound("This ticket does not belong to this event.")
            continue
        quantity = len(pending.get(type_id, ())) + number
        try:
            await _check(session, offer, mine[type_id], pending, quantity, user_id=user_id, now=now)
        except AppError as error:
            refused[type_id] = error
        else:
            await _apply(session, offer, pending, quantity, user_id=user_id)
    return refused


async def add_all(
    session: AsyncSession, *, user_id: UUID, chosen: Mapping[UUID, int], now: datetime
) -> list[UUID]:
    """Add chosen numbers of types to the cart; the ids of the tickets added. Raises at the first that cannot be."""
    offers, mine = await lock_user_and_read_offers(session, set(chosen), user_id=user_id)
    pending = await _lock_pending(session, user_id)
    added: list[UUID] = []
    for type_id, number in sorted(chosen.items()):
        if type_id not in offers:
            raise NotFound
        before = len(pending.get(type_id, ()))
        quantity = before + number
        await _check(session, offers[type_id], mine[type_id], pending, quantity, user_id=user_id, now=now)
        await _apply(session, offers[type_id], pending, quantity, user_id=user_id)
        added += pending[type_id][before:]
    return added


async def remove_all(session: AsyncSession, *, user_id: UUID, page_id: UUID | None) -> int:
    """Empty the cart, or a page's part of it; returns how many tickets went."""
    await lock_user(session, user_id)
    mine = select(Ticket.id).where(Ticket.user_id == user_id, sql("state = 'pending'"))
    if page_id is not None:
        mine = mine.where(Ticket.page_id == page_id)
    ids = (await session.scalars(mine.order_by(Ticket.id).with_for_update(key_share=True))).all()
    await _remove(session, list(ids))
    return len(ids)


async def count(session: AsyncSession, *, user_id: UUID) -> int:
    """How many tickets are in a user's cart."""
    found = await session.scalar(
        select(func.count()).select_from(Ticket).where(Ticket.user_id == user_id, sql("state = 'pending'"))
    )
    return found or 0


async def tidy(sessions: Sessions, *, now: datetime) -> int:
    """The sweep `pending_tickets`: tickets left in carts for seven days are removed; returns how many."""
    async with sessions.begin() as session:
        old = select(Ticket.id).where(sql("state = 'pending'"), Ticket.created_at < now - KEPT_FOR)
        # locked ones are in somebody's hands just now: next time
        ids = (await session.scalars(old.limit(SWEEP_BATCH).with_for_update(skip_locked=True))).all()
        await _remove(session, list(ids))
    return len(ids)


async def forget_removed(sessions: Sessions, *, now: datetime) -> int:
    """The sweep `removed_tickets`: what was taken out of a cart leaves no row for long; how many went (spec: L5).

    No order needs them: what an order had is in its lines, and a removed ticket can't be claimed again.
    """
    async with sessions.begin() as session:
        old = select(Ticket.id).where(sql("state = 'removed'"), Ticket.created_at < now - REMOVED_KEPT_FOR)
        batch = old.limit(REMOVED_BATCH).with_for_update(skip_locked=True)
        gone = delete(Ticket).where(Ticket.id.in_(batch)).returning(Ticket.id)
        return len((await session.execute(gone)).all())


async def _lock_pending(session: AsyncSession, user_id: UUID) -> Pending:
    """For a user who was locked by a statement before this one: under READ COMMITTED, a statement sees what was
    committed when it began, so the one that waits for the lock does not see what the holder of the lock has written."""
    rows = await session.execute(
        select(Ticket.id, Ticket.ticket_type_id)
        .where(Ticket.user_id == user_id, sql("state = 'pending'"))
        .order_by(Ticket.id)
        .with_for_update(key_share=True)
    )
    pending: Pending = {}
    for ticket_id, type_id in rows:
        pending.setdefault(type_id, []).append(ticket_id)
    return pending


async def _check(
    session: AsyncSession,
    offer: Offer,
    mine: Mine,
    pending: Pending,
    quantity: int,
    *,
    user_id: UUID,
    now: datetime,
) -> None:
    before = len(pending.get(offer.ticket_type_id, ()))
    in_cart = sum(len(ids) for ids in pending.values())
    check_number(offer, quantity, before=before, in_cart=in_cart, now=now)
    if quantity > before:  # of the event's other types in the cart the claim knows
        check_person(offer, mine, quantity)
    if (
        quantity > before
        and is_short(offer, quantity)
        and not await has_lapsed_holds(session, offer.entry_id, now=now)
    ):
        line = sold_out_line(offer, quantity, closed=False)
        raise SoldOut(await add_own_holds(session, [line], {offer.ticket_type_id: offer}, user_id=user_id))


def check_number(offer: Offer, quantity: int, *, before: int = 0, in_cart: int = 0, now: datetime) -> None:
    """Raise what the buyer is told where `quantity` of a type cannot be in the cart, stock left aside.

    `before`: how many of the type are in it, `in_cart`: tickets of all types. Taking out is always allowed, down to
    the type's smallest number or to none.
    """
    if quantity == 0:
        return
    if not offer.min_per_order <= quantity <= offer.max_per_order:
        raise Invalid(per_order_message(offer.min_per_order, offer.max_per_order, before))
    if quantity <= before:
        return
    if (state := offer.sale_state(now)) is not SaleState.ON_SALE:
        raise Conflict(REFUSALS[state])
    if in_cart - before + quantity > MAX_PENDING:
        raise Invalid(f"A cart holds at most {MAX_PENDING} tickets; {in_cart} are in yours.")


def check_per_order(offer: Offer, number: int) -> None:
    """Raise Invalid where an order cannot hold `number` of a type.

    The cart keeps to the limits, but tickets of an order that was given back join those put in since.
    """
    if not offer.min_per_order <= number <= offer.max_per_order:
        rule = per_order_message(offer.min_per_order, offer.max_per_order, number)
        raise Invalid(f"{offer.entry_title}, {offer.name}: {rule}")


def check_person(offer: Offer, mine: Mine, quantity: int) -> None:
    """Raise Invalid where the buyer may not have so many more, counted over all their orders (spec: L2)."""
    if reason := offer.limits.refusal(mine, of_type=quantity, of_entry=quantity):
        raise Invalid(reason)


def is_short(offer: Offer, quantity: int) -> bool:
    """Whether fewer than `quantity` are left."""
    return offer.left is not None and quantity > offer.left


def per_order_message(smallest: int, largest: int, in_cart: int = 0) -> str:
    """How many of a type may be bought in one order, and how many are in the cart already."""
    rule = f"Choose {smallest} to {largest}." if smallest < largest else f"Choose exactly {smallest}."
    return f"{rule} Your cart already holds {in_cart}." if in_cart else rule


async def _apply(
    session: AsyncSession, offer: Offer, pending: Pending, quantity: int, *, user_id: UUID
) -> None:
    ids = pending.setdefault(offer.ticket_type_id, [])
    if quantity > len(ids):
        rows = [
            {
                "id": new_id(),
                "ticket_type_id": offer.ticket_type_id,
                "entry_id": offer.entry_id,
                "page_id": offer.page_id,
                "user_id": user_id,
            }
            for _ in range(quantity - len(ids))
        ]
        # with RETURNING, SQLAlchemy sends all rows in one statement
        await session.execute(insert(Ticket).returning(Ticket.id), rows)
        ids.extend(row["id"] for row in rows)
    else:
        await _remove(session, ids[quantity:])
        del ids[quantity:]


async def _remove(session: AsyncSession, ids: list[UUID]) -> None:
    if ids:
        await session.execute(
            update(Ticket)
            .where(Ticket.id.in_(ids), Ticket.state == TicketState.PENDING)
            .values(state=TicketState.REMOVED)
        )
