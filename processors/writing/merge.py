"""Rows into their table: COPY to a staging table, then one statement of the type's .sql a round."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha1
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

from psycopg import errors, sql

from processors.database.pool import Connection
from processors.database.queries import load
from processors.draining import BatchTooLargeError
from processors.judging import Row
from processors.writing.outcomes import Outcomes
from processors.writing.targets import NULL, Target, escaped
from schemas.compiled import EPOCH
from schemas.faults import Fault

_NAMESPACE = UUID("9f0b6a52-6f0c-5b8e-9c55-1d0f2b8c7a11").bytes
_VARIANTS = {f"{digit:x}": "89ab"[digit & 3] for digit in range(16)}

# Nested loops over the target's key cost the same whatever its size. The planner has no statistics
# of the staging table, and would now and then read all of the target instead.
INDEXES_ONLY: LiteralString = (
    "SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),"
    " set_config('enable_seqscan', 'off', true)"
)

_STAGING = sql.SQL("""
CREATE TEMPORARY TABLE staging ON COMMIT DROP AS
SELECT columns.*, NULL::uuid AS id, NULL::text AS key, NULL::integer AS round,
    NULL::text AS policy, NULL::timestamptz AS observed_at, NULL::uuid AS import_id,
    NULL::integer AS line, NULL::bigint AS offset_, NULL::integer AS counted,
    NULL::integer AS repeated, NULL::bigint AS told
FROM ({columns}) columns WITH NO DATA
""")
_OWN_COLUMNS = (
    "id",
    "key",
    "round",
    "policy",
    "observed_at",
    "import_id",
    "line",
    "offset_",
    "counted",
    "repeated",
    "told",
)


MOST_ROUNDS = 100
"""In one transaction: each is a statement of a millisecond or more."""


MOST_PASSES = 20
"""Of one round, before rows that keep getting in each other's way are left to another try."""

_AGAIN, _PARKED = "~", "p"


class Origin(NamedTuple):
    """Where rows come from. `parents` are ids of parents by key, as far as they are known.

    `released`: the rows have waited, and their parent is there.
    """

    topic: str
    partition: int
    parents: Mapping[str, str] = {}
    released: bool = False


@dataclass
class Merged:
    """What became of rows. `parked` lack their parent; `refused` have what is wrong with them."""

    outcomes: Outcomes = field(default_factory=Outcomes)
    parked: list[Row] = field(default_factory=list)
    refused: list[tuple[Row, Fault]] = field(default_factory=list)

    def update(self, other: "Merged") -> None:
        self.outcomes.update(other.outcomes)
        self.parked += other.parked
        self.refused += other.refused


class Staged(NamedTuple):
    """A row with its repetitions. A key has at most one of these in a round."""

    round_: int
    rows: tuple[Row, ...]


def stage(rows: Sequence[Row]) -> list[Staged]:
    """Puts rows in rounds, so that each meets what the ones before it left.

    Most batches have each key once, and one round. Rows that follow each other with the same
    content count as one: applied again under its policy, a row changes nothing. Raises
    BatchTooLargeError.
    """
    if len({row.key for row in rows}) == len(rows):
        return [Staged(0, (row,)) for row in rows]
    staged: list[Staged] = []
    latest: dict[str, int] = {}
    for row in rows:
        place = latest.get(row.key)
        if place is not None and _repeats(staged[place].rows[0], row):
            staged[place] = Staged(staged[place].round_, (*staged[place].rows, row))
        else:
            latest[row.key] = len(staged)
            staged.append(Staged(0 if place is None else staged[place].round_ + 1, (row,)))
    if max(item.round_ for item in staged) >= MOST_ROUNDS:
        raise BatchTooLargeError
    return staged


def _repeats(row: Row, other: Row) -> bool:
    return (row.import_id, row.policy, row.observed_ms, row.values) == (
        other.import_id,
        other.policy,
        other.observed_ms,
        other.values,
    )


