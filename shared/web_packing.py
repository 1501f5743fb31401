"""Answers packed with gzip for clients that take it: a page is a third of its size then.

What is packed together with something its asker chose tells by its length where the two are alike (BREACH). Our
pages carry no token against forged forms (the origin is looked at instead), but they hold codes and names. So a
private answer is packed only where nothing in it comes from a stranger's address: see `_tells_nothing`.
"""

import gzip
import zlib
from collections.abc import AsyncIterator

from quart import Request, Response, request
from quart.wrappers.response import DataBody

from shared.access import KEEPABLE_ENDPOINTS
from shared.static_files import PACKABLE, StaticFile

LEAST = 600  # bytes: below that the answer fits into one packet anyway
LEVEL = 5  # 0.12 ms for an event's page; level 9 takes a third more and saves a byte
GZIP_WINDOW = 16 + zlib.MAX_WBITS


async def pack(response: Response) -> Response:
    """The last thing done to an answer. One that is packed already, or sent while it is made, is left as it is."""
    if response.mimetype not in PACKABLE or not isinstance(response.response, DataBody):
        return response
    if response.content_encoding or response.status_code == 304:
        return response
    response.vary.add("Accept-Encoding")
    body = await response.get_data(as_text=False)
    if len(body) >= LEAST and _takes_gzip(request) and _tells_nothing(request):
        response.set_data(gzip.compress(body, LEVEL, mtime=0))
        response.content_encoding = "gzip"
    return response


async def static_answer(file: StaticFile) -> Response:
    """A file of ours, or 304 where the browser has it."""
    packed = file.packed if _takes_gzip(request) else None
    response = Response(file.body if packed is None else packed, content_type=file.content_type)
    response.set_etag(file.mark if packed is None else f"{file.mark}-gzip")
    if packed is not None:
        response.content_encoding = "gzip"
    if file.packed is not None:
        response.vary.add("Accept-Encoding")
    return await response.make_conditional(request)


def packed_stream(body: AsyncIterator[bytes]) -> tuple[AsyncIterator[bytes], dict[str, str]]:
    """A file that is sent while it is made, and the headers that say how. It repeats nothing of its address."""
    vary = {"Vary": "Accept-Encoding"}
    if not _takes_gzip(request):
        return body, vary
    return _packed(body), {**vary, "Content-Encoding": "gzip"}


async def _packed(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP_WINDOW)
    async for part in body:
        packed = packer.compress(part)
        if packed:
            yield packed
    yield packer.flush()


def _takes_gzip(asked: Request) -> bool:
    return asked.accept_encodings["gzip"] > 0


def _tells_nothing(asked: Request) -> bool:
    """Whether a stranger can't put text of theirs into this answer by an address alone.

    A form's answer is asked for by our own pages only (security.py refuses others); public pages hold no secret; other
    pages repeat nothing of their path, but some do of their query.
    """
    return (
        asked.method not in ("GET", "HEAD") or asked.endpoint in KEEPABLE_ENDPOINTS or not asked.query_string
    )
