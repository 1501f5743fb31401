"""An organizer cancels an event: who may, what is said first, what is closed, and what carts say afterwards."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import func, select, text

from cart.books import keeping
from cart.models import LedgerTransfer
from cart.refunds.by_line import refund_items
from cart.refunds.owing import RefundReason
from events.cancelling import SWEEP
from events.models import Entry, Pool
from shared.contracts.protocols import SoldOut
from shared.contracts.states import EntryState, PageRole
from shared.jobs import JOBS
from shared.models import AuditEntry
from shared.money import format_minor
from tests.shop import Shop, all_rows, page_of
from tests.support import Browser

ENTRY = "/organizer/hall/entries/concert"
CANCEL = f"{ENTRY}/cancel"


@pytest.fixture
async def kind(shop: Shop) -> UUID:
    """A ticket type of the event."""
    return await shop.world.sell(capacity=9)


@pytest.fixture
async def owner(shop: Shop, kind: UUID) -> Browser:
    """An owner of the page."""
    client = await shop.buyer("owner@example.org")
    await shop.world.employ(kind, client.user_id)
    return client


async def nudged(shop: Shop) -> int:
    """How often the sweep of cancelled entries was asked for."""
    async with shop.database.sessions() as session:
        payloads = await session.scalars(select(JOBS.c.payload))
        return sum(payload == SWEEP.encode() for payload in payloads)


async def test_what_will_happen_is_said_first(shop: Shop, owner: Browser, kind: UUID) -> None:
    """First the money, then orders and tickets, and that it is for good; looking changes nothing."""
    order_id = await shop.paid_order_of(await shop.buyer_with(kind, 3, email="a@buyer.example"))
    await shop.paid_order_of(await shop.buyer_with(kind, 1, email="d@buyer.example"))
    async with shop.database.sessions.begin() as session:
        tickets = await shop.world.calendar.get_tickets_for_order(session, order_id)
        await refund_items(
            session, shop.world.till, order_id=order_id, item_ids=[tickets[0].id], page_id=None,
            actor="operator", reason=RefundReason.ORGANIZER, now=shop.clock.now(),
        )  # fmt: skip
    without_fees = await page_of(await owner.get(CANCEL))
    assert "the fee of 2 orders" in without_fees
    await keeping.post_new(shop.database.sessions, shop.world.till, now=shop.clock.now())
    async with shop.database.sessions() as session:
        fees = await session.scalar(
            select(func.sum(LedgerTransfer.amount)).where(LedgerTransfer.debit == "fees")
        )
    await shop.order_of(await shop.buyer_with(kind, 2, email="b@buyer.example"))
    await shop.buyer_with(kind, 1, email="c@buyer.example")
    before = await all_rows(shop.database.sessions)
    page = await page_of(await owner.get(CANCEL))
    figures = [part.split("</dd>")[0] for part in page.split("<dd>")[1:]]
    assert fees
    assert figures == ["€60.00", format_minor(fees, "EUR")]  # three of four tickets are left
    assert "Not yet told" not in page
    for words in (
        "3 tickets in 2 orders",
        "(2 tickets)",
        "1 ticket stays",
        "gets all the money for it back",
        "cannot be undone",
        "enter the event’s title: Concert",
    ):
        assert words in page
    assert CANCEL in await page_of(await owner.get(ENTRY))
    assert await all_rows(shop.database.sessions) == before


async def test_cancelled_once(shop: Shop, owner: Browser, kind: UUID) -> None:
    """Entry and pools are closed, it is written down who did it, the sweep nudged; twice changes nothing."""
    await shop.paid_order_of(await shop.buyer_with(kind, 2, email="a@buyer.example"))
    for typed in (" concert ", "Concert"):
        answer = await owner.post(CANCEL, form={"title": typed})
        assert (answer.status_code, answer.headers["Location"]) == (303, "/organizer/hall")
        rows = await all_rows(shop.database.sessions)
    assert "was cancelled already" in await page_of(await owner.get("/organizer/hall"))
    async with shop.database.sessions() as session:
        entry = (await session.scalars(select(Entry))).one()
        pools = list(await session.scalars(select(Pool)))
        notes = list(await session.scalars(select(AuditEntry).where(AuditEntry.subject == "entry")))
    assert entry.state == EntryState.CANCELLED
    assert {pool.closed for pool in pools} == {True}
    assert [(note.what, note.actor, note.subject_id) for note in notes] == [
        ("cancelled", f"user:{owner.user_id}", entry.id)
    ]
    assert await nudged(shop) == 1
    assert "Cancel this event" not in await page_of(await owner.get(ENTRY))
    assert "cancelled already" in await page_of(await owner.get(CANCEL))
    assert await all_rows(shop.database.sessions) == rows
    assert "This event is cancelled" in await page_of(await owner.get("/p/hall/concert"))


@pytest.mark.parametrize(("role", "status"), [(PageRole.STAFF, 403), (PageRole.DOOR, 404), (None, 404)])
async def test_only_an_owner_may(shop: Shop, kind: UUID, role: PageRole | None, status: int) -> None:
    """Staff sees the sales and is told who may; to others the page is not there (spec: A5, D10)."""
    client = await shop.buyer("staff@example.org")
    if role is not None:
        await shop.world.employ(kind, client.user_id, role)
    before = await all_rows(shop.database.sessions)
    assert (await client.get(CANCEL)).status_code == status
    assert (await client.post(CANCEL, form={"title": "Concert"})).status_code == status
    assert CANCEL not in await page_of(await client.get(ENTRY))
    assert await all_rows(shop.database.sessions) == before


async def test_draft_is_not_cancelled(shop: Shop, owner: Browser) -> None:
    """Nothing of it was sold."""
    async with shop.database.sessions.begin() as session:
        entry = (await session.scalars(select(Entry))).one()
        entry.state = EntryState.DRAFT
    assert "This event is a draft" in await page_of(await owner.get(CANCEL))
    answer = await owner.post(CANCEL, form={"title": "Concert"})
    assert (answer.status_code, "is a draft" in await page_of(answer)) == (409, True)
    assert await nudged(shop) == 0


async def test_what_is_over_is_not_cancelled(shop: Shop, owner: Browser, kind: UUID) -> None:
    """Neither offered nor done: its buyers have had their evening, and each can still be refunded alone."""
    await shop.paid_order_of(await shop.buyer_with(kind, 2, email="a@buyer.example"))
    shop.clock.advance(days=8)
    assert CANCEL not in await page_of(await owner.get(ENTRY))
    shown = await page_of(await owner.get(CANCEL))
    assert "This event is over" in shown
    assert 'name="title"' not in shown
    before = await all_rows(shop.database.sessions)
    answer = await owner.post(CANCEL, form={"title": "Concert"})
    assert (answer.status_code, "This event is over" in await page_of(answer)) == (409, True)
    assert await all_rows(shop.database.sessions) == before


async def test_cart_says_which_tickets_are_gone(shop: Shop, kind: UUID) -> None:
    """Marked, with a button to remove them; the checkout names them, and without them it goes on (spec: B8, B11)."""
    client = await shop.buyer_with(kind, 2)
    other = await shop.world.sell("recital", page="club", cost=500)
    await shop.world.put(client.user_id, other, 1)
    await shop.world.cancel(kind)
    line = (await page_of(await client.get("/cart"))).split(f'id="line-{kind}"')[1].split("</article>")[0]
    assert "no longer on sale. Remove it to check out the rest." in line
    assert "<button" in line
    assert 'type="number"' not in line
    form = {"fingerprint": await shop.world.seen(client.user_id)}
    answer = await client.post("/checkout", form=form)
    assert (answer.status_code, "Concert, Standard: no longer on sale." in await page_of(answer)) == (
        409,
        True,
    )
    assert shop.payments.calls == []
    await client.post("/cart/lines", form={"ref": str(kind), "quantity": "0"})
    order_id, _ = await shop.order_of(client)
    assert (await shop.world.order(order_id)).total == 500


async def test_ticket_of_a_cancelled_event(shop: Shop, kind: UUID) -> None:
    """Its page opens no door any more and says why, also before its money has gone back (spec: B7)."""
    client = await shop.buyer_with(kind)
    order_id = await shop.paid_order_of(client)
    ticket, confirmation = f"/tickets/{await shop.ticket_of(order_id)}", f"/orders/{order_id}/confirmation"
    assert "Show this at the door" in await page_of(await client.get(ticket))
    for words in ("You are in", "Add to calendar"):
        assert words in await page_of(await client.get(confirmation))
    await shop.world.cancel(kind)
    for words in ("You are in", "Add to calendar"):
        assert words not in await page_of(await client.get(confirmation))
    page = await page_of(await client.get(ticket))
    assert "This event is cancelled. What was paid for this ticket goes back to its buyer." in page
    assert "data:image/svg" not in page
    assert "STATUS:CANCELLED" in await page_of(await client.get(f"{ticket}/calendar.ics"))


async def test_claims_race_the_cancelling(shop: Shop) -> None:
    """Whoever held a ticket first is found by the sweep, whoever came later was refused; no place is left open."""
    kind = await shop.world.sell("gala", capacity=12)
    late, *buyers = [await shop.world.buyer() for _ in range(13)]
    for user_id in (late, *buyers):
        await shop.world.put(user_id, kind, 1)
    wishes = [shop.world.start(user_id) for user_id in buyers]
    answers = await asyncio.gather(*wishes[:6], shop.world.cancel(kind), *wishes[6:], return_exceptions=True)
    made = [answer[0] for answer in answers if isinstance(answer, list)]
    refused = [answer for answer in answers if isinstance(answer, SoldOut)]
    assert len(made) + len(refused) == len(buyers)
    assert all(error.lines[0].closed for error in refused)
    async with shop.database.sessions() as session:
        found = await shop.world.calendar.orders_of_cancelled_entries(session, limit=50)
        assert (await session.scalars(text("SELECT bool_and(closed) FROM pools"))).one()
    assert found == sorted(made)
    assert await shop.world.allocated(kind) == len(made)
    with pytest.raises(SoldOut):
        await shop.world.start(late)
