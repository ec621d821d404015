"""What the earlier importer did wrong with a file, each with the input that showed it.

The numbers are those of the list of its faults; those that are not of the reader are tested where
they belong.
"""

from collections.abc import Callable
from datetime import date
from itertools import chain
from pathlib import Path

import openpyxl
import pytest

from producers.imports.preview import preview_of
from producers.reading import FileRow, open_source
from schemas.import_types import ENTREPRISE, VILLE, ImportType
from tests.fix_files import xls

SIREN, OTHER = "732829320", "005520135"


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def write(content: str | bytes) -> Path:
        path = tmp_path / "fichier"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def workbook(tmp_path: Path) -> Callable[..., Path]:
    def write(*rows: list[object]) -> Path:
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(row)
        book.save(tmp_path / "classeur.xlsx")
        return tmp_path / "classeur.xlsx"

    return write


File = Callable[[str | bytes], Path]
Workbook = Callable[..., Path]


def rows_of(path: Path, import_type: ImportType = ENTREPRISE) -> list[FileRow]:
    return list(chain.from_iterable(open_source(path, import_type).chunks()))


def test_b2_blank_cells_are_no_text(file: File, workbook: Workbook) -> None:
    """B2: a blank cell is nothing and not "None"; a blank line is none; a short line is a fault."""
    source = open_source(
        workbook(["siren", "nom", "siret", "telephone"], [SIREN, "A", None, None], [], [None] * 4),
        ENTREPRISE,
    )
    (row,) = chain.from_iterable(source.chunks())

    assert (row.record["siret"], row.record["telephone"]) == (None, None)
    assert row.faults == []

    (short,) = rows_of(file(f"siren,nom\n{SIREN}\n"))

    assert [fault.code for fault in short.faults] == ["missing-cell"]


def test_b3_blank_truth_value(file: File, workbook: Workbook) -> None:
    """B3: a blank is_active says nothing, in a text file and in a workbook."""
    (text,) = rows_of(file(f"siren,nom,is_active\n{SIREN},A,\n"))
    (cell,) = rows_of(workbook(["siren", "nom", "is_active"], [SIREN, "A", None]))

    assert text.record["is_active"] is None
    assert cell.record["is_active"] is None


def test_b5_leading_zeros(workbook: Workbook) -> None:
    """B5: numbers get back the zeros that a spreadsheet dropped, and a warning says so."""
    (row,) = rows_of(workbook(["siren", "nom", "cp", "telephone"], [5520135, "A", 1000, 612345678]))

    assert row.key == OTHER
    assert (row.record["code_postal"], row.record["telephone"]) == ("01000", "0612345678")
    assert row.warnings == ["zeros-restored"] * 3


def test_b6_garbage(file: File) -> None:
    """B6: a SIREN of letters rejects its row; a postal code of letters is dropped with a warning."""
    bad, warned = rows_of(file(f"siren,nom,cp\nABC,A,35000\n{SIREN},B,ZZ\n"))

    assert [(fault.column, fault.code) for fault in bad.faults] == [("siren", "malformed")]
    assert (warned.record["code_postal"], warned.warnings) == (None, ["malformed"])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_b7_files_of_french_excel(file: File, encoding: str) -> None:
    """B7: semicolons, Windows-1252, and headers in any case are what French Excel writes."""
    (row,) = rows_of(file(f"SIREN;Nom;Code Postal\r\n{SIREN};Société;35000\r\n".encode(encoding)))

    assert row.faults == []
    assert (row.record["nom"], row.record["code_postal"]) == ("Société", "35000")


def test_b8_old_workbooks(file: File) -> None:
    """B8: a true .xls file is read."""
    (row,) = rows_of(file(xls(F=[["siren", "nom"], [SIREN, "A"]])))

    assert (row.key, row.faults) == (SIREN, [])


def test_b9_dates_in_faulty_rows(workbook: Workbook) -> None:
    """B9: the cells of a faulty row are texts, whatever a workbook holds, so its report is JSON."""
    found = preview_of(
        workbook(["siren", "nom", "le"], [SIREN, None, date(2020, 1, 2)], [date(2020, 1, 2), "A"]),
        ENTREPRISE,
    )
    (first, second) = rows_of(
        workbook(["siren", "nom", "le"], [SIREN, None, date(2020, 1, 2)], [date(2020, 1, 2), "A"])
    )

    assert first.cells == [SIREN, "", "2020-01-02"]
    assert second.cells == ["2020-01-02", "A", ""]
    assert [(example["line"], example["value"]) for example in found["examples"]] == [
        (2, ""),
        (3, "2020-01-02"),
    ]


@pytest.mark.parametrize(
    ("content", "import_type", "code"),
    [
        ("", ENTREPRISE, "empty-file"),
        ("siren,nom\n", ENTREPRISE, "no-rows"),
        ("nom_commune,code_postal,lat\nRennes,35000,48\n", ENTREPRISE, "wrong-type"),
        (f"siren,nom\n{SIREN},A\n", VILLE, "wrong-type"),
    ],
)
def test_b11_nothing_or_another_type(
    file: File, content: str, import_type: ImportType, code: str
) -> None:
    """B11: an empty file, a header alone and a file of another type are refused."""
    assert preview_of(file(content), import_type)["refusal"]["code"] == code


def test_b12_duplicates(file: File) -> None:
    """B12: a key that occurs twice in a file is counted as a duplicate."""
    found = preview_of(file(f"siren,nom\n{SIREN},A\n{SIREN},B\n"), ENTREPRISE)

    assert (found["total_rows"], found["valid_rows"], found["duplicate_rows"]) == (2, 2, 1)


def test_b23_where_and_what(file: File) -> None:
    """B23: a fault tells the line that Excel shows, its column, a code, and French words."""
    found = preview_of(file(f"siren,nom,lat\n{SIREN},A,1\n\nX,B,1\n"), ENTREPRISE)

    (example,) = found["examples"]
    assert (example["line"], example["column"], example["code"]) == (4, "siren", "malformed")
    assert "doit être 9 chiffres" in example["message"]


def test_b25_byte_order_mark(file: File) -> None:
    """B25: a BOM is no part of the first header."""
    source = open_source(file(f"\ufeffsiren,nom\n{SIREN},A\n"), ENTREPRISE)

    assert source.header == ["siren", "nom"]
