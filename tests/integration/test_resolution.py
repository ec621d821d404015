"""Rejects that rows of children settle, without Kafka: each once, however many want to at once."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
from faust.types import TP

from processors.database.pool import transaction
from processors.rows.accounting import resolution
from processors.rows.outbox import Outbox
from schemas.codec.framing import Encoder
from tests.integration.test_row_writer import (
    IMPORT,
    OTHER,
    Partition,
    _waits,
    company,
    database,
    line,
    log,
)

__all__ = ["database", "log"]  # fixtures

THIRD = "1c8a2d8f-2b1b-5e66-9a64-0ab073f4d222"


def standing(number: int, child: str, parent: str = IMPORT, sheet: str | None = None) -> Any:
    """Ties a row of a child to a line of its parent, which was rejected."""
    tie = line(1, child)["import"]
    return {"import": {**tie, "settles": {"id": parent, "line": number, "sheet": sheet}}}


async def settles(log: Partition, import_id: str) -> int:
    [(count,)] = await log.query(
        "SELECT coalesce(sum(settles), 0) FROM ingest.progress WHERE import_id = %s", import_id
    )
    return int(count)


async def settled_by(log: Partition) -> list[tuple[Any, ...]]:
    return await log.query(
        "SELECT import_id::text, line, settled_by::text FROM ingest.rejects ORDER BY 1, 2"
    )


async def test_a_reject_is_settled_once(log: Partition) -> None:
    """By the first row that stands for it: the parent's counters move by one, the second settles
    nothing."""
    log.append(company(1, None, **line(1)))
    log.append(company(1, **standing(2, OTHER)))
    log.append(company(1, **standing(2, THIRD)))

    await log.write_all(1, 2)

    assert await log.progress() == Counter(inserted=1)
    assert [await settles(log, child) for child in (OTHER, THIRD)] == [1, 0]
    assert await settled_by(log) == [(IMPORT, 2, OTHER)]


async def test_two_that_settle_a_reject_at_once(log: Partition) -> None:
    """The later one waits, and finds it settled."""
    log.append(company(1, None, **line(1)))
    await log.write_all()
    log.append(company(1, **standing(2, OTHER)))
    async with log.pool.connection() as earlier, earlier.transaction():
        await earlier.execute(
            f"UPDATE ingest.rejects SET settled_by = '{THIRD}', settled_at = now()".encode()
        )
        writing = asyncio.create_task(log.write(log.batch(1)))
        while not await _waits(log):
            assert not writing.done()

    await writing

    assert await settles(log, OTHER) == 0
    assert await settled_by(log) == [(IMPORT, 2, THIRD)]


@pytest.mark.parametrize(
    ("number", "sheet", "parent"), [(3, None, IMPORT), (2, "Sud", IMPORT), (2, None, THIRD)]
)
async def test_a_row_that_stands_for_another_line(
    log: Partition, number: int, sheet: str | None, parent: str
) -> None:
    """Another line, sheet or import than the reject's settles nothing."""
    log.append(company(1, None, **line(1)))
    log.append(company(1, **standing(number, OTHER, parent, sheet)))

    await log.write_all(1)

    assert await settled_by(log) == [(IMPORT, 2, None)]
    assert await log.progress() == Counter(rejected=1)


async def test_a_retry_of_a_retry(log: Partition) -> None:
    """It settles the reject of the retry and with it that of the first import, for which it counts
    as nothing: it is no retry of that."""
    log.append(company(1, None, **line(1)))
    log.append(company(1, None, **standing(2, OTHER)))
    log.append(company(1, **standing(2, THIRD, OTHER)))

    await log.write_all(1, 2)

    assert await settled_by(log) == [(OTHER, 2, THIRD), (IMPORT, 2, THIRD)]
    assert await log.progress() == Counter(inserted=1)
    assert await log.progress(OTHER) == Counter(inserted=1)
    assert [await settles(log, import_id) for import_id in (IMPORT, OTHER, THIRD)] == [0, 0, 1]


# Rows that come before the reject that they stand for, as after a restore


async def early(log: Partition) -> None:
    log.append(company(1, **standing(2, OTHER)))
    log.append(company(1, None, **line(1)))
    await log.write_all(1)


async def resolve_late(log: Partition) -> Mapping[str, resolution.Moves]:
    async with transaction(log.pool) as connection:
        return await resolution.resolve_late(connection)


async def test_a_row_before_its_reject(log: Partition) -> None:
    """It is remembered, and settles the reject when that has come; once."""
    await early(log)
    assert await log.progress() == Counter(rejected=1)

    outbox = Outbox(log.pool, None, Encoder("import_event", 1), "fox.", list[TP])  # type: ignore[arg-type]
    for _ in range(2):
        await outbox._resolve_late()

    assert await settled_by(log) == [(IMPORT, 2, OTHER)]
    [(rejected, inserted)] = await log.query(
        "SELECT sum(rejected), sum(inserted) FROM ingest.progress WHERE import_id = %s", IMPORT
    )
    assert (rejected, inserted, await settles(log, OTHER)) == (0, 1, 1)


async def test_a_row_whose_reject_is_there_is_not_remembered(log: Partition) -> None:
    log.append(company(1, None, **line(1)))
    log.append(company(1, **standing(2, OTHER)))
    await log.write_all(1)

    assert await log.query("TABLE ingest.settled_early") == []


async def test_two_that_settle_what_was_early_at_once(log: Partition) -> None:
    """Each worker looks after it: who comes second passes it over, and neither waits."""
    await early(log)

    async with log.pool.connection() as earlier, earlier.transaction():
        first = await resolution.resolve_late(earlier)
        second = await resolve_late(log)

    assert first == {log.topic: {IMPORT: {"rejected": -1, "inserted": 1}, OTHER: {"settles": 1}}}
    assert second == {}
    assert await resolve_late(log) == {}
    assert UUID(OTHER) in {
        each for (each,) in await log.query("SELECT settled_by FROM ingest.rejects")
    }
