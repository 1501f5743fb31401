"""What every CalendarService does with stock, SQL and stub alike: claim, confirm, release, holds."""

from datetime import timedelta

import pytest

from shared.contracts.protocols import Confirmation, SoldOut
from shared.contracts.states import EntryState, TicketState
from shared.errors import Conflict, Invalid
from shared.ids import new_id
from tests.contract.calls import EVENING, LATER, NOW, cart, claim, held, one_kind, put
from tests.contract.shops import Shop, Terms


async def test_only_confirmed_entries_sell(shop: Shop) -> None:
    """spec: B3"""
    page, user = await shop.page(), await shop.user()
    for state in (EntryState.DRAFT, EntryState.CANCELLED):
        kind = await shop.kind(await shop.entry(page, starts_at=EVENING, state=state, title=state.value))
        with pytest.raises(Conflict):
            await put(shop, user, kind, 1)


async def test_claim_confirm(shop: Shop) -> None:
    """spec: B7, B8"""
    kind, user = await one_kind(shop, Terms(capacity=5)), await shop.user()
    await put(shop, user, kind, 2)
    order = await claim(shop, user)
    reserved = await held(shop, order)
    assert [(t.state, t.order_id, t.reserved_until, t.code) for t in reserved] == [
        (TicketState.RESERVED, order, LATER, None)
    ] * 2
    assert await cart(shop, user) == []
    assert await shop.allocated(kind) == 2
    async with shop.transaction() as session:
        assert await shop.calendar.confirm_tickets_for_order(session, order) is Confirmation.CONFIRMED
    confirmed = await held(shop, order)
    assert [(t.state, t.reserved_until) for t in confirmed] == [(TicketState.CONFIRMED, None)] * 2
    codes = {t.code for t in confirmed}
    assert len(codes) == 2
    assert None not in codes
    assert await shop.allocated(kind) == 2


async def test_confirm_twice_changes_nothing(shop: Shop) -> None:
    """spec: B7"""
    kind, user = await one_kind(shop), await shop.user()
    await put(shop, user, kind, 2)
    order = await claim(shop, user)
    for _ in range(2):
        async with shop.transaction() as session:
            assert await shop.calendar.confirm_tickets_for_order(session, order) is Confirmation.CONFIRMED
            tickets = await shop.calendar.get_tickets_for_order(session, order)
    assert await held(shop, order) == tickets
    async with shop.transaction() as session:
        assert await shop.calendar.release_tickets_for_order(session, order) == 0
    assert await held(shop, order) == tickets


async def test_confirm_closed(shop: Shop) -> None:
    """An entry cancelled while the money was on its way: nothing is confirmed."""
    page, user = await shop.page(), await shop.user()
    entries = [await shop.entry(page, starts_at=EVENING, title=title) for title in ("Kept", "Gone")]
    for entry in entries:
        await put(shop, user, await shop.kind(entry), 1)
    order = await claim(shop, user)
    await shop.cancel_entry(entries[1])
    async with shop.transaction() as session:
        assert await shop.calendar.confirm_tickets_for_order(session, order) is Confirmation.CLOSED
    assert {t.state for t in await held(shop, order)} == {TicketState.RESERVED}


async def test_claim_exactly_these_or_conflict(shop: Shop) -> None:
    """spec: B8: exactly the tickets whose total the buyer saw."""
    kind, user = await one_kind(shop), await shop.user()
    await put(shop, user, kind, 3)
    tickets = [t.id for t in await cart(shop, user)]
    order = await claim(shop, user, ticket_ids=tickets[:2])
    assert [t.id for t in await held(shop, order)] == tickets[:2]
    with pytest.raises(Conflict):
        await claim(shop, user, ticket_ids=tickets[1:])
    stranger = await shop.user()
    with pytest.raises(Conflict):
        await claim(shop, stranger, ticket_ids=[tickets[2]])
    assert [t.id for t in await cart(shop, user)] == [tickets[2]]
    assert await shop.allocated(kind) == 2


async def test_claim_keeps_to_the_numbers_of_a_type(shop: Shop) -> None:
    """What was given back joins what was put in since; together never more than an order may hold (spec: B8)."""
    kind, user = await one_kind(shop, Terms(max_per_order=4)), await shop.user()
    await put(shop, user, kind, 3)
    first = await claim(shop, user)
    with pytest.raises(Invalid):
        await put(shop, user, kind, 2)
    await put(shop, user, kind, 1)
    async with shop.transaction() as session:
        assert await shop.calendar.release_tickets_for_order(session, first) == 3
    assert len(await held(shop, await claim(shop, user))) == 4


