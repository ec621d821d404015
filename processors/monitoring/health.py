"""Liveness and readiness of a worker, for /livez and /readyz.

Live: the event loop runs, and no kind of agent has been joining its group for minutes while Kafka responds.
Ready: every kind of agent has joined its group and has its tables and
positions, rows that wait are written, and the servers respond. A worker without a partition is
ready: it waits to take one over. The event loop writes what the thread that serves HTTP reads.
"""

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic
from typing import NamedTuple, Protocol

from faust.types import TP

BEAT_SECONDS = 1.0

SILENCE_SECONDS = 30.0
"""An event loop that is blocked for longer does not recover: above the longest batch."""

STUCK_SECONDS = 300.0
"""If rows wait and none is written for longer, something is wrong with this worker."""


JOIN_SECONDS = 300.0
"""A consumer that joins its group for longer does not come back by itself: above the longest rebalance, in
which members have `broker_rebalance_timeout` (60 s) to join, and above the recovery of tables."""

_STARTING = ["the worker starts"]


class Consuming(Protocol):
    """The part of processors.kafka.consumer.BatchConsumer that Health uses."""

    def joins(self) -> bool: ...

    def waits_for(self) -> str | None: ...


class Writing(Protocol):
    """The part of processors.monitoring.lag.Lag that Health uses."""

    def stuck(self, seconds: float) -> Sequence[TP]: ...


class _Watched(NamedTuple):
    kind: str
    consumer: Callable[[], Consuming]
    lag: Writing


class Health:
    """Health of one process. `watch` registers a kind of agent; `servers` returns those that are away."""

    def __init__(self, servers: Callable[[], Sequence[str]] = lambda: ()) -> None:
        self._servers = servers
        self._watched: list[_Watched] = []
        self._beat = monotonic()
        self._begun = False
        self._obstacles = _STARTING
        self._joining: dict[str, float] = {}  # kinds, since when

    def watch(self, kind: str, consumer: Callable[[], Consuming], lag: Writing) -> None:
        """Registers a kind of agent."""
        self._watched.append(_Watched(kind, consumer, lag))

    def begin(self) -> None:
        """All kinds are registered and started."""
        self._begun = True

    async def run(self) -> None:
        """Beats until it is cancelled."""
        while True:
            self.beat()
            await asyncio.sleep(BEAT_SECONDS)

    def beat(self) -> None:
        """Stores the current obstacles."""
        if self._begun:
            self._note_joining()
        self._obstacles = self._found() if self._begun else _STARTING
        self._beat = monotonic()

    def _note_joining(self) -> None:
        # While Kafka is away no consumer can join.
        joining = (
            set()
            if "kafka" in self._servers()
            else {kind for kind, consumer, _ in self._watched if consumer().joins()}
        )
        self._joining = {kind: self._joining.get(kind, monotonic()) for kind in joining}

    def _found(self) -> list[str]:
        found = [f"{server} does not answer" for server in self._servers()]
        for kind, consumer, lag in self._watched:
            waits_for = consumer().waits_for()
            if waits_for is not None:
                found.append(f"{kind} waits for {waits_for}")
            found += [
                f"{kind}: no row of {topic}[{partition}] was written for {STUCK_SECONDS:g} s"
                for topic, partition in lag.stuck(STUCK_SECONDS)
            ]
        return found

    def defect(self) -> str | None:
        """Why the process has to be restarted; None if it is live."""
        since = monotonic() - self._beat
        if since > SILENCE_SECONDS:
            return f"the event loop has not turned for {since:.0f} s"
        for kind, begun in self._joining.items():
            if monotonic() - begun > JOIN_SECONDS:
                return f"{kind} has been joining its group for {monotonic() - begun:.0f} s"
        return None

    def obstacles(self) -> list[str]:
        """Why the worker is not ready; empty if it is."""
        defect = self.defect()
        return self._obstacles if defect is None else [defect]
