"""Error reports: what stands in them, and that no spreadsheet runs it."""

import csv
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook
from python_calamine import CalamineWorkbook

from producers.kafka.import_state import new_state
from producers.kafka.reject_log import Reject
from producers.reading.formula_guard import original, safe
from producers.reports.error_report import Report, report, write
from schemas.codec.framing import Decoder, Encoder, load
from schemas.codec.schema import Schema
from schemas.import_types import ENTREPRISE
from tests.examples import examples

EMPTY = {field["name"]: None for field in load("entreprise_row")["fields"]}


class Content(NamedTuple):
    """A report whose rows were all taken."""

    header: list[str]
    rows: list[list[str]]


class Schemas:
    """A registry that holds the current row schema only."""

    def schema(self, schema_id: int) -> Schema:
        return load("entreprise_row")


def rejected(
    line: int,
    faults: list[tuple[str, str, str]],
    *,
    cells: list[str] | None = None,
    sheet: str | None = None,
    **fields: object,
) -> Reject:
    """A reject as a worker publishes it."""
    place = {
        "id": "i",
        "number": line,
        "line": line,
        "sheet": sheet,
        "occurrence": 0,
        "policy": "merge",
        "cells": cells,
        "faults": [],
    }
    value = Encoder("entreprise_row", 1).encode({**EMPTY, **fields, "import": place})
    names = ("column", "code", "message")
    errors: list[dict[str, str | None]] = [dict(zip(names, fault, strict=True)) for fault in faults]
    return Reject(line, sheet, errors, value)


def reported(
    *rejects: Reject,
    header: tuple[str, ...] = ("SIREN", "Raison sociale"),
    options: dict[str, str] | None = None,
) -> Content:
    """The report of an import with these rejects."""
    mapping = {"SIREN": "siren", "Raison sociale": "nom"}
    state = new_state(
        id="i",
        import_type=ENTREPRISE.name,
        header=list(header),
        options={"columns": json.dumps(mapping)} if options is None else options,
    )
    content = report(state, rejects, Decoder("entreprise_row", Schemas()))
    return Content(content.header, list(content.rows))


MISSING = ("SIREN", "missing-value", "Le SIREN manque.")
LONG = ("Raison sociale", "too-long", "Le nom est trop long.")


def test_original_columns_come_first() -> None:
    """The cells as read, then what is wrong with them."""
    content = reported(rejected(7, [MISSING], cells=["", " Ma  société "]))

    ours = ["_line", "_column", "_code", "_message", "_import"]
    assert content.header == ["SIREN", "Raison sociale", *ours]
    assert content.rows == [
        ["", " Ma  société ", "7", "SIREN", "missing-value", "Le SIREN manque.", "i"]
    ]


def test_several_faults_of_a_line_share_its_row() -> None:
    """They are joined with a bar, in one order."""
    [row] = reported(rejected(7, [MISSING, LONG], cells=["", "x"])).rows

    assert row[2:] == [
        "7",
        "SIREN | Raison sociale",
        "missing-value | too-long",
        "Le SIREN manque. | Le nom est trop long.",
        "i",
    ]


def test_lines_are_in_the_order_of_the_file() -> None:
    """Partitions mix them up."""
    lines = [rejected(line, [MISSING], cells=["", ""]) for line in (12, 3, 101, 4)]

    assert [row[2] for row in reported(*lines).rows] == ["3", "4", "12", "101"]


def test_a_row_that_postgresql_refused_is_shown_by_its_fields() -> None:
    """It carries no cells; its values stand under the columns that they came from."""
    [row] = reported(rejected(7, [LONG], siren="123456789", nom="Dupont")).rows

    assert row[:2] == ["123456789", "Dupont"]


def test_an_upstream_row_is_shown_under_field_names() -> None:
    """An import without a header has the fields of its type for one."""
    content = reported(
        rejected(7, [LONG], siren="123456789", is_active=True), header=(), options={}
    )

    names = [field.name for field in ENTREPRISE.fields]
    assert names == content.header[: len(names)]
    assert content.rows[0][names.index("siren")] == "123456789"
    assert content.rows[0][names.index("is_active")] == "oui"


def test_cells_beyond_the_header_are_kept() -> None:
    """A line with too many cells shows all of them."""
    content = reported(
        rejected(7, [MISSING], cells=["1", "2", "3"]), rejected(8, [MISSING], cells=["1"])
    )

    assert content.header[:4] == ["SIREN", "Raison sociale", "_cell_3", "_line"]
    assert [row[:4] for row in content.rows] == [["1", "2", "3", "7"], ["1", "", "", "8"]]


def test_fields_that_were_told_are_told_again() -> None:
    """By the header as it is read back: producers.reading."""
    told = {"encoding": None, "columns": {"SIREN": "siren"}}
    content = reported(
        rejected(2, [MISSING], cells=["", ""]),
        options={"columns": "{}", "told": json.dumps(told)},
    )

    assert content.header[-2:] == ["_columns", "_import"]
    assert json.loads(content.rows[0][-2]) == told["columns"]


