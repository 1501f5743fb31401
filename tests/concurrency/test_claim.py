"""The last tickets, wanted by many at once: real transactions on real connections, in many tasks."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from events import stock
from events.models import Pool, Ticket, TicketType
from events.offers import read_offers
from events.service import SqlCalendarService
from shared.contracts.protocols import SoldOut
from shared.database import Sessions
from shared.ids import new_id
from tests import event_rows

NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
UNTIL = NOW + timedelta(minutes=30)
CALENDAR = SqlCalendarService()

Claim = Callable[[AsyncSession, UUID, UUID], Awaitable[None]]


async def honest_claim(session: AsyncSession, order_id: UUID, user_id: UUID) -> None:
    await CALENDAR.claim_tickets_for_order(session, order_id, user_id, reserved_until=UNTIL, now=NOW)


class UnguardedClaim:
    """What shops do that oversell: look how many are left, and then take. Eleven look before the first one takes."""

    def __init__(self) -> None:
        self._looking = asyncio.Barrier(11)
        self._looked = 0

    async def __call__(self, session: AsyncSession, order_id: UUID, user_id: UUID) -> None:
        ticket_id, free = await look(session, user_id)
        self._looked += 1
        if self._looked <= self._looking.parties:
            await self._looking.wait()
        if not free:
            raise SoldOut([])
        await session.execute(
            update(Ticket)
            .where(Ticket.id == ticket_id)
            .values(state="reserved", order_id=order_id, reserved_until=UNTIL)
        )


async def look(session: AsyncSession, user_id: UUID) -> tuple[UUID, bool]:
    """A buyer's ticket, and whether one more of its type seems to fit."""
    (ticket,) = await session.scalars(select(Ticket).where(Ticket.user_id == user_id))
    kind = await session.get_one(TicketType, ticket.ticket_type_id)
    held = await session.scalar(
        text("SELECT count(*) FROM tickets WHERE ticket_type_id = :id AND state = 'reserved'"),
        {"id": kind.id},
    )
    pool = await session.get_one(Pool, kind.pool_id)
    return ticket.id, held < (pool.capacity or 0)


async def rush(sessions: Sessions, buyers: list[UUID], claim: Claim) -> tuple[int, int]:
    """All claim at once; returns how many were sold a ticket and how many were told it is sold out."""
    start = asyncio.Event()

    async def buy(user_id: UUID) -> bool:
        await start.wait()
        try:
            async with sessions.begin() as session:
                await claim(session, new_id(), user_id)
        except SoldOut:
            return False
        return True

    tasks = [asyncio.create_task(buy(user_id)) for user_id in buyers]
    start.set()
    sold = sum(await asyncio.gather(*tasks))
    return sold, len(buyers) - sold


async def buyers_with_tickets(sessions: Sessions, kinds: list[TicketType], number: int) -> list[UUID]:
    async with sessions.begin() as session:
        return await event_rows.add_buyers(session, [kinds] * number)


@pytest.fixture
async def kinds(sessions: Sessions) -> list[TicketType]:
    """Ten places in the entry; two types without a limit of their own but one, which has ten too."""
    async with sessions.begin() as session:
        page = await event_rows.add_page(session)
        entry = await event_rows.add_entry(session, page, starts_at=NOW + timedelta(days=3), capacity=10)
        return [
            await event_rows.add_type(session, entry, capacity=10),
            await event_rows.add_type(session, entry),
        ]


async def state_counts(sessions: Sessions) -> dict[str, int]:
    async with sessions.begin() as session:
        assert await event_rows.pools_agree(session)
        rows = await session.execute(text("SELECT state, count(*) FROM tickets GROUP BY state"))
        return {row.state: row.count for row in rows}


async def test_forty_buyers_ten_tickets(sessions: Sessions, kinds: list[TicketType]) -> None:
    """spec: B8, H3: 10 sold, 30 told, the pools exact; nobody deadlocks."""
    buyers = await buyers_with_tickets(sessions, kinds[:1], 40)
    assert await rush(sessions, buyers, honest_claim) == (10, 30)
    assert await state_counts(sessions) == {"reserved": 10, "pending": 30}


