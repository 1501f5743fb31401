"""The web shell both domains share: the app class, the session of a request, and how answers and errors are shown.

A request is one transaction: it opens at the first statement and commits when the status is below 400.
"""

import string
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any, cast
from urllib.parse import quote, urlencode, urlsplit
from uuid import UUID

import structlog
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from quart import Quart, Response, current_app, g, jsonify, redirect, render_template, request, session
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from shared.clock import Clock
from shared.database import NOT_STORABLE, Database, is_away, sqlstate
from shared.drawing import Drawing
from shared.errors import AppError, NotFound, SignInRequired, TooMany
from shared.health_facts import FactFinder, Figures
from shared.seldom import Seldom
from shared.services import Services
from shared.settings import Settings
from shared.static_files import static_file
from shared.web_packing import pack, packed_stream, static_answer

log = structlog.get_logger()

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

Sweep = Callable[[datetime], Awaitable[int]]
"""Does the due work of one kind; takes the time, returns how many rows it handled."""


class Tillgate(Quart):
    """Quart with our parts on it, typed; what no page of ours can be asked is turned away at the door."""

    settings: Settings
    database: Database
    services: Services
    clock: Clock
    sweeps: dict[str, Sweep]
    """Due work by name; the worker runs all of them every 15 s and one at once when it is nudged."""
    health_facts: dict[str, FactFinder]
    """What an operator should know, by whose it is; read by health_board.py."""
    figures: dict[str, Figures]
    """Counts for the metrics, by the gauge's name."""
    drawing: Drawing
    cart_changes: Seldom
    """How often somebody may change their cart: each change may leave rows behind until the sweep (spec: L5)."""
    untold_proxy: bool = False
    """Whether a proxy that TRUSTED_PROXIES does not count was seen; told by setting_facts.py."""

    async def asgi_app(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Refuse WebSockets, of which we have none, and spell a query as HTTP/1.1 would: HTTP/2 takes any byte."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000, "reason": None})
            return
        if scope["type"] == "http":
            scope["query_string"] = quote(scope["query_string"], safe=string.printable).encode()
            scope["path"] = _path_only(scope["path"])
        await super().asgi_app(scope, receive, send)

    async def send_static_file(self, filename: str) -> Response:
        """A file or a bundle of ours. Raises NotFound."""
        try:
            return await static_answer(static_file(filename))
        except FileNotFoundError as error:
            raise NotFound from error


def _path_only(target: str) -> str:
    """The path of a request's target, which may be a whole address (RFC 9112, 3.2.2)."""
    if target.startswith("/"):
        return target
    try:
        return urlsplit(target).path or "/"
    except ValueError:  # such as http://[
        return "/"


def shop() -> Tillgate:
    """The running app, typed."""
    return cast("Tillgate", current_app)


def now() -> datetime:
    """The app's clock; routes read it once and pass it on."""
    return shop().clock.now()


def db_session() -> AsyncSession:
    """This request's session; its transaction begins with the first statement. A GET only reads, without one."""
    if "db_session" not in g:
        sessions = shop().database.sessions
        g.db_session = sessions.reading() if request.method in SAFE_METHODS else sessions()
    return cast("AsyncSession", g.db_session)


def count_cart_change(user_id: UUID) -> None:
    """Raise TooMany where this person changes their cart faster than anybody can press."""
    if not shop().cart_changes.may(user_id, now()):
        raise TooMany


def wants_fragment() -> bool:
    """Whether htmx asked and a piece of the page is enough (a boosted page change wants the whole)."""
    return request.headers.get("HX-Request") == "true" and request.headers.get("HX-Boosted") != "true"


def wants_json() -> bool:
    """Whether the answer is JSON: an address for programs, or a program that says so (spec: D9)."""
    if request.path.startswith(("/api/", "/webhooks/")):
        return True
    return request.accept_mimetypes.best == "application/json"


def see_other(location: str) -> Response:
    """303: the browser goes on with GET, so a reload does not submit again."""
    return cast("Response", redirect(location, code=303))


def streamed(body: AsyncIterator[bytes], content_type: str, headers: dict[str, str]) -> Response:
    """A file that is sent while it is made, for as long as the client takes; it opens its own sessions.

    The request's transaction ends before the first byte: nothing is held for a slow client.
    """
    body, how = packed_stream(body)
    response = Response(body, content_type=content_type, headers={**headers, **how})
    response.timeout = None
    return response


async def let_go() -> None:
    """End what this request holds of the database, before it waits for a thread or anything else."""
    await _close_session(None)


def init_web(app: Tillgate) -> None:
    """Register the transaction of a request and the one error handler."""
    app.after_request(pack)  # these run from the last one registered to the first
    app.after_request(_finish_transaction)
    app.teardown_request(_close_session)
    app.register_error_handler(AppError, _show_app_error)
    app.register_error_handler(HTTPException, _show_http_error)
    app.register_error_handler(DBAPIError, _show_database_error)
    app.register_error_handler(Exception, _show_bug)


async def _finish_transaction(response: Response) -> Response:
    opened: AsyncSession | None = g.pop("db_session", None)
    if opened is None:
        return response
    try:
        if response.status_code < 400:
            await opened.commit()
        else:
            await opened.rollback()
    except Exception as error:  # noqa: BLE001 - shown by the handlers that show what a view raises
        session.pop("_flashes", None)  # they say that it was done
        shown = await shop().handle_user_exception(error)
        response = cast("Response", await shop().make_response(shown))
    finally:
        await opened.close()
    return response


async def _close_session(_error: BaseException | None) -> None:
    opened: AsyncSession | None = g.pop("db_session", None)
    if opened is not None:
        await opened.close()


def error_body(message: str, details: dict[str, Any], code: str) -> dict[str, Any]:
    """The one error shape (spec: D9)."""
    return {"error": message, "details": details, "code": code}


async def _show_app_error(error: AppError) -> tuple[Response | str, int]:
    if isinstance(error, SignInRequired) and not wants_json() and request.method in ("GET", "HEAD"):
        target = request.full_path.rstrip("?")
        return see_other(f"/sign-in?{urlencode({'next': target})}"), 303
    return await show_error(error.status, error.message, error.details, error.code)


async def _show_http_error(error: HTTPException) -> tuple[Response | str, int, dict[str, str]]:
    status = error.code or 500
    message = HTTP_MESSAGES.get(status, error.description or error.name)
    body, status = await show_error(status, message, {}, error.name.upper().replace(" ", "_"))
    methods = error.valid_methods if isinstance(error, MethodNotAllowed) else None
    return body, status, {"Allow": ", ".join(sorted(methods))} if methods else {}  # RFC 9110: 405 says which


async def _show_database_error(error: DBAPIError) -> tuple[Response | str, int]:
    """A NUL in an address or a form is the asker's mistake, wherever it was going to be looked up."""
    if sqlstate(error) == NOT_STORABLE:
        return await show_error(400, HTTP_MESSAGES[400], {}, "BAD_REQUEST")
    return await _show_bug(error)


async def _show_bug(error: Exception) -> tuple[Response | str, int]:
    if is_away(error):
        log.warning(
            "database away",
            endpoint=request.endpoint,
            method=request.method,
            error=str(getattr(error, "orig", error)),
        )
        return await show_error(503, HTTP_MESSAGES[503], {}, "UNAVAILABLE")
    log.error("request failed", endpoint=request.endpoint, method=request.method, exc_info=error)
    return await show_error(500, HTTP_MESSAGES[500], {}, "INTERNAL_ERROR")


async def show_error(
    status: int, message: str, details: dict[str, Any], code: str
) -> tuple[Response | str, int]:
    """An error as JSON, as a fragment in place, or as a page, whatever the asker can show."""
    g.failed = True  # the page about an error asks the database nothing more
    if wants_json():
        return jsonify(error_body(message, details, code)), status
    template = "errors/_message.html" if wants_fragment() else "errors/error.html"
    came_from = _came_from() if status == SignInRequired.status else ""
    body = await render_template(
        template, status=status, message=message, details=details, came_from=came_from
    )
    return body, status


def _came_from() -> str:
    """The page of ours whose form was sent: where who must sign in first goes on afterwards."""
    try:
        page = urlsplit(request.referrer or "")
    except ValueError:  # such as http://[
        return "/"
    if f"{page.scheme}://{page.netloc}" != shop().settings.public_url:
        return "/"
    return f"{page.path}?{page.query}".rstrip("?")


HTTP_MESSAGES = {
    400: "We could not read that request.",
    404: "There is nothing at this address. It may have moved.",
    405: "This address does not take that kind of request.",
    408: "The rest of your request did not arrive in time, so nothing was done. Please try again.",
    413: "That is larger than anything we take, so nothing was done.",
    500: "Something went wrong on our side. No money was taken by this step; please try again in a moment.",
    503: "We cannot reach our records at the moment. What you have paid and what you hold is safe; "
    "please try again in a minute.",
}
