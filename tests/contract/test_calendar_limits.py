"""How many tickets one person may have, counted over all their orders: SQL and stub alike (spec: L2)."""

from decimal import Decimal
from uuid import UUID

import pytest

from shared.errors import Invalid
from tests.contract.calls import EVENING, cart, claim, one_kind, put
from tests.contract.shops import Shop, Terms

FREE = Decimal(0)


async def hold(shop: Shop, user: UUID, kind: UUID, number: int) -> UUID:
    """So many in an order that is not paid yet."""
    await put(shop, user, kind, number)
    return await claim(shop, user)


async def have(shop: Shop, user: UUID, kind: UUID, number: int) -> None:
    """So many for good."""
    order = await hold(shop, user, kind, number)
    async with shop.transaction() as session:
        await shop.calendar.confirm_tickets_for_order(session, order)


async def test_a_loop_of_orders_holds_no_more_than_one(shop: Shop) -> None:
    """Ten orders of eight held most of a house for an hour; what waits for payment counts, in whatever order it is."""
    kind, user = await one_kind(shop, Terms(max_per_order=8)), await shop.user()
    await hold(shop, user, kind, 5)
    with pytest.raises(Invalid, match="At most 8 of these can wait for payment at a time, and 5 do"):
        await put(shop, user, kind, 4)
    await hold(shop, user, kind, 3)
    with pytest.raises(Invalid, match="and 8 do"):
        await put(shop, user, kind, 1)
    assert await shop.allocated(kind) == 8
    await hold(shop, await shop.user(), kind, 8)


async def test_what_is_paid_leaves_room_for_the_next_order(shop: Shop) -> None:
    """Without a limit of its own a type sells as often as somebody pays."""
    kind, user = await one_kind(shop, Terms(max_per_order=4)), await shop.user()
    await have(shop, user, kind, 4)
    await have(shop, user, kind, 4)
    assert await shop.allocated(kind) == 8


async def test_free_ones_are_counted_for_good(shop: Shop) -> None:
    """Where four were allowed, one person took eight."""
    kind, user = await one_kind(shop, Terms(cost=FREE, max_per_order=4)), await shop.user()
    await have(shop, user, kind, 3)
    with pytest.raises(Invalid, match="At most 4 of these for each person; you have 3 already"):
        await put(shop, user, kind, 2)
    await have(shop, user, kind, 1)
    with pytest.raises(Invalid, match="you have 4 already"):
        await put(shop, user, kind, 1)


async def test_a_limit_of_its_own(shop: Shop) -> None:
    """Of a type: paid, held and wanted together; another person is not concerned."""
    kind, user = await one_kind(shop, Terms(max_per_order=4, max_per_user=6)), await shop.user()
    await have(shop, user, kind, 4)
    await hold(shop, user, kind, 1)
    with pytest.raises(Invalid, match="At most 6 of these for each person; you have 5 already"):
        await put(shop, user, kind, 2)
    await have(shop, user, kind, 1)
    await have(shop, await shop.user(), kind, 4)


async def test_a_limit_of_the_event(shop: Shop) -> None:
    """Over all its types, and in one cart too; another event is not concerned."""
    page, user = await shop.page(), await shop.user()
    entry = await shop.entry(page, starts_at=EVENING, max_per_user=3)
    kinds = [await shop.kind(entry) for _ in range(2)]
    await have(shop, user, kinds[0], 2)
    with pytest.raises(Invalid, match="At most 3 tickets of this event for each person; you have 2 already"):
        await put(shop, user, kinds[1], 2)
    other = await shop.user()
    for kind in kinds:
        await put(shop, other, kind, 2)
    with pytest.raises(Invalid, match="At most 3 tickets of this event"):
        await claim(shop, other)
    assert len(await cart(shop, other)) == 4, "nothing was claimed, nothing is lost"
    elsewhere = await shop.kind(await shop.entry(page, starts_at=EVENING, title="Elsewhere"))
    await have(shop, user, elsewhere, 4)


async def test_what_is_given_back_or_cancelled_counts_no_more(shop: Shop) -> None:
    """Only what somebody has."""
    kind, user = await one_kind(shop, Terms(max_per_order=4, max_per_user=4)), await shop.user()
    order = await hold(shop, user, kind, 4)
    async with shop.transaction() as session:
        await shop.calendar.release_tickets_for_order(session, order)
    order = await claim(shop, user)
    async with shop.transaction() as session:
        await shop.calendar.confirm_tickets_for_order(session, order)
        held = [ticket.id for ticket in await shop.calendar.get_tickets_for_order(session, order)]
        assert len(await shop.calendar.cancel_tickets(session, order, ticket_ids=held[:2])) == 2
    await hold(shop, user, kind, 2)
