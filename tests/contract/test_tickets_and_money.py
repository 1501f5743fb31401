"""What every CalendarService does when money goes back, is disputed, or is held against the tickets."""

from uuid import UUID

from sqlalchemy import text

from shared.contracts.states import TicketState
from shared.database import Sessions
from shared.ids import new_id
from tests.contract.calls import EVENING, claim, held, one_kind, put
from tests.contract.shops import Shop, SqlShop, Terms


async def sold(shop: Shop, kind: UUID, quantity: int) -> UUID:
    """An order with confirmed tickets."""
    user = await shop.user()
    await put(shop, user, kind, quantity)
    order = await claim(shop, user)
    async with shop.transaction() as session:
        await shop.calendar.confirm_tickets_for_order(session, order)
    return order


async def cancel(shop: Shop, order: UUID, ticket_ids: list[UUID]) -> list[UUID]:
    async with shop.transaction() as session:
        return await shop.calendar.cancel_tickets(session, order, ticket_ids=ticket_ids)


async def test_cancelled_tickets_give_their_places_back_once(shop: Shop) -> None:
    """Repeating cancels nothing more, and another order's tickets are left alone."""
    kind = await one_kind(shop, Terms(capacity=5))
    order, other = await sold(shop, kind, 3), await sold(shop, kind, 2)
    first, second, third = [ticket.id for ticket in await held(shop, order)]
    (foreign, _) = [ticket.id for ticket in await held(shop, other)]
    assert set(await cancel(shop, order, [first, second, foreign])) == {first, second}
    assert await cancel(shop, order, [first, second]) == []
    assert await shop.allocated(kind) == 3
    states = {ticket.id: ticket.state for ticket in await held(shop, order)}
    assert states == {
        first: TicketState.CANCELLED,
        second: TicketState.CANCELLED,
        third: TicketState.CONFIRMED,
    }


async def test_a_dispute_lies_over_the_state(shop: Shop) -> None:
    """spec: H4"""
    order = await sold(shop, await one_kind(shop), 2)
    async with shop.transaction() as session:
        assert await shop.calendar.block_tickets_for_order(session, order, blocked=True) == 2
        assert await shop.calendar.block_tickets_for_order(session, order, blocked=True) == 0
    assert [(t.blocked, t.state) for t in await held(shop, order)] == [(True, TicketState.CONFIRMED)] * 2
    async with shop.transaction() as session:
        await shop.calendar.block_tickets_for_order(session, order, blocked=False)
    assert [ticket.blocked for ticket in await held(shop, order)] == [False, False]


async def test_orders_of_a_cancelled_entry_are_found_until_they_hold_nothing(shop: Shop) -> None:
    """Reserved and confirmed alike; what is only in a cart holds nothing."""
    entry = await shop.entry(await shop.page(), starts_at=EVENING)
    kind = await shop.kind(entry)
    paid, user, lingering = await sold(shop, kind, 1), await shop.user(), await shop.user()
    await put(shop, user, kind, 1)
    reserved = await claim(shop, user)
    await put(shop, lingering, kind, 1)
    async with shop.transaction() as session:
        assert await shop.calendar.orders_of_cancelled_entries(session, limit=10) == []
    await shop.cancel_entry(entry)
    async with shop.transaction() as session:
        first = await shop.calendar.orders_of_cancelled_entries(session, limit=1)
        rest = await shop.calendar.orders_of_cancelled_entries(session, after=first[0], limit=10)
        assert first + rest == sorted([paid, reserved])
        await shop.calendar.release_tickets_for_order(session, reserved)
    await cancel(shop, paid, [ticket.id for ticket in await held(shop, paid)])
    async with shop.transaction() as session:
        assert await shop.calendar.orders_of_cancelled_entries(session, limit=10) == []


async def test_orders_holding_tickets_come_in_pages(shop: Shop) -> None:
    """spec: H1"""
    kind = await one_kind(shop)
    made = sorted([await sold(shop, kind, 1) for _ in range(3)])
    async with shop.transaction() as session:
        first = await shop.calendar.orders_holding_tickets(session, after=None, limit=2)
        rest = await shop.calendar.orders_holding_tickets(session, after=first[-1], limit=2)
    assert first + rest == made


async def test_pools_agree(shop: Shop) -> None:
    """spec: H1"""
    await sold(shop, await one_kind(shop, Terms(capacity=5)), 2)
    async with shop.transaction() as session:
        assert await shop.calendar.stock_differences(session) == []
        assert await shop.calendar.recount_pools(session, [new_id()]) == 0


async def test_a_wrong_pool_is_found_and_counted_again(sessions: Sessions) -> None:
    """As after a restored table: the tickets say how many places are taken (spec: H1)."""
    shop = SqlShop(sessions)
    kind = await one_kind(shop, Terms(capacity=5))
    await sold(shop, kind, 2)
    async with sessions.begin() as session:
        await session.execute(text("UPDATE pools SET allocated = allocated + 1"))
    async with sessions.begin() as session:
        wrong = await shop.calendar.stock_differences(session)
        assert sorted((one.allocated, one.tickets) for one in wrong) == [(3, 2), (3, 2)]
        assert await shop.calendar.recount_pools(session, [one.pool_id for one in wrong]) == 2
    async with sessions.begin() as session:
        assert await shop.calendar.stock_differences(session) == []
    assert await shop.allocated(kind) == 2
