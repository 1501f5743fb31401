"""Starts child processes, waits until they answer, watches them, stops them all; used by the demo.

Each child runs in a session of its own, so Ctrl-C reaches only us, and we stop the children; if we are
killed, the kernel stops them (children.py).
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from shared.children import StartError, die_with_parent
from shared.settings import ROOT

READY_SECONDS = 60.0
STOP_SECONDS = 10.0
LOOK_SECONDS = 0.1


class ChildEnded(StartError):
    """A part ended that should have gone on; the message has its last words."""


@dataclass(frozen=True, slots=True)
class Child:
    """A running part."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path
    ready_url: str | None

    def complaint(self, what: str) -> ChildEnded:
        """What happened and the end of what it wrote."""
        words = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
        return ChildEnded(f"{self.name} {what}. Its last words ({self.log}):\n{words}")


class Supervisor:
    """The children of one run; `stop` is set by a signal or by whoever wants the end."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: list[Child] = []
        self.stop = threading.Event()

    def start(
        self, name: str, module: Sequence[str], env: Mapping[str, str], *, ready_url: str | None = None
    ) -> int:
        """Start `python -m <module …>`; what it writes goes to a file of its own. Returns its process id."""
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self._logs / f"{name.replace(' ', '-')}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *module],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ, **env},
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGTERM),
            )
        self._children.append(Child(name, process, log, ready_url))
        return process.pid

    def wait_until_ready(self) -> None:
        """Until each child answers at its address. Raises ChildEnded, also when that takes over a minute."""
        give_up = time.monotonic() + READY_SECONDS
        for child in self._children:
            while not self.stop.is_set() and not _answers(child.ready_url):
                self.check()
                if time.monotonic() > give_up:
                    raise child.complaint("did not get ready")
                self.stop.wait(LOOK_SECONDS)
        self.check()

    def check(self) -> None:
        """Raise ChildEnded where a child is gone."""
        for child in self._children:
            status = child.process.poll()
            if status is not None and not self.stop.is_set():
                raise child.complaint(f"ended with status {status}")

    def watch(self) -> None:
        """Until `stop` is set. Raises ChildEnded as soon as a child ends by itself."""
        while not self.stop.wait(LOOK_SECONDS):
            self.check()

    def stop_all(self) -> None:
        """End all children, politely first; the last started goes first."""
        self.stop.set()
        for child in reversed(self._children):
            _signal(child, signal.SIGTERM)
        give_up = time.monotonic() + STOP_SECONDS
        for child in self._children:
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.1, give_up - time.monotonic()))
            _signal(child, signal.SIGKILL)  # whatever of its group is left
            child.process.wait()
        self._children.clear()


def _signal(child: Child, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, number)


def _answers(url: str | None) -> bool:
    if url is None:
        return True
    try:
        with urlopen(url, timeout=2):  # noqa: S310 - our own address on loopback
            return True
    except HTTPError as error:
        return error.code < 500
    except (OSError, HTTPException):
        return False
