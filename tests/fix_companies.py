"""Files of companies, imports of them, and whether each row was written and counted once."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from deploy.local.processes.process import GuardedProcess
from producers.terminal.exits import PARTIAL
from schemas.import_types import ENTREPRISE
from tests.fix_stack import Site, eventually, headers

ROWS = 20_000
REPEATED = 100  # at the end of each file, lines that it had before
FAULTY = 10  # after them


class Companies:
    """Files of companies that no file before them had, and what is in the database of each.

    `files` has the number of valid lines of each.
    """

    def __init__(self, site: Site, folder: Path) -> None:
        self._site = site
        self._folder = folder
        self.files: dict[Path, int] = {}

    def file(self, rows: int = ROWS) -> Path:
        """A new file: so many valid lines, then some of them again, then some faulty ones."""
        number_of_file = len(self.files) + 1
        valid = [
            f"{number_of_file}{number:08d};Entreprise {number};{number % 90000 + 1000:05d}"
            for number in range(rows)
        ]
        faulty = [f"12345;Fausse {number};75001" for number in range(FAULTY)]
        path = self._folder / f"companies{number_of_file}.csv"
        lines = ["siren;nom;code_postal", *valid, *valid[:REPEATED], *faulty]
        path.write_text("\n".join(lines), encoding="utf-8")
        self.files[path] = rows
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
    site.settings = {**site.settings, "FOX_BATCH_ROWS": "1"}
    linger = f"PERFORM pg_advisory_xact_lock(1), pg_sleep({seconds:f})"
    with psycopg.connect(site.database_url) as connection:
        connection.execute(_LINGER.format(linger).encode())
        connection.execute(
            """
            CREATE TRIGGER linger AFTER INSERT ON enterprise_entreprise
                FOR EACH STATEMENT EXECUTE FUNCTION linger()
            """
        )


def hurry(site: Site) -> None:
    """Takes `make_slow` back, without a lock on the table."""
    with psycopg.connect(site.database_url) as connection:
        connection.execute(_LINGER.format("NULL").encode())


_LINGER = """
    CREATE OR REPLACE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            {};
            RETURN NULL;
        END
    $$
    """


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
        TopicPartition(site.prefix + ENTREPRISE.file_topic.name, number)
        for number in range(ENTREPRISE.file_topic.partitions)
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
    topic = site.prefix + ENTREPRISE.file_topic.name
    busy = [
        member
        for member in described.members
        if any(held.topic == topic for held in member.assignment.topic_partitions)
    ]
    return len(busy) == workers


def logged(worker: GuardedProcess, what: str) -> list[dict[str, Any]]:
    """Lines of a worker's log whose action or event this is."""
    lines = worker.launch.log.read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines if line.startswith("{")]
    return [event for event in events if what in (event.get("action"), event.get("event"))]


def finish(site: Site, companies: Companies, command: "subprocess.Popen[bytes]") -> None:
    """Waits until an import ends; whether all is exact, and on the topics too."""
    hurry(site)
    assert command.wait(180) == PARTIAL
    exact(site, companies)


def exact(site: Site, companies: Companies) -> None:
    """Whether each row of each file is written and counted once, and no reject is anything else."""
    for path, rows in companies.files.items():
        assert companies.are_exact(path, rows)
    assert site.query(
        "SELECT count(*), count(*) FILTER (WHERE faults -> 0 ->> 'column' = 'siren')"
        " FROM ingest.rejects"
    ) == [(FAULTY * len(companies.files),) * 2]
    eventually(
        lambda: (
            site.query("SELECT count(*) FROM ingest.rejects WHERE published_at IS NULL") == [(0,)]
        )
    )
    published = {
        headers(message)["ingest.reject_id"].decode() for message in site.messages("rejects")
    }
    assert published == {str(found) for (found,) in site.query("SELECT id FROM ingest.rejects")}
