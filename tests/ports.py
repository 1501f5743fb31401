"""Free ports in a row, for tests that start the parts of a shop.

They lie below those that the system gives to outgoing connections: a part that is started again finds its own free.
"""

import os
import socket


def four_free_ports() -> int:
    """The first of four in a row that nobody listens on."""
    for first in range(20000 + os.getpid() % 10000, 32000, 4):
        probes = [socket.socket() for _ in range(4)]
        try:
            for port, probe in enumerate(probes, first):
                probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        else:
            return first
        finally:
            for probe in probes:
                probe.close()
    raise AssertionError("no four free ports")
