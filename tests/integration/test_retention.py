"""What cleaning leaves although it is old enough, without workers: what somebody still needs."""

from collections.abc import Iterator
from datetime import timedelta
from threading import Event
from uuid import UUID, uuid4

import psycopg
import pytest

from processors.jobs.lease import Connection, begin
from processors.jobs.retention import clean
from processors.settings import Settings
from tests.integration.test_row_writer import database

__all__ = ["database"]  # fixtures

OLD = "now() - interval '91 days'"


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    """It commits by itself."""
    with psycopg.connect(database, autocommit=True) as found:
        yield found


def cleaned(connection: Connection) -> dict[str, int]:
    run = begin(connection, "clean", None, Event())
    assert run is not None
    counts = dict(clean(Settings(), run, connection, 10))
    run.end(connection, "done", counts)
    return counts


def ended(connection: Connection, parent: UUID | None = None, days: float = 91) -> UUID:
    """An import that ended so long ago."""
    import_id = uuid4()
    connection.execute(
        """
        INSERT INTO ingest.imports (
            id, partition, import_type, file_name, file_sha256, generate_ai_content, header,
            options, created_at, completed_at, parent
        ) SELECT %s, 0, 'VILLE', 'v.csv', '', false, '[]', '{}', at, at, %s
        FROM (SELECT now() - %s AS at) ended
        """,
        (import_id, parent, timedelta(days=days)),
    )
    return import_id


def imports(connection: Connection) -> set[UUID]:
    return {each for (each,) in connection.execute("SELECT id FROM ingest.imports").fetchall()}


def rejected(
    connection: Connection, published: str, settled: str = "NULL, false", table: str = "rejects"
) -> None:
    """An old reject, or an old row that lacks values."""
    connection.execute(
        f"""
        INSERT INTO ingest.{table} (
            id, topic, partition, "offset", appended_at, headers, faults, rejected_at,
            published_at, settled_by, settled_told
        ) VALUES (gen_random_uuid(), 't', 0, 0, {OLD}, '[]', '[]', {OLD}, {published}, {settled})
        """.encode()
    )


@pytest.mark.parametrize("table", ["rejects", "dropped_values"])
@pytest.mark.parametrize(
    ("published", "settled", "gone"),
    [
        ("now()", "NULL, false", True),
        ("now()", "gen_random_uuid(), true", True),
        ("NULL", "NULL, false", False),
        ("now()", "gen_random_uuid(), false", False),
    ],
)
def test_rejects(
    connection: Connection, published: str, settled: str, gone: bool, table: str
) -> None:
    """One that Kafka has not got stays, and one of which it has not heard that it is settled."""
    rejected(connection, published, settled, table)

    assert cleaned(connection).get(table, 0) == gone


@pytest.mark.parametrize(("days", "gone"), [(92, True), (1, False)])
def test_an_import_with_a_retry(connection: Connection, days: float, gone: bool) -> None:
    """It stays as long as its retry, whose rows settle its rejects."""
    parent = ended(connection, days=200)
    child = ended(connection, parent, days)

    cleaned(connection)

    assert imports(connection) == (set() if gone else {parent, child})


def test_an_import_with_a_retry_that_goes_on(connection: Connection) -> None:
    parent = ended(connection)
    child = ended(connection, parent)
    connection.execute("UPDATE ingest.imports SET completed_at = NULL WHERE id = %s", (child,))

    cleaned(connection)

    assert imports(connection) == {parent, child}


def test_an_import_that_somebody_writes(connection: Connection, database: str) -> None:
    """A tracker has it at this moment: it is left for the next time, and holds nothing up."""
    busy = ended(connection)
    ended(connection)
    with psycopg.connect(database) as tracker:
        tracker.execute("SELECT FROM ingest.imports WHERE id = %s FOR UPDATE", (busy,))
        connection.execute("SET lock_timeout = '5s'")

        assert cleaned(connection) == {"imports": 1}
        assert imports(connection) == {busy}

    assert cleaned(connection) == {"imports": 1}


def test_an_import_that_is_forgotten_again(connection: Connection) -> None:
    """It came back, and is old again: the log is told once more."""
    import_id = ended(connection)
    connection.execute(
        f"INSERT INTO ingest.forgotten VALUES (%s, 0, {OLD}, now(), 7)".encode(), (import_id,)
    )

    cleaned(connection)

    assert connection.execute("SELECT published_at, published_offset FROM ingest.forgotten").fetchall() == [
        (None, 7)
    ]  # fmt: skip


def test_progress_of_an_import_that_goes_on(connection: Connection) -> None:
    """However long ago its last row was written: its watermark keeps rows from counting twice."""
    import_id = ended(connection)
    connection.execute("UPDATE ingest.imports SET completed_at = NULL")
    for each in (import_id, uuid4()):
        connection.execute(
            "INSERT INTO ingest.progress (import_id, topic, partition, updated_at)"
            f" VALUES (%s, 't', 0, {OLD})".encode(),
            (each,),
        )

    assert cleaned(connection) == {"progress": 1}

    assert connection.execute("SELECT import_id FROM ingest.progress").fetchall() == [(import_id,)]


def test_a_tombstone_that_is_not_published(connection: Connection) -> None:
    connection.execute(
        f"INSERT INTO ingest.forgotten VALUES (gen_random_uuid(), 0, {OLD}, NULL),"
        f" (gen_random_uuid(), 0, {OLD}, {OLD})".encode()
    )

    assert cleaned(connection) == {"forgotten": 1}
