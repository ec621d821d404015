"""Who works in a soak: two workers of all kinds and a gateway, each with its metrics."""

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Literal

from deploy.local.processes.ports import free_port
from tests.faults.processes import Process, Starter
from tests.fix_gateway import Served
from tests.fix_stack import Site
from tests.long_run import worker_ready
from tests.soak.plan import CALLS_A_MINUTE

SETTINGS: Mapping[str, str] = {
    "FOX_AI_REQUESTS_PER_MINUTE": str(CALLS_A_MINUTE),
    "FOX_AI_TOKENS_PER_MINUTE": "1000000",
    "FOX_AI_TIMEOUT_SECONDS": "20",
    "FOX_AI_RETRY_SECONDS": "20",
    "FOX_JOBS_SCHEDULED": "true",
}
"""What is not as by default: texts come faster, and are asked for again sooner."""

GATEWAY = {"FOX_GATEWAY_RETRY_SECONDS": "5"}
"""The default, which the tests' own gateways do not have."""

Name = Literal["steady", "shaken"]


class Crew:
    """`steady` and `shaken` are workers; only the latter has faults. Its own port stays with each."""

    def __init__(self, site: Site, spool: Path) -> None:
        self._starter = Starter(site)
        self._starting = Lock()
        self.ports: dict[Name, int] = {"steady": free_port(), "shaken": free_port()}
        self.served = Served(site, spool, free_port(), dict(GATEWAY))
        self.workers: dict[Name, Process] = {}
        self.gateways: list[Process] = []

    @property
    def processes(self) -> list[Process]:
        """All that were ever started, commands included."""
        return [*self._starter.started, *self.gateways]

    @property
    def gateway(self) -> Process:
        """The one that runs, or the last that did."""
        return self.gateways[-1]

    def start_worker(self, name: Name) -> None:
        port = str(self.ports[name])
        with self._starting:
            process = self._starter.start("worker", ["run"], None, FOX_METRICS_PORT=port)
        self.workers[name] = process

    def ready(self, name: Name) -> bool:
        """Whether this worker does its part."""
        return worker_ready(self.workers[name], self.ports[name])

    def start_gateway(self) -> None:
        """Returns when it is ready."""
        with self._starting:
            self.served.start()
        assert self.served.process is not None
        self.gateways.append(Process("gateway", self.served.process))

    def start_import(self, *words: str | Path) -> Process:
        with self._starting:
            return self._starter.start("foxstream", ["import", *words], None)

    def kill(self) -> None:
        """Ends all of them at once."""
        for process in self.processes:
            process.guarded.kill()
