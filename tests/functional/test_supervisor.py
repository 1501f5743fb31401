"""Children are started, watched and stopped, and never outlive the one who started them."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from shared.settings import ROOT
from shared.supervisor import ChildEnded, Supervisor


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_server(supervisor: Supervisor) -> psutil.Process:
    """A child that answers by HTTP."""
    port = free_port()
    module = ["http.server", str(port), "--bind", "127.0.0.1"]
    before = set(psutil.Process().children())
    supervisor.start("a server", module, {}, ready_url=f"http://127.0.0.1:{port}/")
    (child,) = set(psutil.Process().children()) - before
    return child


def test_children_are_stopped(tmp_path: Path) -> None:
    """After stop_all no child is left."""
    supervisor = Supervisor(tmp_path)
    children = [start_server(supervisor), start_server(supervisor)]
    supervisor.wait_until_ready()
    threading.Timer(0.2, supervisor.stop.set).start()
    supervisor.watch(print)
    supervisor.stop_all()
    assert not any(child.is_running() for child in children)


def test_a_child_that_ends_is_reported_with_its_last_words(tmp_path: Path) -> None:
    """Neither waiting nor watching goes on as if nothing had happened."""
    supervisor = Supervisor(tmp_path)
    supervisor.start("the worker", ["no_such_module"], {}, ready_url="http://127.0.0.1:1/")
    with pytest.raises(
        ChildEnded, match=r"the worker ended with status 1(?s:.*)No module named no_such_module"
    ):
        supervisor.wait_until_ready()
    supervisor.stop_all()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_children_end_with_a_killed_parent(tmp_path: Path) -> None:
    """kill -9 of the supervisor: the kernel ends the children."""
    program = (
        "import sys; from pathlib import Path; from shared.supervisor import Supervisor\n"
        "s = Supervisor(Path(sys.argv[1]))\n"
        "s.start('a server', ['http.server', '0', '--bind', '127.0.0.1'], {})\n"
        "print('started', flush=True); s.watch(print)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "started\n"
        children = psutil.Process(parent.pid).children(recursive=True)
        assert children
        os.kill(parent.pid, signal.SIGKILL)
    gone, alive = psutil.wait_procs(children, timeout=10)
    assert len(gone) == len(children)
    assert not alive
