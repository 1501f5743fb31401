"""`make demo` as a person uses it: one command brings a whole shop up, Ctrl-C takes all of it away."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from shared.demo_data import PEOPLE
from shared.embedded import EmbeddedPostgres
from shared.settings import ROOT
from tests.ports import four_free_ports

pytestmark = pytest.mark.timeout(240)
# The second start takes under 5 seconds on two idle cores. A test cannot ask for an idle machine, so it holds the
# work against a limit: seconds of processor time, of all parts together, with room for a crowded machine.
SECOND_START = 15


class RunningDemo:
    """A demo started from the command line."""

    def __init__(self, var: Path, port: int) -> None:
        mine = {
            name: value for name, value in os.environ.items() if not name.startswith(("STRIPE_", "DATABASE_"))
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "shared", "demo", "--port", str(port)],
            cwd=ROOT,
            env={**mine, "TILLGATE_VAR": str(var), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.screen = ""

    def wait_for_screen(self) -> None:
        """Read until the last line of the screen."""
        self.wait_for("Ctrl-C stops everything")

    def wait_for(self, words: str) -> None:
        """Read until a line says so."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.screen += line
            if words in line:
                return
        raise AssertionError(self.screen)

    def database(self) -> psutil.Process:
        """The server itself, whose end is the end of all its processes."""
        (found,) = (part for part in psutil.Process(self.process.pid).children() if part.name() == "postgres")
        return found

    def part(self, end_of_command: str) -> psutil.Process:
        """The process it started whose command ends so."""
        (found,) = (part for part in self.parts() if " ".join(part.cmdline()).endswith(end_of_command))
        return found

    def parts(self) -> list[psutil.Process]:
        """All processes it started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self) -> str:
        """Wait for its end; what it said since the screen."""
        if self.process.stdout is None or self.process.stdout.closed:
            return ""
        return self.process.communicate(timeout=60)[0]


Start = Callable[[int], RunningDemo]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a demo at a port, all of them on one data folder; stops them and removes the data after the test."""
    demos: list[RunningDemo] = []

    def start_at(port: int) -> RunningDemo:
        demos.append(RunningDemo(tmp_path, port))
        return demos[-1]

    yield start_at
    for demo in demos:
        if demo.process.poll() is None:
            demo.process.terminate()
        demo.end()
    EmbeddedPostgres(tmp_path / "postgres").remove()


def page(address: str) -> str:
    """What a browser gets there."""
    with urlopen(address, timeout=10) as answer:  # noqa: S310 - loopback
        return str(answer.read().decode())


def test_demo_from_start_to_stop(start: Start) -> None:
    """Everything on the screen works; Ctrl-C leaves no process; a second start is quick; the killed come back."""
    port = four_free_ports()
    demo = start(port)
    demo.wait_for_screen()
    shop, inbox, payments = (f"http://127.0.0.1:{port + offset}" for offset in range(3))
    assert all(address in demo.screen for address in (shop, inbox, payments))
    assert "/p/" in page(shop), "the home page lists entries"
    assert "No mail yet" in page(inbox)
    links = re.findall(rf"{shop}/sign-in/\S+", demo.screen)
    assert len(links) == len(PEOPLE)
    assert all('method="post"' in page(link) for link in links)

    beside = start(four_free_ports())
    assert "A demo is running on this data already" in beside.end()
    assert beside.process.returncode == 2
    same_port = start(port)
    assert f"Port {port} is taken" in same_port.end()
    assert same_port.process.returncode == 2

    parts = demo.parts()
    assert len(parts) >= 5
    demo.process.send_signal(signal.SIGINT)
    assert "Everything is stopped." in demo.end()
    assert demo.process.returncode == 0
    assert not any(part.is_running() for part in parts)

    again = start(port)
    again.wait_for_screen()
    parts = again.parts()
    times = [part.cpu_times() for part in (psutil.Process(again.process.pid), *parts)]
    assert sum(spent.user + spent.system for spent in times) < SECOND_START

    again.part("shared worker").kill()
    again.wait_for("worker had ended and was started again")
    again.database().kill()
    again.wait_for("database had ended and was started again")
    assert "/p/" in page(shop)

    again.part("shared worker").kill()
    again.wait_for("worker had ended and was started again")
    parts = again.parts()
    again.part("shared worker").kill()
    assert "worker ended 3 times within a minute" in again.end()
    assert again.process.returncode == 2
    assert not any(part.is_running() for part in parts)
