"""A long queue: what the next request costs does not depend on how many wait.

REQUESTS=1000000 .venv/bin/pytest tests/integration/test_enrichment_queue.py tries a million.
"""

import os
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from deploy.local.stack import Stack
from processors.database.queries import load
from tests.fix_stack import new_database

REQUESTS = int(os.environ.get("REQUESTS", "100000"))
MOST_PAGES = 200
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
    """Empty when a test begins, without what the last one left in its indexes."""
    with database.transaction(force_rollback=True):
        database.execute("TRUNCATE ingest.enrichment")
        yield database


def fill(queue: Queue, count: int, **values: Any) -> None:
    known = {"import_id": None, "reason": "import", "priority": 1, "after": 0}
    queue.execute(FILL, {**known, **values, "count": count})


def touched(queue: Queue, *, batched: bool = False, rows: int = 1) -> int:
    """Pages that are touched to lease one request, or to find none."""
    queue.execute("ANALYZE ingest.enrichment")
    values = {
        "import_budget": 1, "lease": uuid4(), "seconds": 60, "import_seconds": 60, "batched": batched,
    }  # fmt: skip
    [(document,)] = queue.execute(
        b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + _SQL["lease"].encode(), values
    ).fetchall()
    plan = document[0]["Plan"]
    assert plan["Actual Rows"] == rows
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def test_the_first_of_many(queue: Queue) -> None:
    """It is found by the index."""
    fill(queue, REQUESTS)

    assert touched(queue) < MOST_PAGES


def use_up(queue: Queue, import_id: UUID) -> None:
    """An import that had no room for a call."""
    values = {"scope": f"import {import_id}"}
    queue.execute(
        "INSERT INTO ingest.ai_budgets (scope, spent, denied) VALUES (%(scope)s, 1, 1)", values
    )


def leased(queue: Queue) -> list[UUID | None]:
    """The imports whose requests are leased."""
    rows = queue.execute("SELECT import_id FROM ingest.enrichment WHERE state = 'running'")
    return [import_id for (import_id,) in rows.fetchall()]


@pytest.mark.parametrize("behind", [UUID(int=1), UUID(int=3), None])
def test_behind_an_import_without_money(behind: UUID | None, queue: Queue) -> None:
    """Whatever comes next is found, not looked for among all that wait for money."""
    poor = UUID(int=2)
    fill(queue, REQUESTS, import_id=poor)
    fill(queue, 10, import_id=behind, after=REQUESTS)
    use_up(queue, poor)

    assert touched(queue) < MOST_PAGES
    assert leased(queue) == [behind]


def test_many_imports_without_money(queue: Queue) -> None:
    """A hundred large imports of which one has money left."""
    for number in range(100):
        fill(queue, REQUESTS // 100, import_id=UUID(int=number))
        if number != 50:
            use_up(queue, UUID(int=number))

    assert touched(queue) < 100 * 20
    assert leased(queue) == [UUID(int=50)]


def test_all_waits_for_money(queue: Queue) -> None:
    """That there is nothing to lease is known as fast."""
    fill(queue, REQUESTS, import_id=UUID(int=2))
    use_up(queue, UUID(int=2))

    assert touched(queue, rows=0) < MOST_PAGES


@pytest.mark.parametrize("poor", [False, True])
def test_the_night_waits_for_its_batch(queue: Queue, *, poor: bool) -> None:
    """What batches will send is not read each time that a caller looks for something else."""
    fill(queue, REQUESTS, reason="missing", priority=2)
    if poor:
        use_up(queue, UUID(int=2))

    assert touched(queue, batched=True, rows=0) < MOST_PAGES
    fill(queue, 1, reason="asked", priority=2, after=REQUESTS)
    assert touched(queue, batched=True) < MOST_PAGES
