"""Whatever dies in the middle of an import: every row is written once and accounted for once."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import psycopg
import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from producers.exits import PARTIAL, REFUSED
from schemas.topics import ROWS_ENTREPRISE
from tests.fix_stack import Site, eventually

ROWS = 20_000
REPEATED = 100  # at the end of each file, lines that it had before
FAULTY = 10  # after them


class Companies:
    """Files of companies that no file before them had, and what is in the database of each."""

    def __init__(self, site: Site, folder: Path) -> None:
        self._site = site
        self._folder = folder
        self._files = 0

    def file(self, rows: int = ROWS) -> Path:
        """A new file: so many valid lines, then some of them again, then some faulty ones."""
        self._files += 1
        valid = [
            f"{self._files}{number:08d};Entreprise {number};{number % 90000 + 1000:05d}"
            for number in range(rows)
        ]
        faulty = [f"12345;Fausse {number};75001" for number in range(FAULTY)]
        path = self._folder / f"companies{self._files}.csv"
        lines = ["siren;nom;code_postal", *valid, *valid[:REPEATED], *faulty]
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    def are_exact(self, path: Path, rows: int = ROWS) -> bool:
        """Whether the file became one finished import, with each row written and counted once.

        Fails with the figures where it is finished otherwise.
        """
        states = self._site.query(
            "SELECT id, status, total_rows, inserted, duplicate, rejected, updated + unchanged + stale"
            " FROM ingest.imports WHERE file_name = %s AND completed_at IS NOT NULL",
            path.name,
        )
        if not states:
            return False
        [(import_id, *counts)] = states
        assert counts == ["PARTIAL", rows + REPEATED + FAULTY, rows, REPEATED, FAULTY, 0]
        assert self._site.query(
            "SELECT count(*), count(*) FILTER (WHERE ingest_import_id <> %s) FROM enterprise_entreprise"
            " WHERE siren LIKE %s",
            import_id,
            f"{_number(path)}%",
        ) == [(rows, 0)]
        assert self._site.query(
            "SELECT line FROM ingest.rejects WHERE import_id = %s ORDER BY line", import_id
        ) == [(rows + REPEATED + 2 + at,) for at in range(FAULTY)]
        return True

    def written(self, path: Path) -> int:
        """Rows of the file that are in the table."""
        [(rows,)] = self._site.query(
            "SELECT count(*) FROM enterprise_entreprise WHERE siren LIKE %s", f"{_number(path)}%"
        )
        return int(rows)

    def begun(self, path: Path) -> None:
        """Waits until some rows of the file are written; fails where all are."""
        assert eventually(lambda: self.written(path)) < ROWS, "too fast to die in the middle"


def _number(path: Path) -> str:
    """What the SIREN of a file's companies begin with."""
    return path.stem.removeprefix("companies")


@pytest.fixture
def companies(site: Site, tmp_path: Path) -> Companies:
    return Companies(site, tmp_path)


def make_slow(site: Site, seconds: float) -> None:
    """Transactions with companies come one after another from now on, so far apart, of one fetch."""
    site.settings = {"FOX_BATCH_ROWS": "1"}
    with psycopg.connect(site.database_url) as connection:
        connection.execute(
            f"""
            CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN
                    PERFORM pg_advisory_xact_lock(1), pg_sleep({seconds:f});
                    RETURN NULL;
                END
            $$;
            CREATE TRIGGER linger AFTER INSERT ON enterprise_entreprise
                FOR EACH STATEMENT EXECUTE FUNCTION linger()
            """.encode()
        )


