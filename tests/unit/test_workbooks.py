"""Old Excel workbooks, LibreOffice workbooks, and what a sheet holds besides plain values."""

import io
import zipfile
from collections.abc import Callable, Sequence
from datetime import date, datetime
from itertools import chain
from pathlib import Path

import openpyxl
import pytest
import xlwt
from openpyxl.worksheet.worksheet import Worksheet

from producers.imports.preview import preview_of
from producers.reading import FileRow, Options, RefusedError, open_source
from producers.reading.workbook.excel import Workbook
from producers.reading.workbook.xls import BinaryWorkbook
from schemas.import_types import ENTREPRISE
from tests.fix_files import SHARED, ods, ods_rows, xls, zipped

SIREN, OTHER = "732829320", "005520135"
Write = Callable[[bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(content: bytes) -> Path:
        path = tmp_path / "classeur"
        path.write_bytes(content)
        return path

    return write


def rows_of(path: Path, sheet: str | None = None) -> list[FileRow]:
    return list(chain.from_iterable(open_source(path, ENTREPRISE, Options(sheet=sheet)).chunks()))


def refused(path: Path) -> RefusedError:
    with pytest.raises(RefusedError) as refusal:
        rows_of(path)
    return refusal.value


def as_ods(**sheets: Sequence[Sequence[object]]) -> bytes:
    return ods({name: ods_rows(rows) for name, rows in sheets.items()})


def as_xlsx(fill: Callable[[Worksheet], None], *rows: Sequence[object]) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    for row in rows:
        sheet.append(row)
    fill(sheet)
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


@pytest.mark.parametrize("make", [xls, as_ods])
class TestOtherFormats:
    def test_cells_as_a_person_sees_them(self, write: Write, make: Callable[..., bytes]) -> None:
        """Numbers, dates and truth values come as the texts that are shown, lost zeros restored."""
        header = ["siren", "nom", "cp", "telephone", "actif", "le", "note"]
        row = [5520135, "Été\nbis", 1000, 299000000, True, date(2020, 1, 2), 0.1 + 0.2]
        path = write(make(Feuille=[[None], header, row, [], [SIREN, "B"]]))

        source = open_source(path, ENTREPRISE)
        first, second = chain.from_iterable(source.chunks())

        assert source.format == ("xls" if make is xls else "ods")
        assert (source.sheet, source.header_line) == ("Feuille", 2)
        assert first.cells == [
            "5520135",
            "Été\nbis",
            "1000",
            "299000000",
            "VRAI",
            "2020-01-02",
            "0.3",
        ]
        assert (first.key, first.record["code_postal"]) == (OTHER, "01000")
        assert first.record["telephone"] == "0299000000"
        assert first.record["is_active"] is True
        assert first.warnings == ["zeros-restored"] * 3
        assert (second.line, second.cells[:3]) == (5, [SIREN, "B", ""])

    def test_sheets(self, write: Write, make: Callable[..., bytes]) -> None:
        """Sheets with the same header are read in order, the others skipped and named."""
        header = ["siren", "nom"]
        path = write(
            make(
                Nord=[header, [SIREN, "A"]],
                Notice=[["Mode d'emploi"]],
                Vide=[],
                Sud=[header, [OTHER, "B"]],
            )
        )

        source = open_source(path, ENTREPRISE)

        assert (source.sheet, source.skipped_sheets) == ("Nord, Sud", ["Notice", "Vide"])
        assert [(row.sheet, row.key) for row in rows_of(path)] == [("Nord", SIREN), ("Sud", OTHER)]
        assert [row.sheet for row in rows_of(path, sheet="Sud")] == ["Sud"]


def test_hidden_old_sheets(write: Write) -> None:
    """Hidden rows and columns of an old workbook are read and counted, hidden sheets are not."""
    book = xlwt.Workbook()
    for name in ("F", "Cachée"):
        sheet = book.add_sheet(name)
        for at, row in enumerate([["siren", "nom"], [SIREN, "A"], [OTHER, "B"]]):
            for column, value in enumerate(row):
                sheet.write(at, column, value)
    book.get_sheet(0).row(2).hidden = True
    book.get_sheet(0).col(1).hidden = True
    book.get_sheet(1).visibility = 1
    target = io.BytesIO()
    book.save(target)

    found = preview_of(write(target.getvalue()), ENTREPRISE)

    assert (found["hidden_rows"], found["hidden_columns"]) == (1, 1)
    assert (found["valid_rows"], found["skipped_sheets"]) == (2, ["Cachée"])


def test_old_errors_and_moments(write: Write) -> None:
    """Errors of formulas, times and times of day of an old workbook come as texts."""
    book = xlwt.Workbook()
    sheet = book.add_sheet("F")
    for column, name in enumerate(["siren", "nom", "a", "b", "c"]):
        sheet.write(0, column, name)
    sheet.write(1, 0, SIREN)
    sheet.row(1).set_cell_error(1, "#REF!")
    sheet.write(1, 2, datetime(2020, 1, 2, 3, 4), xlwt.easyxf(num_format_str="YYYY-MM-DD HH:MM"))  # noqa: DTZ001
    sheet.write(1, 3, 0.5, xlwt.easyxf(num_format_str="HH:MM"))
    sheet.write(1, 4, 1.5, xlwt.easyxf(num_format_str="[HH]:MM:SS"))
    target = io.BytesIO()
    book.save(target)

    (row,) = rows_of(write(target.getvalue()))

    assert row.cells[1:] == ["#REF!", "2020-01-02 03:04:00", "12:00:00", "36:00:00"]
    assert [fault.code for fault in row.faults] == ["formula-error"]


class TestNotes:
    def test_hidden(self, write: Write) -> None:
        """Hidden rows and columns of a workbook are read, and counted."""

        def hide(sheet: Worksheet) -> None:
            sheet.row_dimensions[3].hidden = True
            sheet.column_dimensions.group("D", "F", hidden=True)

        found = preview_of(
            write(as_xlsx(hide, ["siren", "nom"], [SIREN, "A"], [OTHER, "B"])), ENTREPRISE
        )

        assert (found["hidden_rows"], found["hidden_columns"], found["valid_rows"]) == (1, 3, 2)

    def test_hidden_in_ods(self, write: Write) -> None:
        """LibreOffice's hidden rows and columns are counted with their repetitions."""
        rows = (
            '<table:table-column table:visibility="collapse" table:number-columns-repeated="2"/>'
            + ods_rows([["siren", "nom"], [SIREN, "A"]])
            + '<table:table-row table:visibility="filter" table:number-rows-repeated="3">'
            "<table:table-cell/></table:table-row>"
        )

        found = preview_of(write(ods({"F": rows})), ENTREPRISE)

        assert (found["hidden_rows"], found["hidden_columns"], found["valid_rows"]) == (3, 2, 1)

    def test_formulas(self, write: Write) -> None:
        """A formula counts by its stored value; without one, or in error, the row says so."""

        def fill(sheet: Worksheet) -> None:
            sheet["B2"] = '="A"&"B"'  # openpyxl stores no value
            sheet["C3"] = "#REF!"
            sheet["C3"].data_type = "e"
            sheet["C4"] = "#N/A"
            sheet["C4"].data_type = "e"

        content = as_xlsx(
            fill,
            ["siren", "nom", "adresse"],
            [SIREN, None, "1 rue A"],
            [SIREN, "B", None],
            [OTHER, "C", None],
            [OTHER, "D", "x"],
        )
        stored = _changed(content, b"<f>", b"</f>", b"</f><v>Z</v>")

        first, second, third, fourth = rows_of(write(content))

        assert [(f.column, f.code) for f in first.faults] == [("nom", "formula-error")]
        assert [(f.column, f.code) for f in second.faults] == [("adresse", "formula-error")]
        assert (second.cells[2], third.cells[2]) == ("#REF!", "#N/A")
        assert (third.faults, fourth.faults) == ([], [])
        assert rows_of(write(stored))[0].record["nom"] == "Z"

    def test_formulas_in_ods(self, write: Write) -> None:
        """LibreOffice's formulas without a value are told as well."""
        rows = ods_rows([["siren", "nom", "adresse"]]).partition("<table:table-row table:number")[0]
        rows += (
            "<table:table-row>"
            + f'<table:table-cell office:value-type="string"><text:p>{SIREN}</text:p></table:table-cell>'
            + '<table:table-cell table:formula="of:=[.A1]"/>'
            + '<table:table-cell office:value-type="string"><text:p>x</text:p></table:table-cell>'
            + "</table:table-row>"
        )

        (row,) = rows_of(write(ods({"F": rows})))

        assert [(fault.column, fault.code) for fault in row.faults] == [("nom", "formula-error")]

    def test_merged(self, write: Write) -> None:
        """A cell merged over several lines counts on each, a title merged over columns once."""

        def merge(sheet: Worksheet) -> None:
            sheet.merge_cells("A1:C1")
            sheet.merge_cells("C3:C5")

        content = as_xlsx(
            merge,
            ["Sociétés"],
            ["siren", "nom", "ville"],
            [SIREN, "A", "Rennes"],
            [OTHER, "B"],
            ["552013500", "C"],
            ["000325175", "D"],
        )

        found = preview_of(write(content), ENTREPRISE)
        rows = rows_of(write(content))

        assert [row.record["ville_nom"] for row in rows] == ["Rennes"] * 3 + [None]
        assert (found["merged_cells"], found["header_line"]) == (2, 2)

    def test_merged_over_blocks(self, write: Write) -> None:
        """A merged cell counts on every line, however many blocks of lines it covers."""
        rows = [[f"{number:09d}", "A"] for number in range(2500)]
        rows[0].append("Rennes")
        content = as_xlsx(
            lambda sheet: sheet.merge_cells("C2:C2400"), ["siren", "nom", "ville"], *rows
        )

        cities = [row.record["ville_nom"] for row in rows_of(write(content))]

        assert cities == ["Rennes"] * 2399 + [None] * 101


def _changed(content: bytes, after: bytes, old: bytes, new: bytes) -> bytes:
    """The workbook with the first `old` behind `after` replaced in its sheet."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    sheet = members["xl/worksheets/sheet1.xml"]
    at = sheet.index(old, sheet.index(after))
    members["xl/worksheets/sheet1.xml"] = (
        sheet[:at] + new + sheet[at + len(old) :].removeprefix(b"<v></v>").removeprefix(b"<v />")
    )
    return zipped(members)


_VALUE = 'office:value-type="float" office:value="1"'


class TestBombs:
    @pytest.mark.parametrize(
        "rows",
        [
            f'<table:table-row><table:table-cell table:number-columns-repeated="16384" {_VALUE}/>'
            "</table:table-row>" * 1000,
            f'<table:table-row table:number-rows-repeated="1000000"><table:table-cell {_VALUE} '
            'table:number-columns-repeated="100"/></table:table-row>',
            '<table:table-row><table:table-cell office:value-type="string"><text:p>'
            '<text:s text:c="4000000000"/></text:p></table:table-cell></table:table-row>',
            '<table:table-row table:number-rows-repeated="5000"><table:table-cell '
            f'office:value-type="string"><text:p>{"x" * (1 << 19)}</text:p></table:table-cell>'
            "</table:table-row>",
        ],
        ids=["wide", "tall", "blanks", "text"],
    )
    def test_repeated_cells(self, write: Write, rows: str) -> None:
        """A LibreOffice workbook that stands for too many cells or too much text is refused."""
        assert refused(write(ods({"F": rows}))).code == "too-large"

    @pytest.mark.parametrize(
        "rows",
        [
            f"<table:table-row><table:table-cell {_VALUE}/></table:table-row>"
            '<table:table-row table:number-rows-repeated="1048000"><table:table-cell/>'
            "</table:table-row>"
            '<table:table-row><table:table-cell table:number-columns-repeated="16000"/>'
            f"<table:table-cell {_VALUE}/></table:table-row>",
            "<table:table-row><table:table-cell table:number-columns-repeated='16000' a='>'/>"
            f"<table:table-cell {_VALUE}/></table:table-row>" * 1000,
        ],
        ids=["far", "empty-before"],
    )
    def test_few_values_that_lie_far_apart(self, write: Write, rows: str) -> None:
        """Few values are read one by one, whatever rectangle they span."""
        assert refused(write(ods({"F": rows}))).code == "unknown-columns"

    def test_xml_broken_off(self, write: Write) -> None:
        """A LibreOffice workbook whose XML breaks off is refused at once: calamine would wait."""
        with zipfile.ZipFile(io.BytesIO(as_ods(F=[["siren", "nom"], [SIREN, "A"]]))) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        members["content.xml"] = members["content.xml"].partition(b"</table:table>")[0]

        assert refused(write(zipped(members))).code == "broken-workbook"

    def test_two_sheets_of_one_name(self, write: Write) -> None:
        """Two sheets of one name are refused: their rows could not be told apart."""
        rows = ods_rows([["siren", "nom"], [SIREN, "A"]])
        content = ods({"F": rows, "G": rows})
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        members["content.xml"] = members["content.xml"].replace(b'"G"', b'"F"')

        assert refused(write(zipped(members))).code == "broken-workbook"

    def test_shared_texts(self, write: Write) -> None:
        """A long text that many cells share is refused before each gets a copy of it."""
        content = as_xlsx(lambda sheet: None, ["siren", "nom"], [SIREN, "A"])
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        members["xl/sharedStrings.xml"] = (
            b'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
            b"<si><t>%s</t></si></sst>" % (b"x" * (3 << 20))
        )
        rows = b"".join(
            b'<row r="%d"><c r="A%d" t="s"><v>0</v></c></row>' % (line, line)
            for line in range(1, 1000)
        )
        members["xl/worksheets/sheet1.xml"] = (
            b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
            b"<sheetData>%s</sheetData></worksheet>" % rows
        )

        assert refused(write(zipped(members))).code == "too-large"

    def test_long_texts_that_few_cells_share(self, write: Write) -> None:
        """One long text among many short ones is no reason to refuse."""
        rows = [[SIREN, f"Nom {number}", "x"] for number in range(40_000)]
        rows[7][2] = "y" * 32_000
        content = as_xlsx(lambda sheet: None, ["siren", "nom", "adresse"], *rows)

        assert len(rows_of(write(content))) == 40_000

    def test_sector_chain_that_never_ends(self, write: Write) -> None:
        """A damaged old workbook whose chains run in circles is refused at once."""
        content = bytearray(xls(F=[["siren", "nom"], [SIREN, "A"]]))
        content[68:72] = (0).to_bytes(4, "little")  # the first sector of the table of tables
        content[72:76] = (1).to_bytes(4, "little")

        assert refused(write(bytes(content))).code == "broken-workbook"


needs_shared = pytest.mark.skipif(
    SHARED is None, reason="the real files of shared/data are MISSING beside this checkout"
)


@needs_shared
class TestCorpus:
    """Workbooks that python-calamine is tested with; expected values from its own tests."""

    @staticmethod
    def path(name: str) -> Path:
        assert SHARED is not None
        return SHARED / "corpus" / "python-calamine" / name

    @pytest.mark.parametrize("name", ["base.xlsx", "base.xls", "base.ods"])
    def test_values(self, name: str) -> None:
        """Every kind of value has one text, whichever program wrote it."""
        with self.path(name).open("rb") as file:
            book = BinaryWorkbook(file.read()) if name.endswith(".xls") else Workbook(file)
        first, second = book.sheet("Sheet1").head()

        assert set(first) == {""}
        assert second[:7] == [
            "String", "1", "1.1", "VRAI", "FAUX", "2010-10-10", "2010-10-10 10:10:10",
        ]  # fmt: skip
        assert second[7] == "10:10:10"
        assert [visible for _, visible in book.sheets()] == [True] * len(book.sheets())
        assert book.sheet("Sheet2").head() == []

    @pytest.mark.parametrize("name", ["password.xlsx", "password.xls", "password.ods"])
    def test_passwords(self, name: str) -> None:
        """A workbook with a password is refused as one."""
        assert refused(self.path(name)).code == "encrypted-workbook"

    @pytest.mark.parametrize("name", ["empty_file.xlsx", "empty_file.ods"])
    def test_empty(self, name: str) -> None:
        """A file of no bytes is empty, whatever its name."""
        assert refused(self.path(name)).code == "empty-file"

    def test_binary(self) -> None:
        """Excel's binary workbooks are refused by their name."""
        refusal = refused(self.path("base.xlsb"))

        assert refusal.code == "unsupported-format"
        assert ".xlsb" in refusal.message

    def test_broken_table(self) -> None:
        """A workbook that calamine once failed on is read or refused."""
        assert refused(self.path("issue139.xlsx")).code in {"unknown-columns", "empty-file"}