async def merge(
    connection: Connection, target: Target, origin: Origin, staged: Sequence[Staged]
) -> Merged:
    """Writes rows; psycopg.Error where PostgreSQL refuses them.

    The staging table stays until the caller's transaction or savepoint ends: once in each.
    """
    queries = load("processors.writing", target.sql)
    async with connection.pipeline():
        await connection.execute(INDEXES_ONLY)
        await connection.execute(_STAGING.format(columns=sql.SQL(queries["columns"])))
    into = sql.SQL("COPY staging ({}) FROM STDIN").format(
        sql.SQL(", ").join(map(sql.Identifier, target.columns() + _own_columns(target)))
    )
    merged = Merged()
    by_offset = {item.rows[-1].offset: item.rows for item in staged}
    async with connection.cursor() as cursor:
        async with cursor.copy(into) as copy:
            await copy.write(_lines(target, origin, staged))
        for round_ in range(max(item.round_ for item in staged) + 1):
            told = {"round": round_, "topic": origin.topic, "partition": origin.partition,
                    "released": origin.released}  # fmt: skip
            again: list[int] | None = None
            for _ in range(MOST_PASSES):
                await cursor.execute(queries["merge"], {**told, "again": again})
                again = _take(await cursor.fetchall(), by_offset, merged)
                if not again:
                    break
    if merged.outcomes.total().total() + len(merged.parked) != sum(len(i.rows) for i in staged):
        # Somebody else deleted a row of the site while it was looked at.
        raise errors.SerializationFailure("not every row has an outcome")
    return merged


def _take(
    answer: Sequence[tuple[Any, ...]], by_offset: Mapping[int, tuple[Row, ...]], merged: Merged
) -> list[int]:
    """Adds what a merge statement did; the offsets of the rows that it left for another pass."""
    again: list[int] = []
    for import_id, outcome, counted, repeated, told, *offsets in answer:
        if outcome == _AGAIN:
            again += offsets[0]
        elif outcome == _PARKED:
            for offset in offsets[0]:
                merged.parked += by_offset[offset]
        else:
            known = None if import_id is None else str(import_id)
            merged.outcomes.add(known, outcome, counted, repeated)
            if told is not None:
                merged.outcomes.tell(by_offset[told], outcome)
    return again


def _own_columns(target: Target) -> tuple[str, ...]:
    return (*_OWN_COLUMNS, "parent_id") if target.import_type.parent else _OWN_COLUMNS


def _lines(target: Target, origin: Origin, staged: Sequence[Staged]) -> str:
    firsts = [rows[0] for _, rows in staged]
    lasts = [rows[-1] for _, rows in staged]
    counted = [_counted(rows) for _, rows in staged]
    keys = [row.key for row in firsts]
    offsets = [str(row.offset) for row in lasts]
    columns: list[Iterable[str]] = [
        *target.texts([row.values for row in firsts]),
        _identifiers(target, keys),
        escaped(keys),
        [str(round_) for round_, _ in staged],
        [row.policy for row in firsts],
        _times([row.observed_ms for row in firsts]),
        [row.import_id or NULL for row in firsts],
        [NULL if row.line is None else str(row.line) for row in lasts],
        offsets,
        map(str, counted),
        [str(len(rows) - count) for (_, rows), count in zip(staged, counted, strict=True)],
        # Of a row that stands for a reject of another import the outcome is asked for.
        [
            offset
            if rows[0].settles or (len(rows) > 1 and any(row.settles for row in rows))
            else NULL
            for offset, (_, rows) in zip(offsets, staged, strict=True)
        ],
    ]
    if target.import_type.parent:
        routing = target.import_type.routing
        columns.append([origin.parents.get(routing(key), NULL) for key in keys])
    return "\n".join(map("\t".join, zip(*columns, strict=True))) + "\n"


def _counted(rows: Sequence[Row]) -> int:
    """How many of these are no duplicates: the first of an import, and the first from upstream."""
    first = rows[0]
    if first.import_id is None:
        return 1
    if len(rows) == 1:
        return int(first.occurrence == 1)
    return sum(row.occurrence == 1 for row in rows)


def _identifiers(target: Target, keys: Sequence[str]) -> list[str]:
    """UUIDs of version 5 (RFC 9562) of natural keys: the same in every run and after a restore."""
    names = sha1(_NAMESPACE + f"{target.import_type.table}:".encode(), usedforsecurity=False)
    found = []
    for key in keys:
        state = names.copy()
        state.update(key.encode())
        digest = state.hexdigest()
        found.append(f"{digest[:12]}5{digest[13:16]}{_VARIANTS[digest[16]]}{digest[17:32]}")
    return found


def _times(milliseconds: Sequence[int]) -> list[str]:
    # Kafka stamps all records of one produced batch alike: few are different.
    texts = {
        ms: (EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds")
        for ms in set(milliseconds)
    }
    return [texts[ms] for ms in milliseconds]
