"""Files of any length and documents hold nobody up, and nothing of the database (spec: L1, J7)."""

import asyncio
import threading

import pytest
from sqlalchemy import text

from cart.books import money_file, periods
from cart.office import evidence_pdf
from events import door_list
from shared.csv_file import BATCH
from shared.drawing import AT_ONCE
from shared.web import Tillgate
from tests.functional.cart.test_books_pages import owner_of
from tests.shop import Shop, page_of

MANY_ROWS = 2 * BATCH + BATCH // 2


def held(app: Tillgate) -> int:
    """Connections of the database that somebody has."""
    return app.database.engine.pool.checkedout()  # type: ignore[attr-defined,no-any-return]


async def many_transfers(shop: Shop) -> None:
    """One payment's transfer, again and again, a second apart."""
    async with shop.database.sessions.begin() as session:
        await session.execute(
            text(
                "INSERT INTO ledger_transfers (id, at, kind, debit, credit, amount, currency, page_id, order_id,"
                " stripe_account, ref) SELECT gen_random_uuid(), at - n / 2 * interval '1 second', kind, debit, credit,"
                " amount, currency, page_id, order_id, stripe_account, 'pi_' || n"
                " FROM ledger_transfers, generate_series(1, :n) n"
            ),
            {"n": MANY_ROWS - 1},
        )


async def test_a_long_file_is_whole(shop: Shop) -> None:
    """Batch after batch: every row once, newest first, also where many have one moment."""
    kind = await shop.world.sell(cost=1500)
    await shop.world.paid(kind)
    await many_transfers(shop)
    answer = await (await owner_of(shop, kind)).get("/organizer/hall/money.csv")
    lines = (await page_of(answer)).splitlines()
    assert len(lines) == 1 + MANY_ROWS
    times = [line.split(",")[0] for line in lines[1:]]
    assert times == sorted(times, reverse=True)
    assert len({line.split(",")[4] for line in lines[1:]}) == MANY_ROWS


async def test_nothing_is_held_while_a_client_takes_its_time(shop: Shop) -> None:
    """Between two batches no connection is in anybody's hands, and memory holds one batch."""
    kind = await shop.world.sell(cost=1500)
    await shop.world.paid(kind)
    await many_transfers(shop)
    async with shop.database.sessions() as session:
        page = await shop.world.calendar.get_page_by_slug(session, "hall")
    assert page is not None
    body = money_file.money_file(
        shop.database.sessions, page, periods.Period(time_zone="UTC"), kind=None, currency="EUR"
    )
    sizes = []
    async for chunk in body:
        sizes.append(chunk.count(b"\n"))
        assert held(shop.app) == 0
    assert sizes == [1, BATCH, BATCH, BATCH // 2]


async def test_a_door_list_of_several_batches(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every code once."""
    monkeypatch.setattr(door_list, "BATCH", 2)
    kind = await shop.world.sell(capacity=10)
    for buyer in range(5):
        await shop.paid_order_of(await shop.buyer_with(kind, email=f"buyer{buyer}@example.org"))
    answer = await (await owner_of(shop, kind)).get("/organizer/hall/entries/concert/door-list.csv")
    lines = (await page_of(answer)).splitlines()
    codes = [line.split(",")[0] for line in lines[1:]]
    assert len(codes) == len(set(codes)) == 5
    assert codes == sorted(codes)


async def test_documents_wait_their_turn_with_nothing_in_hand(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """25 evidence PDFs at once: two are drawn, the others wait without a connection, and others are served."""
    kind = await shop.world.sell(cost=1500)
    order_id = await shop.paid_order_of(await shop.buyer_with(kind))
    path = f"/organizer/hall/orders/{order_id}/evidence.pdf"
    owners = [await owner_of(shop, kind)]
    for number in range(24):
        client = await shop.buyer(f"staff{number}@example.org")
        await shop.world.employ(kind, client.user_id)
        owners.append(client)
    go_on, drawing, most = threading.Event(), [0], [0]

    def draw(_evidence: object) -> bytes:
        drawing[0] += 1
        most[0] = max(most[0], drawing[0])
        assert go_on.wait(30)
        drawing[0] -= 1
        return b"%PDF"

    monkeypatch.setattr("cart.office.routes.draw", draw)
    asked = [asyncio.create_task(client.get(path)) for client in owners]  # type: ignore[arg-type]
    async with asyncio.timeout(30):
        while drawing[0] < AT_ONCE or held(shop.app):  # noqa: ASYNC110 - threads set no event of this loop
            await asyncio.sleep(0.01)
        assert (await owners[0].get("/cart")).status_code == 200
        again = await owners[0].get(path)
    assert (again.status_code, "still being made" in await page_of(again)) == (429, True)
    go_on.set()
    assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}
    assert most[0] == AT_ONCE
    assert evidence_pdf.HEADINGS, "the real one is drawn by test_evidence.py"
