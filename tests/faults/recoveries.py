"""Failures of whole servers, each caused once, with the seconds until the alert and until all is well again.

    python -m tests.faults.recoveries [NAME ...]

Real servers, a worker, an upstream system that goes on sending, and Prometheus with the rules of deploy/.
Writes results/recoveries.json beside this file, of which docs/operations.md has a table. Exit code 1 if a
row is lost.
"""

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import httpx

from deploy.local.processes.ports import free_port
from deploy.local.processes.process import GuardedProcess
from deploy.local.stack import Stack
from schemas.topics import ROW_PARTITIONS
from tests import fix_prometheus, long_run
from tests.fix_prometheus import Watcher
from tests.fix_stack import Site, eventually, prepared
from tests.integration.test_strange_records import COMPANIES, Upstream, siren
from tests.outages.test_kafka_lost import replace_kafka
from tests.outages.test_restore import copied, dumped, restored, restored_in_place
from tests.outages.test_switch_over import replicated
from tests.postgres.servers import debian

RESULTS = Path(__file__).parent / "results" / "recoveries.json"

ROWS = 200
"""Sent before the failure, while it lasts if Kafka takes them, and after it."""

ALERT_SECONDS = 240.0


@dataclass(frozen=True)
class Measured:
    """Seconds from the failure to the alert, and from the repair until all rows are written."""

    alert_seconds: float | None
    recovered_seconds: float
    rows_lost: int


@dataclass
class Scene:
    """A site with one worker. `kept` is what a failure prepares for itself."""

    site: Site
    watcher: Watcher
    worker: GuardedProcess
    sent: int = 0
    kept: Any = None

    def send(self) -> None:
        """Publishes companies that are not there yet."""
        upstream = Upstream(self.site)
        for number in range(self.sent, self.sent + ROWS):
            upstream.send_company(number)
        upstream.flush()
        self.sent += ROWS

    def missing(self) -> int:
        """How many companies are not in the table as they were sent, or are there and were not sent."""
        rows = dict(self.site.query("SELECT siren, nom FROM enterprise_entreprise"))
        sent = {siren(number): f"Entreprise {number}" for number in range(self.sent)}
        return len(sent.items() ^ rows.items())

    def start_worker(self) -> None:
        self.worker = self.site.worker("rows", "imports")

    def ready(self) -> bool:
        port = self.site.settings["FOX_METRICS_PORT"]
        try:
            return httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).is_success
        except httpx.TransportError:
            return False

    def wait_for_alert(self, name: str) -> None:
        firing = f'ALERTS{{alertname="{name}", alertstate="firing"}}'
        eventually(lambda: self.watcher.query(firing), ALERT_SECONDS)


def _nothing(_: Scene) -> None:
    pass


@dataclass(frozen=True)
class Incident:
    """A failure as the table of docs/operations.md has it; `noticed` is what users see of it."""

    name: str
    noticed: str
    command: str
    test: str
    alert: str | None = None


@dataclass(frozen=True)
class Failure:
    """What is caused, and what repairs it."""

    incident: Incident
    cause: Callable[[Scene], None]
    repair: Callable[[Scene], None] = _nothing
    prepare: Callable[[Scene], None] = _nothing

    def measured(self, scene: Scene) -> Measured:
        """Causes and repairs it."""
        self.prepare(scene)
        scene.send()
        eventually(lambda: not scene.missing())
        began = monotonic()
        self.cause(scene)
        alerted = None
        if self.incident.alert is not None:
            scene.wait_for_alert(self.incident.alert)
            alerted = monotonic() - began
        self.repair(scene)
        repaired = monotonic()
        scene.send()
        eventually(lambda: scene.ready() and not scene.missing())
        recovered = monotonic() - repaired
        return Measured(alerted and round(alerted), round(recovered, 1), scene.missing())


def _kill_worker(scene: Scene) -> None:
    scene.worker.kill()
    scene.send()


def _stop_postgres(scene: Scene) -> None:
    scene.site.stack.postgres.stop()
    scene.send()


def _copy_data(scene: Scene) -> None:
    scene.send()
    eventually(lambda: not scene.missing())
    scene.kept = copied(scene.site)


def _dump(scene: Scene) -> None:
    scene.send()
    eventually(lambda: not scene.missing())
    scene.kept = dumped(scene.site)


def _restore_dump(scene: Scene) -> None:
    eventually(lambda: restored_in_place(scene.site, scene.kept))
    assert scene.worker.wait(60) == 2, scene.worker.log_tail()


def _recover_kafka(scene: Scene) -> None:
    replace_kafka(scene.site.stack)
    scene.worker.kill()
    done = scene.site.foxstream_worker("recover")
    assert done.code == 0, done.stderr
    scene.start_worker()


def _truncate(scene: Scene) -> None:
    kafka = scene.site.stack.kafka
    kafka.kill()
    for log in (kafka.data / "logs").glob(f"{scene.site.prefix}{COMPANIES}-*"):
        shutil.rmtree(log)
    kafka.start()


