"""What the event's page says of personal limits, before the form is sent."""

from uuid import UUID

from sqlalchemy import update

from events.models import Entry, TicketType
from tests.shop import Shop, page_of
from tests.support import Browser, browser, counted_statements

PATH = "/p/hall/concert"


async def test_limits_are_said_before_the_form_is_sent(shop: Shop) -> None:
    """To who is signed in, with what they have; the stepper goes no further than they may."""
    kind = await shop.world.sell(capacity=100, max_per_order=8)
    await limit(shop, of_type=8)
    client = await shop.buyer_with(kind, 4)
    assert "At most 8 of these for each person." in await read(shop, browser(shop.app))
    assert "At most 8 of these for each person." in await read(shop, client)  # a cart is not yet theirs
    await shop.paid_order_of(client)
    body = await read(shop, client)
    assert "You have 4 of these already, 4 more are possible." in body
    assert stepper(body, kind, most=4)
    await shop.world.put(client.user_id, kind, 4)
    await shop.order_of(client)
    body = await read(shop, client)
    assert "You have 8 of these already: the most for each person." in body
    assert "No more for you" in body
    assert f'name="quantity-{kind}"' not in body
    assert stepper(await read(shop, await shop.buyer("eve@example.org")), kind, most=8)


async def test_a_limit_of_the_event_counts_all_its_types(shop: Shop) -> None:
    """One sentence for all of them."""
    kind = await shop.world.sell(capacity=100, max_per_order=8)
    await limit(shop, of_entry=5)
    client = await shop.buyer_with(kind, 4)
    await shop.paid_order_of(client)
    body = await read(shop, client)
    assert "You have 4 tickets of this event already, 1 more is possible." in body
    assert stepper(body, kind, most=1)


async def test_free_tickets_are_limited_by_the_orders_number(shop: Shop) -> None:
    """A person has as many as one order may hold, and reads so once they have some."""
    kind = await shop.world.sell(capacity=100, cost=0, max_per_order=2)
    client = await shop.buyer_with(kind, 1)
    assert "for each person" not in await read(shop, client)
    await shop.world.start(client.user_id)
    body = await read(shop, client)
    assert "You have 1 of these already, 1 more is possible." in body
    assert stepper(body, kind, most=1)


async def test_without_a_limit_nothing_more_is_asked(shop: Shop) -> None:
    """The hot road takes as few statements as before; a limit takes one."""
    await shop.world.sell(capacity=100)
    client = await shop.buyer()
    await read(shop, client)
    numbers = []
    for limited in (None, 8):
        await limit(shop, of_type=limited)
        await read(shop, client)
        with counted_statements(shop.app) as statements:
            await client.get(PATH)
        numbers.append(len([one for one in statements if "ticket_types" not in one or "mine" in one]))
    assert numbers[1] == numbers[0] + 1


async def limit(shop: Shop, *, of_type: int | None = None, of_entry: int | None = None) -> None:
    async with shop.world.sessions.begin() as session:
        await session.execute(update(TicketType).values(max_per_user=of_type))
        await session.execute(update(Entry).values(max_per_user=of_entry))


async def read(shop: Shop, client: Browser) -> str:
    shop.app.extensions["catalogue"].forget()
    answer = await client.get(PATH)
    assert answer.status_code == 200
    return await page_of(answer)


def stepper(body: str, kind: UUID, *, most: int) -> bool:
    """Whether the field of this type goes as far as that."""
    field = body.partition(f'name="quantity-{kind}"')[2].partition(">")[0]
    return f'max="{most}"' in field
