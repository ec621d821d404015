"""A real Prometheus with the configuration and rules of deploy/. `apt install prometheus`"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from deploy.local.processes.ports import free_port
from deploy.local.processes.process import GuardedProcess
from deploy.local.stack import Stack

PROMETHEUS = Path(__file__).parents[1] / "deploy" / "prometheus"


@dataclass
class Watcher:
    """A Prometheus."""

    url: str
    process: GuardedProcess

    def query(self, promql: str) -> list[dict[str, Any]]:
        """The samples of the moment; none where it is not there yet."""
        asking = {"query": promql}
        try:
            answer = httpx.get(f"{self.url}/api/v1/query", params=asking, trust_env=False)
        except httpx.TransportError:
            assert self.process.running, self.process.log_tail()
            return []
        if answer.status_code == 503:  # it starts
            return []
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return [sample for sample in found if sample["value"][1] != "NaN"]

    def values(self, promql: str) -> set[float]:
        return {float(sample["value"][1]) for sample in self.query(promql)}


def started(
    stack: Stack, directory: Path, ports: Mapping[str, Sequence[int]], seconds: int
) -> Watcher:
    """Looks every so many seconds at the ports of each job. The caller ends its process."""
    configuration = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
    often = f"{seconds}s"
    configuration["global"] = {"scrape_interval": often, "evaluation_interval": often}
    configuration["rule_files"] = [str(PROMETHEUS / file) for file in configuration["rule_files"]]
    jobs = [job["job_name"] for job in configuration["scrape_configs"]]
    assert set(jobs) == set(ports)
    configuration["scrape_configs"] = [
        {
            "job_name": job,
            "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports[job]]}],
        }
        for job in jobs
    ]
    file = directory / "prometheus.yml"
    file.write_text(yaml.safe_dump(configuration), encoding="utf-8")
    port = free_port()
    process = stack.spawn(
        "prometheus",
        [
            "prometheus",
            f"--config.file={file}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
    )
    return Watcher(f"http://127.0.0.1:{port}", process)
