"""What every CalendarService does, SQL and stub alike."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from shared.contracts.dtos import TicketDTO
from shared.contracts.protocols import Confirmation, SoldOut
from shared.contracts.states import EntryState, PageRole, TicketState
from shared.errors import AppError, Conflict, Invalid, NotFound
from shared.ids import new_id
from tests.contract.shops import Shop, Terms

NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=30)
EVENING = NOW + timedelta(days=10)


async def put(shop: Shop, user: UUID, kind: UUID, quantity: int, *, now: datetime = NOW) -> int:
    async with shop.transaction() as session:
        return await shop.calendar.set_pending_quantity(
            session, user_id=user, ticket_type_id=kind, quantity=quantity, now=now
        )


async def claim(
    shop: Shop,
    user: UUID,
    order: UUID | None = None,
    *,
    page: UUID | None = None,
    ticket_ids: list[UUID] | None = None,
    until: datetime = LATER,
    now: datetime = NOW,
) -> UUID:
    order = order or new_id()
    async with shop.transaction() as session:
        await shop.calendar.claim_tickets_for_order(
            session, order, user, page, ticket_ids=ticket_ids, reserved_until=until, now=now
        )
    return order


async def cart(shop: Shop, user: UUID) -> list[TicketDTO]:
    async with shop.transaction() as session:
        tickets = await shop.calendar.pending_tickets(session, user_id=user)
        assert await shop.calendar.pending_count(session, user_id=user) == len(tickets)
        return tickets


async def held(shop: Shop, order: UUID) -> list[TicketDTO]:
    async with shop.transaction() as session:
        return await shop.calendar.get_tickets_for_order(session, order)


async def one_kind(shop: Shop, terms: Terms | None = None, *, capacity: int | None = None) -> UUID:
    entry = await shop.entry(await shop.page(), starts_at=EVENING, capacity=capacity)
    return await shop.kind(entry, terms)


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


async def test_only_confirmed_entries_sell(shop: Shop) -> None:
    """spec: B3"""
    page, user = await shop.page(), await shop.user()
    for state in (EntryState.DRAFT, EntryState.CANCELLED):
        kind = await shop.kind(await shop.entry(page, starts_at=EVENING, state=state, title=state.value))
        with pytest.raises(Conflict):
            await put(shop, user, kind, 1)


async def test_over_means_over(shop: Shop) -> None:
    """Without a sale window an entry sells until it ends; tickets can be taken out of the cart for ever."""
    kind, user = await one_kind(shop), await shop.user()
    end = EVENING + timedelta(hours=3)
    await put(shop, user, kind, 2, now=end - timedelta(seconds=1))
    with pytest.raises(Conflict):
        await put(shop, user, kind, 3, now=end)
    await put(shop, user, kind, 1, now=end)
    assert len(await cart(shop, user)) == 1


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
    """What was given back joins what was put in since; no order may hold more than the type allows (spec: B8)."""
    kind, user = await one_kind(shop, Terms(max_per_order=4)), await shop.user()
    await put(shop, user, kind, 4)
    first = await claim(shop, user)
    await put(shop, user, kind, 4)
    async with shop.transaction() as session:
        assert await shop.calendar.release_tickets_for_order(session, first) == 4
    with pytest.raises(Invalid):
        await claim(shop, user)
    assert await shop.allocated(kind) == 0
    await put(shop, user, kind, 4)
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


async def test_tickets_carry_their_page(shop: Shop) -> None:
    """The whole page, the same that get_pages gives: who has tickets asks no more (spec: B4)."""
    user = await shop.user()
    for slug, currency in (("hall", "EUR"), ("tokyo", "JPY")):
        page = await shop.page(slug, currency=currency, hold_minutes=15)
        await put(shop, user, await shop.kind(await shop.entry(page, starts_at=EVENING)), 1)
    in_cart = await cart(shop, user)
    order = await claim(shop, user)
    async with shop.transaction() as session:
        pages = await shop.calendar.get_pages(session, [ticket.page_id for ticket in in_cart])
    for tickets in (in_cart, await held(shop, order)):
        assert [ticket.page for ticket in tickets] == [pages[ticket.page_id] for ticket in tickets]
        assert [ticket.page_slug for ticket in tickets] == ["hall", "tokyo"]
        assert [ticket.currency for ticket in tickets] == ["EUR", "JPY"]
        assert {ticket.time_zone for ticket in tickets} == {"Europe/Vienna"}


async def test_hold_minutes_and_currencies(shop: Shop) -> None:
    """spec: H10; costs keep their currency's decimals."""
    user = await shop.user()
    for currency, cost in (("JPY", Decimal(1200)), ("KWD", Decimal("1.250")), ("EUR", Decimal(0))):
        page = await shop.page(currency.lower(), currency=currency, hold_minutes=15)
        entry = await shop.entry(page, starts_at=EVENING)
        await put(shop, user, await shop.kind(entry, Terms(cost=cost)), 1)
        await put(shop, user, await shop.kind(entry, Terms(cost=cost, hold_minutes=5)), 1)
    tickets = await cart(shop, user)
    assert [(t.currency, t.cost, t.hold_minutes) for t in tickets] == [
        ("EUR", Decimal(0), 15),
        ("EUR", Decimal(0), 5),
        ("JPY", Decimal(1200), 15),
        ("JPY", Decimal(1200), 5),
        ("KWD", Decimal("1.250"), 15),
        ("KWD", Decimal("1.250"), 5),
    ]


