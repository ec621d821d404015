"""A partition's log loses its last records, and their offsets are used again for others."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import httpx
import pytest
from confluent_kafka import murmur2

from deploy.local.processes.ports import free_port
from tests.fix_stack import Site, eventually
from tests.integration.test_strange_records import COMPANIES, PARTITIONS, Upstream, metric, siren

LOST, KEPT = 0, 1
"""The partition whose log is truncated, and one whose log is not."""

READ, UNREAD = 6, 3
"""Records of the lost partition: that stay, and that go."""


class Companies:
    """Rows of companies, and records that are not rows, different ones in each partition."""

    def __init__(self, site: Site) -> None:
        self._upstream = Upstream(site)
        self._numbers = count(1)
        self.sent: dict[int, list[str]] = {LOST: [], KEPT: []}

    def send(self, partition: int, rows: int, *, rejects: int = 1) -> None:
        """Appends rows, and behind them records that are rejected."""
        for _ in range(rows):
            number = next(n for n in self._numbers if home(n) == partition)
            self._upstream.send_company(number)
            self.sent[partition].append(siren(number))
        for _ in range(rejects):
            self._upstream.send(b"key", b"no Avro", partition=partition)
        self._upstream.flush()


def home(number: int) -> int:
    return murmur2(siren(number).encode(), PARTITIONS)


@contextmanager
def stopped(site: Site) -> Iterator[Path]:
    """The folder of the lost partition, while the broker is down."""
    kafka = site.stack.kafka
    kafka.stop()
    try:
        yield kafka.data / "logs" / f"{site.prefix}{COMPANIES}-{LOST}"
    finally:
        kafka.start()


def written(site: Site) -> set[str]:
    return {siren for (siren,) in site.query("SELECT siren FROM enterprise_entreprise")}


def rejects(site: Site) -> int:
    [(number,)] = site.query("SELECT count(*) FROM ingest.rejects")
    return int(number)


def halted(site: Site) -> list[tuple[int, str]]:
    return site.query("SELECT partition, halted FROM ingest.positions WHERE halted IS NOT NULL")


@pytest.mark.parametrize("others", [1, 7], ids=["shorter", "longer"])
def test_a_truncated_log(site: Site, others: int) -> None:
    """Its partition halts, be the log shorter or longer than the position by then, and the others go on.

    Once a person has decided, all records are written that were never read, and no other.
    """
    companies, port = Companies(site), free_port()
    site.settings = {"FOX_METRICS_PORT": str(port), "FOX_HALT_SECONDS": "2"}
    companies.send(LOST, READ)
    with stopped(site) as log:
        copy = shutil.copytree(log, log.parents[1] / f"copy-of-{log.name}")
    companies.send(LOST, UNREAD)
    worker = site.worker("rows")
    eventually(lambda: (len(written(site)), rejects(site)) == (READ + UNREAD, 2))
    worker.stop()

    with stopped(site) as log:
        shutil.rmtree(log)
        copy.rename(log)
    before = written(site)
    companies.send(LOST, others)
    companies.send(KEPT, 2, rejects=0)
    worker = site.worker("rows")

    topic = f"{site.prefix}{COMPANIES}"
    eventually(lambda: metric(port, "fox_partitions_halted", topic) == 1)
    assert f"{topic}[{LOST}] is halted" in httpx.get(f"http://127.0.0.1:{port}/readyz").text
    [(partition, reason)] = eventually(lambda: halted(site))
    command = f"foxstream-worker positions accept {topic} {LOST}"
    assert (partition, reason.endswith(command)) == (LOST, True)
    eventually(lambda: written(site) == before | set(companies.sent[KEPT]))
    assert rejects(site) == 2
    for words, message in (
        ((topic, KEPT), f"{topic}[{KEPT}] is not halted"),
        ((topic, LOST, "--offset", 99), "not 99"),
        ((topic, PARTITIONS), f"PostgreSQL has no position of {topic}[{PARTITIONS}]"),
    ):
        refused = site.foxstream_worker("positions", "accept", *map(str, words))
        assert (refused.code, message in refused.stderr) == (2, True)

    accepted = site.foxstream_worker(*command.split()[1:])

    assert (accepted.code, accepted.stdout) == (
        0,
        f"{topic}[{LOST}] goes on at offset {READ + 1}, not {READ + UNREAD + 2}\n",
    )
    eventually(lambda: written(site) >= set(companies.sent[LOST]))
    eventually(lambda: rejects(site) == 3)
    assert worker.running
    assert halted(site) == []


def test_a_log_that_is_truncated_under_a_worker(site: Site) -> None:
    """Its partition halts although no further record comes, so that a person can decide."""
    companies, port = Companies(site), free_port()
    site.settings = {"FOX_METRICS_PORT": str(port), "FOX_HALT_SECONDS": "2"}
    worker = site.worker("rows")
    companies.send(LOST, READ)
    eventually(lambda: rejects(site) == 1)

    with stopped(site) as log:
        shutil.rmtree(log)
    [(partition, _)] = eventually(lambda: halted(site))
    accepted = site.foxstream_worker(
        "positions", "accept", f"{site.prefix}{COMPANIES}", str(partition)
    )
    companies.send(LOST, 2, rejects=0)

    assert (partition, accepted.code) == (LOST, 0), accepted.stderr
    eventually(lambda: written(site) == set(companies.sent[LOST]))
    assert worker.running
