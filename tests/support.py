"""Help for functional tests: browsers, signed in or not, that send what a browser sends."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from quart.testing import QuartClient
from sqlalchemy import event
from werkzeug.datastructures import Headers

from shared.identity.guard import CurrentUser, cookie_for
from shared.identity.users import find_or_create_user
from shared.web import Tillgate


class Browser(QuartClient):
    """A client that sends `Origin` with unsafe requests, as browsers do; pass your own header to differ."""

    user: CurrentUser | None = None

    async def open(self, path: str, *, method: str = "GET", headers: Any = None, **others: Any) -> Any:
        sent = Headers(headers or {})
        if method not in ("GET", "HEAD") and "Origin" not in sent and "Sec-Fetch-Site" not in sent:
            assert isinstance(self.app, Tillgate)
            sent["Origin"] = self.app.settings.public_url
        return await super().open(path, method=method, headers=sent, **others)

    @property
    def user_id(self) -> UUID:
        """Who is signed in here."""
        assert self.user is not None
        return self.user.id


async def sign_in(client: QuartClient, email: str) -> CurrentUser:
    """Give this client the cookie of a signed-in user; the user is made where there is none."""
    app = client.app
    assert isinstance(app, Tillgate)
    async with app.database.sessions.begin() as session:
        user = await find_or_create_user(session, email=email)
    current = CurrentUser(user.id, user.version)
    name, value = cookie_for(app, current)
    client.set_cookie("localhost", name, value)
    return current


def browser(app: Tillgate) -> Browser:
    """A visitor."""
    return Browser(app)


async def signed_in_client(app: Tillgate, email: str = "ada@example.org") -> Browser:
    """A signed-in buyer; `.user_id` says who."""
    client = Browser(app)
    client.user = await sign_in(client, email)
    return client


@contextmanager
def counted_statements(app: Tillgate) -> Iterator[list[str]]:
    """What the app sends to the database within the block, BEGIN and COMMIT left aside."""
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_others: object) -> None:
        statements.append(statement)

    event.listen(app.database.engine.sync_engine, "before_cursor_execute", note)
    yield statements
    event.remove(app.database.engine.sync_engine, "before_cursor_execute", note)
