"""The embedded PostgreSQL runs wherever a clone is put, and changes nothing outside its own folder."""

import asyncio
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from shared import embedded
from shared.embedded import EmbeddedPostgres
from tests.conftest import plain

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="another user has nobody to hand the server to")


@pytest.fixture
def closed_folder() -> Iterator[Path]:
    """A folder that nobody else may enter, as `mktemp -d` makes it."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def modes_above(path: Path) -> dict[Path, int]:
    """Permissions of all folders above this one."""
    return {parent: stat.S_IMODE(parent.stat().st_mode) for parent in path.parents if parent.exists()}


def ask(server: EmbeddedPostgres, question: str) -> object:
    """The answer to one query."""

    async def answer() -> object:
        connection = await asyncpg.connect(plain(server.url()))
        try:
            return await connection.fetchval(question)
        finally:
            await connection.close()

    return asyncio.run(answer())


def process_of(server: EmbeddedPostgres) -> int:
    return int((server.data / "postmaster.pid").read_text().split()[0])


def test_no_folder_above_changes(closed_folder: Path) -> None:
    """Under a 0700 folder, as root too: it works, and no mode above data or binaries changes (spec: A1)."""
    wanted = closed_folder / "var" / "postgres"
    server = EmbeddedPostgres(wanted, throwaway=True)
    package = embedded.binaries()
    before = modes_above(wanted) | modes_above(server.data) | modes_above(package)
    assert before[closed_folder] == 0o700
    server.start()
    try:
        assert ask(server, "SELECT 1") == 1
        assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
    finally:
        server.stop()
    after = modes_above(wanted) | modes_above(server.data) | modes_above(package)
    assert {path: after[path] for path in before} == before
    server.remove()
    assert not server.data.exists()


@only_root
def test_binaries_are_copied_where_they_cannot_be_reached(closed_folder: Path, open_folder: Path) -> None:
    """A virtual environment under a 0700 folder: the server's user gets a copy it may run."""
    hidden = embedded.copied(embedded.binaries().parents[1], closed_folder / "hidden")
    assert not embedded.open_to_all(hidden / embedded.MAJOR / "bin" / "postgres")
    copy = embedded.copied(hidden, open_folder / "copy")
    assert embedded.open_to_all(copy / embedded.MAJOR / "bin" / "postgres")
    assert stat.S_IMODE(closed_folder.stat().st_mode) == 0o700


def test_data_survives_a_restart_and_no_process_a_stop(closed_folder: Path) -> None:
    """What was written is there after stop and start; stop leaves no process behind."""
    server = EmbeddedPostgres(closed_folder / "postgres", throwaway=True)
    server.start()
    first = process_of(server)
    ask(server, "CREATE TABLE kept AS SELECT 7 AS number")
    server.stop()
    assert not Path(f"/proc/{first}").exists()
    assert not server.answers()
    with embedded.running(closed_folder / "postgres") as again:
        assert ask(again, "SELECT number FROM kept") == 7
        with embedded.running(closed_folder / "postgres") as joined:
            assert ask(joined, "SELECT number FROM kept") == 7
        assert again.answers(), "who joins a running server does not stop it"
    assert not again.answers()
    server.remove()


def test_long_paths(open_folder: Path) -> None:
    """A path too long for a unix socket gets its socket elsewhere, for its owner only."""
    server = EmbeddedPostgres(open_folder / ("long" * 30) / "postgres", throwaway=True)
    server.start()
    try:
        assert ask(server, "SHOW listen_addresses") == ""
        sockets = Path(str(ask(server, "SHOW unix_socket_directories")))
        assert sockets != server.data
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    finally:
        server.stop()
    assert not sockets.exists()


def test_a_broken_data_directory_is_explained(closed_folder: Path) -> None:
    """What PostgreSQL said last is in the message."""
    server = EmbeddedPostgres(closed_folder / "postgres", throwaway=True)
    server.start()
    server.stop()
    (server.data / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(embedded.EmbeddedError, match="incompatible"):
        server.start()
    server.remove()
