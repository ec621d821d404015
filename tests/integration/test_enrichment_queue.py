"""A long queue: what the next request costs does not depend on how many wait.

REQUESTS=1000000 .venv/bin/pytest tests/integration/test_enrichment_queue.py tries a million.
"""

import os
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from deploy.local.stack import Stack
from processors.database.queries import load
from tests.fix_stack import new_database

REQUESTS = int(os.environ.get("REQUESTS", "100000"))
MOST_PAGES = 100
"""Pages of 8 KiB that a lease may touch: some levels of some indexes, read and written."""

_SQL = load("processors.texts.requests", "store.sql")

FILL = """
INSERT INTO ingest.enrichment (id, kind, entity_id, import_id, reason, priority, turn, state)
SELECT gen_random_uuid(), 'VILLE', gen_random_uuid(), %(import_id)s::uuid, %(reason)s, %(priority)s,
    %(after)s + n, 'pending'
FROM generate_series(1, %(count)s::integer) n
"""

Queue = psycopg.Connection[Any]


@pytest.fixture(scope="module")
def database(stack: Stack) -> Iterator[Queue]:
    with psycopg.connect(new_database(stack, "queue")) as connection:
        yield connection


@pytest.fixture
def queue(database: Queue) -> Iterator[Queue]:
    """Empty when a test begins."""
    with database.transaction(force_rollback=True):
        yield database


def fill(queue: Queue, count: int, **values: Any) -> None:
    known = {"import_id": None, "reason": "import", "priority": 1, "after": 0}
    queue.execute(FILL, {**known, **values, "count": count})


def touched(queue: Queue) -> int:
    """Pages that are touched to lease one request."""
    queue.execute("ANALYZE ingest.enrichment")
    values = {
        "import_budget": 1, "lease": uuid4(), "seconds": 60, "import_seconds": 60, "batched": False,
    }  # fmt: skip
    [(document,)] = queue.execute(
        b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + _SQL["lease"].encode(), values
    ).fetchall()
    plan = document[0]["Plan"]
    assert plan["Actual Rows"] == 1
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def test_the_first_of_many(queue: Queue) -> None:
    """It is found by the index."""
    fill(queue, REQUESTS)

    assert touched(queue) < MOST_PAGES
