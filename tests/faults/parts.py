"""The parts of a shop as real processes that are killed and come back; used by soak.py."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil

from cart.webhooks.news import HANDLERS
from shared import migrate
from shared.children import die_with_parent
from shared.database import Database, Sessions
from shared.embedded import EmbeddedPostgres
from shared.settings import ROOT, Settings
from shared.supervisor import ChildEnded, Supervisor
from tests.bench.house import HOST, environment, server_process
from tests.faults.town import ANNEX, OWNER
from tests.ports import four_free_ports

T = TypeVar("T")

DATABASE, ONE_BACKEND, RECONCILER = "database", "a database process", "reconciler"
FROZEN = {"shop for a while": "shop", "worker for a while": "worker"}
"""Stopped, not killed: its locks and leases stay, and it goes on later as if nothing had been."""
VICTIMS = ("shop", "worker", "second worker", DATABASE, ONE_BACKEND, RECONCILER, *FROZEN)
SHARED = (sys.executable, "-m", "shared")


class Parts:
    """Database, shop, worker, payment stand-in and mail inbox. Use it from one thread that lives as long as they."""

    def __init__(self, folder: Path) -> None:
        self.logs = folder / "logs"
        self.server = EmbeddedPostgres(folder / "postgres")
        first = four_free_ports()
        names = ("shop", "stand-in", "inbox", "smtp")
        self.ports = {name: first + place for place, name in enumerate(names)}
        self.env = environment(folder, self.server, self.ports) | {
            "DATABASE_URL": self.server.url(),
            "OPERATORS": OWNER,
            "TRUSTED_PROXIES": "1",  # each person has an address of their own, or they would share one limit
        }
        self.kills: Counter[str] = Counter()
        self.ended: list[str] = []
        """Parts that ended without being killed: there must be none."""
        self._folder = folder
        self._lives: Counter[str] = Counter()
        self._running: dict[str, tuple[Supervisor, int]] = {}
        self._reconciler: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> Settings:
        """The shop's settings."""
        return Settings.from_env(self.env)

    def start_database(self) -> None:
        """Start the database, migrated."""
        self.server.start()
        asyncio.run(migrate.upgrade(self.server.url()))

    def start(self) -> None:
        """Start all that is not the database, and wait until it answers."""
        for name in ("inbox", "stand-in", "worker", "second worker", "shop"):
            self._start(name)
        for supervisor, _ in self._running.values():
            supervisor.wait_until_ready()

    def kill(self, name: str) -> None:
        """kill -9, without a word of warning; or SIGSTOP for those in FROZEN."""
        self.kills[name] += 1
        if name == DATABASE:
            self._kill_database()
        elif name == ONE_BACKEND:
            self._kill_one_backend()
        elif name == RECONCILER:
            self._end_reconciler()
        elif name in FROZEN:
            self._signal(FROZEN[name], signal.SIGSTOP)
        else:
            self._signal(name, signal.SIGKILL)
            self._running.pop(name)[0].stop_all()

    def revive(self, name: str) -> None:
        """Start again what was killed. It may take a while to answer; `wait_until_ready` waits for that."""
        if name == DATABASE:
            self.server.start_again()
        elif name == RECONCILER:
            self._start_reconciler()
        elif name in FROZEN:
            self._signal(FROZEN[name], signal.SIGCONT)
        elif name != ONE_BACKEND:  # the server puts that right by itself
            self._start(name)

    def look(self) -> None:
        """Note parts that have ended by themselves, and start them again."""
        for name, (supervisor, _) in list(self._running.items()):
            try:
                supervisor.check()
            except ChildEnded as ended:
                self.ended.append(str(ended))
                self._running.pop(name)[0].stop_all()
                self._start(name)

    def wait_until_ready(self) -> None:
        """Until every part answers, and the reconciler that goes on beside them has finished."""
        if self._reconciler is not None:
            self._reconciler.wait()
        self.look()
        for supervisor, _ in self._running.values():
            supervisor.wait_until_ready()

    def stop(self) -> None:
        """End everything."""
        self._end_reconciler()
        for supervisor, _ in reversed(list(self._running.values())):
            supervisor.stop_all()
        self.server.stop()

    def stripe(self, path: str, **wishes: object) -> Any:
        """Turn a switch of the stand-in (`/_test/…`), or with no wishes read something; None where that fails."""
        address = f"{self.env['STRIPE_API_BASE']}{path}"
        body = json.dumps(wishes).encode() if wishes else None
        request = Request(address, body, {"Authorization": f"Bearer {self.env['STRIPE_SECRET_KEY']}"})  # noqa: S310 - loopback
        try:
            with urlopen(request, timeout=60) as answer:  # noqa: S310 - our own address on loopback
                return json.load(answer)
        except HTTPError as error:
            error.close()
        except (OSError, HTTPException):  # one of its own faults
            pass
        return None

    def in_database(self, work: Callable[[Sessions], Awaitable[T]]) -> T:
        """Do something in the shop's database."""

        async def run() -> T:
            database = Database(self.server.url())
            try:
                return await work(database.sessions)
            finally:
                await database.close()

        return asyncio.run(run())

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """`python -m shared …` in the shop's environment."""
        return subprocess.run(
            [*SHARED, *words],
            env=os.environ | self.env,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    def _signal(self, name: str, number: signal.Signals) -> None:
        if name in self._running:  # the same moment may have killed it
            os.kill(self._running[name][1], number)

    def _start_reconciler(self) -> None:
        """As its hourly job does, and looking at what is very young too; it goes on beside everything else."""
        with (self.logs / "reconciler.log").open("ab") as log:
            self._reconciler = subprocess.Popen(
                [*SHARED, "reconcile", "--commit", "--grace", "1"],
                env=os.environ | self.env,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )

    def _end_reconciler(self) -> None:
        if self._reconciler is not None:
            self._reconciler.kill()
            self._reconciler.wait()
            self._reconciler = None

    def _start(self, name: str) -> None:
        self._lives[name] += 1
        supervisor = Supervisor(self.logs)  # one for each life, so that one may end while the others go on
        pages = {"shop": "health/ready", "inbox": "mail/none"}  # the inbox's first page reads every mail
        ready = None if "worker" in name else f"http://{HOST}:{self.ports[name]}/{pages.get(name, '')}"
        pid = supervisor.start(f"{name} {self._lives[name]}", self._module(name), self.env, ready_url=ready)
        self._running[name] = supervisor, pid

    def _module(self, name: str) -> list[str]:
        port = {part: str(number) for part, number in self.ports.items()}
        if name == "shop":
            return ["shared", "serve", "--bind", f"{HOST}:{port['shop']}"]
        if name == "inbox":
            mails = ["--folder", str(self._folder / "mail")]
            return ["shared.sandbox.inbox", "--port", port["inbox"], "--smtp-port", port["smtp"], *mails]
        if name == "stand-in":
            events = [word for kind in HANDLERS for word in ("--event", kind)]
            webhooks = ["--webhook-url", f"{self.env['PUBLIC_URL']}/webhooks/stripe", *events]
            return ["shared.sandbox.stripe", "--port", port["stand-in"], "--account", ANNEX, *webhooks]
        return ["shared", "worker"]

    def _kill_database(self) -> None:
        server = server_process(self.server)
        family = server.children(recursive=True)
        for process in (server, *family):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family)
        self.server.stop()  # nothing is left to stop: this reaps it

    def _kill_one_backend(self) -> None:
        """One that serves a connection: the server then ends all others too and recovers by itself."""
        with suppress(psutil.NoSuchProcess, FileNotFoundError):  # the whole server may be away
            children = server_process(self.server).children()
            backends = [child for child in children if "[local]" in " ".join(child.cmdline())]
            if backends:
                backends[self.kills[ONE_BACKEND] % len(backends)].kill()
