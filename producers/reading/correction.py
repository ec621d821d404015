"""Our own error reports, sent back with corrections: CSV and XLSX as any file, and JSONL.

A file whose header has `_import` and `_line` is a correction. The columns that the report added are
taken off; `_line` and `_sheet` name the reject that a row stands for. Rows without `_line` were added
by hand. `_dropped` is given for a row that was written without some of its values: if it is as it was, it
is left out, because the table may hold something newer by now.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

from producers.reading import source
from producers.reading.formula_guard import original
from producers.reading.header import header_line
from producers.reading.header.columns import Header, recognise
from producers.reading.header.labels import OURS, is_report, known
from producers.reading.header.stored_header import header_of
from producers.reading.options import Options
from producers.reading.parts.passed_over import PassedOver
from producers.reading.refusals import RefusedError
from producers.reading.row.row import FileRow, filled, rows_of
from producers.reading.source import Source
from producers.reading.table import Block, Part, chunked
from producers.reading.text.json_objects import line_of, text_of
from schemas.faults import Fault
from schemas.import_types import ImportType
from schemas.records import ImportState
from schemas.rejected_line import RejectedLine
from schemas.values.stored import is_uuid

UNREAD = "unread"
"""What a report has in `_code` for a line that was never published: nothing was rejected."""

_EXTRA_CELL = re.compile(r"_cell_[0-9]+")
_HEAD_BYTES = 1 << 20
_SAMPLE = 200


@dataclass
class Correction(Source):
    """A report that came back. `corrects` is the import that all its lines name, a UUID.

    `places` are the positions of the report's own columns; `undo` returns a cell as it was in the file.
    `refusal` is set if this release does not understand the columns, `requested` if the operator named
    their fields.
    """

    corrects: str = ""
    refusal: RefusedError | None = None
    requested: bool = False
    places: Mapping[str, int] = field(default_factory=dict)
    extra: Sequence[int] = ()
    kept: Sequence[int] = ()
    undo: Callable[[str], str] = original

    def chunks(self) -> Iterator[list[FileRow]]:
        """As of any file, with the reject that each row stands for.

        Raises RefusedError if there are rows, and all of them are left out, and `refusal`.
        """
        if self.refusal is not None:
            raise self.refusal
        self.blank_lines = self.untouched_rows = 0
        are_all_untouched = True
        passed_over = PassedOver(self.import_type, self.columns)
        for block in _blocks(self):
            given = filled(block.rows)
            stripped, corrected = self._stripped(block, given)
            added = [i for i in given if block.lines[i] not in corrected]
            at = self._rows_among(passed_over, stripped, given, added)
            self.blank_lines += len(block.rows) - len(at)
            rows = self._rows(block, stripped, corrected, at) if at else []
            if rows:
                are_all_untouched = False
                yield rows
        if self.untouched_rows and are_all_untouched:
            raise RefusedError(
                "nothing-corrected",
                "Aucune ligne de ce rapport n'a été corrigée : ses lignes sont déjà importées, sans les "
                "valeurs que la colonne _message indique. Corrigez ces valeurs, puis renvoyez le fichier.",
            )

    def understood_as(self, state: ImportState) -> "Correction":
        """With its columns as `state`, that of the import, holds them, if all of them are still there.

        Columns that were added are found by their labels. Raises RefusedError.
        """
        header = header_of(state, self.import_type)
        names = self.columns.names
        former = distinct(header.names) if self.format == "jsonl" else header.names
        free = {name: [at for at, one in enumerate(names) if one == name] for name in names}
        found = [free[name].pop(0) if free.get(name) else None for name in former]
        place = {at: new for at, new in enumerate(found) if new is not None}
        if self.requested or not place.keys() >= header.used:
            return self
        columns = _moved(header, names, place)
        added = {
            field: ((at,),)
            for at, name in enumerate(names)
            if at not in place.values()
            for field in known(self.import_type, [name]).difference(header.fields)
        }
        columns = replace(columns, sources={**added, **columns.sources})
        parts = [replace(part, columns=columns) for part in self.parts]
        return replace(self, columns=columns, parts=parts, refusal=None)

    def _rows(
        self,
        block: Block,
        stripped: Block,
        corrected: Mapping[int, RejectedLine],
        at: Sequence[int],
    ) -> list[FileRow]:
        rows = rows_of(self.import_type, self.columns, stripped, at, self.luhn)
        for row in rows:
            row.resolves = corrected.get(row.line)
        if "_dropped" not in self.places:
            return rows
        marks = {block.lines[i]: self._cell(block.rows[i], "_dropped") for i in at}
        touched = [row for row in rows if not self._is_untouched(row, marks[row.line])]
        self.untouched_rows += len(rows) - len(touched)
        return touched

    def _is_untouched(self, row: FileRow, mark: str) -> bool:
        """Whether the row is as in the report: its cells or, if a program wrote them in another form, its
        values."""
        values = [value.value for value in row.dropped]
        cells, content = fingerprint(self.import_type, row.cells, row.record, values).split("-")
        return cells in mark.split("-") or (not row.faults and content in mark.split("-"))

    def _rows_among(
        self, passed_over: PassedOver, block: Block, given: Sequence[int], added: Sequence[int]
    ) -> Sequence[int]:
        """The filled lines without those, of the ones that were added, that are not rows."""
        kept, header = passed_over.rows(block.rows, added)
        end = len(block.rows) if header is None else header
        none = {i for i in added if i < end}.difference(kept)
        return [i for i in given if i not in none]

    def _stripped(self, block: Block, at: Sequence[int]) -> tuple[Block, dict[int, RejectedLine]]:
        """The block with the original columns alone, and which rejected line each line corrects."""
        rows = list(block.rows)
        broken = dict(block.broken)
        corrected: dict[int, RejectedLine] = {}
        for i in at:
            cells = block.rows[i]
            if i not in broken and len(cells) < len(self.places) + len(self.kept):
                broken[i] = _SHORT
            if i in broken:
                continue
            fault = self._trace(cells, block.lines[i], corrected)
            if fault is not None:
                broken[i] = fault
            rows[i] = [self.undo(cells[column]) for column in self.kept] + self._beyond(cells)
        place = {column: number for number, column in enumerate(self.kept)}
        numeric = {place[c]: found for c, found in block.numeric.items() if c in place}
        displayed = {place[c]: found for c, found in block.displayed.items() if c in place}
        stripped = replace(block, rows=rows, broken=broken, numeric=numeric, displayed=displayed)
        return stripped, corrected

    def _trace(
        self, cells: list[str], line: int, corrected: dict[int, RejectedLine]
    ) -> Fault | None:
        line_number = self._cell(cells, "_line")
        if not line_number or self._cell(cells, "_code") == UNREAD:
            return None
        if not (line_number.isascii() and line_number.isdigit() and 0 < int(line_number) < 2**31):
            return _NO_LINE
        corrected[line] = RejectedLine(
            self.corrects, int(line_number), self._cell(cells, "_sheet") or None
        )
        return None

    def _cell(self, cells: list[str], name: str) -> str:
        place = self.places.get(name, len(cells))
        return cells[place].strip() if place < len(cells) else ""

    def _beyond(self, cells: list[str]) -> list[str]:
        """Cells that the line had beyond its header, if they are not emptied."""
        extra = [self.undo(cells[column]) for column in self.extra]
        while extra and not extra[-1].strip():
            extra.pop()
        return extra


def fingerprint(
    import_type: ImportType, cells: Sequence[str], record: Mapping[str, Any], dropped: Sequence[str]
) -> str:
    """Of a row that was written without the values `dropped`: one half of its cells, one of its values."""
    bare = [cell.strip() for cell in cells]
    while bare and not bare[-1]:
        bare.pop()
    values = [[record.get(field.name) for field in import_type.fields], sorted(dropped)]
    texts = [
        json.dumps(part, ensure_ascii=False).encode(errors="replace") for part in (bare, values)
    ]
    return "-".join(hashlib.sha256(text).hexdigest()[:16] for text in texts)


_SHORT = Fault(
    None,
    "missing-cell",
    "La ligne a moins de cellules que l'en-tête du rapport : ajoutez celles qui manquent, même "
    "vides.",
)
_NO_LINE = Fault(
    "_line",
    "malformed",
    "La colonne _line doit être le numéro d'origine de la ligne, ou vide pour une ligne ajoutée.",
)


def open_source(path: Path, import_type: ImportType, options: Options = Options()) -> Source:  # noqa: B008 - it is frozen
    """As producers.reading.source.open_source; a Correction if the file is one of our reports."""
    names = _json_names(path)
    if names is not None:
        return _correction(_open_jsonl(path, names, import_type, options), options, undo=str)
    return _correction(source.open_source(path, import_type, options), options, undo=original)


def _correction(found: Source, options: Options, undo: Callable[[str], str]) -> Source:
    names = found.columns.names
    places = {name: names.index(name) for name in OURS if name in names}
    if not is_report(names):
        return found
    extra = [at for at, name in enumerate(names) if _EXTRA_CELL.fullmatch(name)]
    ours = {*places.values(), *extra}
    kept = [at for at in range(len(names)) if at not in ours]
    own = {
        **vars(found),
        "parts": [_own(part, kept, undo) for part in found.parts],
        "columns": _without(found.columns, kept, undo),
    }
    return Correction(
        **own,
        corrects=_named(found, places["_import"]),
        refusal=_refusal(found, options),
        requested=bool(options.columns),
        places=places,
        extra=extra,
        kept=kept,
        undo=undo,
    )


def _refusal(found: Source, options: Options) -> RefusedError | None:
    """Why nothing is known of the columns of a report."""
    if found.columns.used:
        return None
    try:
        recognise(found.import_type, found.header, options.columns)
    except RefusedError as reason:
        return reason
    return None


def _blocks(found: Source) -> Iterator[Block]:
    return chain.from_iterable(part.blocks() for part in found.parts)


def _own(part: Part, kept: Sequence[int], undo: Callable[[str], str]) -> Part:
    """The part with the original columns in its header; its blocks still have all."""
    return replace(part, columns=_without(part.columns, kept, undo))


def _without(columns: Header, kept: Sequence[int], undo: Callable[[str], str]) -> Header:
    place = {column: number for number, column in enumerate(kept)}
    return _moved(columns, [undo(columns.names[column]) for column in kept], place)


def _moved(columns: Header, names: list[str], place: Mapping[int, int]) -> Header:
    """The header with other names, `place` saying where each of its columns is among them."""
    return replace(
        columns,
        names=names,
        sources={
            name: tuple(tuple(place[column] for column in one) for one in sources)
            for name, sources in columns.sources.items()
        },
        cities=None if columns.cities is None else place[columns.cities],
        coordinates=None if columns.coordinates is None else place[columns.coordinates],
        position=columns.position,
        confidence={place[at]: sure for at, sure in columns.confidence.items() if at in place},
        parents=tuple(place[column] for column in columns.parents),
        activity=None if columns.activity is None else place[columns.activity],
        nomenclatures=tuple(place[column] for column in columns.nomenclatures),
    )


def _named(found: Source, column: int) -> str:
    """The import that the lines name. Raises RefusedError if there is none, or several."""
    named = {
        cells[column].strip()
        for block in _blocks(found)
        for cells in block.rows
        if column < len(cells)
    } - {""}
    if len(named) > 1:
        raise RefusedError(
            "several-imports",
            "Les lignes de ce rapport viennent de plusieurs imports (colonne _import) : corrigez "
            "chaque rapport dans son propre fichier.",
        )
    if not named or not is_uuid(*named):
        raise RefusedError(
            "unknown-import",
            "La colonne _import de ce rapport ne nomme aucun import : reprenez le fichier que "
            "« foxstream errors » a écrit.",
        )
    return named.pop()


# --- .jsonl


def distinct(header: Sequence[str]) -> list[str]:
    """Names as keys: two columns of one name, or of none, are two keys."""
    names: dict[str, None] = {}
    for name in header:
        number, key = 1, name
        while key in names or (number == 1 and not key):
            number += 1
            key = f"{name}_{number}"
        names[key] = None
    return list(names)


def _json_names(path: Path) -> list[str] | None:
    """The keys of the first line if the file is one of our .jsonl reports."""
    with path.open("rb") as file:
        if file.read(1) != b"{":
            return None
        file.seek(0)
        first = file.readline(_HEAD_BYTES)
    try:
        names = list(json.loads(first))
    except (ValueError, RecursionError):
        return None
    return names if {"_import", "_line"} <= set(names) else None


def _open_jsonl(path: Path, names: list[str], import_type: ImportType, options: Options) -> Source:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()

    def blocks() -> Iterator[Block]:
        return _jsonl_blocks(path, names)

    sample = [cells for block in islice(blocks(), 1) for cells in block.rows[:_SAMPLE]]
    columns = header_line.header_of(names, sample, import_type, options.columns)
    whole = Part(None, "jsonl", 1, replace(columns, names=names), blocks, encoding="utf-8")
    return Source(path, import_type, sha256, None, [whole], whole.columns, options.luhn)


def _jsonl_blocks(path: Path, names: Sequence[str]) -> Iterator[Block]:
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        line = 1
        for texts in chunked(iter(partial(line_of, file), ""), len):
            broken: dict[int, Fault] = {}
            rows = []
            for at, text in enumerate(texts):
                cells = _cells(text, names)
                if cells is None:
                    broken[at] = _NO_OBJECT
                rows.append([text.strip()] if cells is None else cells)
            yield Block(range(line, line + len(texts)), rows, broken=broken)
            line += len(texts)


_NO_OBJECT = Fault(
    None,
    "malformed",
    "La ligne n'est pas un objet JSON avec les clés de la première ligne : reprenez sa forme.",
)


def _cells(text: str, names: Sequence[str]) -> list[str] | None:
    if not text.strip():
        return []
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(given, dict) or not given.keys() <= set(names):
        return None
    return [text_of(given.get(name)) for name in names]
