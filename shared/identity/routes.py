"""The pages of signing in and out: address, code, link, account."""

import re
from datetime import timedelta
from uuid import UUID

from itsdangerous import BadSignature, URLSafeSerializer
from quart import Blueprint, Response, after_this_request, render_template, request
from quart.typing import ResponseTypes
from quart_rate_limiter import rate_limit

from shared.contracts.errands import Errands
from shared.errors import AppError
from shared.identity import challenge, errand, limits
from shared.identity.guard import (
    COOKIE_LIFE,
    CurrentUser,
    current_user,
    forget,
    is_operator,
    remember,
    require_user,
    versions,
)
from shared.identity.users import InvalidEmail, email_of, end_sign_in, normalise_email, sign_out_everywhere
from shared.ids import parse_id
from shared.ratelimit import limit_key
from shared.web import Tillgate, db_session, now, see_other, shop, wants_fragment

blueprint = Blueprint("identity", __name__)

CHALLENGE_COOKIE = "sign-in"
"""Lives as long as an errand is kept: by it, the next mail that is asked for takes the errand along."""
KNOWN_COOKIE, KNOWN_LIFE = "known-as", timedelta(days=180)
"""Opens nothing: it only keeps some mails for a browser that has used an address before, whatever strangers do."""
# Per client address and route. Wide, because a mobile network puts many buyers of one rush behind one address;
# guessing codes and flooding a mailbox are stopped by limits.py.
SIGN_IN_LIMIT, SIGN_IN_PERIOD = 60, timedelta(minutes=10)

TRIAL_COOKIE = "cookies"
"""Set with the forms, and missed when one comes back from a browser that keeps none."""
FIRST_TURNS, FIRST_PAUSE, TURNS, PAUSE = 30, 4, 82, 15
"""How often the page of the code asks whether the link was used, with how many seconds between: 15 minutes in all."""

Page = str | Response | tuple[str, int]


class NoCookies(AppError):
    """Your browser sends no cookies to this site, and without them nobody stays signed in."""

    status = 400
    code = "NO_COOKIES"


def init_routes(app: Tillgate) -> None:
    """Register the pages, and the sweep that deletes old challenges."""
    app.register_blueprint(blueprint)
    app.health_facts["signing in"] = limits.facts
    app.sweeps["sign_in"] = lambda at: challenge.tidy(app.database.sessions, at)


@blueprint.get("/sign-in")
async def sign_in() -> Page:
    """Ask for the address; who is signed in already goes on."""
    going_to = challenge.safe_next(request.args.get("next"))
    if await current_user() is not None:
        return see_other(going_to)
    return await _ask_address(going_to)


@blueprint.post("/sign-in")
@rate_limit(SIGN_IN_LIMIT, SIGN_IN_PERIOD)
async def send() -> Page:
    """Take an address and owe its mail; or, with `code`, sign in."""
    form = await request.form
    if "code" in form:
        return await _sign_in_with_code(form["code"])
    email, going_to = form.get("email", ""), challenge.safe_next(form.get("next"))
    try:
        await _miss_cookies()
        waiting = await errand.find(db_session(), _asked_for(), now=now(), lock=True)
        started = await challenge.start(
            db_session(),
            shop().settings,
            email=email,
            client=await limit_key(),
            known=_knows(email),
            next_path=going_to,
            now=now(),
            errand_id=await errand.keep(
                db_session(), waiting, _errands().in_browser(waiting.text if waiting else ""), now=now()
            ),
        )
    except AppError as error:
        return await _ask_address(going_to, email=email, error=error), error.status
    _errands().take_from_browser()
    answer = see_other("/sign-in/code")
    signed = _signer().dumps([str(started.id), email.strip()])
    _set_cookie(answer, CHALLENGE_COOKIE, signed, life=errand.KEPT_FOR)
    return answer


async def _ask_address(going_to: str, *, email: str = "", error: AppError | None = None) -> str:
    _try_cookies()
    kept = await errand.find(db_session(), _asked_for(), now=now())
    waiting = await _errands().describe(db_session(), _errands().in_browser(kept.text if kept else ""))
    no_cookies = isinstance(error, NoCookies)
    return await render_template(
        "identity/sign_in.html",
        next=going_to,
        email=email,
        error=error.message if error and not no_cookies else "",
        no_cookies=error.message if error and no_cookies else "",
        waiting=waiting,
    )


