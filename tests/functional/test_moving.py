"""An event is moved: whoever holds a ticket is told once, in few statements (spec: J2, L6)."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from events import moving
from events.models import Entry, TicketType
from shared.contracts.dtos import Occasion
from shared.contracts.states import PageRole
from shared.models import OutgoingMail
from tests.shop import Shop, page_of


async def move(shop: Shop, kind: UUID, *, days: int, place: str) -> int:
    """Move the event of a ticket type as its office does."""
    async with shop.database.sessions.begin() as session:
        entry = await session.get_one(Entry, (await session.get_one(TicketType, kind)).entry_id)
        page = (await shop.world.calendar.get_pages(session, [entry.page_id]))[entry.page_id]
        by = timedelta(days=days)
        to = Occasion(entry.starts_at + by, entry.ends_at + by, page.time_zone, place)
        return await moving.move_entry(
            session,
            page=page,
            entry_id=entry.id,
            to=to,
            public_url="http://shop.test",
            actor="user:x",
            now=shop.clock.now(),
        )


async def moved_mails(shop: Shop) -> list[OutgoingMail]:
    """The news that is owed."""
    async with shop.database.sessions() as session:
        news = select(OutgoingMail).where(OutgoingMail.dedupe_key.startswith("entry_moved:"))
        return list(await session.scalars(news.order_by(OutgoingMail.to)))


async def test_each_holder_is_told_once(shop: Shop) -> None:
    """Who paid and who is paying, one mail each for any number of tickets; not who has it in the cart."""
    kind = await shop.world.sell(capacity=9)
    await shop.paid_order_of(await shop.buyer_with(kind, 3, email="a@buyer.example"))
    await shop.order_of(await shop.buyer_with(kind, 2, email="b@buyer.example"))
    await shop.buyer_with(kind, email="c@buyer.example")
    assert await move(shop, kind, days=1, place="New Hall") == 2
    mails = await moved_mails(shop)
    assert [mail.to for mail in mails] == ["a@buyer.example", "b@buyer.example"]
    assert mails[0].text.index("New Hall") < mails[0].text.index("It was:")
    assert await move(shop, kind, days=0, place="New Hall") == 0
    assert len(await moved_mails(shop)) == 2
    assert await move(shop, kind, days=1, place="New Hall") == 2
    assert len(await moved_mails(shop)) == 4


async def test_what_cannot_be_moved(shop: Shop) -> None:
    """Into the past, or one that is cancelled: refused, nobody is written to."""
    kind = await shop.world.sell()
    await shop.paid_order_of(await shop.buyer_with(kind))
    with pytest.raises(moving.EndsTooSoon):
        await move(shop, kind, days=-30, place="Hall")
    await shop.world.cancel(kind)
    with pytest.raises(moving.NotMovable):
        await move(shop, kind, days=1, place="Hall")
    assert await moved_mails(shop) == []


@pytest.mark.parametrize("typed", ["", "soon", "2027-03-28T02:30", "2027-10-31T02:30", "2027-01-01T20:00Z"])
def test_times_that_are_not_there_once(typed: str) -> None:
    """No time, one that the change of clocks skips, one that it doubles: never guessed (spec: L7)."""
    with pytest.raises(moving.NoSuchTime):
        moving.read_local(typed, "Europe/Vienna")


async def test_the_form_names_the_holders_first(shop: Shop) -> None:
    """How many people are told, then the move; a time that is none stays in the form, and the door moves nothing."""
    kind = await shop.world.sell()
    await shop.paid_order_of(await shop.buyer_with(kind))
    owner, door = await shop.buyer("owner@example.org"), await shop.buyer("door@example.org")
    await shop.world.employ(kind, owner.user_id)
    await shop.world.employ(kind, door.user_id, PageRole.DOOR)
    address = "/organizer/hall/entries/concert/move"
    assert address in await page_of(await owner.get("/organizer/hall/entries/concert"))
    assert "1 person holds tickets and gets a mail" in await page_of(await owner.get(address))
    form = {"starts_at": "2090-12-08T20:00", "ends_at": "2090-12-08T23:00", "place": "New Hall"}
    assert (await door.post(address, form=form)).status_code == 404
    refused = await owner.post(address, form=form | {"starts_at": "soon"})
    assert refused.status_code == 422
    assert "New Hall" in await page_of(refused)
    assert (await owner.post(address, form=form)).status_code == 303
    assert len(await moved_mails(shop)) == 1
    assert "is saved" in await page_of(await owner.get("/organizer/hall"))
