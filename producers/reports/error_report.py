"""The rejected lines of an import, and those written without some of their values, as a file that is
corrected and imported again.

Columns: those of the original file, then `_line`, `_column`, `_code`, `_message` (several faults
of a line joined by " | "), `_dropped` if there are lines that lack values (their fingerprint, by which
they are known if they come back unchanged), `_sheet` if the lines come from sheets, `_columns` if the import was
given the fields of columns, and `_import`, the id, by which producers.reading.correction knows the
file when it comes back.

In .csv and .xlsx no cell starts a formula (producers/reading/formula_guard.py); .jsonl keeps every
value unchanged.
"""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from producers.kafka.reject_log import Reject
from producers.reading import UNREAD, FileRow
from producers.reading.correction import distinct, fingerprint
from producers.reading.formula_guard import safe
from schemas.codec.framing import DecodeError, Decoder
from schemas.import_types import IMPORT_TYPES
from schemas.records import ImportState

FORMATS = (".csv", ".xlsx", ".jsonl")

_SEPARATOR = " | "


class Report(NamedTuple):
    """`rows` are as long as `header`, in the order of the file."""

    header: list[str]
    rows: Iterable[list[str]]


def report(
    state: ImportState,
    rejects: Iterable[Reject],
    decoder: Decoder,
    unread: Callable[[], Iterable[FileRow]] = tuple,
    dropped: Iterable[Reject] = (),
) -> Report:
    """The rejects of one import, then its rows that lack values, then its lines that were never published.

    `decoder` is that of the import's rows. `unread` is called twice.
    """
    rejected = sorted(rejects, key=_place)
    # A row that waited for another one and was rejected in the end is a reject only.
    without_rejects = {*map(_place, rejected)}.isdisjoint
    lacking = sorted((row for row in dropped if without_rejects([_place(row)])), key=_place)
    ordered = [*rejected, *lacking]
    header, cells_of = _originals(state, decoder)
    originals = [cells_of(reject) for reject in ordered]
    # A line may have more cells than the header has names.
    width = max(map(len, chain([header], originals, (row.cells for row in unread()))))
    header = [*header, *(f"_cell_{number + 1}" for number in range(len(header), width))]
    options = state["options"]
    requested = json.loads(options.get("told") or "{}").get("columns") or {}
    requested = json.loads(options.get("assigned") or "{}") | requested
    columns = [json.dumps(requested, ensure_ascii=False)] if requested else []
    with_sheets = any(reject.sheet for reject in ordered) or any(row.sheet for row in unread())

    marks = _fingerprints(state, decoder, lacking, originals[len(rejected) :])

    def line(
        cells: Sequence[str], place: Reject | FileRow, why: Iterable[str], mark: str = ""
    ) -> list[str]:
        number = "" if place.line is None else str(place.line)
        sheet = [place.sheet or ""] * with_sheets
        filled = [*cells, *[""] * (width - len(cells))]
        return [*filled, number, *why, *[mark] * bool(lacking), *sheet, *columns, state["id"]]

    return Report(
        [
            *header,
            *("_line", "_column", "_code", "_message"),
            *["_dropped"] * bool(lacking),
            *["_sheet"] * with_sheets,
            *["_columns"] * len(columns),
            "_import",
        ],
        chain(
            (
                line(cells, reject, _why(reject), mark)
                for reject, cells, mark in zip(
                    ordered, originals, [*[""] * len(rejected), *marks], strict=True
                )
            ),
            (line(row.cells, row, ("", UNREAD, _UNREAD)) for row in unread()),
        ),
    )


def _place(reject: Reject) -> tuple[str, int]:
    return reject.sheet or "", reject.line or 0


def _fingerprints(
    state: ImportState, decoder: Decoder, rows: Sequence[Reject], originals: Sequence[list[str]]
) -> Iterator[str]:
    """Nothing for a row that cannot be decoded: what comes back of it counts as corrected."""
    import_type = IMPORT_TYPES[state["import_type"]]
    for row, cells in zip(rows, originals, strict=True):
        try:
            record = decoder.decode(row.value)
        except DecodeError:
            yield ""
            continue
        values = [str(value["value"]) for value in row.errors]
        yield fingerprint(import_type, cells, record, values)


_UNREAD = "L'import a été annulé avant la lecture de cette ligne."


def _why(reject: Reject) -> Iterator[str]:
    for name in ("column", "code", "message"):
        yield _SEPARATOR.join(error.get(name) or "" for error in reject.errors)


def _originals(
    state: ImportState, decoder: Decoder
) -> tuple[list[str], Callable[[Reject], list[str]]]:
    """The header of the original columns, and what gives their cells.

    A row has its cells if the reader found the fault. If PostgreSQL found it, the fields are shown
    under the columns that they came from.
    """
    fields = [field.name for field in IMPORT_TYPES[state["import_type"]].fields]
    header: list[str] = state["header"] or fields
    mapping: dict[str, str] = json.loads(state["options"].get("columns") or "{}")
    sources = [mapping.get(column, column) for column in header]
    # Of a city list: one column that holds both.
    listed = "nom" in sources and "code_postal_principal" in {*fields} - {*sources}

    def cells(reject: Reject) -> list[str]:
        try:
            record = decoder.decode(reject.value)
        except DecodeError:
            return []
        line = record["import"]
        if line is None or line["cells"] is None:
            if listed:
                record["nom"] = f"{record['nom']} ({record['code_postal_principal']})"
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


def write(path: Path, content: Report, delimiter: str) -> int:
    """Writes a file of one of FORMATS; how many rows. `delimiter` is for .csv. Raises OSError."""
    written = 0

    def counted() -> Iterator[list[str]]:
        nonlocal written
        for row in content.rows:
            yield row
            written += 1

    counting = Report(content.header, counted())
    match path.suffix.lower():
        case ".csv":
            _write_csv(path, counting, delimiter)
        case ".xlsx":
            _write_xlsx(path, counting)
        case ".jsonl":
            _write_jsonl(path, counting)
        case other:
            raise ValueError(other)
    return written


def _write_csv(path: Path, content: Report, delimiter: str) -> None:
    # Excel takes a file without a byte order mark for one of the local code page.
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
        rows = chain([content.header], content.rows)
        writer.writerows([safe(cell) for cell in row] for row in rows)


def _write_jsonl(path: Path, content: Report) -> None:
    names = distinct(content.header)
    with path.open("w", encoding="utf-8") as file:
        for row in content.rows:
            line = dict(zip(names, row, strict=True))
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _write_xlsx(path: Path, content: Report) -> None:
    from openpyxl import Workbook  # a tenth of a second to load
    from openpyxl.cell import WriteOnlyCell

    book = Workbook(write_only=True)
    sheet = book.create_sheet("erreurs")

    def text(value: str) -> Any:
        cell = WriteOnlyCell(sheet, _NOT_XML.sub(_escaped, safe(value)))
        # Whatever it looks like: a formula, or a SIREN whose leading zero a number would lose.
        cell.data_type, cell.number_format = "s", "@"
        return cell

    for row in chain([content.header], content.rows):
        sheet.append([text(value) for value in row])
    book.save(path)


# What XML 1.0 cannot hold, and what a reader would take for the escape of it: ECMA-376, part 1,
# 22.9.2.19 (ST_Xstring).
_NOT_XML = re.compile(r"[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")


def _escaped(found: re.Match[str]) -> str:
    return f"_x{ord(found[0]):04X}_"
