"""What watches foxstream: a real Prometheus on a real run, and health while something is missing."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from pathlib import Path
from shutil import which
from typing import Any
from uuid import uuid4

import httpx
import pytest
from faust.types import TP
from prometheus_client import REGISTRY

from deploy.grafana import overview
from deploy.local.processes.ports import free_port
from deploy.local.stack import Stack
from processors.database.pool import open_pool
from processors.monitoring import gauges
from processors.texts.model import call_limits
from tests.collector import Collector, attributes, collecting
from tests.fix_gateway import Served, companies
from tests.fix_prometheus import Watcher, started
from tests.fix_stack import Site, eventually, prepared

NO_CALL = "nobody asks a model"
NO_DATA = {
    "fox:ai_cost:increase1d": NO_CALL,
    "60 * sum by (outcome) (rate(fox_enrichment_requests_total[5m]))": NO_CALL,
    "sum by (kind) (increase(fox_ai_cost_total[1d]))": NO_CALL,
    "max by (import) (fox_ai_import_cost_dollars)": NO_CALL,
    "histogram_quantile(0.95, sum by (le) (rate(fox_ai_call_seconds_bucket[5m])))": NO_CALL,
    "histogram_quantile(0.95, sum by (le) (rate(fox_ai_permit_seconds_bucket[5m])))": NO_CALL,
    "60 * sum by (code) (rate(fox_ai_failures_total[5m]))": NO_CALL,
    "60 * sum by (reason) (rate(fox_ai_rejected_total[5m]))": NO_CALL,
    "60 * sum by (direction) (rate(fox_ai_tokens_total[5m]))": NO_CALL,
    "sum by (topic) (rate(fox_batch_retries_total[5m]))": "no server fails",
}
"""Queries of panels that such a run has no data for, and why."""


TYPES = {"rows.sous-categorie": "SOUS_CATEGORIE", "rows.ville": "VILLE"}


def told(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def note(site: Site, total: int, settled: int, minutes: int, ended: bool, **more: Any) -> None:
    """An import of the first partition that was submitted so long ago, and what became of its rows."""
    of = uuid4()
    values = {
        "id": of, "partition": 0, "import_type": "VILLE", "file_name": "x", "file_sha256": "x",
        "generate_ai_content": False, "header": "[]", "options": "{}", "total_rows": total,
        "status": "SUCCESS" if ended else "PROCESSING", **more,
    }  # fmt: skip
    names, marks = ", ".join(values), ", ".join(["%s"] * len(values))
    site.execute(
        f"INSERT INTO ingest.imports ({names}, created_at, completed_at) VALUES ({marks}, "
        "now() - %s * interval '1 minute', CASE WHEN %s THEN now() - %s * interval '1 minute' END)",
        *values.values(), minutes, ended, minutes,
    )  # fmt: skip
    site.execute(
        "INSERT INTO ingest.progress (import_id, topic, partition, inserted) VALUES "
        "(%s, 'rows.ville', 0, %s), (%s, 'rows.ville', 1, 1)",
        of, settled - 1, of,
    )  # fmt: skip


async def test_imports_as_postgresql_has_them(site: Site) -> None:
    """The oldest that goes on and is not paused; rows without an outcome, or with one too many."""
    async with open_pool(site.database_url, 1) as pool:
        look = partial(gauges.look_at_imports, pool, lambda: [TP("imports.events", 0)])
        note(site, 10, 10, 5, ended=True)
        note(site, 10, 5, 20, ended=False)  # rows are to come
        note(site, 10, 10, 30, ended=False, partition=1)  # another worker's
        note(site, 10, 10, 90, ended=False, status="PAUSED")
        await look()
        assert told("fox_accounting_drift_rows") == 0
        assert told("fox_import_oldest_unfinished_seconds") == pytest.approx(1200, abs=60)

        note(site, 10, 8, 5, ended=True)
        note(site, 10, 13, 5, ended=True)
        note(site, 10, 14, 5, ended=False)
        note(site, 10, 9, 3 * 1440, ended=True)  # of long ago: the nightly check has told
        note(site, 10, 9, 5, ended=True, error='{"code": "x", "message": "x"}')  # was not read
        await look()
        assert told("fox_accounting_drift_rows") == 2 + 3 + 4

        site.execute("DELETE FROM ingest.imports")
        await look()
        assert told("fox_accounting_drift_rows") == 0
        assert told("fox_import_oldest_unfinished_seconds") == 0


async def test_rows_that_wait_for_others(site: Site) -> None:
    """Of the partitions that are held; 0 where there are none any more."""
    site.execute(
        'INSERT INTO ingest.parked (topic_id, topic, partition, "offset", appended_at, key, value, '
        "headers, number, parent_key, parent_name) SELECT 'x', 'rows.sous-categorie', n % 3, n, now(), "
        "'', '', '[]', 0, 'x', 'x' FROM generate_series(1, 30) n"
    )
    held = [TP("rows.sous-categorie", 0), TP("rows.sous-categorie", 1), TP("rows.ville", 0)]
    async with open_pool(site.database_url, 1) as pool:
        await gauges.look_at_parked(pool, lambda: held, TYPES)
        assert told("fox_rows_parked", type="SOUS_CATEGORIE") == 20
        assert told("fox_rows_parked", type="VILLE") == 0

        site.execute("DELETE FROM ingest.parked")
        await gauges.look_at_parked(pool, lambda: held, TYPES)
        assert told("fox_rows_parked", type="SOUS_CATEGORIE") == 0


async def test_the_share_of_a_budget(site: Site) -> None:
    """Of this day and month by UTC, whatever the server's time zone; only where there is a limit."""
    today = datetime.now(UTC)
    site.execute(
        "INSERT INTO ingest.ai_budgets VALUES (%s, 0.75), (%s, 3)",
        f"day {today:%Y-%m-%d}", f"month {today:%Y-%m}",
    )  # fmt: skip
    budgets = {"day": Decimal(1), "month": Decimal(0), "import": Decimal(1)}
    some = call_limits.Limits("model", 1, 1, 60.0, 1, 60.0, 5, 60.0, budgets, "of tests")
    async with open_pool(site.database_url, 1) as pool, pool.connection() as connection:
        assert await call_limits.used(connection, some) == {"day": 0.75, "month": 1.0}
        unlimited = replace(some, budgets={})
        assert await call_limits.used(connection, unlimited) == {}

    late = datetime(2026, 5, 31, 23, 30, tzinfo=UTC).astimezone(timezone(timedelta(hours=2)))
    assert call_limits.scopes(None, late) == {"day": "day 2026-05-31", "month": "month 2026-05"}


