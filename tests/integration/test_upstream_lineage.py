"""Rows of upstream topics that name an import: who may, and what becomes of the others."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from processors.errors import ImportUnknownError
from processors.rows.accounting.written import Written
from processors.rows.transaction import write
from processors.rows.upstream_lineage import UpstreamLineage
from tests.integration.test_row_writer import (
    IMPORT,
    OTHER,
    Partition,
    company,
    database,
    line,
    opened,
)

__all__ = ["database"]  # a fixture

PREVIOUS, OWN = "{}", '{"topic": "file-rows.entreprise"}'
AN_HOUR_AGO, YESTERDAY = "now() - interval '2 hours'", "now() - interval '2 days'"


@pytest.fixture
async def log(database: str) -> AsyncIterator[Partition]:
    async with opened(database) as partition:
        yield partition


async def known(
    log: Partition,
    options: str,
    import_id: str = IMPORT,
    created: str = "now()",
    completed: str = "NULL",
) -> None:
    """What the tracker stores of an import."""
    await log.execute(
        f"""
        INSERT INTO ingest.imports (
            id, partition, import_type, file_name, file_sha256, generate_ai_content, header, options,
            created_at, completed_at
        ) VALUES (
            '{import_id}', 0, 'ENTREPRISE', 's.csv', '', false, '[]', '{options}', {created}, {completed}
        )
        """
    )


async def written(log: Partition, upstream: UpstreamLineage) -> Written:
    """Checks and writes the records of the log."""
    batch = log.batch()
    validated = log.validated(batch)
    if imports := validated.imports():
        validated = await upstream.check(log.pool, batch, validated, imports)
    return await write(log.pool, log.target, batch, validated, log.limit)


async def rejects(log: Partition) -> list[tuple[Any, ...]]:
    return await log.query(
        "SELECT \"offset\", import_id, line, settles_import, faults -> 0 ->> 'column' "
        'FROM ingest.rejects ORDER BY "offset"'
    )


@pytest.mark.parametrize(
    ("before", "accepted"),
    [
        pytest.param([], False, id="unknown"),
        pytest.param([(OWN, IMPORT)], False, id="of-this-release"),
        pytest.param([(PREVIOUS, IMPORT)], True, id="of-the-previous-release"),
        pytest.param([(PREVIOUS, IMPORT, "now()", "now()")], True, id="that-ended-now"),
        pytest.param([(PREVIOUS, IMPORT, "now()", AN_HOUR_AGO)], False, id="that-ended"),
        pytest.param(
            [(PREVIOUS, OTHER, YESTERDAY, YESTERDAY), (OWN, OTHER[:-1] + "9")],
            False,
            id="unknown-after-the-upgrade",
        ),
    ],
)
async def test_who_may_name_an_import(
    log: Partition, before: list[tuple[str, ...]], accepted: bool
) -> None:
    """An import of the previous release may, until it has ended. A row of no import always counts."""
    for each in before:
        await known(log, *each)
    log.append(company(1))
    log.append(company(2, **line(1)))
    log.append(company(3, nom=None, **line(2)))

    await written(log, UpstreamLineage())

    assert len(await log.stored()) == 1 + accepted
    assert await log.progress() == ({"inserted": 1, "rejected": 1} if accepted else {})
    if not accepted:
        assert await rejects(log) == [(n, None, None, None, "import") for n in (1, 2)]


async def test_a_sender_resolves_nothing_and_writes_into_no_report(log: Partition) -> None:
    """A row that would resolve a rejected line, and one that reports a line with faults."""
    await known(log, OWN)
    log.append(company(1, nom=None, **line(1)))
    await log.write_all()  # of the file, in its own topic
    await log.execute("UPDATE ingest.positions SET next_offset = 0, topic_id = 'upstream'")
    log.records.clear()
    settles = {"id": IMPORT, "line": 2, "sheet": None}
    log.append(company(2, **line(1, OTHER, settles=settles)))
    fault = {"column": "nom", "code": "malformed", "message": "=1+1"}
    log.append(company(3, nom=None, **line(2, IMPORT, cells=["=1+1"], faults=[fault])))

    await written(log, UpstreamLineage())

    assert await log.progress() == {"rejected": 1}
    assert await log.query("SELECT settled_by FROM ingest.rejects WHERE import_id IS NOT NULL") == [
        (None,)
    ]
    assert [row[1:] for row in await rejects(log) if row[1] is None] == [
        (None, None, None, "import")
    ] * 2


async def test_an_import_that_is_not_stored_yet(log: Partition) -> None:
    """While producers of the previous release run, rows wait for their import, and not for ever."""
    await known(log, PREVIOUS, OTHER)
    log.append(company(1, **line(1)))
    upstream = UpstreamLineage(patience_seconds=0.2)

    with pytest.raises(ImportUnknownError, match=IMPORT):
        await written(log, upstream)
    with pytest.raises(ImportUnknownError, match=IMPORT):
        await written(log, upstream)
    await asyncio.sleep(0.3)
    await written(log, upstream)

    assert await rejects(log) == [(0, None, None, None, "import")]


async def test_an_import_that_comes_while_its_rows_wait(log: Partition) -> None:
    await known(log, PREVIOUS, OTHER)
    log.append(company(1, **line(1)))
    upstream = UpstreamLineage()
    with pytest.raises(ImportUnknownError, match=IMPORT):
        await written(log, upstream)

    await known(log, PREVIOUS)
    await written(log, upstream)

    assert await log.progress() == {"inserted": 1}


async def test_an_import_in_both_topics(log: Partition) -> None:
    """Its producer was upgraded while it ran, and published all again: a row counts once."""
    log.append(company(1, **line(1)))
    log.append(company(2, **line(2)))
    other = replace(log, topic="fox.file-rows.any", records=[])
    await other.begin()
    for number in (1, 2, 3):
        other.append(company(number, **line(number)))

    await log.write(log.batch(0, 1))
    await other.write_all()
    await log.write_all(from_=1)

    assert await log.query(
        "SELECT sum(inserted), sum(duplicate + unchanged + updated) FROM ingest.progress"
    ) == [(3, 0)]