@blueprint.get("/sign-in/code")
async def code() -> Page:
    """Ask for the code that was mailed to the address of this browser's challenge."""
    started = _read_challenge_cookie()
    if started is None:
        return see_other("/sign-in")
    if await current_user() is not None:
        return see_other((await challenge.standing(db_session(), started[0], now=now())).next)
    return await _ask_code(started)


@blueprint.get("/sign-in/code/waiting")
async def waiting() -> Page:
    """For the page of the code: whether its mail was used elsewhere. Only in this browser can it sign this one in."""
    started, turn = _read_challenge_cookie(), request.args.get("turn", "")
    if not wants_fragment():
        return see_other("/sign-in/code")
    if started is None or not re.fullmatch(r"[0-9]{1,3}", turn):
        return Response(status=204)
    stands = await challenge.standing(db_session(), started[0], now=now())
    if await current_user() is not None:
        # by the link, in another tab of this browser
        return Response("", headers={"HX-Redirect": stands.next})
    answer = Response(
        await render_template("identity/_elsewhere.html", stands=stands, **_next_turn(int(turn)))
    )
    if stands.is_used or stands.is_over:
        # in place of what waits, too: nothing waits any more
        answer.headers["HX-Retarget"], answer.headers["HX-Reswap"] = "#mail", "innerHTML"
    return answer


def _next_turn(turn: int) -> dict[str, int]:
    """When the page asks again; after the last turn, never."""
    return {"turn": turn + 1 if turn < TURNS else 0, "pause": FIRST_PAUSE if turn < FIRST_TURNS else PAUSE}


async def _sign_in_with_code(entered: str) -> Page:
    started = _read_challenge_cookie()
    try:
        if started is None:
            raise challenge.ChallengeOver
        done = await challenge.use_code(
            shop().database.sessions,
            shop().settings,
            challenge_id=started[0],
            code=entered,
            client=await limit_key(),
            now=now(),
            errands=_errands(),
        )
    except AppError as error:
        return await _ask_code(started, error), error.status
    answer = _welcome(done)
    answer.delete_cookie(CHALLENGE_COOKIE, path="/sign-in")
    return answer


async def _ask_code(started: tuple[UUID, str] | None, error: AppError | None = None) -> str:
    kept = await errand.find(db_session(), started[0] if started else None, now=now())
    stands = await challenge.standing(db_session(), started[0], now=now()) if started else None
    return await render_template(
        "identity/code.html",
        stands=stands,
        **_next_turn(0),
        email=started[1] if started else "",
        error=error.message if error else "",
        over=isinstance(error, challenge.ChallengeOver),
        waiting=await _errands().describe(db_session(), kept.text if kept else ""),
    )


@blueprint.get("/sign-in/<token>")
@rate_limit(SIGN_IN_LIMIT, SIGN_IN_PERIOD)
async def link(token: str) -> Page:
    """Show a button. Scanners of mail open links, so opening one signs nobody in and uses nothing up."""
    return await _show_link(token)


async def _show_link(token: str, error: NoCookies | errand.ErrandChanged | None = None) -> Page:
    try:
        challenge_id, email = await challenge.look_at_link(
            db_session(), shop().settings, token=token, now=now()
        )
    except challenge.ChallengeOver as over:
        return await _link_over(over)
    _try_cookies()
    kept = await errand.find(db_session(), challenge_id, now=now())
    page = await render_template(
        "identity/link.html",
        token=token,
        email=email,
        error="",
        no_cookies=error.message if isinstance(error, NoCookies) else "",
        changed=error.message if isinstance(error, errand.ErrandChanged) else "",
        shown=errand.mark(kept.text if kept else ""),
        waiting=await _errands().describe(db_session(), kept.text if kept else ""),
        asked_here=challenge_id == _asked_for(),
    )
    return page, error.status if error else 200


