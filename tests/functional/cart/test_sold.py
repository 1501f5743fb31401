"""What was sold is read from the order, never from today's catalogue (spec: L6)."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError

from events.models import Entry, Page, TicketType
from shared.contracts.states import PageRole
from shared.models import OutgoingMail
from tests.pdf_text import read_back
from tests.shop import Shop, page_of


async def change(shop: Shop, kind: UUID) -> None:
    """Tomorrow's catalogue: another price, another evening, another hall, other names."""
    async with shop.database.sessions.begin() as session:
        await session.execute(update(TicketType).where(TicketType.id == kind).values(cost=9900, name="Gold"))
        later = Entry.starts_at + timedelta(days=1), Entry.ends_at + timedelta(days=1)
        await session.execute(
            update(Entry).values(starts_at=later[0], ends_at=later[1], place="New Hall", title="Other")
        )


async def test_an_order_says_what_was_sold(shop: Shop) -> None:
    """ "€99.00" stood beside a total of €12.50: price and names stay; of the evening both are said, everywhere."""
    kind = await shop.world.sell(cost=1250, capacity=9)
    owner = await shop.buyer("owner@example.org")
    await shop.world.employ(kind, owner.user_id, PageRole.OWNER)
    buyer = await shop.buyer_with(kind)
    order_id = await shop.paid_order_of(buyer)
    ticket_id = await shop.ticket_of(order_id)
    await change(shop, kind)
    for client, path in (
        (buyer, f"/orders/{order_id}"),
        (buyer, f"/orders/{order_id}/confirmation"),
        (buyer, f"/tickets/{ticket_id}"),
        (buyer, "/orders"),
        (owner, f"/organizer/hall/orders/{order_id}"),
    ):
        page = await page_of(await client.get(path))
        assert "€12.50" in page, path
        assert "€99" not in page, path
        assert "Gold" not in page, path
        assert "Moved: it was" in page, path
    pack = await (await owner.get(f"/organizer/hall/orders/{order_id}/evidence.json")).get_json()
    assert pack["lines"][0]["sold_for"].endswith("Hall")
    assert pack["tickets"][0]["moved_from"] == pack["lines"][0]["sold_for"]
    assert pack["tickets"][0]["place"] == "New Hall"
    drawn = await owner.get(f"/organizer/hall/orders/{order_id}/evidence.pdf")
    text = read_back(await drawn.get_data(as_text=False))
    sold_for = pack["lines"][0]["sold_for"]
    assert f"What {pack['lines'][0]['what']}" in text
    assert f"Sold for {sold_for}" in text
    assert f"Moved from {sold_for}" in text
    assert "Place New Hall" in text
    assert "Amount €12.50" in text
    assert not any(today in text for today in ("Other", "Gold", "€99"))


async def test_a_mail_says_both_evenings(shop: Shop) -> None:
    """Moved between the order and its payment: the mail says when it is, and when it was."""
    kind = await shop.world.sell(cost=1250)
    buyer = await shop.buyer_with(kind)
    order_id, session_id = await shop.order_of(buyer)
    await change(shop, kind)
    await shop.world.settle(shop.payments.pay(session_id))
    async with shop.database.sessions() as session:
        mail = await session.scalar(
            select(OutgoingMail).where(OutgoingMail.dedupe_key == f"order_paid:{order_id}")
        )
    assert mail is not None
    for said in (mail.text, mail.html):
        assert said.index("New Hall") < said.index("Moved: it was") < said.rindex("Hall")
    assert "€12.50" in mail.text


async def test_the_currency_of_what_was_sold_stays(shop: Shop) -> None:
    """Old sums would become yen: the database refuses, and takes the change where nothing was sold (spec: L6)."""
    kind = await shop.world.sell()
    async with shop.database.sessions.begin() as session:
        await session.execute(update(Page).values(currency="USD"))
    await shop.paid_order_of(await shop.buyer_with(kind))
    with pytest.raises(DBAPIError, match="currency of a page"):
        async with shop.database.sessions.begin() as session:
            await session.execute(text("UPDATE pages SET currency = 'JPY'"))


async def test_a_moved_evening_has_a_higher_sequence(shop: Shop) -> None:
    """A calendar that holds the file takes the new one: its number grew, by whatever way it was changed (RFC 5546)."""
    kind = await shop.world.sell()
    order_id = await shop.paid_order_of(await shop.buyer_with(kind))
    address = f"/tickets/{await shop.ticket_of(order_id)}/calendar.ics"
    client = await shop.buyer()
    before = await page_of(await client.get(address))
    async with shop.database.sessions.begin() as session:
        await session.execute(update(Entry).values(text="only words"))
    assert "SEQUENCE:0" in before
    assert "SEQUENCE:0" in await page_of(await client.get(address))
    await change(shop, kind)
    assert "SEQUENCE:1" in await page_of(await client.get(address))
    await shop.world.cancel(kind)
    assert "SEQUENCE:3" in await page_of(await client.get(address))