async def test_claim_of_one_page(shop: Shop) -> None:
    """spec: B6, B12"""
    user = await shop.user()
    pages = [await shop.page("first"), await shop.page("second")]
    for page in pages:
        await put(shop, user, await shop.kind(await shop.entry(page, starts_at=EVENING)), 2)
    order = await claim(shop, user, page=pages[0])
    assert {t.page_id for t in await held(shop, order)} == {pages[0]}
    assert [t.page_id for t in await cart(shop, user)] == [pages[1]] * 2


async def test_claim_of_nothing(shop: Shop) -> None:
    """An order without tickets (products only) has nothing to claim."""
    user = await shop.user()
    assert await held(shop, await claim(shop, user)) == []
    assert await held(shop, await claim(shop, user, ticket_ids=[])) == []


async def test_sold_out_type_changes_nothing(shop: Shop) -> None:
    """spec: B8: all or none, and each line that does not fit is named with what is left."""
    entry = await shop.entry(await shop.page(), starts_at=EVENING)
    scarce, plenty = await shop.kind(entry, Terms(capacity=3)), await shop.kind(entry)
    first, second = await shop.user(), await shop.user()
    for user in (first, second):
        await put(shop, user, scarce, 2)
        await put(shop, user, plenty, 1)
    await claim(shop, first)
    with pytest.raises(SoldOut) as caught:
        await claim(shop, second)
    (line,) = caught.value.lines
    assert (line.ticket_type_id, line.wanted, line.left, line.closed) == (scarce, 2, 1, False)
    assert len(await cart(shop, second)) == 3
    assert (await shop.allocated(scarce), await shop.allocated(plenty)) == (2, 1)


async def test_sold_out_leaves_the_transaction_usable(shop: Shop) -> None:
    """A caller may catch SoldOut and go on in the same transaction; nothing of the claim is in it."""
    kind, first, second = await one_kind(shop, Terms(capacity=1)), await shop.user(), await shop.user()
    await put(shop, first, kind, 1)
    await put(shop, second, kind, 1)
    await claim(shop, first)
    async with shop.transaction() as session:
        with pytest.raises(SoldOut):
            await shop.calendar.claim_tickets_for_order(
                session, new_id(), second, reserved_until=LATER, now=NOW
            )
        assert await shop.calendar.remove_pending_tickets(session, user_id=second) == 1
    assert await cart(shop, second) == []


async def test_capacity_shared_by_types(shop: Shop) -> None:
    """spec: B3: the entry's capacity is shared; one claim over both types counts together."""
    entry = await shop.entry(await shop.page(), starts_at=EVENING, capacity=3)
    kinds = [await shop.kind(entry) for _ in range(2)]
    user = await shop.user()
    for kind in kinds:
        await put(shop, user, kind, 2)
    with pytest.raises(SoldOut) as caught:
        await claim(shop, user)
    assert {line.ticket_type_id for line in caught.value.lines} == set(kinds)
    await put(shop, user, kinds[0], 1)
    await claim(shop, user)
    assert [await shop.allocated(kind) for kind in kinds] == [1, 2]


async def test_unlimited(shop: Shop) -> None:
    """spec: B3: capacity on neither means no limit."""
    kind, user = await one_kind(shop, Terms(max_per_order=50)), await shop.user()
    await put(shop, user, kind, 50)
    await claim(shop, user)
    assert await shop.allocated(kind) == 50


async def test_claim_refuses_what_no_longer_sells(shop: Shop) -> None:
    """spec: B3: an entry cancelled, or a sale over, since the tickets went into the cart."""
    page, user = await shop.page(), await shop.user()
    entry = await shop.entry(page, starts_at=EVENING, title="Gone")
    gone = await shop.kind(entry)
    over = await shop.kind(
        await shop.entry(page, starts_at=EVENING, title="Over"),
        Terms(sale_ends_at=NOW + timedelta(minutes=1)),
    )
    await put(shop, user, gone, 1)
    await put(shop, user, over, 1)
    await shop.cancel_entry(entry)
    with pytest.raises(SoldOut) as caught:
        await claim(shop, user, now=NOW + timedelta(minutes=1))
    assert {(line.ticket_type_id, line.left, line.closed) for line in caught.value.lines} == {
        (gone, 0, True),
        (over, 0, True),
    }
    assert await shop.allocated(over) == 0


async def test_release_gives_stock_back(shop: Shop) -> None:
    """spec: B9"""
    kind, user = await one_kind(shop, Terms(capacity=2), capacity=2), await shop.user()
    await put(shop, user, kind, 2)
    before = await cart(shop, user)
    order = await claim(shop, user)
    for expected in (2, 0):
        async with shop.transaction() as session:
            assert await shop.calendar.release_tickets_for_order(session, order) == expected
    assert await cart(shop, user) == before
    assert await held(shop, order) == []
    assert await shop.allocated(kind) == 0
    other = await shop.user()
    await put(shop, other, kind, 2)
    await claim(shop, other)
    # paid after the release: the very same tickets, if they still fit
    with pytest.raises(SoldOut):
        await claim(shop, user, order, ticket_ids=[t.id for t in before])


