"""What an import of a file would find, without importing it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from producers.imports.identity import as_understood, parent_of
from producers.imports.order import Beside
from producers.reading import FileRow, Options, RefusedError, Source, open_source
from producers.settings import settings
from schemas.dropped_value import foreseen
from schemas.faults import Fault
from schemas.import_types import ImportType
from schemas.records import ImportState

_EXAMPLES = 20
_PREVIEW = 10


def preview_of(
    path: Path,
    import_type: ImportType,
    options: Options = Options(),  # noqa: B008 - it is frozen
    states: Callable[[Source], Mapping[str, ImportState]] = lambda _: {},
) -> dict[str, Any]:
    """The answer of a check; gateway/api/documents.py lists its keys. A refusal leaves the counts at 0.

    `preview` holds the records of the first rows that are valid, `dropped` the first values that would not
    be stored although their rows would; `dropped_rows` counts all such rows. `already_imported` is None:
    it is not in the file. `corrects` is the import that a correction corrects; if it is among `states`, the
    columns are as it had them. `blank_cells`, by field, are those that the policy `overwrite` would clear.
    `ai_estimate` is what the texts of its rows would cost. Raises OSError
    if the file cannot be read.
    """
    found: dict[str, Any] = {
        "file_name": path.name,
        "import_type": import_type.name,
        "refusal": None,
        **dict.fromkeys(("format", "encoding", "delimiter", "sheet", "header_line")),
        "mapping": {},
        "unknown_columns": [],
        **dict.fromkeys(_COUNTS, 0),
        "errors_by_code": {},
        "warnings_by_code": {},
        "examples": [],
        "preview": [],
        "already_imported": None,
        "ai_estimate": None,
        **dict.fromkeys(("compression", "encoding_hint", "delimiter_confidence")),
        "skipped_sheets": [],
        "left_out_rows": 0,
        "left_out": [],
        "other_sheets": [],
        "skipped_rows": 0,
        **dict.fromkeys(_HIDDEN, 0),
        "dropped_rows": 0,
        "dropped": [],
        "untouched_rows": 0,
        "confidence": {},
        "corrects": None,
        "blank_cells": {},
    }
    try:
        source = open_source(path, import_type, options)
        found["corrects"] = parent_of(source)
        source = as_understood(source, states(source))
        found |= _recognised(source) | _counted(source)
        texts = found["valid_rows"] - found["duplicate_rows"]
        found["ai_estimate"] = settings().ai_estimate(import_type.name, texts)
    except RefusedError as refusal:
        found["refusal"] = {"code": refusal.code, "message": refusal.message}
        found["mapping"] = dict(refusal.mapping)
        found["unknown_columns"] = list(refusal.unknown_columns)
    return found


_COUNTS = ("total_rows", "valid_rows", "rejected_rows", "duplicate_rows", "blank_lines")


_HIDDEN = ("hidden_rows", "hidden_columns", "merged_cells")


def _recognised(source: Source) -> dict[str, Any]:
    return {
        "format": source.format,
        "encoding": source.encoding,
        "delimiter": source.delimiter,
        "sheet": source.sheet,
        "header_line": source.header_line,
        "mapping": source.mapping,
        "unknown_columns": source.unknown_columns,
        "confidence": {
            source.header[at]: confidence for at, confidence in source.columns.confidence.items()
        },
        "compression": source.compression,
        "delimiter_confidence": source.parts[0].delimiter_confidence,
        "skipped_sheets": list(source.skipped_sheets),
        **vars(Beside.of(source)),
        **{name: sum(getattr(part, name) for part in source.parts) for name in _HIDDEN},
    }


class BlankCells:
    """Cells without a value in the columns of a file, which the policy `overwrite` would clear."""

    def __init__(self, source: Source) -> None:
        fields = source.import_type.field
        self._columns = [name for name in source.columns.fields if not fields[name].required]
        self._counts: Counter[str] = Counter()

    def count(self, valid: Sequence[FileRow]) -> None:
        """Takes the rows of a chunk that have no faults."""
        for name in self._columns:
            self._counts[name] += sum(
                row.record[name] is None and name not in row.absent for row in valid
            )

    @property
    def found(self) -> dict[str, int]:
        """How many, by field."""
        return {name: count for name, count in self._counts.items() if count}


def blank_cells(source: Source) -> dict[str, int]:
    """Those of a whole file, by field. Raises RefusedError."""
    blank = BlankCells(source)
    for rows in source.chunks():
        blank.count([row for row in rows if not row.faults])
    return blank.found


def _counted(source: Source) -> dict[str, Any]:
    total = rejected = duplicate = 0
    keys: set[str | None] = set()
    errors: Counter[str] = Counter()
    warnings: Counter[str] = Counter(source.warnings)
    examples: list[dict[str, Any]] = []
    preview: list[dict[str, Any]] = []
    dropped_rows = 0
    dropped: list[dict[str, Any]] = []
    blank = BlankCells(source)
    for rows in source.chunks():
        valid = [row for row in rows if not row.faults]
        total += len(rows)
        rejected += len(rows) - len(valid)
        known = len(keys)
        keys.update([row.key for row in valid])
        duplicate += len(valid) - (len(keys) - known)
        for row in rows:
            if row.warnings:
                warnings.update(row.warnings)
            if row.faults:
                errors.update([fault.code for fault in row.faults])
                examples += _examples(source, row)[: _EXAMPLES - len(examples)]
            elif row.dropped:
                dropped_rows += 1
                dropped += _dropped(row)[: _EXAMPLES - len(dropped)]
        blank.count(valid)
        preview += [row.record for row in valid[: _PREVIEW - len(preview)]]
    return {
        "total_rows": total,
        "valid_rows": total - rejected,
        "rejected_rows": rejected,
        "duplicate_rows": duplicate,
        "blank_lines": source.blank_lines,
        "skipped_rows": source.skipped_rows,
        "errors_by_code": dict(errors),
        "warnings_by_code": dict(warnings),
        "examples": examples,
        "preview": preview,
        "dropped_rows": dropped_rows,
        "dropped": dropped,
        "untouched_rows": source.untouched_rows,
        "blank_cells": blank.found,
    }


def _dropped(row: FileRow) -> list[dict[str, Any]]:
    return [
        {
            "line": row.line,
            "sheet": row.sheet,
            **value._asdict(),
            "message": foreseen(value.message),
        }
        for value in row.dropped
    ]


def _examples(source: Source, row: FileRow) -> list[dict[str, Any]]:
    return [
        {
            "line": row.line,
            "column": fault.column,
            "code": fault.code,
            "message": fault.message,
            "value": _value(source, row, fault),
        }
        for fault in row.faults
    ]


def _value(source: Source, row: FileRow, fault: Fault) -> str | None:
    if fault.column is None:
        return None
    return row.cells[source.header.index(fault.column)]
