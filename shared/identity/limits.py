"""How often somebody may ask for a mail to sign in, and guess its code; used by challenge.py and the health facts.

Counted for a client and an address together, for a mailbox over all its spellings, and for a client over all addresses.
So a stranger's requests use up the stranger's own limit, not their victim's; and a browser that has signed in with an
address before always has mails of its own left, whatever strangers do (spec: L2).
"""

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from shared.errors import TooMany
from shared.health_facts import Fact, Level
from shared.identity.models import SignInChallenge, SignInFailure

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MAILS_FOR_CLIENT = 5
"""An hour, to one address for one client."""
MAILS_TO_MAILBOX = 10
"""An hour, over all clients and spellings."""
MAILS_KEPT_FOR_KNOWN = 5
"""More than that, for a browser that has signed in with this address before."""
FAILURES_OF_ADDRESS, FAILURES_OF_CLIENT = 20, 60
"""Wrong codes a day; the client's over all addresses: a network of many buyers stays below, a guesser does not."""
MANY_MAILS, MANY_FAILURES = 2000, 300
"""Within an hour and over all: no on-sale of ours comes near; somebody should look."""
DOTLESS = frozenset({"gmail.com", "googlemail.com"})
"""Providers that deliver to one mailbox wherever the dots are."""


class TooManyMails(TooMany):
    """We have sent this address several mails within the hour. Please use the newest one, or wait a little."""


class LinkOnly(TooMany):
    """There were too many wrong codes for this address today. Please use the link in the mail instead."""

    code = "LINK_ONLY"


class TooManyGuesses(TooMany):
    """There were too many wrong codes from here today. Please use the link in the mail instead."""

    code = "TOO_MANY_GUESSES"


def mailbox_of(email: str) -> str:
    """Where mails to a normalised address arrive: without what is behind a plus; for counting only."""
    local, _, domain = email.rpartition("@")
    local = local.partition("+")[0]
    if domain in DOTLESS:
        local, domain = local.replace(".", ""), "gmail.com"
    return f"{local}@{domain}"


async def check_mails(session: AsyncSession, *, email: str, client: str, known: bool, now: datetime) -> None:
    """Raise TooManyMails where no further mail may go to this address for this client; one statement."""
    mine = (SignInChallenge.email == email) & (SignInChallenge.client == client)
    of_client, of_mailbox = (
        await session.execute(
            select(func.count().filter(mine), func.count()).where(
                SignInChallenge.mailbox == mailbox_of(email), SignInChallenge.created_at > now - HOUR
            )
        )
    ).one()
    most = MAILS_TO_MAILBOX + (MAILS_KEPT_FOR_KNOWN if known else 0)
    if of_client >= MAILS_FOR_CLIENT or of_mailbox >= most:
        raise TooManyMails


async def has_only_link(session: AsyncSession, email: str, now: datetime) -> bool:
    """Whether codes are no longer taken for this address today."""
    failed = await session.scalar(
        select(func.count()).where(SignInFailure.email == email, SignInFailure.at > now - DAY)
    )
    return (failed or 0) >= FAILURES_OF_ADDRESS


async def check_guesses(session: AsyncSession, *, email: str, client: str, now: datetime) -> None:
    """Raise LinkOnly or TooManyGuesses where a code is not even looked at."""
    if await has_only_link(session, email, now):
        raise LinkOnly
    guessed = await session.scalar(
        select(func.count()).where(SignInFailure.client == client, SignInFailure.at > now - DAY)
    )
    if (guessed or 0) >= FAILURES_OF_CLIENT:
        raise TooManyGuesses


async def facts(session: AsyncSession, now: datetime) -> list[Fact]:
    """What goes on at the sign-in over all addresses, for the operator."""
    mails = await session.scalar(
        select(func.count()).select_from(SignInChallenge).where(SignInChallenge.created_at > now - HOUR)
    )
    wrong = await session.scalar(
        select(func.count()).select_from(SignInFailure).where(SignInFailure.at > now - HOUR)
    )
    mails, wrong = mails or 0, wrong or 0
    words = f"{mails} mails and {wrong} wrong codes within the hour."
    if wrong >= MANY_FAILURES:
        words += " Somebody is guessing codes; each address and each client has its limit."
    elif mails >= MANY_MAILS:
        words += " That is a great many: somebody may be using the form to send mails."
    level = Level.WARN if wrong >= MANY_FAILURES or mails >= MANY_MAILS else Level.OK
    return [
        Fact("sign_in_wrong_codes_last_hour", "Sign-in", words, level, wrong),
        Fact("sign_in_mails_last_hour", "Sign-in mails", f"{mails} within the hour.", value=mails),
    ]
