"""Signing in by mailed link and code, and all that must not be possible with it."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from itsdangerous import TimestampSigner
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from shared.app import create_app
from shared.clock import ManualClock
from shared.database import Database, refuse_open_transaction
from shared.errors import Conflict
from shared.identity import on_sign_in
from shared.identity.guard import require_user
from shared.identity.models import SignInChallenge, SignInFailure, User
from shared.models import OutgoingMail
from shared.settings import Settings
from shared.web import Tillgate
from tests.support import Browser, browser, signed_in_client

EMAIL = "ada@example.org"


@pytest.fixture
def app(settings: Settings, database: Database, clock: ManualClock) -> Tillgate:
    """Identity alone, no domain."""
    return create_app(settings, domains=(), database=database, clock=clock)


async def newest_mail(app: Tillgate) -> OutgoingMail:
    async with app.database.sessions() as session:
        mail = await session.scalar(select(OutgoingMail).order_by(OutgoingMail.id.desc()).limit(1))
    assert mail is not None
    return mail


def link_in(mail: OutgoingMail) -> str:
    found = re.search(r"http://shop\.test(/sign-in/\S+)", mail.text)
    assert found is not None
    return found[1]


def code_in(mail: OutgoingMail) -> str:
    found = re.search(r"\b\d{6}\b", mail.text)
    assert found is not None
    return found[0]


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"


async def ask(client: Browser, email: str = EMAIL, going_to: str = "/") -> OutgoingMail:
    answer = await client.post("/sign-in", form={"email": email, "next": going_to})
    assert (answer.status_code, answer.location) == (303, "/sign-in/code")
    assert isinstance(client.app, Tillgate)
    return await newest_mail(client.app)


async def is_signed_in(client: Browser) -> bool:
    return (await client.get("/account")).status_code == 200


async def count(app: Tillgate, model: type) -> int:
    async with app.database.sessions() as session:
        return await session.scalar(select(func.count()).select_from(model)) or 0


async def test_code_signs_in(app: Tillgate) -> None:
    """The code works in the browser that asked for it, and leads where the visitor was going (spec: B1)."""
    client = browser(app)
    code = code_in(await ask(client, going_to="/p/oper"))
    page = await (await client.get("/sign-in/code")).get_data(as_text=True)
    assert EMAIL in page
    assert 'autocomplete="one-time-code"' in page
    assert 'inputmode="numeric"' in page
    answer = await client.post("/sign-in", form={"code": f" {code[:3]} {code[3:]} "})
    assert (answer.status_code, answer.location) == (303, "/p/oper")
    assert await is_signed_in(client)


async def test_link_needs_its_button(app: Tillgate) -> None:
    """Scanners of mail open links: opening one, however often, signs nobody in and uses nothing up."""
    mail = await ask(browser(app), going_to="/p/oper")
    scanner, phone = browser(app), browser(app)
    for _ in range(3):
        assert (await scanner.get(link_in(mail))).status_code == 200
    assert not await is_signed_in(scanner)
    page = await (await phone.get(link_in(mail))).get_data(as_text=True)
    assert EMAIL in page  # who is sent somebody else's link sees whose it is
    answer = await phone.post(link_in(mail))
    assert (answer.status_code, answer.location) == (303, "/p/oper")
    assert await is_signed_in(phone)


async def test_challenge_works_once(app: Tillgate) -> None:
    """A used code is over, and its link with it."""
    client, other = browser(app), browser(app)
    mail = await ask(client)
    await client.post("/sign-in", form={"code": code_in(mail)})
    assert (await other.get(link_in(mail))).status_code == 410
    assert (await other.post(link_in(mail))).status_code == 410
    assert not await is_signed_in(other)


async def test_challenge_ends_after_fifteen_minutes(app: Tillgate, clock: ManualClock) -> None:
    """Code and link are refused a second too late."""
    client = browser(app)
    mail = await ask(client)
    clock.advance(minutes=15)
    assert (await client.post("/sign-in", form={"code": code_in(mail)})).status_code == 410
    assert (await client.get(link_in(mail))).status_code == 410
    assert (await client.post(link_in(mail))).status_code == 410
    assert not await is_signed_in(client)


async def test_five_tries(app: Tillgate) -> None:
    """Wrong codes are counted although each request is refused; after five the right one is refused too."""
    client = browser(app)
    code = code_in(await ask(client))
    for left in (4, 3, 2, 1):
        answer = await client.post("/sign-in", form={"code": wrong(code)})
        assert answer.status_code == 422
        assert f"Tries left: {left}" in await answer.get_data(as_text=True)
    answer = await client.post("/sign-in", form={"code": wrong(code)})
    assert answer.status_code == 410
    assert "ask for a new mail" in await answer.get_data(as_text=True)
    assert (await client.post("/sign-in", form={"code": code})).status_code == 410
    assert await count(app, SignInFailure) == 5


@pytest.mark.parametrize("entered", ["", "12345", "1234567", "abcdef", "١٢٣٤٥٦", "9" * 5000, "\x00"])
async def test_what_is_no_code_costs_no_try(app: Tillgate, entered: str) -> None:
    """A slip of the finger is told at the field and not counted."""
    client = browser(app)
    code = code_in(await ask(client))
    answer = await client.post("/sign-in", form={"code": entered})
    assert answer.status_code == 422
    assert "six digits" in await answer.get_data(as_text=True)
    assert await count(app, SignInFailure) == 0
    assert (await client.post("/sign-in", form={"code": code})).status_code == 303


async def test_code_is_bound_to_its_browser(app: Tillgate) -> None:
    """Somebody else's browser cannot use the code, even right; nor can a cookie be made up."""
    code = code_in(await ask(browser(app)))
    stranger = browser(app)
    assert (await stranger.post("/sign-in", form={"code": code})).status_code == 410
    async with app.database.sessions() as session:
        challenge_id = await session.scalar(select(SignInChallenge.id))
    stranger.set_cookie("localhost", "sign-in", str(challenge_id), path="/sign-in")
    assert (await stranger.post("/sign-in", form={"code": code})).status_code == 410


