"""The demo's data: believable, consistent, put in once."""

from sqlalchemy import func, select

from cart.models import Order
from cart.reconcile.run import reconcile
from cart.seed import seed as seed_orders
from cart.till import Till
from events.catalogue import Catalogue
from events.models import Entry, Page
from events.seed import seed
from events.views import stand_of_entry
from shared.clock import ManualClock
from shared.contracts.states import PageRole
from shared.contracts.stub_payments import StubPayments
from shared.database import Database
from shared.settings import ROOT
from shared.web import Tillgate
from tests import event_rows
from tests.support import browser


async def test_seed(app: Tillgate, database: Database, clock: ManualClock) -> None:
    """Three pages, a dozen entries, every kind of sale; a second time nothing; every page can be shown."""
    for _ in range(2):
        async with database.sessions.begin() as session:
            team = {await event_rows.add_user(session): role for role in PageRole}
            await seed(session, now=clock.now(), team=team, second_account="acct_1Second")
            assert await event_rows.pools_agree(session)
            assert await session.scalar(select(func.count()).select_from(Page)) == 3
            entries = (await session.scalars(select(Entry))).all()
            pages = (await session.scalars(select(Page))).all()
    assert {page.stripe_account for page in pages} == {"", "acct_1Second"}
    assert {page.refund_hours is None for page in pages} == {True, False}, (
        "of one page tickets can be given back"
    )
    assert len(entries) >= 12
    assert {entry.state for entry in entries} == {"draft", "confirmed", "cancelled"}
    assert all((ROOT / "static/pictures" / entry.picture).is_file() for entry in entries if entry.picture)
    async with database.sessions.begin() as session:
        await seed_orders(session, app.services.calendar, now=clock.now())
        free = select(Order.state, Order.total).distinct()
        assert [tuple(row) for row in await session.execute(free)] == [("paid", 0)]
    run = await reconcile(
        database.sessions, Till(app.services.calendar, StubPayments(), "http://shop.test"), now=clock.now()
    )
    assert run.differences == [], "the books of a new shop balance"
    coming = (await Catalogue(database).coming(clock.now())).entries
    on_their_way = select(Page.currency).where(Page.delayed_methods)
    async with database.sessions() as session:
        assert "EUR" in (await session.scalars(on_their_way)).all(), (
            "the stand-in's delayed payments take euros"
        )
    kinds = {stand_of_entry(entry, clock.now()).kind for entry in coming}
    assert kinds >= {"on_sale", "few_left", "sold_out", "not_yet"}
    assert {0} < {price for entry in coming for price in entry.prices}
    for path in ["/", *{f"/p/{entry.page.slug}" for entry in coming}, *(entry.href for entry in coming)]:
        assert (await browser(app).get(path)).status_code == 200
