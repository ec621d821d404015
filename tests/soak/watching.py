"""What is seen every ten seconds: memory, what waits, and the alerts that fire."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Thread
from time import monotonic

import psutil  # type: ignore[import-untyped]  # it ships no types

from tests.faults.processes import Process
from tests.fix_prometheus import Watcher

SECONDS = 10.0
SCRAPE_SECONDS = 5
FIRING = 'ALERTS{alertstate="firing"}'


@dataclass(frozen=True)
class Sample:
    """Of one moment, `at` seconds after the begin; None what was not there to be seen."""

    at: float
    worker_mb: float | None
    gateway_mb: float | None
    unfinished: float | None
    lag_rows: float | None
    firing: frozenset[str]


class Watch(Thread):
    """Looks until it is told to stop. The processes are asked for anew each time."""

    def __init__(
        self, prometheus: Watcher, worker: Callable[[], Process], gateway: Callable[[], Process]
    ) -> None:
        super().__init__(daemon=True)
        self._prometheus = prometheus
        self._worker = worker
        self._gateway = gateway
        self._began = monotonic()
        self._stopping = Event()
        self.samples: list[Sample] = []
        self.failures: list[str] = []

    def run(self) -> None:
        while not self._stopping.wait(SECONDS - (monotonic() - self._began) % SECONDS):
            try:
                self.samples.append(self._look())
            except Exception as error:  # noqa: BLE001 - told at the end, in the other thread
                self.failures.append(f"not seen at {monotonic() - self._began:.0f} s: {error!r}")

    def stop(self) -> None:
        self._stopping.set()
        self.join(30)

    def fired(self) -> frozenset[str]:
        """The alerts that fired at any time since the begin, by Prometheus' own record."""
        since = round(monotonic() - self._began)
        found = self._prometheus.query(f"max_over_time({FIRING}[{since}s])")
        return frozenset(sample["metric"]["alertname"] for sample in found)

    def _look(self) -> Sample:
        return Sample(
            round(monotonic() - self._began, 1),
            _rss_mb(self._worker()),
            _rss_mb(self._gateway()),
            self._value("fox:imports_unfinished"),
            self._value("sum(fox:consumer_lag_rows)"),
            frozenset(s["metric"]["alertname"] for s in self._prometheus.query(FIRING)),
        )

    def _value(self, promql: str) -> float | None:
        return next(iter(self._prometheus.values(promql)), None)


def _rss_mb(process: Process) -> float | None:
    """Of the process itself, without its children."""
    with suppress(psutil.NoSuchProcess):
        return float(round(psutil.Process(process.guarded.pid).memory_info().rss / 1e6, 1))
    return None
