"""Being signed in: the cookie, its end, and what a visitor gets."""

from dataclasses import replace
from datetime import timedelta

import pytest
from itsdangerous import TimestampSigner
from sqlalchemy import update

from shared.app import create_app
from shared.clock import ManualClock
from shared.database import Database, refuse_open_transaction
from shared.identity.guard import require_user
from shared.identity.models import User
from shared.settings import Settings
from shared.web import Tillgate
from tests.functional.identity.asking import EMAIL, is_signed_in, newest_mail
from tests.support import browser, signed_in_client


@pytest.mark.parametrize("public_url", ["http://shop.test", "https://shop.test"])
async def test_cookie(settings: Settings, database: Database, clock: ManualClock, public_url: str) -> None:
    """Fourteen days, out of reach of scripts and other sites; over https alone where the shop is on https."""
    app = create_app(replace(settings, public_url=public_url), domains=(), database=database, clock=clock)
    client = browser(app)
    await client.post("/sign-in", form={"email": EMAIL})
    token = (await newest_mail(app)).text.split(f"{public_url}/sign-in/")[1].split()[0]
    answer = await client.post(f"/sign-in/{token}")
    cookie = next(text for text in answer.headers.getlist("Set-Cookie") if "tillgate=" in text)
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/" in cookie
    assert f"Max-Age={14 * 24 * 3600}" in cookie
    secure = public_url.startswith("https")
    assert ("Secure" in cookie) == secure
    assert cookie.startswith("__Host-") == secure


async def test_cookie_ends_after_fourteen_days(app: Tillgate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept longer than that by a browser, it makes a visitor."""
    now = TimestampSigner.get_timestamp
    age = int(timedelta(days=14, seconds=2).total_seconds())
    with monkeypatch.context() as patch:
        patch.setattr(TimestampSigner, "get_timestamp", lambda self: now(self) - age)
        client = await signed_in_client(app)
    assert not await is_signed_in(client)


async def test_forged_cookie_makes_a_visitor(app: Tillgate) -> None:
    """Nothing but our own signature counts."""
    client = await signed_in_client(app)
    client.set_cookie("localhost", "tillgate", f"{client.user_id}.1")
    assert not await is_signed_in(client)


async def test_sign_out(app: Tillgate) -> None:
    """This browser is out, another one stays in; twice is no error."""
    here, there = await signed_in_client(app), await signed_in_client(app)
    assert (await here.post("/sign-out")).status_code == 303
    assert not await is_signed_in(here)
    assert (await here.post("/sign-out")).status_code == 303
    assert await is_signed_in(there)


async def test_a_copy_of_the_cookie_ends_with_it(app: Tillgate, clock: ManualClock) -> None:
    """Taken before the sign-out, it opens nothing after: here at once, in another process within five seconds."""
    here = await signed_in_client(app)
    copy, elsewhere = browser(app), create_app(app.settings, domains=(), database=app.database, clock=clock)
    far_copy = browser(elsewhere)
    for cookie in here.cookie_jar or ():
        for thief in (copy, far_copy):
            thief.set_cookie("localhost", cookie.name, cookie.value or "")
    assert await is_signed_in(copy)
    assert await is_signed_in(far_copy)
    await here.post("/sign-out")
    assert not await is_signed_in(copy)
    clock.advance(seconds=5)
    assert not await is_signed_in(far_copy)
    assert await is_signed_in(await signed_in_client(app)), "signing in anew works"
    assert await app.sweeps["sign_in"](clock.advance(days=15)) == 1


async def test_sign_out_everywhere(app: Tillgate) -> None:
    """All browsers of this user are out at once, and their cookies are dropped; others stay in."""
    here, there = await signed_in_client(app), await signed_in_client(app)
    somebody_else = await signed_in_client(app, "grace@example.org")
    assert await is_signed_in(here)
    assert await is_signed_in(there)
    assert (await here.post("/sign-out/everywhere")).status_code == 303
    assert not await is_signed_in(here)
    answer = await there.get("/account")
    assert answer.location == "/sign-in?next=%2Faccount"
    assert "tillgate=;" in answer.headers["Set-Cookie"]
    assert await is_signed_in(somebody_else)
    assert await is_signed_in(await signed_in_client(app))


async def test_sign_out_everywhere_by_another_worker(app: Tillgate, clock: ManualClock) -> None:
    """A version that another process raised is seen after five seconds at most."""
    client = await signed_in_client(app)
    assert await is_signed_in(client)
    async with app.database.sessions.begin() as session:
        await session.execute(update(User).values(version=User.version + 1))
    clock.advance(seconds=5)
    assert not await is_signed_in(client)


async def test_visitor_is_sent_to_sign_in(app: Tillgate) -> None:
    """A page asks them to sign in and remembers where they were; a form is refused (spec: D10)."""
    client = browser(app)
    answer = await client.get("/account?tab=1")
    assert (answer.status_code, answer.location) == (303, "/sign-in?next=%2Faccount%3Ftab%3D1")
    assert (await client.post("/sign-out/everywhere")).status_code == 401


async def test_request_begins_with_nothing_open(app: Tillgate) -> None:
    """Who is asking is found out without a transaction: a route may call Stripe first thing."""
    seen = []

    async def page() -> str:
        seen.append((await require_user()).id)
        refuse_open_transaction()
        return "fine"

    app.add_url_rule("/page", "orders", page)
    client = await signed_in_client(app)
    assert (await client.get("/page")).status_code == 200
    assert seen == [client.user_id]
