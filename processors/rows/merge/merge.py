"""Rows into their table: COPY to a staging table, then one statement of the type's .sql per round."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from hashlib import sha1
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

from psycopg import AsyncCursor, errors, sql

from processors.database.one_plan import one_plan
from processors.database.pool import Connection
from processors.database.queries import load
from processors.errors import BatchTooLargeError
from processors.rows.accounting.row_counts import Outcomes
from processors.rows.merge import absent_columns, register
from processors.rows.merge.targets import NULL, Target, detailed, escaped
from processors.rows.model import Row, Rows
from schemas.codec.avro_reader import EPOCH
from schemas.faults import Fault

_NAMESPACE = UUID("9f0b6a52-6f0c-5b8e-9c55-1d0f2b8c7a11").bytes
_VARIANTS = {f"{digit:x}": "89ab"[digit & 3] for digit in range(16)}

# Nested loops over the target's key cost the same whatever its size. The planner has no statistics
# of the staging table, and would sometimes read the whole target instead. Sequential scans stay
# allowed: the staging table can be read in no other way, and before PostgreSQL 18 their penalty
# hides all other costs, so that the planner reads the whole target for each row.
NESTED_LOOPS: LiteralString = (
    "SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)"
)

_STAGED = sql.SQL("""
SELECT columns.*, NULL::uuid AS id, NULL::text AS key, NULL::integer AS round,
    NULL::text AS policy, NULL::timestamptz AS observed_at, NULL::uuid AS import_id,
    NULL::integer AS line, NULL::bigint AS offset_, NULL::integer AS counted,
    NULL::integer AS repeated, NULL::bigint AS resolving, NULL::text[] AS absent
FROM ({columns}) columns
""")
MOST_ROUNDS = 500
"""The most rounds in one transaction. Each is a statement of half a millisecond or more."""


MOST_PASSES = 20
"""The most passes of one round. If rows still conflict then, the batch is tried again."""

_NEXT_PASS, _PARKED, _NAMELESS = "~", "p", "n"
_OFFSETS = "%(offsets)s"
"""Has the statement of a type whose rounds may need several passes."""

Cursor = AsyncCursor[tuple[Any, ...]]


class Origin(NamedTuple):
    """Where rows come from. `parent_ids` are the known ids of parent rows, by key.

    `released`: the rows were parked, and their parent exists.
    """

    topic: str
    partition: int
    parent_ids: Mapping[str, str] = {}
    released: bool = False


@dataclass
class Merged:
    """Outcomes of rows. `parked` rows lack their parent; `rejected` rows come with their fault."""

    outcomes: Outcomes = field(default_factory=Outcomes)
    parked: list[Row] = field(default_factory=list)
    rejected: list[tuple[Row, Fault]] = field(default_factory=list)

    def update(self, other: "Merged") -> None:
        self.outcomes.update(other.outcomes)
        self.parked += other.parked
        self.rejected += other.rejected


@dataclass(frozen=True)
class Staged:
    """Rows in rounds. `places` are those of rows that are applied, `rounds` the round of each;
    `repeats` has the places of the repetitions that count with a row. A key occurs once in a round.
    """

    rows: Rows
    places: Sequence[int]
    rounds: Sequence[int]
    repeats: Mapping[int, Sequence[int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.places)

    def part(self, start: int, end: int) -> "Staged":
        """The applied rows from `start` up to `end`."""
        return replace(self, places=self.places[start:end], rounds=self.rounds[start:end])

    def group(self, place: int) -> Sequence[int]:
        """The places of a row and of its repetitions."""
        return (place, *self.repeats.get(place, ()))

    def size(self) -> int:
        """Rows, with repetitions."""
        return sum(len(self.group(place)) for place in self.places) if self.repeats else len(self)

    @cached_property
    def by_offset(self) -> dict[int, list[Row]]:
        """Rows with their repetitions, by the offset of the last one."""
        groups = map(self.group, self.places)
        return {self.rows.offsets[group[-1]]: [self.rows[i] for i in group] for group in groups}


def stage(rows: Rows) -> Staged:
    """Puts rows in rounds, so that each row meets the result of those before it.

    Most batches have each key once, and one round. Rows that follow each other with the same
    content count as one: a row that is applied twice under its policy changes nothing. Raises
    BatchTooLargeError.
    """
    if len(set(rows.keys)) == len(rows):
        return Staged(rows, range(len(rows)), [0] * len(rows))
    rounds: dict[int, int] = {}
    repeats: dict[int, list[int]] = {}
    latest: dict[str, int] = {}
    columns = (
        rows.import_ids, rows.policies, rows.absent, rows.observed_ms, *rows.values.values()
    )  # fmt: skip
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


def staged_query(columns: LiteralString) -> sql.Composed:
    """What the staging table holds; `columns` is the query of that name of the type's .sql."""
    return _STAGED.format(columns=sql.SQL(columns))


def _create_staging(columns: LiteralString) -> sql.Composed:
    return sql.SQL("CREATE TEMPORARY TABLE staging ON COMMIT DROP AS {} WITH NO DATA").format(
        staged_query(columns)
    )


