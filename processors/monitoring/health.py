"""What /livez and /readyz answer.

Alive: the event loop turns. Ready: every kind of agent has a place in its group, its tables and
positions, rows that wait are written, and the servers answer. A worker without a partition is
ready: it waits to take one over. The loop writes what the thread that serves HTTP reads.
"""

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic
from typing import NamedTuple, Protocol

from faust.types import TP

BEAT_SECONDS = 1.0

SILENCE_SECONDS = 30.0
"""An event loop that stands still for so long does not come back: above the longest batch."""

STUCK_SECONDS = 300.0
"""Rows that wait while none is written for so long: something is wrong with this worker."""


_STARTING = ["the worker starts"]


class Reading(Protocol):
    """What is asked of processors.kafka.consumer.BatchConsumer."""

    def waits_for(self) -> str | None: ...


class Writing(Protocol):
    """What is asked of processors.monitoring.lag.Lag."""

    def stuck(self, seconds: float) -> Sequence[TP]: ...


class _Watched(NamedTuple):
    kind: str
    consumer: Callable[[], Reading]
    lag: Writing


class Health:
    """Of one process. `watch` registers a kind of agent; `servers` names those that are away."""

    def __init__(self, servers: Callable[[], Sequence[str]] = lambda: ()) -> None:
        self._servers = servers
        self._watched: list[_Watched] = []
        self._beat = monotonic()
        self._begun = False
        self._obstacles = _STARTING

    def watch(self, kind: str, consumer: Callable[[], Reading], lag: Writing) -> None:
        """From now on the kind counts."""
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
        """Takes up how everything stands."""
        self._obstacles = self._found() if self._begun else _STARTING
        self._beat = monotonic()

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

    def silence(self) -> str | None:
        """Why the process has to be started anew; None where it lives."""
        since = monotonic() - self._beat
        return f"the event loop stands still for {since:.0f} s" if since > SILENCE_SECONDS else None

    def obstacles(self) -> list[str]:
        """Why the worker is not ready; empty where it is."""
        silence = self.silence()
        return self._obstacles if silence is None else [silence]
