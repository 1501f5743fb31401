"""Trust at the edge: origins, headers, caching, client addresses, rate limits."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from shared.app import create_app
from shared.clock import ManualClock
from shared.database import Database, Sessions
from shared.identity import routes
from shared.identity.models import RateLimit
from shared.ratelimit import PostgresStore, limit_key
from shared.security import client_address, origin_of
from shared.settings import Settings
from shared.web import Tillgate
from tests.support import browser, signed_in_client


@pytest.fixture
def app(settings: Settings, database: Database, clock: ManualClock) -> Tillgate:
    return create_app(settings, domains=(), database=database, clock=clock)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://shop.test"}, 303),
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, 303),
        ({}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.test"}, 403),
        ({"Origin": "https://shop.test"}, 403),
        ({"Origin": "http://shop.test.evil.test"}, 403),
        ({"Origin": "http://evil.test", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Referer": "http://shop.test/account"}, 403),
    ],
)
async def test_origin(app: Tillgate, headers: dict[str, str], status: int) -> None:
    """Unsafe requests come from our own pages or are refused before anything is done; both absent too (spec: D10)."""
    client = await signed_in_client(app)
    answer = await app.test_client().post("/sign-out", headers=headers)
    assert answer.status_code == status
    bare = app.test_client()
    bare.cookie_jar = client.cookie_jar
    answer = await bare.post("/sign-out/everywhere", headers=headers)
    assert answer.status_code == status
    signed_in = (await client.get("/account")).status_code == 200
    assert signed_in == (status == 403)


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
async def test_every_unsafe_method(app: Tillgate, method: str) -> None:
    """No method is forgotten, known address or not."""
    call = getattr(app.test_client(), method)
    assert (await call("/account")).status_code == 403
    assert (await call("/nowhere")).status_code == 403


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Shop.test", "https://shop.test"),
        ("https://shop.test:443", "https://shop.test"),
        ("http://shop.test:80", "http://shop.test"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_origin_as_browsers_write_it(url: str, origin: str) -> None:
    """PUBLIC_URL may be written otherwise than browsers do."""
    assert origin_of(url) == origin


@pytest.mark.parametrize("path", ["/sign-in", "/nowhere", "/account", "/static/nothing.js"])
async def test_headers_on_every_answer(app: Tillgate, path: str) -> None:
    """Pages, redirects and errors alike."""
    headers = (await browser(app).get(path)).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "style-src 'self';" in policy
    assert "form-action 'self' https://checkout.stripe.com;" in policy
    assert "base-uri 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert len(headers.getlist("Content-Security-Policy")) == 1
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    assert "Strict-Transport-Security" not in headers


async def test_headers_on_a_bug(app: Tillgate) -> None:
    """Also when a page breaks."""

    async def broken() -> str:
        raise RuntimeError

    app.add_url_rule("/broken", "events.home", broken)
    answer = await browser(app).get("/broken")
    assert answer.status_code == 500
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


async def test_hsts_with_https(settings: Settings, database: Database) -> None:
    """Browsers remember that the shop is on https."""
    app = create_app(replace(settings, public_url="https://shop.test"), domains=(), database=database)
    answer = await browser(app).get("/sign-in")
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=31536000")


async def test_caching(app: Tillgate) -> None:
    """Pages with somebody's data are never stored; the shop window may wait for the back button."""

    async def page() -> str:
        return "a page"

    app.add_url_rule("/", "events.home", page)
    app.add_url_rule("/t", "events.ticket", page)
    client = await signed_in_client(app)
    assert (await client.get("/")).headers["Cache-Control"] == "private, no-cache"
    assert (await client.get("/t")).headers["Cache-Control"] == "private, no-store"
    assert (await client.get("/account")).headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize(
    ("trusted", "header", "expected"),
    [
        (0, "6.6.6.6", "10.0.0.1"),
        (1, None, "10.0.0.1"),
        (1, "1.2.3.4", "1.2.3.4"),
        (1, "6.6.6.6, 1.2.3.4", "1.2.3.4"),
        (2, "6.6.6.6, 1.2.3.4, 10.0.0.9", "1.2.3.4"),
        (2, "1.2.3.4", "10.0.0.1"),
        (1, "6.6.6.6, not-an-address", "10.0.0.1"),
        (1, "", "10.0.0.1"),
        (1, "2001:DB8::1", "2001:db8::1"),
    ],
)
async def test_client_address(
    settings: Settings, database: Database, trusted: int, header: str | None, expected: str
) -> None:
    """Only what our own proxies wrote counts; what the client wrote before them does not."""
    app = create_app(replace(settings, trusted_proxies=trusted), domains=(), database=database)
    headers = {"Remote-Addr": "10.0.0.1"} | ({} if header is None else {"X-Forwarded-For": header})
    async with app.test_request_context("/", headers=headers):
        assert client_address() == expected


