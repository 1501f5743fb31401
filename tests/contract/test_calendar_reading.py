"""What every CalendarService tells of tickets and pages, SQL and stub alike."""

from decimal import Decimal

from shared.contracts.states import PageRole
from shared.ids import new_id
from tests.contract.calls import EVENING, cart, claim, held, one_kind, put
from tests.contract.shops import Shop, Terms


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


async def test_tickets_know_that_their_entry_is_cancelled(shop: Shop) -> None:
    """In the cart and in an order, also where they were bought before it was (spec: B3)."""
    entry = await shop.entry(await shop.page(), starts_at=EVENING)
    kind, user = await shop.kind(entry), await shop.user()
    await put(shop, user, kind, 2)
    order = await claim(shop, user, ticket_ids=[(await cart(shop, user))[0].id])
    for expected in (False, True):
        tickets = await cart(shop, user) + await held(shop, order)
        assert [ticket.entry_cancelled for ticket in tickets] == [expected, expected]
        await shop.cancel_entry(entry)


async def test_payments_stop_and_resume_by_account(shop: Shop) -> None:
    """All pages of an account, told by name once; the pages say so wherever they are read (spec: L9)."""
    pages = [await shop.page(slug) for slug in ("hall", "cellar")]
    user = await shop.user()
    await put(shop, user, await shop.kind(await shop.entry(pages[0], starts_at=EVENING)), 1)
    async with shop.transaction() as session:
        assert await shop.calendar.stripe_accounts(session) == [""]
        assert (
            await shop.calendar.set_payments_stopped(session, stripe_account="acct_other", stopped=True) == []
        )
        names = await shop.calendar.set_payments_stopped(session, stripe_account="", stopped=True)
        assert names == ["Cellar", "Hall"]
        assert await shop.calendar.set_payments_stopped(session, stripe_account="", stopped=True) == []
    async with shop.transaction() as session:
        found = await shop.calendar.get_pages(session, pages)
        assert all(page.payments_stopped for page in found.values())
        assert await shop.calendar.set_payments_stopped(session, stripe_account="", stopped=False) == names
    assert not any(ticket.page.payments_stopped for ticket in await cart(shop, user))
