"""What every CalendarService does with carts, SQL and stub alike."""

from contextlib import nullcontext
from datetime import timedelta
from decimal import Decimal

import pytest

from shared.contracts.protocols import SoldOut
from shared.contracts.states import TicketState
from shared.errors import AppError, Conflict, Invalid, NotFound
from shared.ids import new_id
from tests.contract.calls import EVENING, LATER, NOW, cart, claim, held, one_kind, put
from tests.contract.shops import Shop, Terms


async def test_pending_tickets_hold_no_stock(shop: Shop) -> None:
    """spec: B2, B4"""
    kind, user = await one_kind(shop, Terms(capacity=5)), await shop.user()
    assert await put(shop, user, kind, 3) == 0
    tickets = await cart(shop, user)
    assert [t.state for t in tickets] == [TicketState.PENDING] * 3
    assert {(t.cost, t.currency, t.calendar_container_type, t.code) for t in tickets} == {
        (Decimal("20.00"), "EUR", "page", None)
    }
    assert {t.calendar_container_id for t in tickets} == {t.page_id for t in tickets}
    assert await shop.allocated(kind) == 0
    # another buyer's cart is no obstacle
    other = await shop.user()
    await put(shop, other, kind, 5)
    await claim(shop, other)
    assert await shop.allocated(kind) == 5


async def test_quantity_is_made_exactly(shop: Shop) -> None:
    """spec: B2"""
    kind, user = await one_kind(shop), await shop.user()
    await put(shop, user, kind, 4)
    first = await cart(shop, user)
    assert await put(shop, user, kind, 2) == 4
    assert await cart(shop, user) == first[:2]
    assert await put(shop, user, kind, 0) == 2
    assert await cart(shop, user) == []
    assert await put(shop, user, kind, 0) == 0


@pytest.mark.parametrize(
    ("terms", "quantity", "error"),
    [
        (Terms(min_per_order=2), 1, Invalid),
        (Terms(max_per_order=4), 5, Invalid),
        (Terms(), -1, Invalid),
        (Terms(), 10**12, Invalid),
        (Terms(max_per_order=100), 51, Invalid),
        (Terms(cost=None), 1, Conflict),
        (Terms(sale_starts_at=LATER), 1, Conflict),
        (Terms(sale_ends_at=NOW), 1, Conflict),
        (Terms(capacity=3), 4, SoldOut),
        (Terms(capacity=0), 1, SoldOut),
    ],
)
async def test_quantity_refused(shop: Shop, terms: Terms, quantity: int, error: type[AppError]) -> None:
    """spec: B3"""
    kind, user = await one_kind(shop, terms), await shop.user()
    with pytest.raises(error):
        await put(shop, user, kind, quantity)
    assert await cart(shop, user) == []


async def test_limit_per_user_counts_all_types(shop: Shop) -> None:
    """A cart holds 50 tickets, of whatever type."""
    entry, user = await shop.entry(await shop.page(), starts_at=EVENING), await shop.user()
    kinds = [await shop.kind(entry, Terms(max_per_order=30)) for _ in range(2)]
    await put(shop, user, kinds[0], 30)
    with pytest.raises(Invalid):
        await put(shop, user, kinds[1], 21)
    await put(shop, user, kinds[1], 20)
    assert len(await cart(shop, user)) == 50


async def test_unknown_type(shop: Shop) -> None:
    """Bad input: 404, nothing written."""
    with pytest.raises(NotFound):
        await put(shop, await shop.user(), new_id(), 1)


async def test_over_means_over(shop: Shop) -> None:
    """Without a sale window an entry sells until it ends; tickets can be taken out of the cart for ever."""
    kind, user = await one_kind(shop), await shop.user()
    end = EVENING + timedelta(hours=3)
    await put(shop, user, kind, 2, now=end - timedelta(seconds=1))
    with pytest.raises(Conflict):
        await put(shop, user, kind, 3, now=end)
    await put(shop, user, kind, 1, now=end)
    assert len(await cart(shop, user)) == 1


async def test_remove_pending_tickets(shop: Shop) -> None:
    """A page's part of the cart, then all; what an order holds stays."""
    user = await shop.user()
    pages = [await shop.page("first"), await shop.page("second")]
    kinds = [await shop.kind(await shop.entry(page, starts_at=EVENING)) for page in pages]
    await put(shop, user, kinds[0], 1)
    order = await claim(shop, user)
    for kind in kinds:
        await put(shop, user, kind, 2)
    async with shop.transaction() as session:
        assert await shop.calendar.remove_pending_tickets(session, user_id=user, page_id=pages[0]) == 2
        assert await shop.calendar.remove_pending_tickets(session, user_id=user) == 2
    assert await cart(shop, user) == []
    assert len(await held(shop, order)) == 1


async def test_order_of_pending_tickets(shop: Shop) -> None:
    """spec: B6: by page, start, type and id."""
    user = await shop.user()
    pages = {slug: await shop.page(slug) for slug in ("b-page", "a-page")}
    for slug, days in (("b-page", 1), ("a-page", 5), ("a-page", 2)):
        entry = await shop.entry(pages[slug], starts_at=NOW + timedelta(days=days), title=f"Day{days}")
        await put(shop, user, await shop.kind(entry), 2)
    tickets = await cart(shop, user)
    assert [(t.page_slug, t.entry_title) for t in tickets[::2]] == [
        ("a-page", "Day2"),
        ("a-page", "Day5"),
        ("b-page", "Day1"),
    ]
    assert [t.id for t in tickets] == [t.id for t in await cart(shop, user)]


async def test_added_tickets_are_told_apart(shop: Shop) -> None:
    """What a form adds can be bought alone, whatever the cart held before (spec: B2, B8)."""
    kind, user = await one_kind(shop, Terms(max_per_order=4)), await shop.user()
    await put(shop, user, kind, 2)
    before = {ticket.id for ticket in await cart(shop, user)}
    async with shop.transaction() as session:
        added = await shop.calendar.add_pending_tickets(session, user_id=user, chosen={kind: 2}, now=NOW)
    assert len(added) == 2
    assert {ticket.id for ticket in await cart(shop, user)} == before | set(added)
    await claim(shop, user, ticket_ids=added)
    assert {ticket.id for ticket in await cart(shop, user)} == before


async def test_nothing_is_added_that_cannot_be(shop: Shop) -> None:
    """The limits of the cart hold for a form that buys at once too (spec: B2)."""
    kind, user = await one_kind(shop, Terms(max_per_order=4)), await shop.user()
    for number, error in ((5, Invalid), (1, None)):
        with pytest.raises(error) if error else nullcontext():
            async with shop.transaction() as session:
                await shop.calendar.add_pending_tickets(session, user_id=user, chosen={kind: number}, now=NOW)
    with pytest.raises(NotFound):
        async with shop.transaction() as session:
            await shop.calendar.add_pending_tickets(session, user_id=user, chosen={new_id(): 1}, now=NOW)
    assert len(await cart(shop, user)) == 1
