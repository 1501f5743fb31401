"""Sign-in by mail: one challenge is one mail with a link and a code. Used by identity's routes and the demo.

Code and token are stored as HMACs only. The code works in the browser that asked for it (the challenge's id
comes from its cookie), the link in any. An address without a user gets the same answer by the same statements:
users are made at the first sign-in, so nothing here asks whether one exists.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.errands import Errands
from shared.database import Sessions
from shared.errors import AppError, Invalid
from shared.identity import errand, limits
from shared.identity.models import EndedSignIn, SignInChallenge, SignInErrand, SignInFailure
from shared.identity.users import find_or_create_user, normalise_email
from shared.ids import new_id
from shared.mail import owe_mail
from shared.settings import Settings

log = structlog.get_logger()

LIFE = timedelta(minutes=15)
MOST_TRIES = 5


class ChallengeOver(AppError):
    """This sign-in was used already, is too old, or had too many tries. Please ask for a new mail."""

    status = 410
    code = "SIGN_IN_OVER"


class WrongCode(Invalid):
    """That is not the code in the mail."""

    code = "WRONG_CODE"


@dataclass(frozen=True, slots=True)
class Started:
    """A challenge as it was made: the only moment at which its link and code are known."""

    id: UUID
    link: str
    code: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who signed in, with which version, and the path they go on to."""

    user_id: UUID
    version: int
    next: str
    email: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What has become of a challenge: whether link or code was used, whether its time is over, where it leads."""

    is_used: bool
    is_over: bool
    next: str


def safe_next(path: str | None) -> str:
    """A path of ours to go on to, else "/": one leading slash, no backslash, no control characters."""
    if path is None or len(path) > 1000 or not path.startswith("/") or path.startswith("//"):
        return "/"
    return path if "\\" not in path and path.isprintable() else "/"


async def start(
    session: AsyncSession,
    settings: Settings,
    *,
    email: str,
    client: str,
    known: bool,
    next_path: str | None,
    now: datetime,
    errand_id: UUID | None = None,
) -> Started:
    """Make a challenge and owe its mail. Raises InvalidEmail, TooManyMails (see limits.py).

    `client`: where the request comes from, of IPv6 the /64; `known`: this browser has used the address before;
    `errand_id`: what is carried out once it is done (errand.py).
    """
    email = normalise_email(email)
    await _lock(session, limits.mailbox_of(email))
    await limits.check_mails(session, email=email, client=client, known=known, now=now)
    started = await _make(
        session,
        settings,
        email=email,
        client=client,
        next_path=next_path,
        now=now,
        life=LIFE,
        errand_id=errand_id,
    )
    link_only = await limits.has_only_link(session, email, now)
    await owe_mail(
        session,
        to=email,
        template="sign_in",
        now=now,
        expires_at=now + LIFE,
        link=started.link,
        code=None if link_only else started.code,
        minutes=LIFE // timedelta(minutes=1),
    )
    return started


async def fresh_link(
    session: AsyncSession,
    settings: Settings,
    *,
    email: str,
    now: datetime,
    next_path: str | None = None,
    life: timedelta = LIFE,
) -> str:
    """A sign-in link without a mail, for the operator's own screen: the demo and the command line."""
    email = normalise_email(email)
    started = await _make(session, settings, email=email, client="", next_path=next_path, now=now, life=life)
    return started.link


async def _make(
    session: AsyncSession,
    settings: Settings,
    *,
    email: str,
    client: str,
    next_path: str | None,
    now: datetime,
    life: timedelta,
    errand_id: UUID | None = None,
) -> Started:
    challenge_id, token, code = new_id(), secrets.token_urlsafe(32), f"{secrets.randbelow(1_000_000):06}"
    session.add(
        SignInChallenge(
            id=challenge_id,
            email=email,
            mailbox=limits.mailbox_of(email),
            client=client,
            token_hash=_token_hash(settings, token),
            code_hash=_code_hash(settings, challenge_id, code),
            next=safe_next(next_path),
            created_at=now,
            expires_at=now + life,
            errand_id=errand_id,
        )
    )
    await session.flush()
    return Started(challenge_id, f"{settings.public_url}/sign-in/{token}", code)


async def use_code(
    sessions: Sessions,
    settings: Settings,
    *,
    challenge_id: UUID,
    code: str,
    client: str,
    now: datetime,
    errands: Errands,
) -> SignedIn:
    """Sign in with the code. Raises WrongCode, LinkOnly, TooManyGuesses, ChallengeOver; a refused request is a try."""
    digits = "".join(code.split()).replace("-", "")
    if len(digits) != 6 or not digits.isascii() or not digits.isdecimal():
        raise WrongCode("The code has six digits.", field="code")
    async with sessions.begin() as session:
        challenge = await _count_try(session, challenge_id, client, now)
        right = hmac.compare_digest(challenge.code_hash, _code_hash(settings, challenge_id, digits))
        if not right:
            session.add(SignInFailure(email=challenge.email, client=client, at=now))
    if not right:
        left = MOST_TRIES - challenge.tries
        if left == 0:
            raise ChallengeOver
        raise WrongCode(f"That is not the code in the mail. Tries left: {left}.", field="code")
    which = (SignInChallenge.id == challenge_id, *_code_open(now))
    async with sessions.begin() as session:
        return await _finish(session, which, {"code_used_at": now}, now, errands)


