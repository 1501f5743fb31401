"""One log line and one metric for each request: method, path, status, time; secrets in an address reach neither."""

import time
from collections.abc import Mapping
from typing import Any

import structlog
from quart import Request, Response, g, request

from shared import metrics
from shared.web import Tillgate

log = structlog.get_logger()

SECRET_ARGUMENTS = frozenset({"token", "ticket_id"})
"""Parts of an address that open something for whoever knows them; the query string is never logged at all."""
QUIET = ("/static/", "/health/")


def init_app(app: Tillgate) -> None:
    """Note the start of a request and write its line at the end."""
    app.before_request(_note_start)
    app.after_request(_write_line)


def safe_path(asked: Request) -> str:
    """The path of a request, fit for a log."""
    return masked(asked.path, asked.url_rule is not None, asked.view_args or {})


def masked(path: str, known: bool, arguments: Mapping[str, Any]) -> str:
    """The path without secrets. Of an unknown address only the first part: the rest may be a token."""
    if not known:
        first, separator, _ = path.lstrip("/").partition("/")
        return f"/{first}/…" if separator else path
    for name in SECRET_ARGUMENTS & arguments.keys():
        path = path.replace(str(arguments[name]), "…")
    return path


async def _note_start() -> None:
    g.started_at = time.perf_counter()


async def _write_line(response: Response) -> Response:
    started_at = g.get("started_at")
    if started_at is None:
        return response
    seconds = time.perf_counter() - started_at
    metrics.request_done(request.endpoint, response.status_code, seconds)
    if request.path.startswith(QUIET):
        return response
    log.info(
        "request",
        method=request.method,
        path=safe_path(request),
        status=response.status_code,
        ms=round(seconds * 1000, 1),
    )
    return response
