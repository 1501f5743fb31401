"""How an order stands after its money went: for the organizer's list and its sums, for the order's pages."""

import re
from dataclasses import replace
from fractions import Fraction

import pytest
from sqlalchemy import func, select

from cart.books import keeping
from cart.disputes import apply_dispute
from cart.models import LedgerTransfer
from cart.refunds import by_line
from cart.refunds.owing import RefundReason
from events.models import Entry, Page, TicketType
from shared.contracts.dtos import CancelCostDTO
from shared.contracts.states import PageRole
from tests import event_rows
from tests.shop import Shop, page_of
from tests.support import Browser


@pytest.fixture
async def organizer(shop: Shop) -> Browser:
    """Staff of a page that sells tickets of 10.00."""
    shop.app.settings = replace(shop.app.settings, operators=("boss@example.org",))
    client = await shop.buyer("staff@example.org")
    kind = await shop.world.sell(capacity=20, cost=1000)
    await shop.world.employ(kind, client.user_id, PageRole.STAFF)
    for email, quantity in (("kept", 1), ("all", 2), ("part", 3), ("bank", 4), ("lost", 5)):
        buyer = await shop.buyer_with(kind, quantity, email=f"{email}@example.org")
        order_id, session_id = await shop.order_of(buyer)
        await shop.world.settle(shop.payments.pay(session_id))
        async with shop.database.sessions.begin() as session:
            tickets = [one.id for one in await shop.world.calendar.get_tickets_for_order(session, order_id)]
            if email in ("all", "part"):
                await by_line.refund_items(
                    session,
                    shop.world.till,
                    order_id=order_id,
                    item_ids=tickets if email == "all" else tickets[:1],
                    page_id=None,
                    actor="operator",
                    reason=RefundReason.ORGANIZER,
                    now=shop.clock.now(),
                )
            if email in ("bank", "lost"):
                facts = shop.payments.dispute(session_id)
                facts = replace(facts, status="lost") if email == "lost" else facts
                await apply_dispute(session, shop.world.till, facts, now=shop.clock.now())
    return client


def rows(page: str) -> dict[str, str]:
    """Each order's row of the list, by the buyer's name before the @."""
    found = (row for row in page.split("<tr")[1:] if "@example.org" in row)
    return {row.split("@example.org")[0].rpartition(">")[2]: row for row in found}


async def test_orders_whose_money_went(shop: Shop, organizer: Browser) -> None:
    """Each in its own word, none of them green but the one that is paid; the sum is what the page has kept."""
    page = await page_of(await organizer.get("/organizer/hall/orders"))
    words = {
        "kept": ("chip--ok", "Paid"),
        "all": ("chip--plain", "Refunded"),
        "part": ("chip--info", "Partly refunded"),
        "bank": ("chip--warn", "Disputed"),
        "lost": ("chip--error", "Lost to a dispute"),
    }
    found = rows(page)
    assert found.keys() == words.keys()
    for name, (tone, word) in words.items():
        assert f'{tone}">{word}</span>' in found[name], name
    assert "−€20.00" in found["all"]
    foot = page.split("<tfoot")[1]
    assert "€30.00" in foot  # one kept, two of the order that was refunded in part
    narrowed = rows(await page_of(await organizer.get("/organizer/hall/orders?state=refunded")))
    assert narrowed.keys() == {"all"}
    assert rows(await page_of(await organizer.get("/organizer/hall/orders?state=paid"))).keys() == {"kept"}


async def test_order_pages_say_the_same(shop: Shop, organizer: Browser) -> None:
    """The organizer's page and the operator's, where a ticket of a disputed payment is not "Confirmed"."""
    found = rows(await page_of(await organizer.get("/organizer/hall/orders")))
    operator = await shop.buyer("boss@example.org")
    for name, word in (("all", "Refunded"), ("bank", "Disputed")):
        order_id = found[name].split("/organizer/hall/orders/")[1].split('"')[0]
        for client, base in ((organizer, "/organizer/hall/orders"), (operator, "/operator/orders")):
            page = await page_of(await client.get(f"{base}/{order_id}"))
            assert f">{word}</span>" in page.split("</h1>")[1][:200], (name, base)
            assert ">Confirmed</span>" not in page, (name, base)