async def _count_try(
    session: AsyncSession, challenge_id: UUID, client: str, now: datetime
) -> SignInChallenge:
    challenge: SignInChallenge | None = await session.scalar(
        update(SignInChallenge)
        .where(SignInChallenge.id == challenge_id, *_code_open(now), SignInChallenge.tries < MOST_TRIES)
        .values(tries=SignInChallenge.tries + 1)
        .returning(SignInChallenge)
    )
    if challenge is None:
        raise ChallengeOver
    await _lock(session, challenge.email)
    await limits.check_guesses(session, email=challenge.email, client=client, now=now)
    return challenge


async def look_at_link(
    session: AsyncSession, settings: Settings, *, token: str, now: datetime
) -> tuple[UUID, str]:
    """The challenge of a link and the address it would sign in; using it up is for the button. Raises ChallengeOver."""
    found = (
        await session.execute(
            select(SignInChallenge.id, SignInChallenge.email).where(
                SignInChallenge.token_hash == _token_hash(settings, token), *_link_open(now)
            )
        )
    ).first()
    if found is None:
        raise ChallengeOver
    return found.id, found.email


async def standing(session: AsyncSession, challenge_id: UUID, *, now: datetime) -> Standing:
    """What has become of a challenge, for the browser that asked for it."""
    found = (
        await session.execute(
            select(SignInChallenge.used_at, SignInChallenge.expires_at, SignInChallenge.next).where(
                SignInChallenge.id == challenge_id
            )
        )
    ).first()
    if found is None:
        return Standing(is_used=False, is_over=True, next="/")
    return Standing(found.used_at is not None, found.expires_at <= now, safe_next(found.next))


async def use_link(
    sessions: Sessions,
    settings: Settings,
    *,
    token: str,
    now: datetime,
    errands: Errands,
    without_errand: bool = False,
    seen: str | None = None,
) -> SignedIn:
    """Sign in with the link, in any browser. Raises ChallengeOver. `without_errand`: drop what waits behind it.

    `seen`: mark of the errand that the page has shown; raises ErrandChanged where another one waits by now.
    """
    which = (SignInChallenge.token_hash == _token_hash(settings, token), *_link_open(now))
    async with sessions.begin() as session:
        return await _finish(session, which, {}, now, errands, without_errand=without_errand, seen=seen)


async def _finish(
    session: AsyncSession,
    which: Sequence[ColumnElement[bool]],
    used: Mapping[str, datetime],
    now: datetime,
    errands: Errands,
    *,
    without_errand: bool = False,
    seen: str | None = None,
) -> SignedIn:
    challenge = await session.scalar(
        update(SignInChallenge)
        .where(*which)
        .values(used_at=func.coalesce(SignInChallenge.used_at, now), **used)
        .returning(SignInChallenge)
    )
    if challenge is None:
        raise ChallengeOver
    user = await find_or_create_user(session, email=challenge.email)
    text = await errand.take(session, challenge.errand_id, now=now)
    if seen is not None and not without_errand and errand.mark(text) != seen:
        raise errand.ErrandChanged  # whoever asked for the mail chose anew after its owner had looked
    # made now: an errand that rolls its savepoint back makes the session forget what it had loaded
    challenge_id, done = challenge.id, SignedIn(user.id, user.version, challenge.next, challenge.email)
    way_on = await _carry_out(errands, session, done.user_id, "" if without_errand else text, now)
    if way_on is not None:
        done = replace(done, next=safe_next(way_on))
        # another tab that waits for this goes the same way
        await session.execute(
            update(SignInChallenge).where(SignInChallenge.id == challenge_id).values(next=done.next)
        )
    return done


async def _carry_out(
    errands: Errands, session: AsyncSession, user_id: UUID, text: str, now: datetime
) -> str | None:
    """What was kept for a visitor may have become impossible; that must not keep them from signing in."""
    try:
        async with session.begin_nested():
            return await errands.carry_out(session, user_id=user_id, text=text, now=now)
    except AppError as error:
        log.warning("errand refused at the sign-in", user_id=str(user_id), error=error.message)
        return None


async def tidy(sessions: Sessions, now: datetime) -> int:
    """Delete challenges and failures that no limit looks at any more; returns how many."""
    yesterday = now - timedelta(days=1)
    async with sessions.begin() as session:
        gone = [
            await session.execute(statement)
            for statement in (
                delete(SignInChallenge)
                .where(SignInChallenge.expires_at < yesterday)
                .returning(SignInChallenge.id),
                # a day later than the last challenge that leads to it
                delete(SignInErrand)
                .where(SignInErrand.kept_at < yesterday - LIFE)
                .returning(SignInErrand.id),
                delete(SignInFailure).where(SignInFailure.at < yesterday).returning(SignInFailure.id),
                delete(EndedSignIn).where(EndedSignIn.expires_at < now).returning(EndedSignIn.browser),
            )
        ]
        return sum(len(rows.all()) for rows in gone)


async def _lock(session: AsyncSession, email: str) -> None:
    """One at a time per address, so that the limits hold for requests that come at once."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"sign-in {email}", 0))))


def _link_open(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return SignInChallenge.used_at.is_(None), SignInChallenge.expires_at > now


def _code_open(now: datetime) -> tuple[ColumnElement[bool], ...]:
    """After the link was used too: who signed in on a phone may type the code where they asked for it."""
    return SignInChallenge.code_used_at.is_(None), SignInChallenge.expires_at > now


def _code_hash(settings: Settings, challenge_id: UUID, code: str) -> str:
    return _hmac(settings, f"code {challenge_id} {code}")


def _token_hash(settings: Settings, token: str) -> str:
    return _hmac(settings, f"link {token}")


def _hmac(settings: Settings, text: str) -> str:
    return hmac.new(settings.secret_key.encode(), text.encode(), hashlib.sha256).hexdigest()
