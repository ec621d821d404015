"""Small files after public bug reports are read as their manifest says (shared/data/reported)."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from producers.reading import FileRow, RefusedError, Source, open_source
from schemas.import_types import IMPORT_TYPES
from tests.fix_files import SHARED

NOT_YET = frozenset({"poi-xssf-formula-never-calculated.xlsx"})
"""A formula keeps the earlier constant of its cell. SheetJS writes results in the same form."""


@cache
def manifest() -> list[Mapping[str, Any]]:
    """The entries; none if the shared data is not beside this checkout."""
    if SHARED is None:
        return []
    found = json.loads((SHARED / "reported/MANIFEST.json").read_text())
    return [*found["wrong_today"], *found["right_today"]]


def complaints(entry: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """What differs from the entry's `right`, in words."""
    right = entry["right"]
    try:
        source = open_source(folder / entry["name"], IMPORT_TYPES[entry["type"]])
        rows = [row for chunk in source.chunks() for row in chunk]
    except RefusedError as refusal:
        yield from _refused(right, refusal)
        return
    if "refusal" in right:
        yield f"is not refused as {right['refusal']}"
    valid = [row for row in rows if not row.faults]
    yield from _counted(right, rows, valid)
    yield from _headed(right, source, rows)
    yield from _stored(right, valid)


def _refused(right: Mapping[str, Any], refusal: RefusedError) -> Iterator[str]:
    wants_rows = any(name in right for name in ("valid", "values", "mapped", "min_total"))
    if wants_rows and "refus" not in right.get("says", ""):
        yield f"is refused: {refusal.message}"
    if refusal.code != right.get("refusal", refusal.code):
        yield f"is refused as {refusal.code}: {refusal.message}"


def _counted(right: Mapping[str, Any], rows: list[FileRow], valid: list[FileRow]) -> Iterator[str]:
    rejected = len(rows) - len(valid)
    if rejected != right.get("rejected", rejected):
        yield f"{rejected} rejected: {[row.faults for row in rows if row.faults][:3]}"
    if len(valid) != right.get("valid", len(valid)):
        yield f"{len(valid)} valid"
    if not right.get("min_total", 0) <= len(rows) <= right.get("max_total", len(rows)):
        yield f"{len(rows)} rows"


def _headed(right: Mapping[str, Any], source: Source, rows: list[FileRow]) -> Iterator[str]:
    if source.header_line != right.get("header_line", source.header_line):
        yield f"the header is line {source.header_line}"
    if missing := set(right.get("mapped", ())) - set(source.mapping.values()):
        yield f"no column for {sorted(missing)}"
    if "error_column" in right:
        faulty = {source.mapping.get(str(f.column), f.column) for row in rows for f in row.faults}
        if faulty != {right["error_column"]}:
            yield f"faults in {faulty}"


def _stored(right: Mapping[str, Any], valid: list[FileRow]) -> Iterator[str]:
    records = {row.key: row.record for row in valid}
    for wanted, values in ((True, right.get("values")), (False, right.get("forbid_values"))):
        cells = [(k, f, v) for k, fields in (values or {}).items() for f, v in fields.items()]
        for key, name, value in cells:
            if (records.get(key, {}).get(name) == value) != wanted:
                yield f"{key}.{name} is {records.get(key, {}).get(name)!r}"
    texts = [str(value) for record in records.values() for value in record.values() if value]
    for part in right.get("absent", ()):
        if any(part in text for text in texts):
            yield f"{part!r} is stored"


@pytest.mark.skipif(SHARED is None, reason="shared/data is MISSING beside this checkout")
@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(
            entry,
            id=entry["name"],
            marks=[pytest.mark.xfail(strict=True)] if entry["name"] in NOT_YET else [],
        )
        for entry in manifest()
    ],
)
def test_reported(entry: Mapping[str, Any]) -> None:
    assert SHARED is not None
    assert not list(complaints(entry, SHARED / "reported"))
