"""Forms that are hostile by their size or their making, and bodies that come late (spec: L1)."""

import asyncio
import re
import time

import pytest
from quart import request

from tests.serving import answering
from tests.shop import Shop, all_rows
from tests.support import browser

HELD = 0.9  # seconds on a busy machine; unbounded, these took 1.2 to 1.6 on an idle one
URLENCODED = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("path", "origin", "status"),
    [
        ("/sign-in", "http://evil.test", 403),
        ("/cart/lines", "http://shop.test", 401),
        ("/nowhere", "http://shop.test", 404),
        ("/health/live", "http://shop.test", 405),
        ("/sign-out", "http://shop.test", 303),
        ("/orders/018f0000-0000-7000-8000-000000000000/extend", "http://shop.test", 401),
    ],
)
async def test_a_body_that_comes_late(shop: Shop, path: str, origin: str, status: int) -> None:
    """Whoever is refused, or needs no body, has it waited for: the connection serves the next request (spec: L1)."""
    async with answering(shop.app) as address:
        port = int(address.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(
                f"POST {path} HTTP/1.1\r\nHost: shop.test\r\nOrigin: {origin}\r\nContent-Length: 50\r\n\r\n".encode()
            )
            await writer.drain()
            await live(port)  # time enough for an answer that does not wait
            writer.write(b"x" * 50)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert int(head.split()[1]) == status
            length = re.search(rb"content-length: (\d+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
        writer.close()


async def live(port: int) -> None:
    """Ask on another connection, and wait for the whole answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()


FIELDS = "&".join(f"quantity-{number}=1" for number in range(50_000))
PART = '--x\r\nContent-Disposition: form-data; name="quantity-{}"\r\n\r\n1\r\n'
HOSTILE = {
    "a megabyte of fields": (URLENCODED, "a&" * 330_000, 413),
    "fields of a visitor": (URLENCODED, FIELDS, 413),
    "201 fields": (URLENCODED, "&".join(["a=1"] * 201), 413),
    "65 KB in one field": (URLENCODED, "a=" + "1" * 65 * 1024, 413),
    "201 parts": (
        "multipart/form-data; boundary=x",
        "".join(map(PART.format, range(201))) + "--x--\r\n",
        413,
    ),
    "a quoted header": (
        "multipart/form-data; boundary=x",
        '--x\r\nContent-Disposition: form-data; name="' + '\\"' * 31_000 + '"\r\n\r\n1\r\n--x--\r\n',
        422,
    ),
    "a name of many parameters": (
        "multipart/form-data; boundary=x",
        "--x\r\nContent-Disposition: form-data; " + 'a="b";' * 10_000 + "\r\n\r\n1\r\n--x--\r\n",
        400,
    ),
    "a part without a name": (
        "multipart/form-data; boundary=x",
        "--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n",
        400,
    ),
    "no boundary": ("multipart/form-data", "a=1", 400),
    "a boundary of umlauts": ("multipart/form-data; boundary=ü", "a=1", 400),
    "not UTF-8": (URLENCODED, b"a=\xff", 400),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_forms(shop: Shop, name: str) -> None:
    """Refused with words, nothing written, and the loop is never held for long (spec: L1)."""
    await shop.world.sell()
    kind, sent, status = HOSTILE[name]
    client = browser(shop.app)
    raw = sent if isinstance(sent, bytes) else sent.encode()
    await client.post("/p/hall/concert/buy", form={})  # pages are compiled when they are first shown
    before = await all_rows(shop.database.sessions)
    longest = asyncio.create_task(_longest_pause())
    await asyncio.sleep(0)
    answer = await client.post("/p/hall/concert/buy", data=raw, headers={"Content-Type": kind})
    longest.cancel()
    assert answer.status_code == status
    assert await longest < HELD, "the loop was held"
    assert await all_rows(shop.database.sessions) == before


async def _longest_pause() -> float:
    longest, last = 0.0, time.perf_counter()
    while True:
        try:
            await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            return max(longest, time.perf_counter() - last)
        longest, last = max(longest, time.perf_counter() - last), time.perf_counter()


async def test_200_fields_and_64_kb_are_taken(shop: Shop) -> None:
    """The largest that is read arrives whole."""

    async def counted() -> str:
        form = await request.form
        return f"{len(list(form.items(multi=True)))} {sum(map(len, form.values()))}"

    shop.app.add_url_rule("/counted", "events.home.counted", counted, methods=["POST"])
    client = await shop.buyer()
    for kind, sent, told in (
        (URLENCODED, "&".join(["a=1"] * 200), "200 1"),
        (URLENCODED, "a=" + "1" * (64 * 1024 - 2), f"1 {64 * 1024 - 2}"),
    ):
        answer = await client.post("/counted", data=sent.encode(), headers={"Content-Type": kind})
        assert await answer.get_data(as_text=True) == told


def test_the_body_comes_first(shop: Shop) -> None:
    """No hook that may ask the database runs before it: only the start of the log line does (spec: L1)."""
    hooks = [f"{hook.__module__}.{hook.__name__}" for hook in shop.app.before_request_funcs[None]]
    assert hooks[:2] == ["shared.web_log._note_start", "shared.web_body.read_body"]
