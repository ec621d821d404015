"""The rejected lines of an import as a file that is corrected and imported again.

Columns: those of the original file, then `_line`, `_column`, `_code`, `_message` (several faults
of a line joined by " | "), and `_sheet` where the lines come from sheets.

A spreadsheet must not run what a file holds: in .csv and .xlsx a cell that starts with = + - @, a
tab or a carriage return gets an apostrophe before it (OWASP, "CSV Injection"). Signed numbers and
phone numbers such as -12.5 and +33 6 12 34 56 78 stay as they are: digits and signs call nothing.
In .jsonl every value is as it was.
"""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from producers.states import Reject, State
from schemas.codec import DecodeError, Decoder
from schemas.import_types import IMPORT_TYPES

FORMATS = (".csv", ".xlsx", ".jsonl")

_DANGEROUS = ("=", "+", "-", "@", "\t", "\r")
_HARMLESS = re.compile(r"[+-][0-9 .,()/+-]*(?:[eE][+-]?[0-9]+)?")
_SEPARATOR = " | "


class Report(NamedTuple):
    """`rows` are as long as `header`, in the order of the file."""

    header: list[str]
    rows: list[list[str]]


def report(state: State, rejects: Iterable[Reject], decoder: Decoder) -> Report:
    """The rejects of one import. `decoder` is that of the import's rows."""
    ordered = sorted(rejects, key=lambda reject: (reject.sheet or "", reject.line or 0))
    header, cells_of = _originals(state, decoder)
    originals = [cells_of(reject) for reject in ordered]
    # A line may have more cells than the header has names.
    width = max(map(len, [header, *originals]))
    header = [*header, *(f"_cell_{number + 1}" for number in range(len(header), width))]
    with_sheets = any(reject.sheet for reject in ordered)
    return Report(
        [*header, "_line", "_column", "_code", "_message", *["_sheet"] * with_sheets],
        [
            [
                *cells,
                *[""] * (width - len(cells)),
                *_why(reject),
                *[reject.sheet or ""] * with_sheets,
            ]
            for reject, cells in zip(ordered, originals, strict=True)
        ],
    )


def _why(reject: Reject) -> Iterator[str]:
    yield "" if reject.line is None else str(reject.line)
    for name in ("column", "code", "message"):
        yield _SEPARATOR.join(error.get(name) or "" for error in reject.errors)


def _originals(state: State, decoder: Decoder) -> tuple[list[str], Callable[[Reject], list[str]]]:
    """The header of the original columns, and what gives their cells.

    The cells stand in the row where the reader found the fault. Where PostgreSQL did, the fields
    are shown under the columns that they came from.
    """
    fields = [field.name for field in IMPORT_TYPES[state["import_type"]].fields]
    header: list[str] = state["header"] or fields
    mapping: dict[str, str] = json.loads(state["options"].get("columns") or "{}")
    sources = [mapping.get(column, column) for column in header]

    def cells(reject: Reject) -> list[str]:
        try:
            record = decoder.decode(reject.value)
        except DecodeError:
            return []
        line = record["import"]
        if line is None or line["cells"] is None:
            return [_written(record.get(name)) for name in sources]
        read: list[str] = line["cells"]
        return read

    return header, cells


def _written(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "oui" if value else "non"
        case list():
            return ",".join(value)
    return str(value)


def safe(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    if cell.startswith(_DANGEROUS) and not _HARMLESS.fullmatch(cell):
        return f"'{cell}"
    return cell


def write(path: Path, content: Report, delimiter: str) -> None:
    """Writes a file of one of FORMATS. `delimiter` is for .csv. Raises OSError."""
    match path.suffix.lower():
        case ".csv":
            _write_csv(path, content, delimiter)
        case ".xlsx":
            _write_xlsx(path, content)
        case ".jsonl":
            _write_jsonl(path, content)
        case other:
            raise ValueError(other)


def _write_csv(path: Path, content: Report, delimiter: str) -> None:
    # Excel takes a file without a byte order mark for one of the local code page.
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerows([safe(cell) for cell in row] for row in (content.header, *content.rows))


def _write_jsonl(path: Path, content: Report) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in content.rows:
            line = dict(zip(content.header, row, strict=True))
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _write_xlsx(path: Path, content: Report) -> None:
    from openpyxl import Workbook  # a tenth of a second to load
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    book = Workbook(write_only=True)
    sheet = book.create_sheet("erreurs")

    def text(value: str) -> Any:
        cell = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("", safe(value)))
        # Whatever it looks like: a formula, or a SIREN whose leading zero a number would lose.
        cell.data_type, cell.number_format = "s", "@"
        return cell

    for row in (content.header, *content.rows):
        sheet.append([text(value) for value in row])
    book.save(path)
