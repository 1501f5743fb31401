"""What a file of a million lines costs those who ask for something else meanwhile; used by measures.py (spec: L1)."""

import asyncio
import time
from collections.abc import Iterator
from statistics import median
from uuid import UUID

from sqlalchemy import insert, select, text

from events.models import Page
from shared.contracts.states import PageRole
from shared.database import Database
from shared.identity.models import User
from shared.ids import new_id
from tests import event_rows
from tests.bench.figures import Figure, Scale
from tests.bench.house import HOST, House, cookies
from tests.bench.http import Browser

AIM_MS = 100
BETWEEN_LOOKS = 0.02  # seconds
LOOKS_ALONE = 50
CHUNK, PORTION = 1 << 16, 100_000
TRANSFERS = text(
    "INSERT INTO ledger_transfers (id, at, kind, debit, credit, amount, currency, page_id, stripe_account, ref)"
    " SELECT gen_random_uuid(), now() - n * interval '1 second', 'charge', 'clearing', 'sales', 1500, 'EUR',"
    " CAST(:page AS uuid), '', 'pi_bench_' || n FROM generate_series(CAST(:first AS int), :last) n"
)


def files(house: House, scale: Scale) -> Iterator[Figure]:
    """A page's money as CSV, taken as fast as it comes, and the owner's cart asked for all the while."""
    owner = asyncio.run(_fill(house, scale.lines))
    alone, looks, seconds, size = asyncio.run(_measure(house.ports["shop"], owner))
    slow = sum(one > AIM_MS for one in looks)
    yield Figure(f"CSV of {scale.lines:,} lines", f"{seconds:.1f} s, {size / 1e6:.0f} MB")
    yield Figure("  the cart, nothing else", f"median {median(alone):.0f}, longest {max(alone):.0f} ms")
    yield Figure("  the cart meanwhile", f"median {median(looks):.0f}, longest {max(looks):.0f} ms")
    yield Figure(f"  looks of over {AIM_MS} ms", f"{slow} of {len(looks)}", "0", slow == 0)


async def _fill(house: House, lines: int) -> str:
    """So many transfers on the page, and the cookie of its owner."""
    database, owner = Database(house.server.url()), new_id()
    async with database.sessions.begin() as session:
        await session.execute(insert(User).values(id=owner, email=f"{owner.hex}@owner.example"))
        page = (await session.scalars(select(Page).where(Page.slug == "bench"))).one()
        await event_rows.add_member(session, page, owner, PageRole.OWNER)
    for first in range(1, lines + 1, PORTION):  # no statement of a shop may take longer than that
        last = min(first + PORTION - 1, lines)
        async with database.sessions.begin() as session:
            await session.execute(TRANSFERS, {"page": page.id, "first": first, "last": last})
    async with database.read() as connection:
        await connection.execute(text("ANALYZE ledger_transfers"))
    await database.close()
    return _cookie(house, owner)


def _cookie(house: House, user_id: UUID) -> str:
    return cookies(house.settings, [user_id])[0]


async def _measure(port: int, cookie: str) -> tuple[list[float], list[float], float, int]:
    """Milliseconds of each look at the cart before and during the file; the file's seconds and bytes."""
    async with Browser(port, cookie) as browser:
        alone = [await _look(browser) for _ in range(LOOKS_ALONE)]
        file, looks = asyncio.create_task(_take(port, cookie)), []
        while not file.done():
            looks.append(await _look(browser))
            await asyncio.sleep(BETWEEN_LOOKS)
        return alone, looks, *await file


async def _look(browser: Browser) -> float:
    started = time.perf_counter()
    answer = await browser.get("/cart")
    assert answer.status == 200
    return (time.perf_counter() - started) * 1000


async def _take(port: int, cookie: str) -> tuple[float, int]:
    """The whole file; its seconds and bytes."""
    started, size = time.perf_counter(), 0
    reader, writer = await asyncio.open_connection(HOST, port)
    request = f"GET /organizer/bench/money.csv HTTP/1.1\r\nHost: {HOST}:{port}\r\nCookie: {cookie}\r\n"
    writer.write(f"{request}Connection: close\r\n\r\n".encode())
    while chunk := await reader.read(CHUNK):
        size += len(chunk)
    writer.close()
    return time.perf_counter() - started, size
