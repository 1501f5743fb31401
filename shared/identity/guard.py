"""Who is asking: the signed cookie, its version check, and the one hook that keeps visitors out (spec: D10).

The cookie alone says who the user is. That its version still holds ("sign out everywhere") is read outside
any transaction and remembered for a few seconds, so that a request begins with nothing open.
"""

import warnings
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from secrets import token_urlsafe
from typing import Any, cast
from uuid import UUID

from quart import g, has_request_context, request
from quart_auth import AuthUser, QuartAuth, login_user, logout_user
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from shared.access import PUBLIC_ENDPOINTS
from shared.errors import NotFound, SignInRequired
from shared.identity.models import EndedSignIn, User
from shared.ids import parse_id
from shared.web import Tillgate, shop

COOKIE_LIFE = timedelta(days=14)
VERSION_LIFE = timedelta(seconds=5)
MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class CurrentUser:
    """Who is signed in. `version` is the one their cookie was made with, `browser` names this one sign-in."""

    id: UUID
    version: int
    browser: str = field(default_factory=lambda: token_urlsafe(9))

    @property
    def auth_id(self) -> str:
        """What the cookie carries."""
        return f"{self.id}.{self.version}.{self.browser}"

    @classmethod
    def parse(cls, auth_id: str) -> "CurrentUser | None":
        """Read a cookie's text; None where it is not of ours."""
        user_id, version, browser = (*auth_id.split("."), "", "")[:3]
        parsed = parse_id(user_id)
        return cls(parsed, int(version), browser) if parsed and version.isdecimal() and browser else None


class Versions:
    """Which sign-ins hold, as this process last read it: at most five seconds old."""

    def __init__(self) -> None:
        self._known: dict[UUID, tuple[int | None, Collection[str], datetime]] = {}

    async def hold(self, user: CurrentUser, now: datetime) -> bool:
        """Whether there is such a user who has neither signed this browser out nor all of them."""
        known = self._known.get(user.id)
        if known is None or not timedelta(0) <= now - known[2] < VERSION_LIFE:
            known = (*await self._read(user.id), now)
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[user.id] = known
        version, ended, _ = known
        return version == user.version and user.browser not in ended

    async def _read(self, user_id: UUID) -> tuple[int | None, Collection[str]]:
        ended = select(EndedSignIn.browser).where(EndedSignIn.user_id == User.id)
        query = select(User.version, func.array(ended.scalar_subquery())).where(User.id == user_id)
        async with shop().database.read() as connection:
            row = (await connection.execute(query)).first()
        return (row[0], row[1]) if row else (None, ())

    def forget(self, user_id: UUID) -> None:
        """Read this user's version anew at the next request."""
        self._known.pop(user_id, None)


def versions() -> Versions:
    """What this app remembers of versions."""
    return cast("Versions", shop().extensions["identity_versions"])


async def current_user() -> CurrentUser | None:
    """Who is signed in, or None. A cookie that no longer holds makes a visitor and is dropped."""
    if "current_user" not in g:
        g.current_user = await _read_cookie()
    return cast("CurrentUser | None", g.current_user)


async def _read_cookie() -> CurrentUser | None:
    auth_id = _auth().load_user().auth_id
    if auth_id is None:
        return None
    user = CurrentUser.parse(auth_id)
    if user is None or not await versions().hold(user, shop().clock.now()):
        logout_user()
        return None
    return user


async def require_user() -> CurrentUser:
    """Who is signed in. Raises SignInRequired."""
    user = await current_user()
    if user is None:
        raise SignInRequired
    return user


async def require_operator() -> CurrentUser:
    """Who is signed in, if their address is one of OPERATORS. Raises SignInRequired, or NotFound for everybody else."""
    user = await require_user()
    if not await is_operator(user):
        raise NotFound
    return user


async def is_operator(user: CurrentUser) -> bool:
    """Whether this user may see everything."""
    operators = shop().settings.operators
    if not operators:
        return False
    async with shop().database.read() as connection:
        return await connection.scalar(select(User.email).where(User.id == user.id)) in operators


def remember(user: CurrentUser) -> None:
    """Sign this browser in for 14 days. Call it after the commit: a cookie cannot be rolled back."""
    login_user(AuthUser(user.auth_id), remember=True)
    g.current_user = user


def forget() -> None:
    """Sign this browser out."""
    logout_user()
    g.current_user = None


def cookie_for(app: Tillgate, user: CurrentUser) -> tuple[str, str]:
    """Name and value of a signed-in browser's cookie; for tests and the benchmark."""
    auth: QuartAuth = app.extensions["QUART_AUTH"][0]
    return str(auth.cookie_name), auth.dump_token(user.auth_id, app)


def init_guard(app: Tillgate) -> None:
    """Register the cookie, the hook and `signed_in` for templates."""
    secure = app.settings.secure_cookies
    if secure:
        # behind a proxy the inner request is plain http, and quart-auth would warn at every sign-in
        warnings.filterwarnings("ignore", message="Secure cookies will be ignored on insecure requests")
    QuartAuth(
        app,
        # the prefix makes browsers refuse a cookie that another host of the domain tries to plant
        cookie_name="__Host-tillgate" if secure else "tillgate",
        cookie_http_only=True,
        cookie_samesite="Lax",
        cookie_secure=secure,
        duration=int(COOKIE_LIFE.total_seconds()),
        salt="tillgate sign-in",
    )
    app.extensions["identity_versions"] = Versions()
    app.before_request(_keep_visitors_out)
    app.context_processor(_template_context)


def _auth() -> QuartAuth:
    return cast("QuartAuth", shop().extensions["QUART_AUTH"][0])


async def _keep_visitors_out() -> None:
    """An unknown address has no endpoint and stays a 404 for everybody."""
    if request.endpoint is not None and request.endpoint not in PUBLIC_ENDPOINTS:
        await require_user()


async def _template_context() -> dict[str, Any]:
    if not has_request_context():
        return {"signed_in": False}
    try:
        return {"signed_in": await current_user() is not None}
    except (SQLAlchemyError, OSError):
        # the page that says the database is away must not fail for the same reason
        return {"signed_in": False}