async def merge(connection: Connection, target: Target, origin: Origin, staged: Staged) -> Merged:
    """Writes rows; raises psycopg.Error if PostgreSQL rejects them.

    The staging table stays until the caller's transaction or savepoint ends: once in each.
    """
    queries = load("processors.rows.merge", target.sql)
    async with connection.pipeline():
        await connection.execute(NESTED_LOOPS)
        await connection.execute(_create_staging(queries["columns"]))
    names, lines = _lines(target, origin, staged)
    into = sql.SQL("COPY staging ({}) FROM STDIN").format(
        sql.SQL(", ").join(map(sql.Identifier, names))
    )
    statement = queries["merge"]
    if target.register_sql and await register.is_needed(connection, target, names, staged.rows):
        statement = load("processors.rows.merge", target.register_sql)["merge"]
    if "absent" in names or not target.details.keys().isdisjoint(names):
        statement = detailed(statement, target)
    if "absent" in names:
        statement = absent_columns.keeping(statement)
    merged = Merged()
    async with connection.cursor() as cursor:
        async with cursor.copy(into) as copy:
            await copy.write(lines)
        del lines  # frees memory while PostgreSQL merges them
        statement = connection.site.complete(statement)
        async with one_plan(connection) if len(set(staged.rounds)) > 1 else nullcontext():
            await _apply(cursor, statement, origin, staged, merged)
    accounted = merged.outcomes.total().total() + len(merged.parked) + len(merged.rejected)
    if accounted != staged.size():
        # Another session deleted a row of the site while it was merged.
        raise errors.SerializationFailure("not every row has an outcome")
    return merged


async def _apply(
    cursor: Cursor, statement: LiteralString, origin: Origin, staged: Staged, merged: Merged
) -> None:
    """Executes the merge statement for each round, and adds what it returns."""
    given = {"topic": origin.topic, "partition": origin.partition, "released": origin.released}
    rounds = [{**given, "round": round_} for round_ in sorted(set(staged.rounds))]
    if len(rounds) > 1 and _OFFSETS not in statement:
        # All at once: a round waits for the one before, but not for us to have its result.
        await cursor.executemany(statement, rounds, returning=True)
        has_more: bool | None = True
        while has_more:
            _add_outcomes(await cursor.fetchall(), staged, merged)
            has_more = cursor.nextset()
        return
    for round_ in rounds:
        offsets: list[int] | None = None
        for _ in range(MOST_PASSES):
            await cursor.execute(statement, {**round_, "offsets": offsets})
            offsets = _add_outcomes(await cursor.fetchall(), staged, merged)
            if not offsets:
                break


def _add_outcomes(results: Sequence[tuple[Any, ...]], staged: Staged, merged: Merged) -> list[int]:
    """Adds the result of a merge statement; returns the offsets that it left for the next pass."""
    next_pass: list[int] = []
    for import_id, outcome, counted, repeated, resolving, *offsets in results:
        if outcome == _NEXT_PASS:
            next_pass += offsets[0]
        elif outcome == _PARKED:
            for offset in offsets[0]:
                merged.parked += staged.by_offset[offset]
        elif outcome == _NAMELESS:
            for offset in offsets[0]:
                merged.rejected += [(row, register.NAMELESS) for row in staged.by_offset[offset]]
        else:
            import_key = None if import_id is None else str(import_id)
            merged.outcomes.add(import_key, outcome, counted, repeated)
            if resolving is not None:
                merged.outcomes.add_resolving(staged.by_offset[resolving], outcome)
    return next_pass


def _lines(target: Target, origin: Origin, staged: Staged) -> tuple[Sequence[str], str]:
    """Names of columns, and their values in COPY's text format."""
    columns = _columns(target, origin, staged)
    rows = map("\t".join, zip(*columns.values(), strict=True))
    return list(columns), "\n".join(rows) + "\n"


def _columns(target: Target, origin: Origin, staged: Staged) -> dict[str, Sequence[str]]:
    """Columns of the staging table that have values, in COPY's text format."""
    rows = staged.rows.take(staged.places)
    offsets, lines = rows.offsets, rows.lines
    counted, sizes = [int(number == 1) for number in rows.occurrences], [1] * len(rows)
    resolves = list(map(bool, rows.resolves))
    if staged.repeats:
        groups = [staged.group(place) for place in staged.places]
        offsets = [staged.rows.offsets[group[-1]] for group in groups]
        lines = [staged.rows.lines[group[-1]] for group in groups]
        counted = [_counted(staged.rows, group) for group in groups]
        sizes = list(map(len, groups))
        resolves = [any(staged.rows.resolves[i] for i in group) for group in groups]
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
    if any(resolves):
        # The outcome of a row that resolves a reject of another import is returned by itself.
        columns["resolving"] = [
            offset if resolving else NULL for offset, resolving in zip(at, resolves, strict=True)
        ]
    if rows.absent.count(None) < len(rows):
        columns["absent"] = [
            NULL if fields is None else f"{{{','.join(fields)}}}" for fields in rows.absent
        ]
    if target.import_type.parent:
        routing = target.import_type.routing
        columns["parent_id"] = [origin.parent_ids.get(routing(key), NULL) for key in rows.keys]
    return columns


def _counted(rows: Rows, group: Sequence[int]) -> int:
    """How many of these are not duplicates: the first of an import, and the first from upstream."""
    if rows.import_ids[group[0]] is None:
        return 1
    return sum(rows.occurrences[i] == 1 for i in group)


def _identifiers(target: Target, keys: Sequence[str]) -> list[str]:
    """UUIDs of version 5 (RFC 9562) of natural keys: the same in every run and after a restore."""
    names = sha1(_NAMESPACE + f"{target.import_type.table}:".encode(), usedforsecurity=False)
    identifiers = []
    for key in keys:
        state = names.copy()
        state.update(key.encode())
        digest = state.hexdigest()
        identifiers.append(f"{digest[:12]}5{digest[13:16]}{_VARIANTS[digest[16]]}{digest[17:32]}")
    return identifiers


def _times(milliseconds: Sequence[int]) -> list[str]:
    # Kafka gives all records of one produced batch the same timestamp: few are different.
    texts = {
        ms: (EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds")
        for ms in set(milliseconds)
    }
    return [texts[ms] for ms in milliseconds]
