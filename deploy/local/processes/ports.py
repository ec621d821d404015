"""Free ports of the loopback interface."""

import random
import socket

from deploy.local.errors import LocalStackError

LOOPBACK = "127.0.0.1"
# Below the range that kernels give to outgoing connections: one of those could otherwise take the
# port of a server that is stopped for a moment and must come back on it.
RANGE = range(20_000, 32_000)
ATTEMPTS = 200


def free_port() -> int:
    """A port nobody listens on; raises LocalStackError when none is found."""
    for port in random.sample(RANGE, ATTEMPTS):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise LocalStackError(f"no free port between {RANGE.start} and {RANGE.stop} on {LOOPBACK}")


def accepts(host: str, port: int, timeout_s: float = 1.0) -> bool:
    """Whether something accepts TCP connections there."""
    try:
        socket.create_connection((host, port), timeout_s).close()
    except OSError:
        return False
    return True