async def test_release_from_a_cancelled_entry(shop: Shop) -> None:
    """A closed pool takes places back."""
    entry = await shop.entry(await shop.page(), starts_at=EVENING, capacity=2)
    kind, user = await shop.kind(entry), await shop.user()
    await put(shop, user, kind, 1)
    order = await claim(shop, user)
    await shop.cancel_entry(entry)
    async with shop.transaction() as session:
        assert await shop.calendar.release_tickets_for_order(session, order) == 1
    assert await shop.allocated(kind) == 0


async def test_lapsed_orders(shop: Shop) -> None:
    """Oldest first, only lapsed clocks, over all types that share the entry's pool, not another's."""
    page = await shop.page()
    entry = await shop.entry(page, starts_at=EVENING)
    asked, sibling = await shop.kind(entry), await shop.kind(entry)
    elsewhere = await shop.kind(await shop.entry(page, starts_at=EVENING, title="Elsewhere"))
    orders = []
    for kind, minutes in ((asked, 3), (sibling, 1), (asked, 2), (asked, 60), (elsewhere, 1)):
        user = await shop.user()
        await put(shop, user, kind, 2)
        orders.append(await claim(shop, user, until=NOW + timedelta(minutes=minutes)))
    async with shop.transaction() as session:
        late = NOW + timedelta(minutes=10)
        found = await shop.calendar.lapsed_orders(session, ticket_type_ids=[asked], now=late)
        assert found == [orders[1], orders[2], orders[0]]
        assert await shop.calendar.lapsed_orders(session, ticket_type_ids=[asked], now=late, limit=1) == [
            orders[1]
        ]
        # money on its way: no clock, so nothing to release
        await shop.calendar.hold_tickets_until(session, orders[1], reserved_until=None)
        await shop.calendar.hold_tickets_until(session, orders[2], reserved_until=late + timedelta(hours=1))
        assert await shop.calendar.lapsed_orders(session, ticket_type_ids=[asked], now=late) == [orders[0]]
    assert {t.reserved_until for t in await held(shop, orders[1])} == {None}


async def test_lapsed_hold_does_not_bar_the_cart(shop: Shop) -> None:
    """A dead worker never means "sold out for ever": what lapsed may be chosen, and the claim finds out."""
    kind, first, second = await one_kind(shop, Terms(capacity=1)), await shop.user(), await shop.user()
    await put(shop, first, kind, 1)
    await claim(shop, first)
    with pytest.raises(SoldOut):
        await put(shop, second, kind, 1)
    await put(shop, second, kind, 1, now=LATER + timedelta(seconds=1))
    assert len(await cart(shop, second)) == 1


async def test_own_hold_is_named_where_it_is_the_shortage(shop: Shop) -> None:
    """Nobody is told "sold out" because of themselves, in the cart or at the claim (spec: B8; peers: Hi.Events 790)."""
    kind, buyer, other = await one_kind(shop, Terms(capacity=3)), await shop.user(), await shop.user()
    await put(shop, buyer, kind, 3)
    keeps = await cart(shop, buyer)
    await claim(shop, buyer, ticket_ids=[ticket.id for ticket in keeps[:2]])
    await put(shop, other, kind, 1)
    await claim(shop, other)
    with pytest.raises(SoldOut) as caught:
        await claim(shop, buyer)
    assert [(line.left, line.yours) for line in caught.value.lines] == [(0, 2)]
    assert caught.value.message.startswith("The last of these tickets are held for you already.")
    with pytest.raises(SoldOut, match="held for you already"):
        await put(shop, buyer, kind, 2)
    with pytest.raises(SoldOut) as caught:
        await put(shop, await shop.user(), kind, 1)
    assert [(line.left, line.yours) for line in caught.value.lines] == [(0, 0)]


@pytest.mark.parametrize(("of_entry", "of_type", "yours"), [(2, 5, 2), (None, 0, 0)])
async def test_own_hold_counts_where_the_places_are_missing(
    shop: Shop, of_entry: int | None, of_type: int, yours: int
) -> None:
    """An own hold of another type is the shortage only where the entry's places are what is short (spec: B3)."""
    entry = await shop.entry(await shop.page(), starts_at=EVENING, capacity=of_entry)
    held_kind, wanted = await shop.kind(entry), await shop.kind(entry, Terms(capacity=of_type))
    buyer = await shop.user()
    await put(shop, buyer, held_kind, 2)
    await claim(shop, buyer)
    with pytest.raises(SoldOut) as caught:
        await put(shop, buyer, wanted, 1)
    assert [(line.left, line.yours) for line in caught.value.lines] == [(0, yours)]
