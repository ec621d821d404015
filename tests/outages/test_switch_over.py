"""A standby of PostgreSQL becomes the primary while workers write."""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import psycopg
import pytest
from confluent_kafka import Producer
from faust.types import TP
from psycopg.errors import ReadOnlySqlTransaction

from deploy.local.local_settings import server_environment
from deploy.local.processes.process import GuardedProcess
from deploy.local.servers import unprivileged
from processors.database.migrator import migrate
from processors.database.pool import Connection, Pool, open_pool
from processors.errors import UnreachableError
from processors.kafka.topic_identity import Identity
from processors.rows.accounting.positions import StoredPositions
from tests.fix_companies import logged
from tests.fix_stack import Site, eventually
from tests.postgres.servers import OtherPostgres, debian


class Standby(OtherPostgres):
    """A copy of another server, which it follows."""

    def __init__(self, directory: Path, programs: Path, primary: OtherPostgres) -> None:
        super().__init__(directory, programs)
        self._primary = primary

    def _initialise(self, programs: Path, owner: unprivileged.Owner | None) -> None:
        self.data.mkdir(mode=0o700, parents=True)
        user, group = owner or (None, None)
        if user is not None and group is not None:
            os.chown(self.data, user, group)
        inside = unprivileged.seen_from_inside(self.data, owner)
        subprocess.run(
            [programs / "pg_basebackup", "-R", "-c", "fast", "-D", inside, "-d", self._primary.url],
            cwd=self.data,
            env=server_environment(),
            check=True,
            user=user,
            group=group,
            extra_groups=None if owner is None else [],
        )


@dataclass
class Pair:
    """A worker, and the two servers that its URL names."""

    site: Site
    primary: OtherPostgres
    standby: Standby
    worker: GuardedProcess
    put: int = 0

    def produce(self, records: int) -> None:
        """Records, each of which becomes a reject."""
        bootstrap = self.site.stack.environment["FOX_KAFKA_BOOTSTRAP"]
        producer = Producer({"log_level": 0, "bootstrap.servers": bootstrap})
        for number in range(self.put, self.put + records):
            producer.produce(f"{self.site.prefix}rows.entreprise", str(number).encode())
        assert producer.flush(60) == 0
        self.put += records

    def execute(self, server: OtherPostgres, statement: str) -> None:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def written(self, server: OtherPostgres) -> int:
        """How many records were accounted for, each once."""
        with psycopg.connect(server.url) as connection:
            counts = "SELECT count(*), count(DISTINCT id) FROM ingest.rejects"
            [(rows, ids)] = connection.execute(counts).fetchall()
        assert rows == ids
        return int(rows)


@pytest.fixture
def pair(site: Site) -> Iterator[Pair]:
    found = debian()
    if not found:
        pytest.skip("NO POSTGRESQL OF DEBIAN: nothing is switched over. apt install postgresql")
    programs = list(found.values())[-1]
    with TemporaryDirectory() as folder:
        # PostgreSQL 15 has to reach its data as the user that it runs as.
        Path(folder).chmod(0o755)
        with replicated(site, Path(folder), programs) as both:
            yield both


@contextmanager
def replicated(site: Site, folder: Path, programs: Path) -> Iterator[Pair]:
    """The worker runs, and the standby has what it wrote. Ends all three."""
    primary = OtherPostgres(folder / "one", programs)
    standby = Standby(folder / "two", programs, primary)
    try:
        primary.start()
        subprocess.run(
            [sys.executable, "-m", "tests.django_site", primary.url, "--python-defaults"],
            check=True,
        )
        migrate(primary.url)
        standby.start()
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in (primary, standby))
        site.settings = {"FOX_DATABASE_URL": f"postgresql://foxstream@{hosts}/foxstream"}
        pair = Pair(site, primary, standby, site.worker("rows"))
        pair.produce(10)
        eventually(lambda: pair.written(standby) == 10)
        yield pair
    finally:
        site.kill()
        standby.stop()
        primary.stop()


def ready(worker: GuardedProcess) -> bool:
    """Whether /readyz says so."""
    [served] = logged(worker, "metrics_served")
    asked = httpx.get(f"http://127.0.0.1:{served['port']}/readyz", trust_env=False)
    return asked.status_code == 200


def test_a_planned_switch_over(pair: Pair) -> None:
    """The old primary stays up and takes no writes: its connections are dropped, and the worker goes on."""
    pair.execute(pair.primary, "ALTER SYSTEM SET default_transaction_read_only = on")
    pair.execute(pair.primary, "SELECT pg_reload_conf()")
    pair.produce(10)
    eventually(lambda: not ready(pair.worker))
    pair.execute(pair.standby, "SELECT pg_promote()")

    eventually(lambda: pair.written(pair.standby) == 20)
    eventually(lambda: ready(pair.worker))
    assert pair.written(pair.primary) == 10
    assert pair.worker.running
    assert not logged(pair.worker, "position_went_back")


def test_a_standby_that_lacks_the_latest_rows(pair: Pair) -> None:
    """It is promoted after the primary is lost: Kafka has what it lacks, and the worker writes it again."""
    pair.standby.stop()
    pair.produce(10)
    eventually(lambda: pair.written(pair.primary) == 20)
    pair.primary.kill()
    pair.standby.start()
    assert pair.written(pair.standby) == 10
    pair.execute(pair.standby, "SELECT pg_promote()")

    eventually(lambda: pair.written(pair.standby) == 20)
    pair.produce(5)
    eventually(lambda: pair.written(pair.standby) == 25)
    assert pair.worker.running


async def test_positions_are_not_read_from_a_standby(pair: Pair) -> None:
    """It may lag behind, and a worker would take that for a database that was restored."""
    identity = Identity("cluster", "id", 4)
    tp = TP(f"{pair.site.prefix}rows.entreprise", 0)

    async def identify(_: Iterable[str]) -> Mapping[str, Identity]:
        return {tp.topic: identity}

    async with Pool(pair.standby.url, min_size=1, connection_class=Connection, open=False) as pool:
        pool.transaction_seconds = 8
        stored = StoredPositions(pool, {tp.topic: identity}, identify)
        with pytest.raises(ReadOnlySqlTransaction):
            await stored.read([tp])
        with pytest.raises(UnreachableError):
            await stored.restore({tp: 0})


async def test_a_pool_opens_no_connection_to_a_standby(pair: Pair) -> None:
    """Whichever of the two the URL names first."""
    hosts = f"127.0.0.1:{pair.standby.port},127.0.0.1:{pair.primary.port}"
    async with (
        open_pool(f"postgresql://foxstream@{hosts}/foxstream", 1) as pool,
        pool.connection() as connection,
    ):
        assert connection.info.port == pair.primary.port
    with pytest.raises(UnreachableError, match="read-only"):
        async with open_pool(pair.standby.url, 1):
            pass
