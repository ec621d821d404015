"""Faults of the servers, each in a thread, and when they were."""

import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from time import time

from deploy.local.servers.server import Server
from deploy.local.stack import Stack
from tests.faults.faults import Fault

AFTERMATH_SECONDS = 30.0
"""So long after a server is back something may still fail because it was away."""


@dataclass
class Outage:
    """What is away, a server or something else: `ended` is None as long as it is."""

    what: str
    began: float
    ended: float | None = None

    def explains(self, moment: float) -> bool:
        """Whether it was away then, or had been until a moment before."""
        return self.began - 1 < moment and (
            self.ended is None or moment < self.ended + AFTERMATH_SECONDS
        )


class Outages:
    """`seen` is called with each fault that did happen, in the thread of the fault."""

    def __init__(self, stack: Stack, seen: Callable[[Fault], None]) -> None:
        self._servers: dict[str, Server] = {
            "postgres": stack.postgres,
            "kafka": stack.kafka,
            "registry": stack.registry,
        }
        self._seen = seen
        self._pool = ThreadPoolExecutor(len(self._servers))
        self._futures: list[Future[None]] = []
        self.all: list[Outage] = []

    def away(self, server: str) -> bool:
        """Whether a server is away now."""
        return any(outage.what == server and outage.ended is None for outage in self.all)

    def near(self, moment: float) -> bool:
        """Whether a server was away at that time or a moment before."""
        return any(outage.explains(moment) for outage in self.all)

    def begin(self, fault: Fault) -> None:
        """Takes a server away that is there, for the seconds that the fault says."""
        outage = Outage(fault.kind.target, time())
        self.all.append(outage)
        self._futures.append(self._pool.submit(self._run, fault, outage))

    def wait(self) -> None:
        """Returns when all servers are back; raises what has gone wrong with them."""
        for future in self._futures:
            future.result()
        self._futures.clear()

    def close(self) -> None:
        self._pool.shutdown()

    def _run(self, fault: Fault, outage: Outage) -> None:
        server = self._servers[fault.kind.target]
        pid = server.pid
        try:
            if fault.kind.action == "restore":
                _restore(server, fault.kind.seconds)
                self._seen(fault)
                return
            if fault.kind.action == "stop":
                server.pause()
            elif fault.kind.action == "kill":
                server.kill()
            else:
                server.stop()
            if pid is not None and (fault.kind.action == "stop" or server.pid is None):
                self._seen(fault)
            Event().wait(fault.kind.seconds)
            if fault.kind.action == "stop":
                server.resume()
            else:
                server.start()
        finally:
            outage.ended = time()


def _restore(server: Server, seconds: float) -> None:
    """Sets a server back to a copy of its data, so many seconds after it was made."""
    copy = server.data.with_name(f"{server.data.name}.copy")
    server.stop()
    subprocess.run(["cp", "-a", server.data, copy], check=True)
    server.start()
    Event().wait(seconds)
    server.stop()
    shutil.rmtree(server.data)
    copy.rename(server.data)
    server.start()
