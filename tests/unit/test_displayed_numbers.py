"""Numbers of a workbook with a format that shows more than the number are read as people see them."""

import io
import zipfile
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import openpyxl
import pytest
import xlwt

from producers.reading import FileRow, open_source
from producers.reading.workbook.open_xml.number_display import display_of
from schemas.import_types import ENTREPRISE
from tests.fix_files import ods

SIREN = "732829320"


class Cell(NamedTuple):
    """A number, its format, and what LibreOffice writes as its text."""

    value: float
    code: str
    shown: str


Row = dict[str, Cell]


def xlsx(row: Row) -> bytes:
    book = openpyxl.Workbook()
    book.active.append(["siren", "nom", *row])
    book.active.append([SIREN, "Un"])
    for column, cell in enumerate(row.values(), 3):
        one = book.active.cell(2, column, cell.value)
        one.number_format = cell.code
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def without_cell_names(row: Row) -> bytes:
    """As a writer whose cells have another form than the usual one."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(xlsx(row))) as book, zipfile.ZipFile(target, "w") as other:
        for part in book.infolist():
            content = book.read(part)
            if part.filename.startswith("xl/worksheets/"):
                content = content.replace(b"<c ", b"<c  ")
            other.writestr(part, content)
    return target.getvalue()


def xls(row: Row) -> bytes:
    book = xlwt.Workbook()
    sheet = book.add_sheet("a")
    for column, (name, cell) in enumerate(row.items(), 2):
        sheet.write(0, column, name)
        sheet.write(1, column, cell.value, xlwt.easyxf(num_format_str=cell.code))
    for column, (name, value) in enumerate([("siren", SIREN), ("nom", "Un")]):
        sheet.write(0, column, name)
        sheet.write(1, column, value)
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def open_document(row: Row) -> bytes:
    def text(value: str) -> str:
        return f'<table:table-cell office:value-type="string"><text:p>{value}</text:p></table:table-cell>'

    numbers = "".join(
        f'<table:table-cell office:value-type="float" office:value="{cell.value}">'
        f"<text:p>{cell.shown}</text:p></table:table-cell>"
        for cell in row.values()
    )
    header = "".join(map(text, ["siren", "nom", *row]))
    return ods(
        {
            "a": f"<table:table-row>{header}</table:table-row>"
            f"<table:table-row>{text(SIREN)}{text('Un')}{numbers}</table:table-row>"
        }
    )


Writer = Callable[[Row], bytes]
WRITERS: dict[str, Writer] = {
    "xlsx": xlsx,
    "another form": without_cell_names,
    "xls": xls,
    "ods": open_document,
}


@pytest.fixture(params=list(WRITERS.values()), ids=list(WRITERS))
def read(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Row], FileRow]:
    def read(row: Row) -> FileRow:
        path = tmp_path / "classeur"
        path.write_bytes(request.param(row))
        (found,) = chain.from_iterable(open_source(path, ENTREPRISE).chunks())
        return found

    return read


Read = Callable[[Row], FileRow]


@pytest.mark.parametrize(
    ("cell", "stored"),
    [
        (Cell(12, '0" rue du Lac"', "12 rue du Lac"), "12 rue du Lac"),
        (Cell(7, "000", "007"), "007"),
        (Cell(0.5, "0%", "50%"), "50%"),
        (Cell(1, "0%", "100%"), "100%"),
        (Cell(1500, '#,##0 "€"', "1 500 €"), "1 500 €"),
        (Cell(7, '"N° "0', "N° 7"), "N° 7"),
        (Cell(1664, "#,##0", "1 664"), "1 664"),
        (Cell(1664, "0.00", "1664,00"), "1664,00"),
        (Cell(12.346, "#,##0.00", "12,35"), "12,35"),
        (Cell(7, "0", "7"), "7"),
        (Cell(7, "General", "7"), "7"),
    ],
)
def test_texts(read: Read, cell: Cell, stored: str) -> None:
    row = read({"adresse": cell})

    assert row.record["adresse"] == stored
    assert row.cells[2] == stored  # what an error report shows and a retry reads
    assert not row.faults


@pytest.mark.parametrize(
    ("header", "field", "cell", "stored"),
    [
        ("code postal", "code_postal", Cell(1000, "00000", "01000"), "01000"),
        ("code postal", "code_postal", Cell(1000, '00" "000', "01 000"), "01000"),
        ("téléphone", "telephone", Cell(478000000, "0000000000", "0478000000"), "0478000000"),
        (
            "téléphone",
            "telephone",
            Cell(478000000, '0#" "##" "##" "##" "##', "04 78 00 00 00"),
            "04 78 00 00 00",
        ),
        ("code postal", "code_postal", Cell(69003, "#,##0", "69 003"), "69003"),
        ("code postal", "code_postal", Cell(1000, "0.00", "1000,00"), "01000"),
        ("téléphone", "telephone", Cell(478000000, "#,##0", "478 000 000"), "0478000000"),
        ("téléphone", "telephone", Cell(478000000, "0.00", "478000000,00"), "0478000000"),
        (
            "siret",
            "siret",
            Cell(73282932000074, "000 000 000 00000", "732 829 320 00074"),
            "73282932000074",
        ),
    ],
)
def test_codes(read: Read, header: str, field: str, cell: Cell, stored: str) -> None:
    row = read({header: cell})

    assert row.record[field] == stored
    assert not row.faults


def test_a_currency_by_mistake(read: Read) -> None:
    """A code is its digits, whatever else its format shows; a population is a number."""
    row = read({"siret": Cell(73282932000074, '#,##0 "€"', "73 282 932 000 074 €")})

    assert row.record["siret"] == "73282932000074"


@pytest.mark.parametrize("code", ["# ?/?", "0.00E+00", "[>=10]00;000"])
@pytest.mark.parametrize("writer", [xlsx, xls])
def test_a_format_that_only_a_spreadsheet_knows(tmp_path: Path, writer: Writer, code: str) -> None:
    path = tmp_path / "classeur"
    path.write_bytes(writer({"adresse": Cell(12, code, "")}))
    (row,) = chain.from_iterable(open_source(path, ENTREPRISE).chunks())

    assert row.record["adresse"] == "12"
    assert row.warnings == ["corrected"]


@pytest.mark.parametrize(
    ("code", "value", "shown"),
    [
        ("000;-000", -5, "-005"),
        ("000", -5, "-005"),
        ('0" a";;"rien"', 0, "rien"),
        ("0.00%", 0.125, "12,50%"),
        ("[Red]00.0#", 5.5, "05,5"),
        ("0.0%", 0.1, "10,0%"),
        ('#,##0.00\\ "€"', 1234567.891, "1 234 567,89 €"),
        ("[$€-40C] #,##0", 5, "€ 5"),
        ('0"a"0"b"0', 1234, "12a3b4"),
        ('#" "##', 5, "5"),
        ('##" "00', 5, "05"),
        ('0" k€",', 5000, None),
        ("_-* #,##0.00\\ _€_-;\\-* #,##0", 1234.5, "1 234,50"),
    ],
)
def test_display(code: str, value: float, shown: str | None) -> None:
    """What Excel shows: digits from right to left, the first place takes those that are left."""
    display = display_of(code)
    if display is None:
        assert shown == str(value)
    else:
        assert display(float(value)) == shown


@pytest.mark.parametrize(
    "code",
    ["General", "", "@", "0", "#", "# ##0"],
)
def test_formats_of_the_number_alone(code: str) -> None:
    assert display_of(code) is None
