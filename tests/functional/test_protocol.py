"""The protocol below the routes, on a real server over raw sockets: slow bodies, odd bytes, upgrades (spec: L1, L3)."""

import asyncio
import time
from collections.abc import AsyncIterator

import hypercorn.protocol
import pytest

from shared import web_body
from shared.contracts.states import PageRole
from shared.serving import OnlyHTTP1
from tests.functional.test_policies import employ
from tests.serving import answering
from tests.shop import Shop

MOST_WAIT = 5.0
"""Seconds within which a shop answers on a machine that does other things too; in a database's hands it was 60."""


@pytest.fixture
async def port(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """The shop under Hypercorn, as `serve` runs it."""
    monkeypatch.setattr(hypercorn.protocol, "H11Protocol", OnlyHTTP1)
    async with answering(shop.app) as address:
        yield int(address.rpartition(":")[2])


async def ask(port: int, sent: str | bytes) -> bytes:
    """Send bytes on a new connection; what comes back within the first read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent.encode("latin1") if isinstance(sent, str) else sent)
    answer = await asyncio.wait_for(reader.read(65536), MOST_WAIT)
    writer.close()
    return answer


def post(path: str, *headers: str, body: str = "", length: int | None = None) -> str:
    """A form as a browser sends it; `length` may promise more than comes."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: shop.test",
        "Origin: http://shop.test",
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(body) if length is None else length}",
        *headers,
    ]
    return "\r\n".join([*lines, "", body])


async def test_bodies_that_never_come_hold_nobody_up(
    shop: Shop, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """25 forms that are promised and not sent get 408; cart and health are answered meanwhile (spec: L1)."""
    kind = await shop.world.sell()
    owner = await shop.buyer("owner@example.org")
    await employ(shop, owner, kind, PageRole.OWNER)
    order_id = await shop.paid_order_of(await shop.buyer_with(kind))
    cookie = "Cookie: " + "; ".join(f"{one.name}={one.value}" for one in owner.cookie_jar or ())
    monkeypatch.setitem(shop.app.config, "BODY_TIMEOUT", 3.0)  # ten in truth (the next test)
    paths = [
        f"/organizer/hall/orders/{order_id}/refund",
        f"/organizer/hall/orders/{order_id}/decide",
        "/organizer/hall/entries/concert/cancel",
        "/p/hall/concert/buy",
        "/sign-in",
    ]
    slow = []
    for number in range(25):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post(paths[number % len(paths)], cookie, length=50).encode())
        await writer.drain()
        slow.append((reader, writer))
    for path in ("/cart", "/health/ready"):
        began = time.monotonic()
        answer = await ask(port, f"GET {path} HTTP/1.1\r\nHost: shop.test\r\n{cookie}\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200"), path
        assert time.monotonic() - began < MOST_WAIT
    assert shop.database.engine.pool.checkedout() == 0, "nothing of the database is held"  # type: ignore[attr-defined]
    reader, _ = slow[0]
    answer = await asyncio.wait_for(reader.read(65536), 3 * MOST_WAIT)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in answer.lower()
    for _, writer in slow:
        writer.close()


def test_how_long_a_body_may_take() -> None:
    """Ten seconds, and not a minute (spec: L1)."""
    assert web_body.SECONDS == 10


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/orders/nowhere/cancel", 404),
        ("/checkout", 401),
        ("/sign-out", 303),
        ("/nowhere", 404),
        ("/cart", 405),
    ],
)
async def test_a_refusal_leaves_the_connection_usable(port: int, path: str, status: int) -> None:
    """The body of what is refused is read too, so that the next request on the connection is answered (spec: L1)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(3):
        writer.write(post(path, body="a=" + "b" * 4000).encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), MOST_WAIT)
        assert int(head.split()[1]) == status
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        assert b"connection" not in fields
        if b"content-length" in fields:
            await reader.readexactly(int(fields[b"content-length"]))
    writer.close()


@pytest.mark.parametrize("path", ["/checkout", "/p/hall/concert/buy", "/sign-in"])
async def test_what_is_too_large_is_refused_in_words(port: int, path: str) -> None:
    """A form over 64 KB is not read to its end, and the answer says that the connection ends (spec: L1)."""
    answer = await ask(port, post(path, body="a=" + "x" * 70_000))
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer.lower()


async def test_a_webhook_may_be_larger(port: int) -> None:
    """A megabyte, not more (design: Trust)."""
    small, large = "x" * 200_000, "x" * (1024 * 1024 + 1)
    assert (await ask(port, post("/webhooks/stripe", body=small))).startswith(b"HTTP/1.1 400")
    assert (await ask(port, post("/webhooks/stripe", body=large))).startswith(b"HTTP/1.1 413")


UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
)
ODD_REQUESTS: dict[str, str | bytes] = {
    "websocket": f"GET /cart HTTP/1.1\r\nHost: x\r\n{UPGRADE}\r\n",
    "websocket nowhere": f"GET /nowhere/%00 HTTP/1.1\r\nHost: x\r\n{UPGRADE}\r\n",
    "http/2 by upgrade": "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    "HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    "http/2 at once": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "bytes in a query": b"GET /cart?x=\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "bytes in a path": b"GET /\xff%ff HTTP/1.1\r\nHost: x\r\n\r\n",
    "a broken host": "GET /cart HTTP/1.1\r\nHost: [::1\r\n\r\n",
    "no host": "GET / HTTP/1.0\r\n\r\n",
    "two hosts": "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "an unknown method": "BREW /cart HTTP/1.1\r\nHost: x\r\n\r\n",
    "a whole address": "GET http://[/cart HTTP/1.1\r\nHost: x\r\n\r\n",
    "a star": "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "two lengths": "POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a broken chunk": "POST /sign-in HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "length and chunks": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a long header": f"GET / HTTP/1.1\r\nHost: x\r\nCookie: {'x' * 100_000}\r\n\r\n",
    "a folded header": "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    "nonsense": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("name", ODD_REQUESTS)
async def test_odd_requests(port: int, name: str) -> None:
    """No 5xx, no other protocol, and the server goes on (spec: L3)."""
    answer = await ask(port, ODD_REQUESTS[name])
    assert answer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 3", b"HTTP/1.1 4")), answer[:200]
    assert (await ask(port, "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 200")
