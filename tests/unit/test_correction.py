"""Our reports when they come back: the same cells, and which reject each line stands for."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from producers.imports.identity import as_understood
from producers.imports.preview import preview_of
from producers.kafka.import_state import new_state
from producers.reading import Correction, FileRow, Options, RefusedError, Source, open_source
from producers.reading.header.columns import Header
from producers.reading.header.stored_header import stored
from producers.reports.error_report import FORMATS, Report, write
from schemas.import_types import ENTREPRISE, IMPORT_TYPES
from schemas.records import ImportState
from tests.examples import examples

IMPORT = "6f1d4a52-8a0e-5c3b-9a6e-0b8f7a1c2d3e"
OURS = ["_line", "_column", "_code", "_message", "_sheet", "_import"]


def saved(path: Path, cells: list[list[str]], header: list[str], sheet: str = "") -> Path:
    """A report of lines 2, 3, ... of an import."""
    rows = [
        [*row, str(line), "siren", "malformed", "Faux.", sheet, IMPORT]
        for line, row in enumerate(cells, start=2)
    ]
    write(path, Report([*header, *OURS], rows), ";")
    return path


def rows_of(path: Path) -> list[FileRow]:
    source = open_source(path, ENTREPRISE)
    assert isinstance(source, Correction)
    assert source.corrects == IMPORT
    return [row for chunk in source.chunks() for row in chunk]


# Not what no file can hold: halves of characters.
TEXTS = st.text(
    st.characters(exclude_categories=("Cs", "Cn")) | st.sampled_from("=+-@\t\r\n'\",;|\uff1d 1a"),
    max_size=8,
)


@settings(deadline=None, max_examples=examples(60))  # it writes files
@given(
    cells=st.lists(st.lists(TEXTS, min_size=3, max_size=3), min_size=1, max_size=4),
    suffix=st.sampled_from(FORMATS),
)
@example(cells=[["a\rb", "\r", "\r\n"], ["x;=1", "\t=1", "\uff1d1"]], suffix=".csv")
@example(cells=[["Â®", "Ã©t", "é"]], suffix=".csv")
def test_a_report_reads_back(
    tmp_path_factory: pytest.TempPathFactory, cells: list[list[str]], suffix: str
) -> None:
    """Every cell is as it was in the file of which the report is, whatever guards it had."""
    path = saved(
        tmp_path_factory.mktemp("r") / f"e{suffix}", cells, ["siren", "nom", "note"], "Sud"
    )

    rows = rows_of(path)

    assert [row.cells for row in rows] == cells
    assert [row.resolves for row in rows] == [
        (IMPORT, line, "Sud") for line in range(2, len(cells) + 2)
    ]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("cell", ["=1+1", "'=1+1", "@A", "-A", "'", "+33 6 12"])
def test_guards_are_taken_off(tmp_path: Path, suffix: str, cell: str) -> None:
    """An apostrophe of ours is no part of a cell, of one beyond the header or of a header."""
    path = saved(tmp_path / f"e{suffix}", [["123456782", cell, cell]], ["siren", "=nom", "_cell_3"])

    source = open_source(path, ENTREPRISE, Options(columns={"=nom": "nom"}))

    assert source.header == ["siren", "=nom"]
    assert [row.cells for chunk in source.chunks() for row in chunk] == [["123456782", cell, cell]]


def test_a_line_that_is_too_short(tmp_path: Path) -> None:
    """Nobody knows which of its cells are missing: it stands for no reject, and the others go on."""
    path = saved(tmp_path / "e.csv", [["123456782", "Un"]] * 3, ["siren", "nom"])
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    lines[2] = lines[2].removesuffix(f';"{IMPORT}"')
    path.write_text("\n".join(lines), encoding="utf-8")

    first, short, last = rows_of(path)

    assert [fault.code for fault in short.faults] == ["missing-cell"]
    assert (first.faults, short.resolves, last.faults) == ([], None, [])


@pytest.mark.parametrize("line", ["0", "-1", "²", "1.5", str(2**31), "9" * 30])
def test_lines_that_no_file_has(tmp_path: Path, line: str) -> None:
    """What is no number of a line stands for no reject."""
    path = saved(tmp_path / "e.csv", [["123456782", "Un"]], ["siren", "nom"])
    text = path.read_text(encoding="utf-8-sig").replace(';"2";', f';"{line}";')
    path.write_text(text, encoding="utf-8")

    [row] = rows_of(path)

    assert ([fault.column for fault in row.faults], row.resolves) == (["_line"], None)


def test_the_last_line_that_a_file_may_have(tmp_path: Path) -> None:
    path = saved(tmp_path / "e.csv", [["123456782", "Un"]], ["siren", "nom"])
    text = path.read_text(encoding="utf-8-sig").replace(';"2";', f';"{2**31 - 1}";')
    path.write_text(text, encoding="utf-8")

    assert [row.resolves for row in rows_of(path)] == [(IMPORT, 2**31 - 1, None)]


def test_our_columns_are_no_columns(tmp_path: Path) -> None:
    """They are neither unknown nor fields, wherever they stand."""
    path = tmp_path / "e.csv"
    path.write_text(f"_import,_code,siren,_line,nom\n{IMPORT},x,123456782,7,Un\n", encoding="utf-8")
    source = open_source(path, ENTREPRISE)

    [[row]] = source.chunks()

    assert (source.header, source.unknown_columns) == (["siren", "nom"], [])
    assert (row.cells, row.faults) == (["123456782", "Un"], [])
    assert row.resolves == (IMPORT, 7, None)
    assert (row.record["siren"], row.record["nom"]) == ("123456782", "Un")


def test_numbers_of_a_workbook_are_told(tmp_path: Path) -> None:
    """A SIREN that Excel turned into a number gets its zeros back, in a correction too."""
    from openpyxl import Workbook

    path = tmp_path / "e.xlsx"
    book = Workbook()
    book.worksheets[0].append(["_line", "siren", "nom", "_import"])
    book.worksheets[0].append([7, 5520135, "Un", IMPORT])
    book.save(path)

    [row] = rows_of(path)

    assert (row.record["siren"], row.resolves) == ("005520135", (IMPORT, 7, None))


def test_other_lines(tmp_path: Path) -> None:
    """A line without _line was added, one with another is wrong; blank ones are skipped."""
    path = saved(tmp_path / "e.csv", [["123456782", "Un"]], ["siren", "nom"])
    text = path.read_text(encoding="utf-8-sig")
    first = text.splitlines()[1]
    added = first.replace(f';"2";"siren";"malformed";"Faux.";"";"{IMPORT}"', ";;;;;;")
    wrong = first.replace('"2"', '"deux"')
    unread = first.replace("malformed", "unread").replace('"2"', '"9"')
    path.write_text("\n".join([text.strip(), added, ";;;;;;;", wrong, unread]), encoding="utf-8")

    rows = rows_of(path)

    assert [row.resolves and row.resolves.line for row in rows] == [2, None, None, None]
    assert [[fault.column for fault in row.faults] for row in rows] == [[], [], ["_line"], []]


def test_cells_beyond_the_header(tmp_path: Path) -> None:
    """They are wrong as long as something stands in them."""
    path = saved(
        tmp_path / "e.csv",
        [["123456782", "Un", "x"], ["123456782", "Un", " "]],
        ["siren", "nom", "_cell_3"],
    )

    rows = rows_of(path)

    assert [[fault.code for fault in row.faults] for row in rows] == [["extra-cell"], []]
    assert rows[0].cells == ["123456782", "Un", "x"]


@pytest.mark.parametrize(
    ("line", "code"),
    [("nonsense", "malformed"), ("[1]", "malformed"), ('{"other": 1}', "malformed")],
)
def test_lines_that_are_no_objects(tmp_path: Path, line: str, code: str) -> None:
    """A line of a .jsonl report that its editor broke is a reject, and the others go on."""
    path = saved(tmp_path / "e.jsonl", [["123456782", "Un"]], ["siren", "nom"])
    path.write_text(f"{path.read_text(encoding='utf-8')}{line}\n", encoding="utf-8")

    rows = rows_of(path)

    assert [[fault.code for fault in row.faults] for row in rows] == [[], [code]]


def test_columns_of_one_name(tmp_path: Path) -> None:
    """As keys of JSON they stay apart."""
    path = saved(
        tmp_path / "e.jsonl", [["123456782", "Un", "a", "b", "c"]], ["siren", "nom", "", "x", "x"]
    )

    assert list(json.loads(path.read_text(encoding="utf-8")))[2:5] == ["_2", "x", "x_2"]
    assert rows_of(path)[0].cells == ["123456782", "Un", "a", "b", "c"]


@pytest.mark.parametrize(
    "named", [["x"], [IMPORT, IMPORT.replace("6", "7")], [""], [IMPORT.upper()], [f"{{{IMPORT}}}"]]
)
def test_reports_of_no_one_import(tmp_path: Path, named: list[str]) -> None:
    """A file that names no import, or several, is refused as a whole."""
    path = tmp_path / "e.csv"
    lines = [f"123456782,Un,{line},{name}" for line, name in enumerate(named, start=2)]
    path.write_text("\n".join(["siren,nom,_line,_import", *lines]), encoding="utf-8")

    with pytest.raises(RefusedError):
        open_source(path, ENTREPRISE)


def test_other_files_are_no_corrections(tmp_path: Path) -> None:
    """JSON of somebody else is no report of ours, nor is a file that has one of the columns."""
    path = tmp_path / "e.csv"
    path.write_text("siren,nom,_line\n123456782,Un,7\n", encoding="utf-8")

    assert not isinstance(open_source(path, ENTREPRISE, Options()), Correction)
    path.write_text('{"siren": "123456782", "nom": "Un"}\n', encoding="utf-8")
    assert not isinstance(open_source(path, IMPORT_TYPES["ENTREPRISE"]), Correction)


@pytest.mark.parametrize("suffix", FORMATS)
def test_fields_that_the_import_was_told(tmp_path: Path, suffix: str) -> None:
    """They stand in the report: whoever corrects it need not tell them again, but may."""
    told = json.dumps({"Matricule": "siren", "Intitulé": "nom", "Gone": "email_contact", "x": 1})
    header = ["Matricule", "Intitulé", *OURS[:-1], "_columns", "_import"]
    row = ["732829320", "Durand", "2", "siren", "malformed", "Faux.", "", told, IMPORT]
    path = tmp_path / f"e{suffix}"
    write(path, Report(header, [row]), ";")

    [read] = rows_of(path)
    assert (read.faults, read.record["siren"], read.record["nom"]) == ([], "732829320", "Durand")
    assert read.cells == ["732829320", "Durand"]

    again = open_source(path, ENTREPRISE, Options(columns={"Matricule": "siret"}))
    assert again.mapping == {"Matricule": "siret", "Intitulé": "nom"}


@pytest.mark.parametrize("line", ["Total : 2", "# corrigé le 3 mars", "siren;nom"])
def test_lines_that_are_not_rows(tmp_path: Path, line: str) -> None:
    """What somebody wrote below a report is no row of the correction."""
    path = saved(tmp_path / "e.csv", [["123456782", "Un"]] * 2, ["siren", "nom"])
    with path.open("a", encoding="utf-8") as file:
        header = path.read_text(encoding="utf-8-sig").splitlines()[0]
        file.write(f"{line}{';' * (header.count(';') - line.count(';'))}\n")

    assert [row.cells for row in rows_of(path)] == [["123456782", "Un"]] * 2


FORMER = {"Réf": "siren", "Quoi": "nom", "Rue": "adresse"}
"""How a file was understood by a release that knew other words than this one."""

HEADER = ["Réf", "Quoi", "siren", "", "Rue", "N°", "nom", ""]


def imported(header: Sequence[str] = HEADER) -> ImportState:
    """The state of an import whose columns were understood so, each address in two of them."""
    sources: dict[str, tuple[tuple[int, ...], ...]] = {
        name: ((header.index(column),),) for column, name in FORMER.items()
    }
    understood = stored(Header([*header], {**sources, "adresse": ((5, 4),)}))
    options = {"columns": json.dumps(FORMER), "understood": json.dumps(understood)}
    return new_state(id=IMPORT, import_type="ENTREPRISE", header=[*header], options=options)


def corrected(path: Path, **options: Any) -> Source:
    """The report, read beside the state of its import."""
    source = open_source(path, ENTREPRISE, Options(**options))
    return as_understood(source, {IMPORT: imported()})


CELLS = ["123456782", "Un", "732829320", "x", "rue Neuve", "3", "Deux", "y"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_columns_are_as_the_import_had_them(tmp_path: Path, suffix: str) -> None:
    """Whatever this release would make of their names; the check answers the same."""
    path = saved(tmp_path / f"e{suffix}", [CELLS], HEADER)

    [[row]] = corrected(path).chunks()

    read = {name: value for name, value in row.record.items() if value is not None}
    assert read == {"siren": "123456782", "nom": "Un", "adresse": "3 rue Neuve"}
    found = preview_of(path, ENTREPRISE, states=lambda _: {IMPORT: imported()})
    assert (found["corrects"], found["preview"]) == (IMPORT, [row.record])
    assert found["mapping"] == {**FORMER, "N°": "adresse"}


def test_columns_that_this_release_does_not_know(tmp_path: Path) -> None:
    """The report is read beside its import, and refused without it, before anything is published."""
    header = [
        name if name in FORMER or name == "N°" else f"colonne {at}"
        for at, name in enumerate(HEADER)
    ]
    path = saved(tmp_path / "e.csv", [CELLS], header)
    states = {IMPORT: imported(header)}

    [[row]] = as_understood(open_source(path, ENTREPRISE), states).chunks()

    assert row.record["siren"] == "123456782"
    with pytest.raises(RefusedError) as refusal:
        next(open_source(path, ENTREPRISE).chunks())
    assert refusal.value.code == "missing-label"
    assert preview_of(path, ENTREPRISE)["refusal"]["code"] == "missing-label"


def test_a_report_whose_columns_were_moved(tmp_path: Path) -> None:
    """They are found by their names; one that was added is found as in any file."""
    order = [5, 4, 1, 0, 2]
    header = [*(HEADER[at] for at in order), "telephone", "siret"]
    cells = [*(CELLS[at] for at in order), "0299000001", "12345678200010"]
    path = saved(tmp_path / "e.csv", [cells], header)

    [[row]] = corrected(path).chunks()

    read = {name: row.record[name] for name in ("siren", "nom", "adresse", "telephone")}
    assert [*read.values()] == ["123456782", "Un", "3 rue Neuve", "0299000001"]


def test_a_report_that_lacks_a_column(tmp_path: Path) -> None:
    """It is a file of its own, read by its names; so is one whose columns the operator names."""
    path = saved(tmp_path / "e.csv", [CELLS[1:]], HEADER[1:])
    assert corrected(path).mapping == {"siren": "siren", "Rue": "adresse", "nom": "nom"}

    path = saved(tmp_path / "f.csv", [CELLS], HEADER)
    assert corrected(path, columns={"Quoi": "nom_commercial"}).mapping["siren"] == "siren"