async def test_five_mails_an_hour(app: Tillgate, clock: ManualClock) -> None:
    """The sixth within the hour is refused and writes nothing; later there are more."""
    client = browser(app)
    for _ in range(5):
        await ask(client)
    answer = await client.post("/sign-in", form={"email": EMAIL.upper()})
    assert answer.status_code == 429
    assert await count(app, OutgoingMail) == await count(app, SignInChallenge) == 5
    await ask(client, "grace@example.org")
    clock.advance(hours=1)
    await ask(client)


async def test_twenty_failures_then_link_only(app: Tillgate, clock: ManualClock) -> None:
    """Who guesses codes closes codes for the day, for this address alone; the link goes on working."""
    client = browser(app)
    for _ in range(4):
        code = code_in(await ask(client))
        for _ in range(5):
            await client.post("/sign-in", form={"code": wrong(code)})
        clock.advance(minutes=20)
    mail = await ask(client)
    assert "code" not in mail.subject
    assert not re.search(r"\b\d{6}\b", mail.text)
    answer = await client.post("/sign-in", form={"code": "123456"})
    assert answer.status_code == 429
    assert "link" in await answer.get_data(as_text=True)
    assert (await client.post(link_in(mail))).status_code == 303
    await ask(browser(app), "grace@example.org")
    clock.advance(days=1)
    client = browser(app)
    code = code_in(await ask(client))
    assert (await client.post("/sign-in", form={"code": code})).status_code == 303


async def test_unknown_address_gets_the_same_answer(app: Tillgate) -> None:
    """Nobody can find out by signing in who is a customer; the user is made at the first sign-in."""
    await signed_in_client(app, EMAIL)
    known, unknown = browser(app), browser(app)
    first = await known.post("/sign-in", form={"email": EMAIL})
    second = await unknown.post("/sign-in", form={"email": "nobody@example.org"})
    assert first.status_code == second.status_code == 303
    assert first.location == second.location
    assert await first.get_data() == await second.get_data()
    assert await count(app, User) == 1
    assert (await unknown.post(link_in(await newest_mail(app)))).status_code == 303
    assert await count(app, User) == 2


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ada",
        "ada@",
        "@example.org",
        "a b@example.org",
        "ada@localhost",
        "ada@exa mple.org",
        "a@b@example.org",
        "ada@example.org\r\nBcc: eve@example.org",
        "ada@example.org.",
        "ada@-x.org",
        f"{'a' * 65}@example.org",
        f"ada@{'x.' * 130}org",
        "ada\x00@example.org",
        "ада@example.org",
        "x" * 100_000,
    ],
)
async def test_bad_address(app: Tillgate, email: str) -> None:
    """Told at the field, 422, nothing written."""
    answer = await browser(app).post("/sign-in", form={"email": email, "next": "/p/oper"})
    page = await answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert "name@example.org" in page
    assert 'value="/p/oper"' in page
    assert await count(app, OutgoingMail) == await count(app, SignInChallenge) == 0