async def test_limit_counts_an_ipv6_subscriber_once(settings: Settings, database: Database) -> None:
    """Whoever has one address of a /64 has all of them."""
    app = create_app(settings, domains=(), database=database)
    keys = set()
    for address in ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1", "1.2.3.4", "1.2.3.5"):
        async with app.test_request_context("/", headers={"Remote-Addr": address}):
            keys.add(await limit_key())
    assert keys == {"2001:db8::", "2001:db8:0:1::", "1.2.3.4", "1.2.3.5"}


async def test_sign_in_is_limited(app: Tillgate, clock: ManualClock) -> None:
    """By client address, over all browsers: told when to come back, and true to it."""
    for number in range(routes.SIGN_IN_LIMIT):
        answer = await browser(app).post("/sign-in", form={"email": f"guest{number}@example.org"})
        assert answer.status_code == 303
    answer = await browser(app).post("/sign-in", form={"email": "ada@example.org"})
    assert answer.status_code == 429
    wait = int(answer.headers["Retry-After"])
    assert 0 < wait <= 10
    assert "wait a little" in await answer.get_data(as_text=True)
    assert (await browser(app).get("/sign-in")).status_code == 200
    clock.advance(seconds=wait)
    answer = await browser(app).post("/sign-in", form={"email": "ada@example.org"})
    assert answer.status_code == 303


async def test_limit_is_atomic(sessions: Sessions, database: Database, clock: ManualClock) -> None:
    """Forty at once, through two workers' stores: exactly the ten that are allowed get through."""
    stores = [PostgresStore(database), PostgresStore(database)]
    step = timedelta(seconds=6)
    answers = await asyncio.gather(
        *(stores[i % 2].take("key", at=clock.now(), step=step, burst=step * 9) for i in range(40))
    )
    assert answers.count(None) == 10
    assert {answer for answer in answers if answer is not None} == {clock.now() + step}
    assert await stores[0].take("key", at=clock.advance(seconds=6), step=step, burst=step * 9) is None


async def test_old_limits_are_tidied(app: Tillgate, clock: ManualClock) -> None:
    """A key whose time has passed is deleted, one that still limits is not."""
    await browser(app).post("/sign-in", form={"email": "ada@example.org"})
    assert await app.sweeps["rate_limits"](clock.now()) == 0
    assert await app.sweeps["rate_limits"](clock.advance(minutes=1)) == 1
    async with app.database.sessions() as session:
        assert await session.scalar(select(func.count()).select_from(RateLimit)) == 0


@pytest.mark.parametrize(
    "path", ["/sign-in//code", "/sign-in/", "/static//css/base.css", "/webhooks//stripe"]
)
async def test_no_redirect_to_the_host_of_the_request(app: Tillgate, path: str) -> None:
    """Whatever `Host` says, nothing leads there: addresses of ours begin with PUBLIC_URL or a slash."""
    answer = await app.test_client().get(path, headers={"Host": "evil.test"})
    assert answer.status_code == 404
    assert "Location" not in answer.headers
