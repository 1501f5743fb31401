"""Signing in by mailed link and code: who may, with what address, and where it leads."""

from uuid import UUID

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.errands import NoErrands
from shared.errors import Conflict
from shared.identity.models import SignInChallenge, User
from shared.models import OutgoingMail
from shared.web import Tillgate
from tests.functional.identity.asking import EMAIL, ask, code_in, count, is_signed_in, link_in, newest_mail
from tests.support import browser, signed_in_client


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
        "x" * 60_000,
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


async def test_errand_runs_in_the_sign_in(app: Tillgate) -> None:
    """A domain may add to the sign-in's transaction and say where it leads (spec: B1)."""

    class Writes(NoErrands):
        async def carry_out(self, session: AsyncSession, *, user_id: UUID, **_others: object) -> str | None:
            await session.execute(update(User).where(User.id == user_id).values(name="kept"))
            return "/cart"

    app.services.errands = Writes()
    client = browser(app)
    assert (await client.post(link_in(await ask(client)))).location == "/cart"
    async with app.database.sessions() as session:
        assert await session.scalar(select(User.name)) == "kept"


async def test_errand_that_refuses_does_not_keep_them_out(app: Tillgate) -> None:
    """What was chosen may be gone by now; the sign-in still works, without what the errand wrote."""

    class Refuses(NoErrands):
        async def carry_out(self, session: AsyncSession, *, user_id: UUID, **_others: object) -> str | None:
            await session.execute(update(User).where(User.id == user_id).values(name="half done"))
            raise Conflict

    app.services.errands = Refuses()
    client = browser(app)
    assert (await client.post(link_in(await ask(client, going_to="/p/oper")))).location == "/p/oper"
    assert await is_signed_in(client)
    async with app.database.sessions() as session:
        assert await session.scalar(select(User.name)) == ""