@dataclass
class Running:
    """A worker and a gateway, with what they need."""

    served: Served
    worker: int  # its port
    collector: Collector

    @property
    def worker_url(self) -> str:
        return f"http://127.0.0.1:{self.worker}"


@pytest.fixture(scope="module")
def running(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    site = prepared(stack)
    port = free_port()
    with collecting() as collector:
        site.settings = {
            "FOX_METRICS_PORT": str(port),
            "FOX_AI_BUDGET_DAY": "1",
            "FOX_OTLP_ENDPOINT": collector.url,
            "NO_PROXY": "127.0.0.1",
        }
        site.worker()
        spool = tmp_path_factory.mktemp("watched") / "spool"
        served = Served(site, spool, free_port()).start()
        yield Running(served, port, collector)
        served.close()
        site.end()


def asked(url: str) -> tuple[int, dict[str, Any]]:
    """Status and document of a /readyz; 0 where nobody answers."""
    try:
        answer = httpx.get(f"{url}/readyz", trust_env=False, timeout=30)
    except httpx.TransportError:
        return 0, {}
    return answer.status_code, answer.json()


@pytest.fixture
def watcher(running: Running, tmp_path: Path) -> Iterator[Watcher]:
    """Prometheus, told where this run is."""
    ports = {"foxstream-worker": [running.worker], "foxstream-gateway": [running.served.port]}
    found = started(running.served.site.stack, tmp_path, ports, seconds=1)
    yield found
    found.process.kill()


@pytest.mark.skipif(
    which("prometheus") is None,
    reason="PROMETHEUS IS MISSING: no panel is tried out. apt install prometheus",
)
def test_each_panel_has_data(running: Running, watcher: Watcher) -> None:
    """Of one import with rejects; what can have none is listed, and has none. No alert fires."""
    eventually(lambda: watcher.query("fox_imports_total") and watcher.query("fox_gateway_ready"))
    accepted = running.served.upload("societes.csv", companies(1, 500, faulty=20))
    assert accepted.status_code == 202, accepted.text
    assert running.served.ended(accepted.json()["id"])["status"] == "PARTIAL"

    document = json.loads(overview.FILE.read_text(encoding="utf-8"))
    queries = [
        target["expr"] for panel in document["panels"] for target in panel.get("targets", ())
    ]
    assert len(queries) > 30
    assert set(queries) > set(NO_DATA)
    for query in queries:
        if query not in NO_DATA:
            eventually(partial(watcher.query, query))
    assert {query for query in NO_DATA if watcher.query(query)} == set()

    eventually(lambda: watcher.values("sum(fox_rows_total)") == {520})
    eventually(lambda: watcher.values("fox:imports_success:ratio1h") == {1})
    eventually(lambda: watcher.values("fox:partitions_unread") == {0})
    eventually(lambda: watcher.values("fox:accounting_drift_rows") == {0})
    eventually(lambda: watcher.values("fox_server_reachable") == {1})
    eventually(lambda: watcher.values("fox:consumer_lag_rows") == {0})
    assert watcher.query('ALERTS{alertstate="firing"}') == []


def test_the_way_of_an_import_is_traced(running: Running, tmp_path: Path) -> None:
    """By a command and by the gateway: a span each, to which those of its batches link."""
    site, collector = running.served.site, running.collector
    file = tmp_path / "societes.csv"
    file.write_bytes(companies(10_001, 50))
    words = ("import", file, "--type", "ENTREPRISE", "--json", "--force")
    by_command = site.foxstream(*words).json()["id"]
    accepted = running.served.upload("autres.csv", companies(11_001, 60, faulty=5), force="true")
    by_gateway = accepted.json()["id"]
    running.served.ended(by_gateway)

    def traced(import_id: str) -> bool:
        sent = {
            span.span_id
            for span in collector.spans(f"send {site.prefix}file-rows.entreprise")
            if attributes(span)["foxstream.import.id"] == import_id
        }
        linked = {
            link.span_id
            for span in collector.spans(f"process {site.prefix}file-rows.entreprise")
            for link in span.links
        }
        return len(sent) == 1 and sent <= linked

    eventually(lambda: traced(by_command))
    eventually(lambda: traced(by_gateway))
    sirens = site.query("SELECT siren FROM enterprise_entreprise")
    assert len(sirens) >= 110
    assert not [body for body in collector.bodies for (siren,) in sirens if siren.encode() in body]


def test_servers_that_do_not_answer(running: Running) -> None:
    """The worker is not ready and names them; the gateway names them and goes on."""
    stack = running.served.site.stack
    eventually(lambda: asked(running.worker_url) == (200, {"ready": True, "waiting_for": []}))
    paused = [stack.kafka, stack.registry, stack.postgres]
    for server in paused:
        server.pause()
    try:
        silent = [f"{name} does not answer" for name in ("kafka", "postgresql", "registry")]
        eventually(lambda: set(silent) <= set(asked(running.worker_url)[1]["waiting_for"]))
        assert asked(running.worker_url)[0] == 503
        assert httpx.get(f"{running.worker_url}/livez", trust_env=False).status_code == 200
        eventually(lambda: asked(running.served.url)[1]["away"] == ["kafka", "registry"])
        assert asked(running.served.url)[0] == 200
    finally:
        for server in paused:
            server.resume()
    eventually(lambda: asked(running.worker_url)[0] == 200)
    eventually(lambda: asked(running.served.url)[1]["away"] == [])


def test_a_spool_that_takes_no_files(running: Running) -> None:
    """The gateway is not ready, and says why, until it does; then it publishes, without a restart."""
    served = running.served
    for name in ("incoming", "pending"):
        folder = served.spool / name
        eventually(lambda: asked(served.url)[0] == 200)
        folder.rename(served.spool / "elsewhere")
        try:
            eventually(lambda: asked(served.url)[0] == 503)
            [why] = asked(served.url)[1]["waiting_for"]
            assert why.startswith("Le spool n'accepte aucun fichier")
            assert httpx.get(f"{served.url}/livez", trust_env=False).text == "ok\n"
        finally:
            (served.spool / "elsewhere").rename(folder)

    eventually(lambda: asked(served.url)[0] == 200)
    accepted = served.upload("encore.csv", companies(12_001, 10))
    assert served.ended(accepted.json()["id"])["status"] == "SUCCESS"
