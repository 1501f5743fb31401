"""The body of a request is read, whole and bounded, before anything else is done about it (spec: L1).

One hook for every route: whoever sends slowly, too much or never holds nothing of ours but a connection of their own.
What cannot be read is refused here, in words; routes find a form that has been parsed. Used by app.py.
"""

from typing import Any

from hypercorn.typing import HTTPScope
from quart import Request, Response, g, request
from quart.formparser import FormDataParser
from quart.wrappers.request import Body
from werkzeug.datastructures import Headers, ImmutableMultiDict, MultiDict
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge
from werkzeug.utils import cached_property

from shared import typed
from shared.web import Tillgate

SECONDS = 10
"""How long a body may take to arrive."""
LARGEST_FORM = 64 * 1024
LARGEST_EVENT = 1024 * 1024
"""Bytes of a webhook's body (design: Trust)."""
EVENT_PATHS = ("/webhooks/",)
MOST_FIELDS = 200
"""A buy form has a field for each ticket type; parsing a hundred thousand holds everybody up."""


def _one_spelling(fields: MultiDict[str, str]) -> MultiDict[str, Any]:
    """The fields as their routes read them (spec: L7)."""
    return MultiDict([(name, typed.field(name, value)) for name, value in fields.items(multi=True)])


class BoundedFormParser(FormDataParser):
    """The same bounds for every encoding; what cannot be parsed is said, not taken for an empty form."""

    def __init__(self, **options: Any) -> None:
        bounds = {"silent": False, "max_form_parts": MOST_FIELDS, "max_form_memory_size": LARGEST_FORM}
        super().__init__(**{**options, **bounds})

    async def parse(
        self,
        body: Body,
        mimetype: str,
        content_length: int | None,
        options: dict[str, str] | None = None,
    ) -> tuple[MultiDict[str, Any], MultiDict[str, Any]]:
        """Fields and files. Raises RequestEntityTooLarge, ValueError."""
        if mimetype != "multipart/form-data" and (await body).count(b"&") >= MOST_FIELDS:
            raise RequestEntityTooLarge  # of other encodings the library counts the parts
        fields, files = await super().parse(body, mimetype, content_length or 0, options)
        if None in fields or None in files:
            raise ValueError("a part has no name")
        return _one_spelling(fields), files


class BoundedRequest(Request):
    """A request whose body is at most what its address may be sent."""

    form_data_parser_class = BoundedFormParser

    @cached_property
    def args(self) -> MultiDict[str, str]:
        """The fields of the query."""
        return ImmutableMultiDict(_one_spelling(super().args))

    def __init__(
        self,
        method: str,
        scheme: str,
        path: str,
        query_string: bytes,
        headers: Headers,
        root_path: str,
        http_version: str,
        scope: HTTPScope,
        **options: Any,
    ) -> None:
        options["max_content_length"] = LARGEST_EVENT if path.startswith(EVENT_PATHS) else LARGEST_FORM
        super().__init__(
            method, scheme, path, query_string, headers, root_path, http_version, scope, **options
        )


def init_app(app: Tillgate) -> None:
    """Have every request's body read first; registered before whatever may ask the database."""
    app.request_class = BoundedRequest
    app.config["BODY_TIMEOUT"] = SECONDS
    app.before_request(read_body)
    app.after_request(_close_where_unread)


async def read_body() -> None:
    """Wait for the body and parse a form. Raises RequestTimeout, RequestEntityTooLarge, BadRequest."""
    g.body_unread = True
    try:
        await request.get_data()
        g.body_unread = False
        await request.form
    except ValueError as error:  # not text, or not what its Content-Type says
        raise BadRequest from error


async def _close_where_unread(response: Response) -> Response:
    """The rest of a body that was refused may still come: say that the connection ends, rather than just end it."""
    if g.get("body_unread", True) and request.http_version in ("1.0", "1.1"):
        response.headers["Connection"] = "close"
    return response
