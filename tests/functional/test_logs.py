"""What processes write of what they were sent: no line trips over it, steers a terminal, or shows a variable."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import structlog

from shared import logs
from shared.settings import Settings
from tests.shop import Shop
from tests.support import browser

SENT = "/\x1b[2J\r\nfaked line\x9b\u202e\ud800"


EVERYWHERE = pytest.mark.parametrize("environment", ["development", "production"])


@contextmanager
def configured(settings: Settings, environment: str) -> Iterator[None]:
    """Logging as a process of this environment has it, to whatever is the standard output now."""
    root = logging.getLogger()
    before = root.handlers, root.level
    logs.configure(replace(settings, environment=environment))
    try:
        yield
    finally:
        structlog.reset_defaults()
        root.handlers, root.level = before


@EVERYWHERE
def test_a_line_about_odd_bytes(
    settings: Settings, environment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a value and in an exception's words, by our own logger and by the standard library's (spec: L3)."""
    with configured(settings, environment):
        for tell in (structlog.get_logger().exception, logging.getLogger("hypercorn.error").exception):
            _fail(tell)
        structlog.get_logger().info("request", path=SENT, parts=[{"of": SENT}])
    told = capsys.readouterr().out
    assert told.count("KeyError") >= 2
    assert "faked line" in told
    assert "\nfaked line" not in told
    for raw in ("\x1b[2J", "\r", "\x9b", "\u202e", "\ud800", "very secret"):
        assert raw not in told


def _fail(tell: Callable[[str], object]) -> None:
    key = "very secret"
    try:
        {key: key}[SENT]
    except KeyError:
        tell("failed")


@EVERYWHERE
def test_a_text_of_an_exception_in_a_line(
    settings: Settings, environment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exceptions that do not quote what they tell of are written out too (spec: L3)."""
    with configured(settings, environment):
        structlog.get_logger().error("failed", exc_info=RuntimeError(SENT))
    told = capsys.readouterr().out
    assert "RuntimeError" in told
    for raw in ("\x1b[2J", "\x9b", "\u202e", "\ud800"):
        assert raw not in told


@pytest.mark.parametrize("name", ["🎫" * 80, "é" * 130, "x" * 256, "x/" * 3000])
async def test_a_file_name_that_no_file_can_have(shop: Shop, name: str) -> None:
    """Counted in bytes, as file systems do: there is no such file (spec: L3)."""
    assert (await browser(shop.app).get(f"/static/{name}")).status_code == 404