async def test_the_test_can_see_the_race(sessions: Sessions, kinds: list[TicketType]) -> None:
    """The same rush with a check before the take oversells: so the test above would notice."""
    buyers = await buyers_with_tickets(sessions, kinds[:1], 40)
    sold, told = await rush(sessions, buyers, UnguardedClaim())
    assert sold > 10
    assert sold + told == 40


async def test_two_types_of_one_entry(sessions: Sessions, kinds: list[TicketType]) -> None:
    """spec: B3, B8: three pools a claim, opposite types side by side; all or none for each buyer."""
    both = await buyers_with_tickets(sessions, kinds, 10)
    one = await buyers_with_tickets(sessions, kinds[1:], 10)
    sold, told = await rush(sessions, [*both, *one], honest_claim)
    counts = await state_counts(sessions)
    # a buyer of two may find one place left: then that place is not sold to them
    assert counts["reserved"] in (9, 10)
    assert sold + told == 20
    async with sessions.begin() as session:
        halves = await session.scalars(
            text(
                "SELECT user_id FROM tickets WHERE user_id = ANY(:both) GROUP BY user_id"
                " HAVING count(DISTINCT state) > 1"
            ),
            {"both": both},
        )
        assert halves.all() == []


async def test_claims_and_releases_together(sessions: Sessions, kinds: list[TicketType]) -> None:
    """spec: B9: while holds end, others claim; the pools stay exact and nothing deadlocks."""
    first = await buyers_with_tickets(sessions, kinds, 5)
    orders = [new_id() for _ in first]
    for user_id, order_id in zip(first, orders, strict=True):
        async with sessions.begin() as session:
            await honest_claim(session, order_id, user_id)
    second = await buyers_with_tickets(sessions, kinds, 20)

    async def let_go(order_id: UUID) -> None:
        async with sessions.begin() as session:
            assert await CALENDAR.release_tickets_for_order(session, order_id) == 2

    results = await asyncio.gather(rush(sessions, second, honest_claim), *(let_go(order) for order in orders))
    sold, told = results[0]
    assert sold + told == 20
    assert sold <= 5
    counts = await state_counts(sessions)
    assert counts.get("reserved", 0) == 2 * sold


async def test_a_place_given_back_while_a_claim_waits(sessions: Sessions, kinds: list[TicketType]) -> None:
    """A claim that waited for a release sees what it gave back: not the pool as it was when the claim began."""
    holders = await buyers_with_tickets(sessions, kinds[:1], 10)
    orders = [new_id() for _ in holders]
    for user_id, order_id in zip(holders, orders, strict=True):
        async with sessions.begin() as session:
            await honest_claim(session, order_id, user_id)
    (user_id,) = await buyers_with_tickets(sessions, kinds[:1], 1)

    async def take() -> bool:
        async with sessions.begin() as session:
            (ticket_id,) = await session.scalars(select(Ticket.id).where(Ticket.user_id == user_id))
            offers = await read_offers(session, {kinds[0].id})
            return await stock.take(
                session,
                ticket_ids=[ticket_id],
                offers=offers.values(),
                order_id=new_id(),
                reserved_until=UNTIL,
            )

    async with sessions.begin() as session:
        await CALENDAR.release_tickets_for_order(session, orders[0])
        waiting = asyncio.create_task(take())
        await until_somebody_waits(sessions)
    assert await waiting
    assert await state_counts(sessions) == {"reserved": 10, "pending": 1}


async def until_somebody_waits(sessions: Sessions) -> None:
    """Return as soon as a statement in this database waits for a lock."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(20):
        while True:
            async with sessions() as session:
                if await session.scalar(waiting):
                    return


async def test_double_click_claims_once(sessions: Sessions, kinds: list[TicketType]) -> None:
    """The same cart checked out twice at once: one order holds the ticket, the other finds none."""
    (user_id,) = await buyers_with_tickets(sessions, kinds[:1], 1)
    await rush(sessions, [user_id] * 8, honest_claim)
    assert await state_counts(sessions) == {"reserved": 1}
