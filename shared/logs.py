"""Logging for every process of ours: JSON lines in production, readable on a screen otherwise."""

import logging
import os
import sys

import structlog

from shared.settings import Settings


def configure(settings: Settings) -> None:
    """Send structlog and the standard library's loggers the same way; once, at the start of a process."""
    os.environ["LOG_LEVEL"] = settings.log_level  # where structlog_config looks for it
    if not sys.stdout.isatty():
        os.environ.setdefault("NO_COLOR", "1")  # it would colour a file too; read when it is imported
    import structlog_config

    # rich's tracebacks with all local variables take seconds to draw; a failing request must not hold up the others
    structlog.dev.default_exception_formatter = structlog.dev.plain_traceback  # type: ignore[assignment]
    structlog_config.configure_logger(json_logger=settings.production)
    # one line for each migration step or mail connection is for those who look for trouble
    for chatty in ("alembic", "asyncio", "httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
