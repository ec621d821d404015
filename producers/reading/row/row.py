"""Lines of cells to rows: what a line as a whole lacks, then what its values are."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from producers.reading.header import city_list, header_line
from producers.reading.header.columns import Header
from producers.reading.header.sources import Sources
from producers.reading.row.cell_texts import disclosed
from producers.reading.row.cell_values import truth
from producers.reading.row.coordinates import pair_of
from producers.reading.row.displayed_numbers import as_seen
from producers.reading.row.normalisation import (
    MALFORMED,
    OTHER_NOMENCLATURE,
    Column,
    normalise,
)
from producers.reading.row.rival_columns import choose
from producers.reading.table import Block
from schemas.dropped_value import DroppedValue
from schemas.faults import Fault
from schemas.import_types import ImportType
from schemas.rejected_line import RejectedLine
from schemas.rules import Luhn
from schemas.values.field import Kind
from schemas.values.naf import CODE, category_of


@dataclass(slots=True)
class FileRow:
    """One line that is not blank.

    `line` is what Excel or an editor shows, for a record of several lines the first. `cells` are
    as read; `record` has every field of the import type, None if not given, but a detail only if
    the file has a column for it; `key` is the natural key, None if there is none. Without `faults`
    the row is valid. `warnings` are codes. `dropped` are the values of a valid row that its record
    lacks. `absent` are the fields for which other parts of the file have a column, and the row's
    part does not.
    """

    line: int
    sheet: str | None
    cells: list[str]
    record: dict[str, Any]
    key: str | None
    faults: list[Fault]
    warnings: list[str]
    resolves: RejectedLine | None = None
    dropped: Sequence[DroppedValue] = ()
    absent: Sequence[str] = ()


def filled(rows: Sequence[Sequence[str]]) -> list[int]:
    """The positions of the lines that are not blank: the first cell decides for most."""
    return [
        at
        for at, row in enumerate(rows)
        if row and ((row[0] and not row[0].isspace()) or any(map(str.strip, row)))
    ]


def head_offices(header: Header, rows: Sequence[Sequence[str]], at: Sequence[int]) -> Sequence[int]:
    """Those of the lines at the positions `at` that are not secondary establishments.

    The others say nothing of their company: a branch has an address of its own.
    """
    source = header.sources.get("etablissement_siege")
    if source is None:
        return at
    column = source[0][0]
    cells = [rows[i][column] if len(rows[i]) > column else "" for i in at]
    # Files have few words for it.
    branches = {cell for cell in set(cells) if truth(cell.strip()) is False}
    return [i for i, cell in zip(at, cells, strict=True) if cell not in branches]


def rows_of(
    import_type: ImportType, header: Header, block: Block, at: Sequence[int], luhn: Luhn
) -> list[FileRow]:
    """The lines of the block at the positions `at`.

    A line whose cells cannot be separated gets that one fault and an empty record.
    """
    lines, cells, sheet = block.lines, block.rows, block.sheet
    widths = _widths_of_short_lines(header, block, at)
    broken = _broken(import_type, header, block, at)
    sound = [i for i in at if i not in broken] if broken else at
    columns = _columns(import_type, header, block, sound)
    foreign = _other_nomenclatures(header, block, sound, columns)
    batch = normalise(import_type, columns, len(sound), luhn)
    for row in foreign:
        batch.warnings.setdefault(row, []).append(OTHER_NOMENCLATURE)
    rows = [
        FileRow(lines[i], sheet, cells[i], record, key, [], [])
        for i, record, key in zip(sound, batch.records, batch.keys, strict=True)
    ]
    for row, faults in batch.faults.items():
        rows[row].faults = faults
    for row, warnings in batch.warnings.items():
        rows[row].warnings = warnings
    _mark_shifted(rows, sound, widths, len(header.names))
    _mark_dropped(rows, batch.dropped)
    _warn(rows, sound, block.warned)
    if broken:
        nothing = [field.name for field in import_type.fields if not field.detail]
        rows += [
            FileRow(lines[i], sheet, cells[i], dict.fromkeys(nothing), None, [fault], [])
            for i, fault in broken.items()
        ]
        rows.sort(key=lambda row: row.line)
    return rows


def _widths_of_short_lines(header: Header, block: Block, at: Sequence[int]) -> dict[int, int]:
    width = len(header.names)
    if min(map(len, block.rows), default=width) >= width:
        return {}
    return {i: len(block.rows[i]) for i in at if len(block.rows[i]) < width}


def _mark_shifted(
    rows: Sequence[FileRow], sound: Sequence[int], widths: Mapping[int, int], expected: int
) -> None:
    """Adds faults to lines that lack a cell in the middle, which a value in the wrong column reveals."""
    if not widths:
        return
    for row, i in zip(rows, sound, strict=True):
        if i in widths and MALFORMED in row.warnings and not row.faults:
            row.faults = [miscounted(widths[i], expected)]
            row.key = None


def _mark_dropped(rows: Sequence[FileRow], dropped: Mapping[int, list[DroppedValue]]) -> None:
    for row, values in dropped.items():
        if not rows[row].faults:  # of a line that is rejected nothing is stored
            rows[row].dropped = values


def _warn(rows: Sequence[FileRow], sound: Sequence[int], warned: Mapping[int, str]) -> None:
    for row, i in zip(rows, sound, strict=True) if warned else ():
        if i in warned:
            row.warnings = [*row.warnings, warned[i]]


def _broken(
    import_type: ImportType, header: Header, block: Block, at: Sequence[int]
) -> dict[int, Fault]:
    broken = dict(block.broken)
    cells, width = block.rows, len(header.names)
    reshaped = header.cities is not None or header.parents
    if {width}.issuperset(map(len, cells)) and not reshaped:
        return broken
    usual = Counter(len(cells[i]) for i in at).most_common(1)
    needed = header.needed(import_type)
    for i in at:
        if i in broken:
            continue
        cells[i] = fitted(cells[i], width, needed)
        if len(cells[i]) != width:
            broken[i] = miscounted(len(cells[i]), width, usual=usual[0][0])
        elif reshaped and (fault := _misfit(import_type, header, cells[i])):
            broken[i] = fault
    return broken


def fitted(cells: list[str], width: int, needed: int) -> list[str]:
    """The cells of a line without blank ones beyond the header, and with those that are missing.

    Excel and others leave out the delimiters of blank last columns. The first `needed` are never
    filled in.
    """
    if len(cells) > width and not any(map(str.strip, cells[width:])):
        return cells[:width]
    if needed <= len(cells) < width:
        return cells + [""] * (width - len(cells))
    return cells


def _misfit(import_type: ImportType, header: Header, row: Sequence[str]) -> Fault | None:
    if header.parents:
        return header_line.other_type(header, import_type, row)
    column = header.cities
    if column is not None and not city_list.has_form(row[column]):
        return city_list.fault(header.names[column], row[column])
    return None


def miscounted(found: int, expected: int, *, usual: int = 0) -> Fault:
    """The fault of a line that has `found` cells under a header of `expected`; most have `usual`."""
    cells = f"{found} cellule{'s' if found > 1 else ''}"
    if found < expected:
        return Fault(
            None,
            "missing-cell",
            f"La ligne a {cells}, l'en-tête en a {expected} : ajoutez celles qui manquent, même "
            "vides.",
        )
    if usual == found:
        return Fault(
            None,
            "extra-cell",
            f"La ligne a {cells} comme la plupart des autres, l'en-tête n'en a que {expected} : "
            "complétez l'en-tête, il lui manque le nom d'une colonne.",
        )
    return Fault(
        None,
        "extra-cell",
        f"La ligne a {cells}, l'en-tête en a {expected} : mettez entre guillemets le texte qui "
        "contient le séparateur.",
    )


_NOMENCLATURES = frozenset({"", "NAFREV2", "NAF2025", "NAF25"})


def _other_nomenclatures(
    header: Header, block: Block, at: Sequence[int], columns: dict[str, Column]
) -> list[int]:
    """Clears activities of nomenclatures that are out of use (NAP, NAF1993, NAFRev1); their rows."""
    if not header.nomenclatures or not at:
        return []
    named = [
        next(filter(None, (block.rows[i][at_].strip() for at_ in header.nomenclatures)), "").upper()
        for i in at
    ]
    if _NOMENCLATURES.issuperset(named):
        return []
    column = columns["naf_code"]
    rows = [
        row
        for row, (name, code) in enumerate(zip(named, column.cells, strict=True))
        if name not in _NOMENCLATURES and code.strip()
    ]
    cells = list(column.cells)
    for row in rows:
        cells[row] = ""
    columns["naf_code"] = column._replace(cells=cells)
    return rows


def _columns(
    import_type: ImportType, header: Header, block: Block, at: Sequence[int]
) -> dict[str, Column]:
    if not at:
        return {}
    block, unknown = as_seen(import_type, header, block)
    cells = block.rows if len(at) == len(block.rows) else [block.rows[i] for i in at]
    columns: list[tuple[str, ...]] = list(zip(*cells, strict=True))
    place = {i: row for row, i in enumerate(at)} if block.numeric else {}
    given: dict[str, Column] = {}
    for field, sources in header.sources.items():
        column = sources[0][-1]
        if field in header.rivals:
            kind = import_type.field[field].kind
            given[field] = _chosen(header, block, kind, [at for (at,) in sources], columns, place)
            continue
        texts = columns[column]
        if len(sources) > 1 or len(sources[0]) > 1:
            texts = _linked(sources, columns)
        numeric = [place[i] for i in block.numeric.get(column, ()) if i in place]
        shown = [place[i] for i in unknown.get(column, ()) if i in place]
        name = header.names[column]
        given[field] = Column(name, texts, numeric, block.calculated, corrected=shown)
    given.update(_split(header, columns, given))
    return given


def _chosen(
    header: Header,
    block: Block,
    kind: Kind,
    rivals: Sequence[int],
    columns: Sequence[Sequence[str]],
    place: Mapping[int, int],
) -> Column:
    """A field that several columns name; its column is the likeliest one."""
    chosen = choose(kind, [columns[at] for at in rivals])
    numeric = [
        place[i]
        for origin, at in enumerate(rivals)
        for i in block.numeric.get(at, ())
        if i in place and chosen.origins[place[i]] == origin
    ]
    name = header.names[rivals[0]]
    return Column(name, chosen.cells, numeric, block.calculated, left_out=chosen.left_out)


def _split(
    header: Header, columns: Sequence[Sequence[str]], given: Mapping[str, Column]
) -> Mapping[str, Column]:
    """What columns give that hold more than one field, or none as it stands."""
    if header.coordinates is not None:
        name = header.names[header.coordinates]
        pairs = list(map(pair_of, columns[header.coordinates]))
        swapped = [row for row, pair in enumerate(pairs) if pair.is_swapped]
        latitude, longitude = header.position
        return {
            latitude: Column(name, [pair.latitude for pair in pairs], corrected=swapped),
            longitude: Column(name, [pair.longitude for pair in pairs]),
        }
    if header.activity is not None:
        return _of_activities(header, columns[header.activity], given["nom"].cells)
    if header.cities is not None:
        name = header.names[header.cities]
        parts = [city_list.split(text) for text in columns[header.cities]]
        return {
            "nom": Column(name, [nom for nom, _ in parts]),
            "code_postal_principal": Column(name, [code for _, code in parts]),
        }
    return {}


def _of_activities(
    header: Header, codes: Sequence[str], labels: Sequence[str]
) -> Mapping[str, Column]:
    """A category and a description if the code is one; a corrected report may have others."""
    name = header.names[header.activity or 0]
    sound = [code.strip().upper() if CODE.fullmatch(code.strip()) else "" for code in codes]
    descriptions = [
        code and f"NAF {code[:2]}.{code[-3:]} : {label}"
        for code, label in zip(sound, labels, strict=True)
    ]
    return {
        "categorie": Column(name, [code and category_of(code) for code in sound]),
        "description": Column(name, descriptions),
    }


def _linked(sources: Sources, columns: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The texts of a chain: of each row what its first link gives that gives something.

    The last column of a link must be there. The others need not, unless a later link has that one too.
    """
    texts = ("",) * len(columns[0])
    for number, source in enumerate(sources, 1):
        if "" in texts:
            is_whole = any(later[-1] == source[-1] for later in sources[number:])
            given = _joined([_disclosed(columns[at]) for at in source], is_whole=is_whole)
            texts = tuple([text or other for text, other in zip(texts, given, strict=True)])
    return texts


def _joined(columns: Sequence[tuple[str, ...]], *, is_whole: bool) -> tuple[str, ...]:
    """The cells of each row with a space between."""
    if len(columns) == 1:
        return columns[0]
    rows = zip(*columns, strict=True)
    if is_whole:
        return tuple(["" if "" in row else " ".join(row) for row in rows])
    return tuple([" ".join(filter(None, row)) if row[-1] else "" for row in rows])


def _disclosed(cells: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(disclosed([*cells], "".join(cells)))