async def test_tickets_for_orders(shop: Shop) -> None:
    """Every id asked for is a key (spec: B14)."""
    kind, user = await one_kind(shop), await shop.user()
    await put(shop, user, kind, 2)
    order, unknown = await claim(shop, user), new_id()
    async with shop.transaction() as session:
        found = await shop.calendar.get_tickets_for_orders(session, [order, unknown])
    assert {key: len(tickets) for key, tickets in found.items()} == {order: 2, unknown: 0}


async def test_pages(shop: Shop) -> None:
    """By id, by address, by who works there."""
    pages, user = [await shop.page("b-page"), await shop.page("a-page")], await shop.user()
    for page, role in zip(pages, (PageRole.DOOR, PageRole.OWNER), strict=True):
        await shop.member(page, user, role)
    async with shop.transaction() as session:
        calendar, stranger = shop.calendar, new_id()
        assert set(await calendar.get_pages(session, [pages[0], stranger])) == {pages[0]}
        found = await calendar.get_page_by_slug(session, "a-page")
        assert found is not None
        assert (found.id, found.currency, found.time_zone) == (pages[1], "EUR", "Europe/Vienna")
        assert await calendar.get_page_by_slug(session, "no-page") is None
        mine = await calendar.pages_of_member(session, user_id=user)
        assert [(page.slug, role) for page, role in mine] == [
            ("a-page", PageRole.OWNER),
            ("b-page", PageRole.DOOR),
        ]
        assert await calendar.pages_of_member(session, user_id=stranger) == []
        members = await calendar.members_of_pages(session, [*pages, stranger])
        assert set(members) == {(pages[0], user, PageRole.DOOR), (pages[1], user, PageRole.OWNER)}
        assert members == sorted(members)
        assert await calendar.members_of_pages(session, []) == []


async def test_orders_by_ticket_code(shop: Shop) -> None:
    """The organizer's search: on this page only, small letters allowed."""
    kind, user = await one_kind(shop), await shop.user()
    await put(shop, user, kind, 1)
    order = await claim(shop, user)
    async with shop.transaction() as session:
        await shop.calendar.confirm_tickets_for_order(session, order)
        (ticket,) = await shop.calendar.get_tickets_for_order(session, order)
        assert ticket.code is not None
        code = f" {ticket.code.lower()} "
        find = shop.calendar.orders_by_ticket_code
        assert await find(session, page_id=ticket.page_id, code=code) == [order]
        assert await find(session, page_id=new_id(), code=code) == []
        assert await find(session, page_id=ticket.page_id, code="") == []
