"""The result of validating a batch: rows to write, in columns, and rejects."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from schemas.dropped_value import DroppedValue
from schemas.faults import Fault
from schemas.rejected_line import RejectedLine

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord


class Row(NamedTuple):
    """A valid row. `row_number` is 0 and `import_id` None for a row of an upstream system."""

    offset: int
    key: str
    import_id: str | None
    row_number: int
    line: int | None
    sheet: str | None
    occurrence: int
    policy: str
    observed_ms: int
    values: tuple[Any, ...]  # in the order of the import type's fields
    resolves: RejectedLine | None = None
    absent: Sequence[str] | None = None  # fields that its file has no column for


_row: Callable[[Iterable[Any]], Row] = partial(tuple.__new__, Row)  # without a call in Python


@dataclass(frozen=True)
class Rows:
    """Rows in the order of their offsets, a column for each part of a Row: what applies to all rows
    is done with columns. `values` are columns as well, by the import type's fields.
    """

    offsets: Sequence[int]
    keys: Sequence[str]
    import_ids: Sequence[str | None]
    row_numbers: Sequence[int]
    lines: Sequence[int | None]
    sheets: Sequence[str | None]
    occurrences: Sequence[int]
    policies: Sequence[str]
    observed_ms: Sequence[int]
    values: Mapping[str, Sequence[Any]]
    resolves: Sequence[RejectedLine | None]
    absent: Sequence[Sequence[str] | None]

    def __len__(self) -> int:
        return len(self.offsets)

    def __iter__(self) -> Iterator[Row]:
        values = zip(*self.values.values(), strict=True)
        parts = [values if name == "values" else getattr(self, name) for name in _PARTS]
        return map(_row, zip(*parts, strict=True))

    def __getitem__(self, place: int) -> Row:
        values = tuple(column[place] for column in self.values.values())
        return _row(values if name == "values" else getattr(self, name)[place] for name in _PARTS)

    def take(self, places: Sequence[int]) -> "Rows":
        """The rows at these places, which are in ascending order."""
        if len(places) == len(self):
            return self
        columns = {name: _take(getattr(self, name), places) for name in _PARTS if name != "values"}
        values = {name: _take(column, places) for name, column in self.values.items()}
        return Rows(values=values, **columns)

    def parted(self, kept: Sequence[bool]) -> tuple["Rows", list[Row]]:
        """The rows that are kept, and the others one by one."""
        if all(kept):
            return self, []
        others = [row for row, is_kept in zip(self, kept, strict=True) if not is_kept]
        return self.take([i for i, is_kept in enumerate(kept) if is_kept]), others


_PARTS = [part.name for part in fields(Rows)]


def _take(column: Sequence[Any], places: Iterable[int]) -> list[Any]:
    return [column[place] for place in places]


NO_ROWS = Rows((), (), (), (), (), (), (), (), (), {}, (), ())


class Reject(NamedTuple):
    """A record that is not written, and its faults.

    `found_by_reader`: the reader of its file found the faults. `cancelled`: the row is valid, but its
    import was cancelled. Of a row that is written, `faults` are the values that it lacks.
    """

    record: "ConsumerRecord"
    import_id: str | None
    row_number: int
    line: int | None
    sheet: str | None
    faults: Sequence[Fault] | Sequence[DroppedValue]
    found_by_reader: bool = False
    resolves: RejectedLine | None = None
    cancelled: bool = False


@dataclass(frozen=True)
class Validated:
    """The records of one batch, in order within `rows` and within `rejects`.

    `dropped`: values that rows lack, by offset; it may have offsets of records that are not in `rows`.
    """

    rows: Rows
    rejects: Sequence[Reject]
    dropped: Mapping[int, Sequence[DroppedValue]] = field(default_factory=dict)

    def imports(self) -> set[str]:
        """The ids of all imports that have a record here."""
        ids = {*self.rows.import_ids, *(reject.import_id for reject in self.rejects)}
        return {import_id for import_id in ids if import_id is not None}

    def watermarks(self) -> dict[str, int]:
        """The last row number of each import. No record may be a replay: see without_replays."""
        last: dict[str | None, int] = dict(
            zip(self.rows.import_ids, self.rows.row_numbers, strict=True)
        )
        for reject in self.rejects:
            last[reject.import_id] = max(reject.row_number, last.get(reject.import_id, 0))
        return {import_id: number for import_id, number in last.items() if import_id is not None}

    def without_replays(self, watermarks: Mapping[str, int]) -> "Validated":
        """The records above the watermark of their import: the others already have an outcome.

        Within the batch as well: a producer that died and began again repeats its row numbers.
        """
        rows = self.rows
        highest = dict(watermarks)
        replays = set()
        for offset, import_id, number in sorted(
            [
                *zip(rows.offsets, rows.import_ids, rows.row_numbers, strict=True),
                *((each.record.offset, each.import_id, each.row_number) for each in self.rejects),
            ]
        ):
            if import_id is None:
                continue
            if number <= highest.get(import_id, 0):
                replays.add(offset)
            else:
                highest[import_id] = number
        if not replays:
            return self
        return replace(
            self,
            rows=rows.take([i for i, offset in enumerate(rows.offsets) if offset not in replays]),
            rejects=[reject for reject in self.rejects if reject.record.offset not in replays],
        )
