"""What a mailed code and link are good for, how often, and for how long."""

import re

import pytest
from sqlalchemy import select

from shared.clock import ManualClock
from shared.identity.models import SignInChallenge, SignInFailure
from shared.models import OutgoingMail
from shared.web import Tillgate
from tests.functional.identity.asking import (
    EMAIL,
    ask,
    code_in,
    count,
    is_signed_in,
    link_in,
    wrong,
)
from tests.support import browser


async def test_challenge_works_once(app: Tillgate) -> None:
    """A used code is over, and its link with it."""
    client, other = browser(app), browser(app)
    mail = await ask(client)
    await client.post("/sign-in", form={"code": code_in(mail)})
    assert (await other.get(link_in(mail))).status_code == 410
    assert (await other.post(link_in(mail))).status_code == 410
    assert not await is_signed_in(other)


async def test_code_works_after_the_link(app: Tillgate) -> None:
    """Signed in on a phone, the desk that asked may go on by its code, once; nobody else may."""
    desk, phone, other = browser(app), browser(app), browser(app)
    mail = await ask(desk)
    assert (await phone.post(link_in(mail))).status_code == 303
    assert (await phone.post(link_in(mail))).status_code == 410
    assert (await other.post("/sign-in", form={"code": code_in(mail)})).status_code == 410
    assert (await desk.post("/sign-in", form={"code": wrong(code_in(mail))})).status_code == 422
    assert (await desk.post("/sign-in", form={"code": code_in(mail)})).status_code == 303
    assert await is_signed_in(desk)
    again = browser(app)
    again.cookie_jar = desk.cookie_jar
    assert (await again.post("/sign-in", form={"code": code_in(mail)})).status_code == 410


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