async def test_one_user_per_mailbox(app: Tillgate) -> None:
    """Case, spaces and the script of the domain make no second user."""
    for email in ("Ada@Bücher.example", " ada@xn--bcher-kva.example ", "ADA@BÜCHER.EXAMPLE"):
        client = browser(app)
        await client.post(link_in(await ask(client, email)))
    assert await count(app, User) == 1


@pytest.mark.parametrize(
    "attack",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/\n/evil.example",
        "evil",
        "",
        "/\u2028/evil.example",
        "/" + "a" * 2000,
    ],
)
async def test_next_stays_here(app: Tillgate, attack: str) -> None:
    """Whatever `next` says, by form or by address, sign-in leads to a page of ours."""
    client = browser(app)
    mail = await ask(client, going_to=attack)
    assert (await client.post(link_in(mail))).location == "/"
    assert (await client.get("/sign-in", query_string={"next": attack})).location == "/"


async def test_who_is_signed_in_goes_on(app: Tillgate) -> None:
    """The sign-in page has nothing to ask them."""
    client = await signed_in_client(app)
    answer = await client.get("/sign-in?next=/p/oper?a=1")
    assert (answer.status_code, answer.location) == (303, "/p/oper?a=1")


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


async def test_callback_runs_in_the_sign_in(app: Tillgate) -> None:
    """A domain may add to the sign-in's transaction and say where it leads (spec: B1)."""

    async def keep_choice(session: AsyncSession, user_id: object) -> str | None:
        await session.execute(update(User).where(User.id == user_id).values(name="kept"))
        return "/cart"

    on_sign_in(app, keep_choice)
    client = browser(app)
    assert (await client.post(link_in(await ask(client)))).location == "/cart"
    async with app.database.sessions() as session:
        assert await session.scalar(select(User.name)) == "kept"


async def test_callback_that_refuses_does_not_keep_them_out(app: Tillgate) -> None:
    """What was chosen may be gone by now; the sign-in still works, without what the callback wrote."""

    async def refuse(session: AsyncSession, user_id: object) -> str | None:
        await session.execute(update(User).where(User.id == user_id).values(name="half done"))
        raise Conflict

    on_sign_in(app, refuse)
    client = browser(app)
    assert (await client.post(link_in(await ask(client, going_to="/p/oper")))).location == "/p/oper"
    assert await is_signed_in(client)
    async with app.database.sessions() as session:
        assert await session.scalar(select(User.name)) == ""


async def test_secrets_are_not_in_the_challenge(app: Tillgate) -> None:
    """Who reads the table can neither type the code nor make the link."""
    mail = await ask(browser(app))
    async with app.database.sessions() as session:
        row = (await session.execute(select(SignInChallenge.__table__))).one()
    text = " ".join(map(str, row))
    assert link_in(mail).removeprefix("/sign-in/") not in text
    assert not re.search(rf"\b{code_in(mail)}\b", text)


async def test_old_rows_are_tidied(app: Tillgate, clock: ManualClock) -> None:
    """Nothing is kept that no limit looks at any more, and nothing goes too early."""
    client = browser(app)
    code = code_in(await ask(client))
    await client.post("/sign-in", form={"code": wrong(code)})
    clock.advance(hours=23)
    await app.sweeps["sign_in"](clock.now())
    assert await count(app, SignInChallenge) == await count(app, SignInFailure) == 1
    clock.advance(hours=2)
    assert await app.sweeps["sign_in"](clock.now()) == 2
    assert await count(app, SignInChallenge) == await count(app, SignInFailure) == 0


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
