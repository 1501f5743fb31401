"""Starts child processes, waits until they answer, starts again what ends, stops them all; used by the demo.

Each child runs in a session of its own, so Ctrl-C reaches only us, and we stop the children; if we are
killed, the kernel stops them (children.py).
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from shared.children import StartError, die_with_parent
from shared.settings import ROOT

READY_SECONDS = 60.0
STOP_SECONDS = 10.0
LOOK_SECONDS = 0.1
ENDS, WITHIN_SECONDS = 3, 60.0
"""A part that has ended so often in so short a time will not go on by being started once more."""

Revive = Callable[[], bool]
"""Start again what has ended by itself; says whether it had."""


class ChildEnded(StartError):
    """A part ended that should have gone on; the message has its last words."""


@dataclass(slots=True)
class Child:
    """A running part."""

    name: str
    spawn: "Callable[[], subprocess.Popen[bytes]]"
    log: Path
    ready_url: str | None
    process: "subprocess.Popen[bytes]" = field(init=False)

    def __post_init__(self) -> None:
        self.process = self.spawn()

    def revive(self) -> bool:
        """Start it again where it has ended; says whether it had."""
        if self.process.poll() is None:
            return False
        self.process = self.spawn()
        return True

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
        log.write_bytes(b"")

        def spawn() -> "subprocess.Popen[bytes]":
            with log.open("ab") as output:
                return subprocess.Popen(
                    [sys.executable, "-m", *module],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=ROOT,
                    env={**os.environ, **env},
                    start_new_session=True,
                    preexec_fn=die_with_parent(signal.SIGTERM),
                )

        child = Child(name, spawn, log, ready_url)
        self._children.append(child)
        return child.process.pid

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

    def watch(self, tell: Callable[[str], None], **others: Revive) -> None:
        """Until `stop` is set: start again every child, and each of `others`, that ends by itself, and `tell` of it.

        Raises ChildEnded, or what the other raises, where that does not help.
        """
        parts = others | {child.name: child.revive for child in self._children}
        ends: dict[str, list[float]] = {name: [] for name in parts}
        while not self.stop.wait(LOOK_SECONDS):
            for name, revive in parts.items():
                if not revive():
                    continue
                recent = [at for at in ends[name] if at > time.monotonic() - WITHIN_SECONDS]
                ends[name] = [*recent, time.monotonic()]
                if len(ends[name]) >= ENDS:
                    raise self._given_up(name)
                tell(f"{name} had ended and was started again")

    def _given_up(self, name: str) -> StartError:
        what = f"ended {ENDS} times within a minute"
        for child in self._children:
            if child.name == name:
                return child.complaint(what)
        return StartError(f"{name} {what}.")

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