def _accept_positions(scene: Scene) -> None:
    halted = scene.site.query(
        "SELECT topic, partition FROM ingest.positions WHERE halted IS NOT NULL"
    )
    assert len(halted) == ROW_PARTITIONS, halted
    for topic, partition in halted:
        done = scene.site.foxstream_worker("positions", "accept", topic, str(partition))
        assert done.code == 0, done.stderr


def _switch_over(directory: Path, site: Site) -> Measured:
    programs = list(debian().values())[-1]
    directory.chmod(0o755)
    with replicated(site, directory, programs) as pair:
        pair.execute(pair.primary, "ALTER SYSTEM SET default_transaction_read_only = on")
        pair.execute(pair.primary, "SELECT pg_reload_conf()")
        pair.produce(ROWS)
        pair.execute(pair.standby, "SELECT pg_promote()")
        promoted = monotonic()
        eventually(lambda: pair.written(pair.standby) == pair.put)
        recovered = monotonic() - promoted
        return Measured(None, round(recovered, 1), pair.put - pair.written(pair.standby))


SWITCH_OVER = Incident(
    "a standby of PostgreSQL becomes the primary, as planned",
    "imports wait for a moment",
    "none",
    "tests/outages/test_switch_over.py",
)

FAILURES = (
    Failure(
        Incident(
            "a worker is killed, and it is the only one",
            "imports stay where they are",
            "none: a supervisor starts it (`make up`, Kubernetes)",
            "tests/outages/test_deaths.py",
            "FoxNoWorker",
        ),
        _kill_worker,
        Scene.start_worker,
    ),
    Failure(
        Incident(
            "PostgreSQL is away",
            "imports wait for the database; uploads are taken",
            "none",
            "tests/outages/test_database_trouble.py",
            "FoxServerUnreachable",
        ),
        _stop_postgres,
        lambda scene: scene.site.stack.postgres.start(),
    ),
    Failure(
        Incident(
            "Kafka is away",
            "imports wait for Kafka; uploads are taken",
            "none",
            "tests/integration/test_publication.py",
            "FoxServerUnreachable",
        ),
        lambda scene: scene.site.stack.kafka.kill(),
        lambda scene: scene.site.stack.kafka.start(),
    ),
    Failure(
        Incident(
            "PostgreSQL's data directory is set back to an earlier copy",
            "imports since then run once more",
            "none",
            "tests/outages/test_restore.py",
        ),
        lambda scene: restored(scene.site, scene.kept),
        prepare=_copy_data,
    ),
    Failure(
        Incident(
            "a dump is restored while workers run",
            "imports stay where they are; those since the dump then run once more",
            "`foxstream-worker run`, after [the restore](#the-database-was-restored)",
            "tests/outages/test_restore.py",
            "FoxNoWorker",
        ),
        _restore_dump,
        Scene.start_worker,
        _dump,
    ),
    Failure(
        Incident(
            "Kafka is lost with all that it held",
            "imports stay where they are; no state is listed until workers run",
            "`foxstream-worker recover`, see [Kafka was lost](#kafka-was-lost)",
            "tests/outages/test_kafka_lost.py",
            "FoxServerUnreachable",
        ),
        lambda scene: scene.site.stack.kafka.kill(),
        _recover_kafka,
    ),
    Failure(
        Incident(
            "the log of a topic is truncated below the positions",
            "imports of that type stay where they are",
            "`foxstream-worker positions accept`, see [A position is lost](#a-position-is-lost)",
            "tests/outages/test_truncated_logs.py",
            "FoxPositionGap",
        ),
        _truncate,
        _accept_positions,
    ),
)


def _measured(stack: Stack, failure: Failure, watcher: Watcher, port: int) -> Measured:
    """On a site of its own, whose worker serves its metrics at this port."""
    site = prepared(stack, quick=False)
    site.settings = {"FOX_METRICS_PORT": str(port)}
    scene = Scene(site, watcher, site.worker("rows", "imports"))
    try:
        eventually(scene.ready)
        return failure.measured(scene)
    finally:
        site.end()


def _store(name: str, measured: Measured) -> bool:
    """Adds a result to the file; whether every row was there."""
    long_run.report(f"{name}: {measured}")
    known = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({**known, name: asdict(measured)}, indent=1) + "\n", "utf-8")
    return not measured.rows_lost


def main(names: list[str]) -> int:
    """Measures all failures, or those with these names."""
    with (
        long_run.directory(None) as directory,
        Stack(directory / "stack", keep_schemas=True) as stack,
    ):
        port = free_port()
        ports: Mapping[str, list[int]] = {"foxstream-worker": [port], "foxstream-gateway": []}
        watcher = fix_prometheus.started(stack, directory, ports, seconds=5)
        good = [
            _store(failure.incident.name, _measured(stack, failure, watcher, port))
            for failure in FAILURES
            if not names or failure.incident.name in names
        ]
        if not names or SWITCH_OVER.name in names:
            measured = _switch_over(directory, prepared(stack, quick=False))
            good.append(_store(SWITCH_OVER.name, measured))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
