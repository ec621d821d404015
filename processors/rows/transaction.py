"""One batch, one transaction: rows, rejects, progress and position, all or nothing.

The order of its steps is what promises 1 to 3 of docs/guarantees.md stand on.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import psycopg

from processors.database.pool import Connection, Pool, transaction
from processors.errors import BatchTooLargeError
from processors.kafka.batch import Batch
from processors.rows.accounting import positions, progress, rejects, resolution
from processors.rows.accounting.cancellation import rejected_row, stopped
from processors.rows.accounting.reject_limit import RejectLimit
from processors.rows.accounting.row_counts import Outcomes
from processors.rows.accounting.sqlstate import Blame, blame
from processors.rows.accounting.written import Written
from processors.rows.derived import public_pages, text_requests
from processors.rows.merge.isolation import Merge, merge_all, merge_isolating
from processors.rows.merge.merge import Merged, Origin, stage
from processors.rows.merge.targets import Target
from processors.rows.model import Judged, Reject, Row, Rows
from processors.rows.parking import parked_rows
from processors.rows.parking.parked_rows import Released, Waiting
from schemas.faults import Fault
from schemas.import_types import ENTREPRISE, SOUS_CATEGORIE, VILLE, ImportType


@dataclass(frozen=True)
class Kin:
    """What rows have to do with rows of another type.

    `parents` are ids of parents by key, as far as they are known: those that are not are looked up
    by the merge. `children` wait for these rows.
    """

    parents: Mapping[str, str] = field(default_factory=dict)
    children: Waiting | None = None


ALONE = Kin()


async def write(
    pool: Pool, target: Target, batch: Batch, judged: Judged, limit: RejectLimit, kin: Kin = ALONE
) -> Written:
    """Raises FencedError where the batch is not the next one, psycopg.Error for the server's faults,
    RejectLimitError.

    Batches are taken for good. One that PostgreSQL refuses is written again with savepoints, which
    find its bad rows: two round trips that the others do not pay.
    """
    isolating = _isolating(pool)
    try:
        return await _write(pool, target, batch, judged, limit, kin, merge_all)
    except psycopg.errors.ForeignKeyViolation:
        # A parent that was known is gone: the merge looks them up.
        alone = Kin(children=kin.children)
        written = await _write(pool, target, batch, judged, limit, alone, isolating)
        return replace(written, misled=True)
    except psycopg.Error as error:
        if blame(error) is not Blame.ROWS:
            raise
    return await _write(pool, target, batch, judged, limit, kin, isolating)


def _isolating(pool: Pool) -> Merge:
    return partial(merge_isolating, transaction_seconds=pool.transaction_seconds)


async def _write(
    pool: Pool,
    target: Target,
    batch: Batch,
    judged: Judged,
    limit: RejectLimit,
    kin: Kin,
    merge: Merge,
) -> Written:
    async with transaction(pool) as connection:
        # Step 1. Take the partition's turn, or learn that the batch is not the next one.
        if kin.children or target.import_type.parent:
            await parked_rows.take_turn(connection, batch.partition)
        topic_id = await positions.advance(connection, batch)
        # Step 2. Leave out what an earlier run of a producer has already settled.
        imports, asking = judged.imports(), set[str]()
        if imports:
            settled, cancelled, asking = await progress.watermarks(connection, batch, imports)
            judged = judged.without_replays(settled)
            if cancelled:
                judged = stopped(batch, judged, cancelled)
        # Step 3. Write the rows, what waited for them, and the pages that they bring about.
        merged, freed = Merged(), None
        if judged.rows:
            origin = Origin(batch.topic, batch.partition, kin.parents)
            merged = await merge(connection, target, origin, stage(judged.rows))
            freed = await _release(connection, kin.children, batch.partition, judged.rows, merge)
            if target.import_type is ENTREPRISE:
                await public_pages.of_batch(connection, batch, judged.rows.keys)
            await _announce(connection, target.import_type, judged.rows)
            if asking:
                await text_requests.note(connection, target.import_type, asking, judged.rows.keys)
        outcomes = merged.outcomes
        # Step 4. Keep what cannot be written, or not yet.
        rejected = [*judged.rejects, *_refused(batch, merged.refused)]
        surprising = sum(not (reject.foreseen or reject.cancelled) for reject in rejected)
        limit.check(len(batch.records), surprising)
        await _keep(connection, topic_id, target, batch, rejected, merged)
        # Step 5. Settle the rejects that written rows stand for.
        moves = await _settled(connection, outcomes)
        # Step 6. Account for all of it.
        if freed is not None:
            _credit(outcomes, judged.rows, freed)
        highest = judged.highest()
        moved = (
            await progress.add(connection, batch.tp, highest, outcomes.by_import, moves)
            if highest
            else []
        )
        released = None if freed is None else await _account(connection, freed)
    # Step 7. Leaving the block has committed.
    limit.count(len(batch.records), surprising)
    return Written(outcomes, rejected, moved, released)


async def write_waiting(
    pool: Pool, waiting: Waiting, partition: int, keys: Sequence[str]
) -> Written | None:
    """Writes rows of a partition that wait for these parents, which are there by now; None: no row.

    As `write`, but that no position moves. `left`: call it again.
    """
    most = parked_rows.MOST_RELEASED
    merge: Merge = merge_all
    isolating = _isolating(pool)
    while True:
        try:
            async with transaction(pool) as connection:
                await parked_rows.take_turn(connection, partition)
                freed = await parked_rows.release(connection, waiting, partition, keys, most, merge)
                return freed and await _account(connection, freed)
        except BatchTooLargeError:
            most //= 2
        except psycopg.Error as error:
            if blame(error) is Blame.SIZE and most > 1:
                most //= 2
            elif blame(error) is Blame.ROWS and merge is not isolating:
                merge = isolating
            else:
                raise


async def _announce(connection: Connection, import_type: ImportType, rows: Rows) -> None:
    """Notes cities and sub-categories, which pages may wait for."""
    if import_type is VILLE:
        await public_pages.arrived(connection, "ville", sorted(set(_postal_codes(rows))))
    elif import_type is SOUS_CATEGORIE:
        await public_pages.arrived(connection, "sous-categorie", [None])


def _postal_codes(rows: Rows) -> Iterator[str]:
    yield from rows.values["code_postal_principal"]
    for codes in rows.values["codes_postaux"]:
        yield from codes or ()


async def _release(
    connection: Connection,
    waiting: Waiting | None,
    partition: int,
    rows: Rows,
    merge: Merge,
) -> Released | None:
    if waiting is None:
        return None
    try:
        async with connection.transaction():
            keys = set(rows.keys)
            return await parked_rows.release(
                connection, waiting, partition, keys, parked_rows.MOST_RELEASED, merge
            )
    except BatchTooLargeError:
        return None  # the parents are written, and the sweep finds who waits for them


def _credit(outcomes: Outcomes, rows: Rows, freed: Released) -> None:
    """Counts what waited with the import whose row it waited for."""
    by_parent = freed.by_parent()
    for key, import_id in zip(rows.keys, rows.import_ids, strict=True):
        if count := by_parent.pop(key, 0):
            outcomes.by_import[import_id]["released"] += count


async def _account(connection: Connection, freed: Released) -> Written:
    """Keeps the rejects among rows that have waited, and counts them anew."""
    rejected = [*freed.rejects, *_refused(freed.batch, freed.merged.refused)]
    if rejected:
        await rejects.store(connection, freed.topic_id, rejected)
    await public_pages.arrived(connection, "sous-categorie", [None])
    imports = {row.import_id for row in freed.taken if row.import_id is not None}
    if asking := await text_requests.asking(connection, imports):
        await text_requests.note(connection, SOUS_CATEGORIE, asking, ())
    outcomes = freed.merged.outcomes
    _add(outcomes, "parked", freed.merged.parked)
    _add_rejects(outcomes, rejected)
    highest: dict[str, int] = {}
    for row in freed.taken:
        outcomes.by_import[row.import_id]["parked"] -= 1
        if row.import_id is not None:
            highest[row.import_id] = max(row.number, highest.get(row.import_id, 0))
    moves = await _settled(connection, outcomes)
    moved = (
        await progress.add(connection, freed.batch.tp, highest, outcomes.by_import, moves)
        if highest
        else []
    )
    return Written(outcomes, rejected, moved, left=freed.left)


async def _keep(
    connection: Connection,
    topic_id: str,
    target: Target,
    batch: Batch,
    rejected: Sequence[Reject],
    merged: Merged,
) -> None:
    if rejected:
        await rejects.store(connection, topic_id, rejected)
    if merged.parked:
        await parked_rows.park(connection, topic_id, target, batch, merged.parked)
    _add_rejects(merged.outcomes, rejected)
    _add(merged.outcomes, "parked", merged.parked)


async def _settled(connection: Connection, outcomes: Outcomes) -> resolution.Moves:
    """What moves where rows of a retry or a correction were written."""
    return await resolution.settle(connection, outcomes.by_row) if outcomes.by_row else {}


def _add_rejects(outcomes: Outcomes, rejected: Sequence[Reject]) -> None:
    _add(outcomes, "rejected", [each for each in rejected if not each.cancelled])
    _add(outcomes, "cancelled", [each for each in rejected if each.cancelled])


def _add(outcomes: Outcomes, name: str, rows: Iterable[Row | Reject]) -> None:
    for row in rows:
        outcomes.by_import[row.import_id][name] += 1


def _refused(batch: Batch, refused: Sequence[tuple[Row, Fault]]) -> list[Reject]:
    records = {record.offset: record for record in batch.records} if refused else {}
    return [rejected_row(records[row.offset], row, fault) for row, fault in refused]
