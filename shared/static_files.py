"""The files under static/ as they are sent: read once, packed once, kept in memory, each with a fingerprint.

A page loads one stylesheet and one script: bundles, put together here from the parts that people read and write.
"""

import gzip
import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from mimetypes import guess_type
from posixpath import normpath

from werkzeug.security import safe_join

from shared.settings import ROOT

STATIC = ROOT / "static"
LONGEST_NAME = 200  # bytes: a file system counts those, and takes 255
MOST_KEPT = 256
PACKABLE = frozenset(
    {
        "application/json",
        "application/ld+json",
        "application/xml",
        "image/svg+xml",
        "text/calendar",
        "text/css",
        "text/csv",
        "text/html",
        "text/javascript",
        "text/plain",
    }
)
"""Types that shrink; fonts and photographs are packed already."""

_SHOP_LOOKS = ("tokens", "base", "frame", "parts", "tables", "shop", "ticket", "narrow")
STYLES = {"shop.css": _SHOP_LOOKS, "office.css": (*_SHOP_LOOKS, "office")}
SCRIPTS = {"all.js": ("busy", "stepper", "hold", "localtime", "cart", "focus")}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file: as it is, packed where that is smaller, and the fingerprint of its content."""

    body: bytes
    packed: bytes | None
    content_type: str
    mark: str

    @classmethod
    def of(cls, name: str, body: bytes) -> "StaticFile":
        """Pack it as well as gzip can: that is done once."""
        kind = guess_type(name)[0] or "application/octet-stream"
        packed = gzip.compress(body, 9, mtime=0) if kind in PACKABLE else None
        if packed is not None and len(packed) >= len(body):
            packed = None
        content_type = f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
        return cls(body, packed, content_type, sha256(body).hexdigest()[:10])


@lru_cache(MOST_KEPT)
def static_file(name: str) -> StaticFile:
    """A file or a bundle by its name. Raises FileNotFoundError, for a name too that no file system takes."""
    bundle = _bundle(name)
    if bundle is not None:
        return StaticFile.of(name, bundle.encode())
    unusable = len(name.encode(errors="replace")) > LONGEST_NAME or not name.isprintable()
    # one spelling each, else a stranger fills the memory with copies; fonts of our PDFs are nobody's to fetch
    unusable = unusable or normpath(name) != name or name.startswith("vendor/pdf-")
    path = None if unusable else safe_join(str(STATIC), name)
    if path is None or not (STATIC / name).is_file():
        raise FileNotFoundError(name)
    return StaticFile.of(name, (STATIC / name).read_bytes())


def asset(name: str) -> str:
    """The address of a file or bundle, with its fingerprint: what has changed is fetched at once."""
    try:
        return f"/static/{name}?v={static_file(name).mark}"
    except FileNotFoundError:
        return f"/static/{name}"


def _bundle(name: str) -> str | None:
    if name in STYLES:
        parts = (_read(f"css/{part}.css") for part in STYLES[name])
        return re.sub(r"\.\./([\w./-]+)", lambda found: asset(found[1]), "\n".join(parts))
    if name in SCRIPTS:
        # each in a function of its own: what one calls `wait` is nobody else's
        parts = (f'(() => {{\n"use strict";\n{_read(f"js/{part}.js")}}})();\n' for part in SCRIPTS[name])
        return "\n".join((_read("vendor/htmx.min.js"), *parts))
    return None


def _read(name: str) -> str:
    path = STATIC / name
    return path.read_text() if path.is_file() else ""
