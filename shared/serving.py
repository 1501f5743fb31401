"""What Hypercorn loads in each of its workers, and how it is told so; used by `python -m shared serve`.

Nothing happens on import: Hypercorn calls `build_shop`, once in every worker.
"""

import gc
import logging
import shlex
import sys

import h11
import hypercorn.protocol
from hypercorn.config import Config
from hypercorn.protocol.h11 import H11Protocol

from shared import logs
from shared.alone import fill_empty_slot
from shared.app import create_app
from shared.health import announce_at_start
from shared.settings import ROOT, Settings, SettingsError
from shared.web import Tillgate

DOMAINS = ("events", "cart")
WATCHED = ("shared", "events", "cart", "templates", "static")


def build(only: str | None = None) -> Tillgate:
    """The app of this process, configured from the environment; with `only`, one domain beside a stub."""
    settings = Settings.from_env()
    logs.configure(settings)
    app = create_app(settings, (only,) if only else DOMAINS)
    if only:
        fill_empty_slot(app, only)
    return app


class OnlyHTTP1(H11Protocol):
    """HTTP/1.1 that stays so: Hypercorn would let anybody change to HTTP/2 without TLS, and has no setting for it."""

    async def _check_protocol(self, event: h11.Request) -> None:
        """Ignore the wish, as RFC 9110, 7.8 allows; what is HTTP/2 from its first byte is no request of ours."""


def build_shop(only: str | None = None, *, h2c: bool = False) -> Tillgate:
    """The same for a shop that serves: it says at its start how all stands."""
    if not h2c:
        hypercorn.protocol.H11Protocol = OnlyHTTP1  # type: ignore[attr-defined]
    app = build(only)
    announce_at_start(app)
    # what is here now stays: looking through all of it again and again stops everybody for some 60 ms each time
    gc.collect()
    gc.freeze()
    return app


def hypercorn_config(bind: str, workers: int, only: str | None, *, h2c: bool = False) -> Config:
    """Hypercorn's settings; one worker means this very process, without a second one that watches it."""
    config = Config()
    config.bind = [bind]
    config.application_path = f"{__name__}:build_shop({only!r}, h2c={h2c})"
    config.backlog = 4096  # at an on-sale thousands connect within a second; what does not fit is reset
    config.worker_class = "uvloop"
    config.workers = 0 if workers == 1 else workers
    config.accesslog = None  # web_log.py writes a line that hides secrets
    config.errorlog = logging.getLogger("hypercorn.error")
    config.include_server_header = False
    config.graceful_timeout = 5
    return config


def serve_again_and_again(settings: Settings, bind: str, only: str | None) -> None:
    """`serve` as a child that is started anew whenever a file of ours changes. Raises SettingsError in production.

    Not Hypercorn's own reloader: that one ends for good at the first syntax error, and sees no templates.
    """
    if settings.production:
        raise SettingsError("--reload is for development.")
    from watchfiles import DefaultFilter, run_process  # here: production has no such package

    command = [sys.executable, "-m", "shared", "serve", "--bind", bind, *(("--only", only) if only else ())]
    run_process(
        *(ROOT / folder for folder in WATCHED),
        target=shlex.join(command),
        target_type="command",
        watch_filter=DefaultFilter(ignore_dirs=(*DefaultFilter.ignore_dirs, "vendor")),
    )
