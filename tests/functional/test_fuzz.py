"""Every route survives every byte: no 5xx, whoever asks and whatever they send (spec: L3).

Routes come from `app.url_map` and parameters from the code, so that what is new is tried at once. The protocol itself
is tried in tests/functional/test_protocol.py.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle
from urllib.parse import quote, urlencode

import pytest
from werkzeug.routing import Rule

from shared.clock import ManualClock
from shared.contracts.states import PageRole
from shared.database import Database
from shared.settings import ROOT, Settings
from tests.functional.test_policies import SAMPLE, address, employ, paid_out
from tests.shop import Shop
from tests.support import Browser, browser

OPERATOR = "boss@example.org"
READ = re.compile(r'(?:args|form)(?:\.get|\.getlist)?[(\[]"(\w+)"')
PARAMETERS = sorted(
    {"from", "to"}  # read by a loop
    | {
        name
        for room in ("cart", "events", "shared")
        for path in (ROOT / room).rglob("*.py")
        if "sandbox" not in path.parts
        for name in READ.findall(path.read_text())
    }
)
ODD = [
    "", "0", "-1", "1e9", "9" * 400, "0001-01-01", "9999-12-31", "2026-13", "\0", "é\u202e\u200b", "\ud800", "'\"<b>",
    "../../etc/passwd", "1,000", "٣", "００１", "{}", "00000000-0000-0000-0000-000000000000", "cs_" + "x" * 300,
    "http://[", "//evil.test", "\r\nSet-Cookie: a=b", "x" * 3000,
]  # fmt: skip
PATHS = ["%00", "%FF%FE", "x" * 300, "..%2f..%2fetc", "%E2%80%AE", "-1", "a b", "%F0%9F%8E%9F", "%ED%A0%80"]
BODIES: list[tuple[str, bytes]] = [
    ("application/x-www-form-urlencoded", b"a=%ff%00&=&&b"),
    ("application/x-www-form-urlencoded", b"\xff\xfe"),
    ("application/x-www-form-urlencoded", b"&" * 60_000),
    ("application/x-www-form-urlencoded", b"quantity-=1&quantity-x=y&line=\xc3\xa9&item=1&item=2"),
    ("application/x-www-form-urlencoded", b"a=" + b"x" * 70_000),
    ("application/x-url-encoded", b"a=b&" * 300),
    ("multipart/form-data", b"x"),
    ("multipart/form-data; boundary=\xff", b"x"),
    ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data\r\n\r\nno name\r\n--b--\r\n"),
    ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="' + b"\\" * 60_000),
    (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n\0\r\n--b--',
    ),
    ("multipart/form-data; boundary=b", b"--b\r\n\r\n" * 300),
    ("application/json", b'{"a": "\\ud800", "b": ' + b"[" * 9000),
    ("text/plain; charset=nonsense", b"\xff"),
    ("\xff", b"x"),
]
HEADERS: list[dict[str, str]] = [
    {"Referer": "http://["},
    {"Cookie": "QUART_AUTH=\xff; session=a.b.c; kept=%%%"},
    {"Accept": "application/json;q=x, \xff"},
    {"If-None-Match": "\xff", "If-Modified-Since": "never", "Range": "bytes=9-1,x"},
    {
        "X-Forwarded-For": "\xff, 1.2.3.4.5",
        "HX-Request": "true",
        "HX-Current-URL": "http://[",
    },
    {"Stripe-Signature": "t=\xff,v1=" + "0" * 5000},
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://["},
    {"Accept-Language": "\xff-*;q=9", "Content-Length": "x"},
]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With somebody who may see everything."""
    return replace(settings, operators=(OPERATOR,))


async def people(shop: Shop) -> tuple[dict[str, str], list[Browser]]:
    """Ids of what there is, and who may see it: the organizer who bought too, the operator, a visitor."""
    kind = await shop.world.sell(cost=1500)
    payout = await paid_out(shop, kind)
    owner = await shop.buyer_with(kind, 2)
    await employ(shop, owner, kind, PageRole.OWNER)
    order_id = await shop.paid_order_of(owner)
    values = {"order_id": str(order_id), "ticket_id": str(await shop.ticket_of(order_id)), "payout": payout}
    values |= {"page": "hall", "slug": "hall", "entry": "concert", "kind": "gross"}
    return values, [owner, await shop.buyer(OPERATOR), browser(shop.app)]


def requests(rule: Rule, values: dict[str, str]) -> Iterator[tuple[str, str, dict[str, object]]]:
    """Method, path and the rest of what is asked of one route: each oddity once, in different company."""
    methods = sorted((rule.methods or set()) - {"OPTIONS"})
    path = address(rule, values)
    for name in rule.arguments:
        for odd in PATHS:
            marked = address(rule, {**SAMPLE, **values, name: "@"})
            yield methods[0], marked.replace("@", odd), {}
    for number, odd in enumerate(ODD):
        named = dict.fromkeys(PARAMETERS[number % 3 :: 3], odd)
        query = urlencode(named, errors="replace")
        yield methods[0], f"{path}?{query}", {}
        if "POST" in methods:
            form = quote_form({**named, f"quantity-{odd}": odd})
            yield (
                "POST",
                path,
                {"data": form, "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
            )
    for kind, body in BODIES:
        yield methods[-1], path, {"data": body, "headers": {"Content-Type": kind}}
    for headers, method in zip(HEADERS, cycle(methods), strict=False):
        yield method, path, {"headers": headers}
    yield "TRACE", path, {}
    yield "OPTIONS", path, {}


def quote_form(form: dict[str, str]) -> bytes:
    """A form as a browser writes it; a lone surrogate as the three bytes that some programs send."""
    return "&".join(
        f"{quote(name.encode('utf-8', 'surrogatepass'))}={quote(text.encode('utf-8', 'surrogatepass'))}"
        for name, text in form.items()
    ).encode()


async def test_no_route_falls_over(settings: Settings, database: Database, clock: ManualClock) -> None:
    """Every route, asked oddly by an organizer who is a buyer too, by the operator and by a visitor: no 5xx."""
    shop = Shop(settings, database, clock)
    values, clients = await people(shop)
    fallen, asked, turn = [], 0, cycle(clients)
    for rule in shop.app.url_map.iter_rules():
        if rule.endpoint == "identity.sign_out":
            continue  # asked at the end: it would make visitors of all
        for method, path, rest in requests(rule, values):
            answer = await next(turn).open(path, method=method, **rest)  # type: ignore[arg-type]
            await answer.get_data()
            asked += 1
            if answer.status_code >= 500:
                fallen.append((answer.status_code, method, path[:120], str(rest)[:160]))
    assert asked > 2000
    assert fallen == []
