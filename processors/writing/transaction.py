"""One batch, one transaction: rows, rejects, progress and position, all or nothing.

The order of its steps is what promises 1 to 3 of docs/guarantees.md stand on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from processors.database.pool import Pool, transaction
from processors.draining import Batch
from processors.judging import Judged, Reject, Row
from processors.writing import positions, progress, rejects
from processors.writing.isolate import Merge, merge_all, merge_isolating
from processors.writing.limit import RejectLimit
from processors.writing.merge import stage
from processors.writing.outcomes import Outcomes
from processors.writing.progress import Progress
from processors.writing.sqlstate import Blame, blame
from processors.writing.targets import Target
from schemas.faults import Fault


@dataclass(frozen=True)
class Written:
    """What a transaction did: outcomes with the rejected rows in, and the imports' new progress."""

    outcomes: Outcomes
    rejects: Sequence[Reject]
    progress: Sequence[Progress]


async def write(
    pool: Pool, target: Target, batch: Batch, judged: Judged, limit: RejectLimit
) -> Written:
    """Raises FencedError where the batch is not the next one, psycopg.Error for the server's faults,
    RejectLimitError.

    Batches are taken for good. One that PostgreSQL refuses is written again with savepoints, which
    find its bad rows: two round trips that the others do not pay.
    """
    try:
        return await _write(pool, target, batch, judged, limit, merge_all)
    except psycopg.Error as error:
        if blame(error) is not Blame.ROWS:
            raise
    return await _write(pool, target, batch, judged, limit, merge_isolating)


async def _write(
    pool: Pool, target: Target, batch: Batch, judged: Judged, limit: RejectLimit, merge: Merge
) -> Written:
    async with transaction(pool) as connection:
        # Step 1. Take the partition's turn, or learn that the batch is not the next one.
        topic_id = await positions.advance(connection, batch)
        # Step 2. Leave out what an earlier run of a producer has already settled.
        imports = judged.imports()
        if imports:
            settled = await progress.watermarks(connection, batch, imports)
            judged = judged.without_replays(settled)
        # Step 3. Write the rows.
        outcomes = Outcomes()
        refused: list[tuple[Row, Fault]] = []
        if judged.rows:
            staged = stage(judged.rows)
            outcomes, refused = await merge(connection, target, batch.partition, staged)
        # Step 4. Keep what cannot be written.
        rejected = [*judged.rejects, *_refused(batch, refused)]
        surprising = sum(not reject.foreseen for reject in rejected)
        limit.check(len(batch.records), surprising)
        if rejected:
            await rejects.store(connection, topic_id, rejected)
        for reject in rejected:
            outcomes.by_import[reject.import_id]["rejected"] += 1
        # Step 5. Account for all of it.
        highest = _highest(judged)
        moved = (
            await progress.add(connection, batch, highest, outcomes.by_import) if highest else []
        )
    # Step 6. Leaving the block has committed.
    limit.count(len(batch.records), surprising)
    return Written(outcomes, rejected, moved)


def _refused(batch: Batch, refused: Sequence[tuple[Row, Fault]]) -> list[Reject]:
    records = {record.offset: record for record in batch.records} if refused else {}
    return [
        Reject(records[row.offset], row.import_id, row.number, row.line, row.sheet, [fault])
        for row, fault in refused
    ]


def _highest(judged: Judged) -> dict[str, int]:
    highest: dict[str, int] = {}
    items: list[Row | Reject] = [*judged.rows, *judged.rejects]
    for item in items:
        if item.import_id is not None:
            highest[item.import_id] = max(item.number, highest.get(item.import_id, 0))
    return highest
