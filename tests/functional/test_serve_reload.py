"""`python -m shared serve --reload`: a developer saves a file and sees it (spec: A5)."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from shared.settings import ROOT
from tests.eventually import PATIENCE, eventually
from tests.ports import four_free_ports

WATCHED = ROOT / "shared" / "__init__.py"


@pytest.fixture
def serving(database_url: str, tmp_path: Path) -> Iterator[Path]:
    """The file of what such a shop writes; Ctrl-C ends it, its child too."""
    log = tmp_path / "log"
    env = {"TILLGATE_ENV": "development", "DATABASE_URL": database_url, "TILLGATE_VAR": str(tmp_path)}
    command = ["-m", "shared", "serve", "--reload", "--bind", f"127.0.0.1:{four_free_ports()}"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command], env=env, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT
        )
    yield log
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0


async def test_started_again_when_a_file_changes(serving: Path) -> None:
    """A touched file starts the shop anew."""
    await eventually(partial(has_started, serving, times=1))
    WATCHED.touch()
    await eventually(partial(has_started, serving, times=2))


async def has_started(log: Path, *, times: int) -> bool:
    """Whether the shop has said so often that it serves."""
    return starts(log) == times


def starts(log: Path) -> int:
    """How often it has."""
    return log.read_text().count("Running on http")


@pytest.mark.parametrize("only", [(), ("--only", "cart")])
def test_never_in_production(only: tuple[str, ...]) -> None:
    """Buyers are not served by a shop that watches its files."""
    env = {
        "TILLGATE_ENV": "production",
        "SECRET_KEY": "0c4MRrF5lEgvNqvQ2b8hYw7KxJtUaPzS",
        "PUBLIC_URL": "https://shop.test",
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x",
        "STRIPE_SECRET_KEY": "sk_live_x",
        "STRIPE_WEBHOOK_SECRET": "whsec_x",
        "SMTP_URL": "smtp://127.0.0.1",
        "MAIL_FROM": "Tickets <tickets@shop.test>",
    }
    done = subprocess.run(
        [sys.executable, "-m", "shared", "serve", "--reload", *only],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (2, "tillgate: --reload is for development.\n")
