"""Child processes that never outlive their parent; used by the demo and the embedded PostgreSQL."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1  # linux/prctl.h


class StartError(Exception):
    """A part did not start or did not go on; the command line shows the message, not a traceback."""


def die_with_parent(number: signal.Signals = signal.SIGTERM) -> Callable[[], None] | None:
    """A `preexec_fn` that has the kernel send `number` to the child when its parent ends, even by kill -9.

    Linux only (prctl PR_SET_PDEATHSIG); elsewhere None, and a killed parent leaves its children to be stopped
    by hand. The kernel watches the thread that started the child, so start children from a thread that stays.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up here: after the fork only the call itself is safe
    parent = os.getpid()

    def arrange() -> None:
        prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it died before the kernel was told
            os._exit(1)

    return arrange
