"""The pages about the books: an organizer sees their own page's part, the operator everything (spec: H1, D10)."""

from dataclasses import replace
from uuid import UUID

import pytest

from cart.reconcile.run import reconcile
from events.models import Page, TicketType
from shared.clock import ManualClock
from shared.contracts.states import PageRole
from shared.database import Database
from shared.settings import Settings
from tests import event_rows
from tests.shop import Shop, page_of
from tests.support import Browser, signed_in_client

OPERATOR = "operator@example.org"


@pytest.fixture
def shop(settings: Settings, database: Database, clock: ManualClock) -> Shop:
    """A shop with an operator; Stripe's clock is ours."""
    made = Shop(replace(settings, operators=(OPERATOR,)), database, clock)
    made.payments.now = clock.now()
    return made


async def seller(shop: Shop, kind: UUID, email: str, role: PageRole = PageRole.OWNER) -> Browser:
    """Somebody who works for the page that sells this type."""
    client = await signed_in_client(shop.app, email)
    async with shop.database.sessions.begin() as session:
        page = await session.get_one(Page, (await session.get_one(TicketType, kind)).page_id)
        await event_rows.add_member(session, page, client.user_id, role)
    return client


async def read(client: Browser, path: str, status: int = 200) -> str:
    """The page at an address."""
    answer = await client.get(path)
    assert answer.status_code == status, path
    return await page_of(answer)


async def check(shop: Shop, *, commit: bool = False) -> None:
    """A run, some minutes later."""
    shop.clock.advance(minutes=3)
    await reconcile(shop.database.sessions, shop.world.till, now=shop.clock.now(), commit=commit)


async def lost_payment(shop: Shop, kind: UUID) -> UUID:
    """An order that was paid, and nobody told us."""
    _, order_id, session_id = await shop.world.bought(kind)
    shop.payments.pay(session_id)
    return order_id


async def test_before_the_first_run(shop: Shop) -> None:
    """Says so, on both pages."""
    kind = await shop.world.sell()
    assert "Not compared yet" in await read(
        await seller(shop, kind, "o@example.org"), "/organizer/hall/books"
    )
    assert "Not compared yet" in await read(await signed_in_client(shop.app, OPERATOR), "/operator/books")


async def test_the_books_balance(shop: Shop) -> None:
    """In these words, with the time of the check."""
    kind = await shop.world.sell()
    await shop.world.bought(kind)
    await check(shop)
    page = await read(await seller(shop, kind, "o@example.org"), "/organizer/hall/books")
    assert "<h1>The books balance</h1>" in page
    assert "Compared on" in page
    assert "<h1>The books balance</h1>" in await read(
        await signed_in_client(shop.app, OPERATOR), "/operator/books"
    )


async def test_an_organizer_sees_their_own_page_only(shop: Shop) -> None:
    """Each row opens its order; the other page's organizer is told that theirs balance (spec: D10)."""
    hall, club = await shop.world.sell(), await shop.world.sell("jazz", page="club")
    order_id = await lost_payment(shop, hall)
    await check(shop)
    mine = await read(await seller(shop, hall, "hall@example.org"), "/organizer/hall/books")
    assert "1 thing does not agree" in mine
    assert "Paid at Stripe, not settled here" in mine
    assert f'href="/organizer/hall/orders/{order_id}"' in mine
    theirs = await read(await seller(shop, club, "club@example.org"), "/organizer/club/books")
    assert "The books balance" in theirs
    assert str(order_id) not in theirs


async def test_what_was_repaired_is_shown_as_such(shop: Shop) -> None:
    """The books balance again, and what was put right is told."""
    kind = await shop.world.sell()
    await lost_payment(shop, kind)
    await check(shop, commit=True)
    page = await read(await seller(shop, kind, "o@example.org"), "/organizer/hall/books")
    assert "<h1>The books balance</h1>" in page
    assert "Fixed automatically" in page
    assert "Settled: the order is paid" in page


async def test_part_of_an_order_that_others_share(shop: Shop) -> None:
    """What was paid in all is not one organizer's to see."""
    hall, club = await shop.world.sell(cost=1500), await shop.world.sell("jazz", page="club", cost=7700)
    user_id = await shop.world.buyer()
    await shop.world.put(user_id, hall, 1)
    await shop.world.put(user_id, club, 1)
    (order_id,) = await shop.world.start(user_id)
    session_id = (await shop.world.hand_over(user_id, order_id)).session_id
    assert session_id is not None
    shop.payments.pay(session_id)
    await check(shop)
    page = await read(await seller(shop, hall, "hall@example.org"), "/organizer/hall/books")
    assert "shared with other sellers" in page
    assert "92.00" not in page


async def test_who_may_see_them(shop: Shop) -> None:
    """Owner and staff of the page, the operator; for everybody else there is nothing at these addresses (spec: D10)."""
    kind = await shop.world.sell()
    await check(shop)
    operator = await signed_in_client(shop.app, OPERATOR)
    stranger = await signed_in_client(shop.app, "mallory@example.org")
    door = await seller(shop, kind, "door@example.org", PageRole.DOOR)
    staff = await seller(shop, kind, "staff@example.org", PageRole.STAFF)
    assert (await shop.app.test_client().get("/operator/books")).status_code == 303
    for client in (stranger, door, staff):
        await read(client, "/operator/books", 404)
    for client in (stranger, door, operator):
        await read(client, "/organizer/hall/books", 404)
    await read(staff, "/organizer/hall/books")
    await read(operator, "/operator/books")
    await read(operator, f"/operator/books/{UUID(int=7)}", 404)


async def test_operator_sees_accounts_and_history(shop: Shop) -> None:
    """Everything per account, each run opened by its row; a run that could not ask Stripe says so."""
    own = await shop.world.sell(page="own", stripe_account="acct_own")
    await lost_payment(shop, await shop.world.sell())
    await lost_payment(shop, own)
    await check(shop)
    await check(shop, commit=True)
    operator = await signed_in_client(shop.app, OPERATOR)
    page = await read(operator, "/operator/books")
    assert "Fixed automatically" in page
    assert page.count('href="/operator/books/') == 2
    dry = page.rindex('href="/operator/books/')
    address = page[dry + 6 : page.index('"', dry + 6)]
    page = await read(operator, address)
    assert "acct_own" in page
    assert "2 differences" in page
    assert "a dry run, nothing was changed" in page