@contextmanager
def importing(site: Site, path: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """`foxstream import` of a file, for as long as the block lasts."""
    command = site.start("import", path, "--type", "entreprise")
    try:
        yield command
    finally:
        command.kill()
        command.wait()


def published(site: Site) -> int:
    """How far the topic of the companies reaches."""
    consumer = Consumer(
        {
            "log_level": 0,
            "bootstrap.servers": site.stack.environment["FOX_KAFKA_BOOTSTRAP"],
            "group.id": "reads-only",
        }
    )
    partitions = [
        TopicPartition(site.prefix + ROWS_ENTREPRISE.name, number)
        for number in range(ROWS_ENTREPRISE.partitions)
    ]
    ends = [consumer.get_watermark_offsets(partition)[1] for partition in partitions]
    consumer.close()
    return sum(ends)


def shared(site: Site, workers: int) -> bool:
    """Whether so many workers have partitions of the companies' topic."""
    admin = AdminClient(
        {"log_level": 0, "bootstrap.servers": site.stack.environment["FOX_KAFKA_BOOTSTRAP"]}
    )
    group = f"{site.prefix}rows"
    try:
        described = admin.describe_consumer_groups([group], request_timeout=60)[group].result()
    except KafkaException:  # nobody has joined yet
        return False
    topic = site.prefix + ROWS_ENTREPRISE.name
    busy = [
        member
        for member in described.members
        if any(held.topic == topic for held in member.assignment.topic_partitions)
    ]
    return len(busy) == workers


def test_workers_that_die_or_sleep_are_succeeded(site: Site, companies: Companies) -> None:
    """By those that share the partitions, or start later; one that wakes up writes nothing twice."""
    make_slow(site, 0.3)
    sleeping, killed, left = site.worker(), site.worker(), site.worker()
    eventually(lambda: shared(site, 3))

    path = companies.file()
    with importing(site, path) as command:
        companies.begun(path)
        sleeping.pause()
        killed.kill()
        assert companies.written(path) < ROWS
        assert command.wait(60) == PARTIAL
    sleeping.resume()
    eventually(lambda: shared(site, 2))
    assert companies.are_exact(path)

    path = companies.file()
    with importing(site, path) as command:
        companies.begun(path)
        sleeping.kill()
        left.kill()
        assert companies.written(path) < ROWS
        site.worker()
        assert command.wait(60) == PARTIAL
    assert companies.are_exact(path)


def test_a_worker_ends_in_order(site: Site, companies: Companies) -> None:
    """After SIGTERM in the middle of an import it exits with 0 in time; its successor finishes."""
    make_slow(site, 0.3)
    worker = site.worker()
    path = companies.file()
    with importing(site, path) as command:
        companies.begun(path)
        told = monotonic()
        worker.stop()
        assert monotonic() - told < 10
        assert worker.returncode == 0
        assert companies.written(path) < ROWS
        site.worker()
        assert command.wait(60) == PARTIAL
    assert companies.are_exact(path)


def test_a_file_that_is_published_again_adds_nothing(site: Site, companies: Companies) -> None:
    """Neither after the death of the command that published it, nor by two commands at once."""
    site.worker()
    rows = 3 * ROWS
    path = companies.file(rows)
    with importing(site, path) as command:
        eventually(lambda: published(site))
        command.kill()
    before = published(site)
    assert 0 < before < rows, "too fast to die in the middle"

    again = site.foxstream("import", path, "--type", "entreprise")

    assert again.code == PARTIAL, again.stderr
    assert published(site) > rows
    assert companies.are_exact(path, rows)

    path = companies.file()
    with importing(site, path) as one, importing(site, path) as other:
        codes = {one.wait(60), other.wait(60)}
    assert codes in ({PARTIAL}, {PARTIAL, REFUSED})  # the later one may find it imported
    assert companies.are_exact(path)


def test_postgresql_may_be_away_for_a_while(site: Site, companies: Companies) -> None:
    """The worker waits for it and goes on by itself; nothing is lost, rejected or written twice."""
    make_slow(site, 0.3)
    worker = site.worker()
    path = companies.file()
    with importing(site, path) as command:
        companies.begun(path)
        written = companies.written(path)
        site.stack.postgres.stop()
        back = monotonic() + 15
        try:
            eventually(lambda: monotonic() > back or not worker.running)
            assert worker.running
            assert command.poll() is None
        finally:
            site.stack.postgres.start()
        assert written < ROWS
        assert command.wait(60) == PARTIAL
    assert companies.are_exact(path)
