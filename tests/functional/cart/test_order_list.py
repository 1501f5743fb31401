"""The buyer's tickets, filed as they look for them, and from one ticket to the next."""

import re
from datetime import timedelta
from uuid import UUID

from sqlalchemy import update

from events.models import Entry
from shared.contracts.states import OrderState
from tests.shop import Shop, page_of
from tests.support import Browser, browser


async def read(client: Browser, path: str) -> str:
    answer = await client.get(path)
    assert answer.status_code == 200, path
    return await page_of(answer)


async def buy(shop: Shop, client: Browser, kind: UUID, number: int) -> UUID:
    await shop.world.put(client.user_id, kind, number)
    return await shop.paid_order_of(client)


async def test_filed_by_event_and_date(shop: Shop) -> None:
    """Unpaid on top with its deadline and the way to pay; then what comes next, what is past, what came to nothing."""
    later, past = await shop.world.sell("later"), await shop.world.sell("past", page="old")
    sooner, held = await shop.world.sell("sooner", page="club"), await shop.world.sell("held", page="bar")
    client = await shop.buyer()
    for kind in (later, sooner, past, later):
        await buy(shop, client, kind, 2)
    now = shop.clock.now()
    async with shop.database.sessions.begin() as session:
        for slug, days in (("later", 9), ("sooner", 2), ("past", -3)):
            at = {"starts_at": now + timedelta(days=days), "ends_at": now + timedelta(days=days, hours=3)}
            await session.execute(update(Entry).where(Entry.slug == slug).values(title=slug.title(), **at))
    await shop.world.put(client.user_id, held, 1)
    given_back, _ = await shop.order_of(client)
    await shop.world.release(given_back, to=OrderState.CANCELLED)
    order_id, session_id = await shop.order_of(client)
    body = await read(client, "/orders")
    places = [
        body.index(words)
        for words in (
            ">Not paid yet<", "Held for you until", "30 minutes left", ">Coming<", ">Sooner<", ">Later<", ">Past<",
            'href="/p/old/past"', ">Orders without tickets<", f"/orders/{given_back}",
        )
    ]  # fmt: skip
    assert places == sorted(places)
    assert body.count("2 × Standard") == 4
    assert body.count('href="/p/hall/later"') == 1  # two orders, one evening
    pay = await client.post("/checkout/pending", form={"order_id": str(order_id)})
    assert pay.headers["Location"] == shop.payments.known[session_id].url


async def test_from_one_ticket_to_the_next(shop: Shop) -> None:
    """For the buyer; whoever was given one ticket's address learns of no other."""
    kind = await shop.world.sell(capacity=9)
    client = await shop.buyer()
    await buy(shop, client, kind, 3)
    address = re.search(r'href="(/tickets/[^"]+)"', await read(client, "/orders"))
    assert address
    seen = []
    path: str | None = address[1]
    while path:
        seen.append(path)
        body = await read(client, path)
        assert f"{len(seen)} of 3" in body
        assert re.search(r'<p class="code">\w{4}( \w{1,4})+</p>', body)
        following = re.search(r'href="([^"]+)" rel="next"', body)
        path = following[1] if following else None
    assert len(set(seen)) == 3
    for stranger in (browser(shop.app), await shop.buyer("eve@example.org")):
        body = await read(stranger, seen[1])
        assert "of 3" not in body
        assert not any(other in body for other in (seen[0], seen[2]))
