"""Logging for every process of ours: JSON lines in production, readable on a screen otherwise (spec: L3).

What a stranger sends may end in a line: control characters are written out, so that none can forge a line or talk to
the terminal. Tracebacks show no local variables, since those hold keys, mails and codes.
"""

import io
import logging
import os
import re
import sys
from functools import partial
from typing import TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor

from shared.settings import Settings

# C0 and C1 with DEL, the line separators, what turns the direction of a text round, and halves of a character: of the
# last, no JSON can be written, and the line about a failure would be one itself
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def configure(settings: Settings) -> None:
    """Send structlog and the standard library's loggers the same way; once, at the start of a process."""
    os.environ["LOG_LEVEL"] = settings.log_level  # where structlog_config looks for it
    if not sys.stdout.isatty():
        os.environ.setdefault("NO_COLOR", "1")  # it would colour a file too; read when it is imported
    import structlog_config

    structlog_config.configure_logger(json_logger=settings.production)
    chain = structlog.get_config()["processors"]
    # the names of our own events are constants, and the health's is a block of lines
    structlog.configure(
        processors=[*chain[:-1], partial(write_out_controls, kept="\n"), _renderer(chain[-1])]
    )
    for handler in logging.getLogger().handlers:
        formatter = handler.formatter
        assert isinstance(formatter, structlog.stdlib.ProcessorFormatter)
        chain = formatter.processors
        formatter.processors = (*chain[:-1], write_out_controls, _renderer(chain[-1]))
    # one line for each migration step or mail connection is for those who look for trouble
    for chatty in ("alembic", "asyncio", "httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def write_out_controls(_logger: object, _method: str, event: EventDict, *, kept: str = "") -> EventDict:
    """A processor: every text of a line with its control characters as escapes; `kept` ones may stay in its name."""
    return {name: _each(value, kept if name == "event" else "") for name, value in event.items()}


def _each(value: object, kept: str = "") -> object:
    """A value with all its texts written out; a traceback for a machine is a list of dicts."""
    if isinstance(value, str):
        return written_out(value, kept=kept)
    if isinstance(value, dict):
        return {name: _each(part) for name, part in value.items()}
    return [_each(part) for part in value] if isinstance(value, list) else value


def written_out(text: str, *, kept: str = "") -> str:
    """`\\x1b` in place of the character, and so on."""
    return CONTROLS.sub(lambda found: found[0] if found[0] in kept else repr(found[0])[1:-1], text)


def _renderer(last: Processor) -> Processor:
    """The last step of a chain; on a screen one that shows no locals (rich, where it is installed, shows all)."""
    if not isinstance(last, structlog.dev.ConsoleRenderer):
        return last
    return structlog.dev.ConsoleRenderer(
        colors="NO_COLOR" not in os.environ, exception_formatter=_plain_traceback
    )


def _plain_traceback(target: TextIO, error: ExcInfo) -> None:
    text = io.StringIO()
    structlog.dev.plain_traceback(text, error)
    target.write(written_out(text.getvalue(), kept="\n"))
