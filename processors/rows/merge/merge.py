"""Rows into their table: COPY to a staging table, then one statement of the type's .sql a round."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from hashlib import sha1
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

from psycopg import errors, sql

from processors.database.pool import Connection
from processors.database.queries import load
from processors.errors import BatchTooLargeError
from processors.rows.accounting.row_counts import Outcomes
from processors.rows.merge.targets import NULL, Target, escaped
from processors.rows.model import Row, Rows
from schemas.codec.avro_reader import EPOCH
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


@dataclass(frozen=True)
class Staged:
    """Rows in rounds. `places` are those of rows that are applied, `rounds` the round of each;
    `repeats` has the places of the repetitions that count with one. A key has at most one in a round.
    """

    rows: Rows
    places: Sequence[int]
    rounds: Sequence[int]
    repeats: Mapping[int, Sequence[int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.places)

    def part(self, start: int, end: int) -> "Staged":
        """From one of the applied rows up to another."""
        return replace(self, places=self.places[start:end], rounds=self.rounds[start:end])

    def group(self, place: int) -> Sequence[int]:
        """The places of a row and of its repetitions."""
        return (place, *self.repeats.get(place, ()))

    def size(self) -> int:
        """Rows, with repetitions."""
        return sum(len(self.group(place)) for place in self.places) if self.repeats else len(self)

    @cached_property
    def by_offset(self) -> dict[int, list[Row]]:
        """Rows with their repetitions by the last one's offset."""
        groups = map(self.group, self.places)
        return {self.rows.offsets[group[-1]]: [self.rows[i] for i in group] for group in groups}


def stage(rows: Rows) -> Staged:
    """Puts rows in rounds, so that each meets what the ones before it left.

    Most batches have each key once, and one round. Rows that follow each other with the same
    content count as one: applied again under its policy, a row changes nothing. Raises
    BatchTooLargeError.
    """
    if len(set(rows.keys)) == len(rows):
        return Staged(rows, range(len(rows)), [0] * len(rows))
    rounds: dict[int, int] = {}
    repeats: dict[int, list[int]] = {}
    latest: dict[str, int] = {}
    columns = (rows.import_ids, rows.policies, rows.observed_ms, *rows.values.values())
    content = list(zip(*columns, strict=True))
    for place, key in enumerate(rows.keys):
        before = latest.get(key)
        if before is not None and content[before] == content[place]:
            repeats.setdefault(before, []).append(place)
        else:
            latest[key] = place
            rounds[place] = 0 if before is None else rounds[before] + 1
    if max(rounds.values()) >= MOST_ROUNDS:
        raise BatchTooLargeError
    return Staged(rows, list(rounds), list(rounds.values()), repeats)


async def merge(connection: Connection, target: Target, origin: Origin, staged: Staged) -> Merged:
    """Writes rows; psycopg.Error where PostgreSQL refuses them.

    The staging table stays until the caller's transaction or savepoint ends: once in each.
    """
    queries = load("processors.rows.merge", target.sql)
    async with connection.pipeline():
        await connection.execute(INDEXES_ONLY)
        await connection.execute(_STAGING.format(columns=sql.SQL(queries["columns"])))
    names, lines = _lines(target, origin, staged)
    into = sql.SQL("COPY staging ({}) FROM STDIN").format(
        sql.SQL(", ").join(map(sql.Identifier, names))
    )
    merged = Merged()
    async with connection.cursor() as cursor:
        async with cursor.copy(into) as copy:
            await copy.write(lines)
        del lines  # which would stay while PostgreSQL merges them
        for round_ in range(max(staged.rounds) + 1):
            told = {"round": round_, "topic": origin.topic, "partition": origin.partition,
                    "released": origin.released}  # fmt: skip
            again: list[int] | None = None
            for _ in range(MOST_PASSES):
                await cursor.execute(queries["merge"], {**told, "again": again})
                again = _take(await cursor.fetchall(), staged, merged)
                if not again:
                    break
    if merged.outcomes.total().total() + len(merged.parked) != staged.size():
        # Somebody else deleted a row of the site while it was looked at.
        raise errors.SerializationFailure("not every row has an outcome")
    return merged


def _take(answer: Sequence[tuple[Any, ...]], staged: Staged, merged: Merged) -> list[int]:
    """Adds what a merge statement did; the offsets of the rows that it left for another pass."""
    again: list[int] = []
    for import_id, outcome, counted, repeated, told, *offsets in answer:
        if outcome == _AGAIN:
            again += offsets[0]
        elif outcome == _PARKED:
            for offset in offsets[0]:
                merged.parked += staged.by_offset[offset]
        else:
            known = None if import_id is None else str(import_id)
            merged.outcomes.add(known, outcome, counted, repeated)
            if told is not None:
                merged.outcomes.tell(staged.by_offset[told], outcome)
    return again


def _lines(target: Target, origin: Origin, staged: Staged) -> tuple[Sequence[str], str]:
    """Names of columns, and their values as COPY's text format wants them."""
    columns = _columns(target, origin, staged)
    rows = map("\t".join, zip(*columns.values(), strict=True))
    return list(columns), "\n".join(rows) + "\n"


def _columns(target: Target, origin: Origin, staged: Staged) -> dict[str, Sequence[str]]:
    """Columns of the staging table that have anything in them, as COPY's text format wants them."""
    rows = staged.rows.take(staged.places)
    offsets, lines = rows.offsets, rows.lines
    counted, sizes = [int(number == 1) for number in rows.occurrences], [1] * len(rows)
    settle = list(map(bool, rows.settles))
    if staged.repeats:
        groups = [staged.group(place) for place in staged.places]
        offsets = [staged.rows.offsets[group[-1]] for group in groups]
        lines = [staged.rows.lines[group[-1]] for group in groups]
        counted = [_counted(staged.rows, group) for group in groups]
        sizes = list(map(len, groups))
        settle = [any(staged.rows.settles[i] for i in group) for group in groups]
    at = list(map(str, offsets))
    columns: dict[str, Sequence[str]] = {
        **target.texts(rows.values),
        "id": _identifiers(target, rows.keys),
        "key": escaped(rows.keys),
        "round": list(map(str, staged.rounds)),
        "policy": rows.policies,
        "observed_at": _times(rows.observed_ms),
        "import_id": [import_id or NULL for import_id in rows.import_ids],
        "line": [NULL if line is None else str(line) for line in lines],
        "offset_": at,
        "counted": list(map(str, counted)),
        "repeated": [str(size - count) for size, count in zip(sizes, counted, strict=True)],
    }
    if any(settle):
        # Of a row that stands for a reject of another import the outcome is asked for.
        columns["told"] = [
            offset if asked else NULL for offset, asked in zip(at, settle, strict=True)
        ]
    if target.import_type.parent:
        routing = target.import_type.routing
        columns["parent_id"] = [origin.parents.get(routing(key), NULL) for key in rows.keys]
    return columns


def _counted(rows: Rows, group: Sequence[int]) -> int:
    """How many of these are no duplicates: the first of an import, and the first from upstream."""
    if rows.import_ids[group[0]] is None:
        return 1
    return sum(rows.occurrences[i] == 1 for i in group)


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