async def test_an_order_of_two_pages(shop: Shop) -> None:
    """Each page's part stands for itself: what the club gave back is neither the hall's nor all of the order."""
    shop.app.settings = replace(shop.app.settings, operators=("boss@example.org",))
    hall, club = await shop.world.sell(cost=2000), await shop.world.sell("jazz", page="club", cost=1000)
    seller = await shop.buyer("both@example.org")
    for kind in (hall, club):
        await shop.world.employ(kind, seller.user_id)
    buyer = await shop.buyer_with(hall, email="ada@example.org")
    await shop.world.put(buyer.user_id, club, 1)
    order_id = await shop.paid_order_of(buyer)
    async with shop.database.sessions.begin() as session:
        tickets = await shop.world.calendar.get_tickets_for_order(session, order_id)
        await by_line.refund_items(
            session,
            shop.world.till,
            order_id=order_id,
            item_ids=[one.id for one in tickets if one.page_slug == "club"],
            page_id=None,
            actor="operator",
            reason=RefundReason.ORGANIZER,
            now=shop.clock.now(),
        )
    for page, word, kept in (("hall", "Paid", "€20.00"), ("club", "Refunded", "€0.00")):
        listed = await page_of(await seller.get(f"/organizer/{page}/orders"))
        assert f">{word}</span>" in rows(listed)["ada"], page
        assert kept in listed.split("<tfoot")[1], page
    operator = await shop.buyer("boss@example.org")
    assert ">Partly refunded</span>" in await page_of(await operator.get(f"/operator/orders/{order_id}"))


async def test_what_cancelling_costs_of_a_mixed_order(shop: Shop) -> None:
    """An order with two events of a page: only the one's money goes back, with its part of the fee; nothing twice."""
    gala, talk = (
        await shop.world.sell("gala", cost=2000),
        await shop.world.sell("talk", page="club", cost=1000),
    )
    async with shop.database.sessions.begin() as session:
        entry = await session.get_one(Entry, (await session.get_one(TicketType, gala)).entry_id)
        page = await session.get_one(Page, entry.page_id)
        beside = await event_rows.add_entry(session, page, "beside", starts_at=entry.starts_at)
        other = (await event_rows.add_type(session, beside, cost=1000)).id
    buyer = await shop.buyer_with(gala, 1)
    for kind in (other, talk):
        await shop.world.put(buyer.user_id, kind, 1)
    order_id = await shop.paid_order_of(buyer)
    cart = shop.world.cart
    owner = await shop.buyer("owner@example.org")
    await shop.world.employ(gala, owner.user_id)
    await shop.paid_order_of(await shop.buyer_with(other, 1, email="eve@example.org"))
    for entry_id, buyers in ((entry.id, {"ada"}), (beside.id, {"ada", "eve"}), ("nonsense", {"ada", "eve"})):
        listed = await page_of(await owner.get(f"/organizer/hall/orders?entry={entry_id}"))
        assert rows(listed).keys() == buyers, entry_id
        assert ("Only orders with" in listed) is (entry_id != "nonsense")
    assert f"/organizer/hall/orders?entry={entry.id}" in await page_of(
        await owner.get("/organizer/hall/entries/gala")
    )

    async def cost() -> CancelCostDTO:
        async with shop.database.sessions() as session:
            return await cart.cost_of_cancelling(session, page_id=page.id, entry_id=entry.id)

    assert await cost() == CancelCostDTO(2000, {}, 1)
    await keeping.post_new(shop.database.sessions, shop.world.till, now=shop.clock.now())
    async with shop.database.sessions() as session:
        of_page = (LedgerTransfer.order_id == order_id, LedgerTransfer.page_id == page.id)
        fee = await session.scalar(
            select(func.sum(LedgerTransfer.amount)).where(*of_page, LedgerTransfer.debit == "fees")
        )
    assert fee
    assert await cost() == CancelCostDTO(2000, {"EUR": round(Fraction(int(fee) * 2, 3))}, 0)
    async with shop.database.sessions.begin() as session:
        tickets = await shop.world.calendar.get_tickets_for_order(session, order_id)
        await by_line.refund_items(
            session,
            shop.world.till,
            order_id=order_id,
            item_ids=[one.id for one in tickets if one.entry_id == entry.id],
            page_id=None,
            actor="operator",
            reason=RefundReason.ORGANIZER,
            now=shop.clock.now(),
        )
    assert await cost() == CancelCostDTO(0, {}, 0)


@pytest.mark.usefixtures("organizer")
async def test_a_buyer_reads_what_became_of_the_money(shop: Shop) -> None:
    """The same words on their order and in their list as its seller reads; it was "Paid" for good."""
    for name, word in (
        ("all", "Refunded"),
        ("part", "Partly refunded"),
        ("bank", "Disputed"),
        ("kept", "Paid"),
    ):
        client = await shop.buyer(f"{name}@example.org")
        listed = await page_of(await client.get("/orders"))
        address = re.findall(r'"(/orders/[0-9a-f-]{36})"', listed)[0]
        for page in (listed, await page_of(await client.get(address))):
            assert word in page, name
            assert name == "kept" or ">Paid<" not in page, name
