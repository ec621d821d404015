"""One batch, one transaction: rows, rejects, progress and position, all or nothing.

The order of the steps matters: docs/architecture.md, "The seven steps of a transaction". docs/guarantees.md
lists what holds if a process dies between two of them.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import psycopg

from processors.database.pool import Connection, Pool, transaction
from processors.errors import BatchTooLargeError
from processors.kafka.batch import Batch
from processors.rows.accounting import positions, progress, rejects, resolution
from processors.rows.accounting.cancellation import reject_cancelled, rejected_row
from processors.rows.accounting.reject_limit import RejectLimit
from processors.rows.accounting.row_counts import Outcomes
from processors.rows.accounting.sqlstate import Blame, blame
from processors.rows.accounting.written import Written
from processors.rows.derived import public_pages, text_requests
from processors.rows.merge.isolation import Merge, merge_all, merge_isolating
from processors.rows.merge.merge import Merged, Origin, stage
from processors.rows.merge.targets import Target
from processors.rows.model import Reject, Row, Rows, Validated
from processors.rows.parking import parked_rows
from processors.rows.parking.parked_rows import ChildType, Released
from schemas.faults import Fault
from schemas.import_types import ENTREPRISE, SOUS_CATEGORIE, VILLE, ImportType


@dataclass(frozen=True)
class RelatedRows:
    """Parent and child rows of the rows of a batch.

    `parent_ids` are the known ids of parent rows, by key: the merge looks up the others. `children`
    is the type whose rows wait for these rows.
    """

    parent_ids: Mapping[str, str] = field(default_factory=dict)
    children: ChildType | None = None


NO_RELATED_ROWS = RelatedRows()


async def write(
    pool: Pool,
    target: Target,
    batch: Batch,
    validated: Validated,
    limit: RejectLimit,
    related: RelatedRows = NO_RELATED_ROWS,
) -> Written:
    """Writes a batch. Raises FencedError if it is not the next one, psycopg.Error, RejectLimitError.

    Rows are assumed to be valid. If PostgreSQL rejects a batch, it is written again with savepoints,
    which find the rows at fault: two round trips that other batches do not need.
    """
    await target.ready()
    try:
        return await _write(pool, target, batch, validated, limit, related)
    except psycopg.errors.ForeignKeyViolation:
        # A parent whose id was known is gone: the merge looks all of them up.
        unknown = RelatedRows(children=related.children)
        written = await _write(pool, target, batch, validated, limit, unknown, isolate=True)
        return replace(written, stale_parent_ids=True)
    except psycopg.Error as error:
        if blame(error) is not Blame.ROWS:
            raise
    return await _write(pool, target, batch, validated, limit, related, isolate=True)


def _isolating(pool: Pool) -> Merge:
    return partial(merge_isolating, transaction_seconds=pool.transaction_seconds)


async def _write(
    pool: Pool,
    target: Target,
    batch: Batch,
    validated: Validated,
    limit: RejectLimit,
    related: RelatedRows,
    *,
    isolate: bool = False,
) -> Written:
    merge = _isolating(pool) if isolate else merge_all
    make_pages = public_pages.of_batch_isolating if isolate else public_pages.of_batch
    async with transaction(pool) as connection:
        # Step 1. Take the family lock, then move the position: a batch that is not the next one is fenced.
        async with connection.pipeline():
            await parked_rows.lock_family(connection, target.import_type, batch.partition)
            topic_id = await positions.advance(connection, batch)
        # Step 2. Leave out replays: rows that already have an outcome.
        imports, with_texts = validated.imports(), set[str]()
        if imports:
            watermarks, cancelled, with_texts = await progress.watermarks(
                connection, batch, imports
            )
            validated = validated.without_replays(watermarks)
            if cancelled:
                validated = reject_cancelled(batch, validated, cancelled)
        # Step 3. Write or park the rows; write the parked rows that waited for them, and pages.
        merged, released = Merged(), None
        if validated.rows:
            origin = Origin(batch.topic, batch.partition, related.parent_ids)
            merged = await merge(connection, target, origin, stage(validated.rows))
            most_parked = related.children.most_parked if related.children else None
            await parked_rows.park_within(connection, topic_id, target, batch, merged, most_parked)
            keys = _written_keys(validated.rows, merged)
            released = await _release(connection, related.children, batch.partition, keys, merge)
            if target.import_type is ENTREPRISE:
                await make_pages(connection, batch, validated.rows.keys)
            await _follow(connection, target.import_type, validated.rows, with_texts)
        outcomes = merged.outcomes
        # Step 4. Store rejects, and the values that rows lack.
        rejected = [*validated.rejects, *_rejected_rows(batch, merged.rejected)]
        unexpected = sum(not (reject.found_by_reader or reject.cancelled) for reject in rejected)
        limit.check(len(batch.records), unexpected)
        if rejected:
            await rejects.store(connection, topic_id, rejected)
        _add_rejects(outcomes, rejected)
        _add(outcomes, "parked", merged.parked)
        incomplete = _incomplete_rows(batch, validated, merged)
        if incomplete:
            await rejects.store_dropped(connection, topic_id, incomplete)
            _add(outcomes, "dropped", incomplete)
        # Step 5. Resolve the rejects that written rows replace.
        moves = await _resolve(connection, outcomes)
        # Step 6. Account for all of it.
        if released is not None:
            _count_released(outcomes, validated.rows, released)
        watermarks = validated.watermarks()
        moved = (
            await progress.add(connection, batch.tp, watermarks, outcomes.by_import, moves)
            if watermarks
            else []
        )
        written = await _account(connection, released, related.children)
    # Step 7. Leaving the block commits.
    limit.count(len(batch.records), unexpected)
    return Written(batch.topic, outcomes, rejected, moved, written)


async def write_parked(
    pool: Pool, children: ChildType, partition: int, keys: Sequence[str]
) -> Written | None:
    """Writes parked rows of a partition whose parents exist now. Returns None if there are none.

    Like `write`, except that no position moves. If `more_parked` is set, call it again.
    """
    await children.target.ready()
    most = parked_rows.MOST_RELEASED
    merge: Merge = merge_all
    isolating = _isolating(pool)
    while True:
        try:
            async with transaction(pool) as connection:
                await parked_rows.lock_family(connection, children.target.import_type, partition)
                released = await parked_rows.release(
                    connection, children, partition, keys, most, merge
                )
                return await _account(connection, released, children)
        except BatchTooLargeError:
            most //= 2
        except psycopg.Error as error:
            if blame(error) is Blame.SIZE and most > 1:
                most //= 2
            elif blame(error) is Blame.ROWS and merge is not isolating:
                merge = isolating
            else:
                raise


async def _follow(
    connection: Connection, import_type: ImportType, rows: Rows, with_texts: set[str]
) -> None:
    """Withdraws what is no longer disclosed, requests texts, and notes the cities and sub-categories for
    which pages may wait."""
    if import_type is ENTREPRISE and "P" in rows.values["statut_diffusion"]:
        statuses = zip(rows.keys, rows.values["statut_diffusion"], strict=True)
        await public_pages.withdraw(connection, [key for key, status in statuses if status == "P"])
    if with_texts:
        await text_requests.note(connection, import_type, with_texts, rows.keys)
    if import_type is VILLE:
        await public_pages.arrived(connection, "ville", sorted(set(_places(rows))))
    elif import_type is SOUS_CATEGORIE:
        await public_pages.arrived(connection, "sous-categorie", [None])


def _places(rows: Rows) -> Iterator[str]:
    """The postal codes of cities, and the codes of their communes."""
    yield from rows.values["code_postal_principal"]
    yield from filter(None, rows.values["code_insee"])
    for codes in rows.values["codes_postaux"]:
        yield from codes or ()


def _written_keys(rows: Rows, merged: Merged) -> set[str]:
    """Keys of rows, without those of which every row is parked."""
    if not merged.parked:
        return set(rows.keys)
    return set(Counter(rows.keys) - Counter(row.key for row in merged.parked))


async def _release(
    connection: Connection,
    children: ChildType | None,
    partition: int,
    keys: Collection[str],
    merge: Merge,
) -> Released | None:
    if children is None:
        return None
    try:
        async with connection.transaction():
            return await parked_rows.release(
                connection, children, partition, keys, parked_rows.MOST_RELEASED, merge
            )
    except BatchTooLargeError:
        return None  # the parents are written, and the sweep finds the rows that wait for them


def _count_released(outcomes: Outcomes, rows: Rows, released: Released) -> None:
    """Counts released rows with the import of their parent row."""
    by_parent = released.by_parent()
    for key, import_id in zip(rows.keys, rows.import_ids, strict=True):
        if count := by_parent.pop(key, 0):
            outcomes.by_import[import_id]["released"] += count


async def _account(
    connection: Connection, released: Released | None, children: ChildType | None
) -> Written | None:
    """Stores the rejects among released rows, and moves their counters from parked to their outcome."""
    if released is None or children is None:
        return None
    import_type = children.target.import_type
    rejected = [*released.rejects, *_rejected_rows(released.batch, released.merged.rejected)]
    if rejected:
        await rejects.store(connection, released.topic_id, rejected)
    sirens: list[str] = []
    if import_type is SOUS_CATEGORIE:
        await public_pages.arrived(connection, "sous-categorie", [None])
    else:
        sirens = sorted({row.parent_key for row in released.taken})
        await public_pages.of_batch_isolating(connection, released.batch, sirens)
        await public_pages.withdraw(connection, sirens)
    imports = {row.import_id for row in released.taken if row.import_id is not None}
    if with_texts := await text_requests.imports_with_texts(connection, imports):
        await text_requests.note(connection, import_type, with_texts, sirens)
    outcomes = released.merged.outcomes
    _add(outcomes, "parked", released.merged.parked)
    _add_rejects(outcomes, rejected)
    watermarks: dict[str, int] = {}
    for row in released.taken:
        outcomes.by_import[row.import_id]["parked"] -= 1
        if row.import_id is not None:
            watermarks[row.import_id] = max(row.row_number, watermarks.get(row.import_id, 0))
    moves = await _resolve(connection, outcomes)
    moved = (
        await progress.add(connection, released.batch.tp, watermarks, outcomes.by_import, moves)
        if watermarks
        else []
    )
    return Written(
        released.batch.topic, outcomes, rejected, moved, more_parked=released.more_parked
    )


async def _resolve(connection: Connection, outcomes: Outcomes) -> resolution.Moves:
    """The moves of counters if rows of a retry or a correction were written."""
    return await resolution.resolve(connection, outcomes.by_row) if outcomes.by_row else {}


def _add_rejects(outcomes: Outcomes, rejected: Sequence[Reject]) -> None:
    _add(outcomes, "rejected", [each for each in rejected if not each.cancelled])
    _add(outcomes, "cancelled", [each for each in rejected if each.cancelled])


def _add(outcomes: Outcomes, name: str, rows: Iterable[Row | Reject]) -> None:
    for row in rows:
        outcomes.by_import[row.import_id][name] += 1


def _incomplete_rows(batch: Batch, validated: Validated, merged: Merged) -> list[Reject]:
    """The rows that are written or parked without some of their values."""
    if not validated.dropped:
        return []
    records = {record.offset: record for record in batch.records}
    rejected = {row.offset for row, _ in merged.rejected}
    return [
        rejected_row(records[row.offset], row, validated.dropped[row.offset])
        for row in validated.rows
        if row.offset in validated.dropped and row.offset not in rejected
    ]


def _rejected_rows(batch: Batch, rejected: Sequence[tuple[Row, Fault]]) -> list[Reject]:
    records = {record.offset: record for record in batch.records} if rejected else {}
    return [rejected_row(records[row.offset], row, [fault]) for row, fault in rejected]
