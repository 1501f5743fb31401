"""What a stranger can't do at the sign-in: lock out, flood a mailbox, guess over many addresses (spec: L2, L5)."""

from typing import Any

import pytest
from sqlalchemy import func, select

from shared.clock import ManualClock
from shared.health_facts import Level
from shared.identity import limits
from shared.identity.models import SignInFailure
from shared.models import OutgoingMail
from shared.web import Tillgate
from tests.functional.identity.asking import code_in, newest_mail
from tests.shop import page_of
from tests.support import Browser, browser

VICTIM = "victim@example.org"


async def ask(client: Browser, email: str, *, at: str = "198.51.100.1", **form: str) -> Any:
    """Ask for a mail (or send `code`) from an address of the network."""
    sent = form or {"email": email}
    return await client.post("/sign-in", form=sent, scope_base={"client": (at, 4000)})


async def mails(app: Tillgate) -> int:
    """How many are owed."""
    async with app.database.sessions() as session:
        return await session.scalar(select(func.count()).select_from(OutgoingMail)) or 0


async def test_a_stranger_locks_nobody_out(app: Tillgate) -> None:
    """Five requests used up an address for an hour, for everybody; now they use up the stranger's own."""
    stranger, victim = browser(app), browser(app)
    answers = [(await ask(stranger, VICTIM, at="203.0.113.9")).status_code for _ in range(7)]
    assert answers == [303] * 5 + [429] * 2
    assert (await ask(victim, VICTIM)).status_code == 303
    assert (await ask(victim, "", code=code_in(await newest_mail(app)))).status_code == 303


async def test_who_was_here_before_always_has_mails_left(app: Tillgate) -> None:
    """However many strangers ask: the browser that has used the address keeps five an hour of its own."""
    victim = browser(app)
    await ask(victim, VICTIM)
    link = (await newest_mail(app)).text.split("/sign-in/")[1].split()[0]
    await victim.post(f"/sign-in/{link}")
    await victim.post("/sign-out")
    for number in range(4):
        for _ in range(5):
            await ask(browser(app), VICTIM, at=f"203.0.113.{number}")
    assert (await ask(browser(app), VICTIM, at="203.0.113.77")).status_code == 429, "the mailbox has enough"
    assert (await ask(victim, VICTIM)).status_code == 303


@pytest.mark.parametrize(
    ("email", "mailbox"),
    [
        ("victim+1@example.org", VICTIM),
        ("vic.tim@example.org", "vic.tim@example.org"),
        ("vic.tim+x@gmail.com", "victim@gmail.com"),
        ("v.ictim@googlemail.com", "victim@gmail.com"),
    ],
)
def test_one_mailbox_of_many_spellings(email: str, mailbox: str) -> None:
    """What is behind a plus, and dots where a provider takes none, make no other mailbox."""
    assert limits.mailbox_of(email) == mailbox


async def test_spellings_share_a_mailboxs_limit(app: Tillgate) -> None:
    """`victim+N@` got forty mails in a minute."""
    for number in range(40):
        await ask(browser(app), f"victim+{number}@example.org", at=f"203.0.113.{number % 8}")
    assert await mails(app) == limits.MAILS_TO_MAILBOX


async def test_guessing_over_many_addresses(app: Tillgate, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client's wrong codes count together, whatever the address; others go on, and the operator reads of it."""
    monkeypatch.setattr(limits, "FAILURES_OF_CLIENT", 6)
    monkeypatch.setattr(limits, "MANY_FAILURES", 6)
    statuses = []
    for number in range(3):
        guesser = browser(app)
        await ask(guesser, f"somebody{number}@example.org")
        statuses += [(await ask(guesser, "", code="000000")).status_code for _ in range(3)]
    assert statuses == [422] * 6 + [429] * 3
    other = browser(app)
    await ask(other, "other@example.org", at="203.0.113.5")
    assert (await ask(other, "", at="203.0.113.5", code="000000")).status_code == 422
    async with app.database.sessions.reading() as session:
        told, _ = await app.health_facts["signing in"](session, app.clock.now())
        assert await session.scalar(select(func.count()).select_from(SignInFailure)) == 7
    assert (told.level, "guessing codes" in told.words) == (Level.WARN, True)


async def test_told_in_words(app: Tillgate, clock: ManualClock) -> None:
    """And an hour later all is well again."""
    client = browser(app)
    for _ in range(5):
        await ask(client, VICTIM)
    answer = await ask(client, VICTIM)
    assert (answer.status_code, "several mails within the hour" in await page_of(answer)) == (429, True)
    clock.advance(hours=1)
    assert (await ask(client, VICTIM)).status_code == 303