@blueprint.post("/sign-in/<token>")
@rate_limit(SIGN_IN_LIMIT, SIGN_IN_PERIOD)
async def use_link(token: str) -> Page:
    """Sign in by the link's button, in any browser."""
    form = await request.form
    try:
        await _miss_cookies()
        done = await challenge.use_link(
            shop().database.sessions,
            shop().settings,
            token=token,
            now=now(),
            errands=_errands(),
            without_errand="without" in form,
            seen=form.get("shown"),
        )
    except (NoCookies, errand.ErrandChanged) as error:
        return await _show_link(token, error)
    except challenge.ChallengeOver as error:
        return await _link_over(error)
    return _welcome(done)


async def _link_over(error: AppError) -> Page:
    return await render_template("identity/link.html", token="", email="", error=error.message), error.status


@blueprint.post("/sign-out")
async def sign_out() -> Response:
    """Sign this browser out, and every copy of its cookie with it (within five seconds in other processes)."""
    user = await current_user()
    if user is not None:
        async with shop().database.sessions.begin() as session:
            await end_sign_in(session, user_id=user.id, browser=user.browser, expires_at=now() + COOKIE_LIFE)
        versions().forget(user.id)
    forget()
    return see_other("/")


@blueprint.post("/sign-out/everywhere")
async def everywhere() -> Response:
    """Sign all browsers of this user out, this one too."""
    user = await require_user()
    # a transaction of its own: it must be committed before this process forgets the old version
    async with shop().database.sessions.begin() as session:
        await sign_out_everywhere(session, user_id=user.id, now=now())
    versions().forget(user.id)
    forget()
    return see_other("/")


@blueprint.get("/account")
async def account() -> Page:
    """The user's address, and the way out of all browsers."""
    user = await require_user()
    return await render_template(
        "identity/account.html",
        email=await email_of(db_session(), user.id),
        is_operator=await is_operator(user),
    )


def _welcome(done: challenge.SignedIn) -> Response:
    """The transaction is committed by now; the cookie follows."""
    remember(CurrentUser(done.user_id, done.version))
    answer = see_other(done.next)
    _set_cookie(answer, KNOWN_COOKIE, _known_signer().dumps(done.email), life=KNOWN_LIFE)
    return answer


def _set_cookie(answer: ResponseTypes, name: str, value: str, *, life: timedelta | None = None) -> None:
    """A cookie of these pages alone; without `life`, for as long as the browser stays open."""
    answer.set_cookie(
        name,
        value,
        max_age=int(life.total_seconds()) if life else None,
        path="/sign-in",
        httponly=True,
        samesite="Lax",
        secure=shop().settings.secure_cookies,
    )


def _try_cookies() -> None:
    """Send a cookie along with a form that says so."""

    def set_it(answer: ResponseTypes) -> ResponseTypes:
        _set_cookie(answer, TRIAL_COOKIE, "1")
        return answer

    if TRIAL_COOKIE not in request.cookies:
        after_this_request(set_it)


async def _miss_cookies() -> None:
    """Raise NoCookies where a form of ours comes back without its cookie; before a mail is sent or a link used up."""
    if "tried" in await request.form and TRIAL_COOKIE not in request.cookies:
        raise NoCookies


def _knows(email: str) -> bool:
    """Whether this browser has signed in with the address before."""
    try:
        known = _known_signer().loads(request.cookies.get(KNOWN_COOKIE, ""))
        return bool(known == normalise_email(email))
    except (BadSignature, InvalidEmail):
        return False


def _known_signer() -> URLSafeSerializer:
    return URLSafeSerializer(shop().settings.secret_key, salt="tillgate known browser")


def _errands() -> Errands:
    return shop().services.errands


def _signer() -> URLSafeSerializer:
    return URLSafeSerializer(shop().settings.secret_key, salt="tillgate sign-in challenge")


def _read_challenge_cookie() -> tuple[UUID, str] | None:
    """Id and address of the challenge this browser asked for."""
    try:
        challenge_id, email = _signer().loads(request.cookies.get(CHALLENGE_COOKIE, ""))
    except BadSignature:
        return None
    parsed = parse_id(challenge_id)
    return (parsed, email) if parsed else None


def _asked_for() -> UUID | None:
    """The challenge that this browser asked for last."""
    started = _read_challenge_cookie()
    return started[0] if started else None