def test_sheets_are_told_where_there_are_any() -> None:
    """Line numbers start anew on every sheet."""
    content = reported(
        rejected(2, [MISSING], cells=["", ""], sheet="Sud"),
        rejected(9, [MISSING], cells=["", ""], sheet="Nord"),
    )

    assert content.header[-2:] == ["_sheet", "_import"]
    assert [(row[2], row[-2]) for row in content.rows] == [("9", "Nord"), ("2", "Sud")]


def test_a_value_that_cannot_be_read_still_has_its_line() -> None:
    """What is wrong is told even where the row is not Avro."""
    [row] = reported(Reject(7, None, [dict.fromkeys(("column", "code", "message"))], b"x")).rows

    assert row[:3] == ["", "", "7"]


@pytest.mark.parametrize(
    "cell",
    [
        "=1+1",
        "@SUM(A1)",
        "+cmd|' /C calc'!A0",
        "-A1",
        "\ta",
        "\ra",
        "\na",
        "＝1",
        "＋1",
        "－1",
        "＠1",
        " =1",
        "\u3000=1",
        "\ufeff=1",
        "'=1",
        '"=1',
        "+1+1",
        "-1/2",
    ],
)
def test_formulas_are_disarmed(cell: str) -> None:
    """An apostrophe makes them text."""
    assert f"'{cell}" == safe(cell)


@pytest.mark.parametrize("separator", list(",;|\t\r\n"))
@pytest.mark.parametrize("call", ["=1", " @A", '"=1', "＋1"])
def test_pieces_of_a_cell_are_disarmed(separator: str, call: str) -> None:
    """A spreadsheet of another country splits cells elsewhere."""
    assert safe(f"x{separator}{call}") == f"x{separator}'{call}"


def test_every_field_is_quoted(tmp_path: Path) -> None:
    write(tmp_path / "e.csv", Report(["a", "b"], [["1", ""]]), ";")

    assert (tmp_path / "e.csv").read_text(encoding="utf-8-sig") == '"a";"b"\n"1";""\n'


@pytest.mark.parametrize(
    "cell", ["-12.5", "+33 6 12 34 56 78", "-1,5", "+33(0)6", "-1e5", "a=1", "", "'a", "12"]
)
def test_numbers_and_phones_stay_as_they_are(cell: str) -> None:
    """They would not import again with an apostrophe before them."""
    assert cell == safe(cell)


@given(st.text("=+-@\t\r'a1 ", max_size=6))
def test_guards_are_taken_off_again(cell: str) -> None:
    """Whatever a cell is, it comes back as it was; and a guarded cell starts no formula."""
    assert original(safe(cell)) == cell
    assert not safe(cell).startswith(("=", "@", "\t", "\r"))


CELLS = st.lists(
    st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from("=+-@\t"), max_size=6),
    min_size=2,
    max_size=2,
)


@settings(deadline=None)  # it writes files
@given(st.lists(CELLS, max_size=4))
def test_csv_reads_back_as_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    """But for the apostrophes every cell is there, and none starts a formula."""
    path = tmp_path_factory.mktemp("report") / "erreurs.csv"
    write(path, Report(["a", "b"], rows), ";")

    with path.open(encoding="utf-8-sig", newline="") as file:
        found = list(csv.reader(file, delimiter=";"))

    assert [["a", "b"], *([safe(cell) for cell in row] for row in rows)] == found
    assert not any(cell.startswith(("=", "@", "\t")) for row in found for cell in row)


def test_xlsx_cells_are_text(tmp_path: Path) -> None:
    """A SIREN keeps its leading zero, a formula stays a text, control characters are escaped."""
    path = tmp_path / "erreurs.xlsx"
    write(path, Report(["siren", "nom"], [["005520135", "=1+1"], ["-12.5", "a\x00b"]]), ",")

    rows = list(load_workbook(path).active.iter_rows())

    assert [[cell.value for cell in row] for row in rows] == [
        ["siren", "nom"],
        ["005520135", "'=1+1"],
        ["-12.5", "a_x0000_b"],
    ]
    assert {"s"} == {cell.data_type for row in rows for cell in row}


@settings(max_examples=examples(200))
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff")),
        min_size=1,
        max_size=5,
    )
)
@example(["a\x01b\x00", "_x0041_", "\r\n", "_x005F_x0041_"])
def test_xlsx_cells_are_read_back_as_they_were(cells: list[str]) -> None:
    """Control characters, and what only looks like their escape; calamine leaves U+FFFE and U+FFFF."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "erreurs.xlsx"
        write(path, Report(["a"], [[f"x{cell}y"] for cell in cells]), ",")

        _, *found = CalamineWorkbook.from_path(path).get_sheet_by_index(0).to_python()

    assert found == [[f"x{cell}y"] for cell in cells]


def test_jsonl_is_verbatim(tmp_path: Path) -> None:
    """Programs read it: nothing is added to a value."""
    path = tmp_path / "erreurs.jsonl"
    write(path, Report(["nom", "_line"], [["=é", "2"]]), ",")

    assert [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] == [
        {"nom": "=é", "_line": "2"}
    ]
