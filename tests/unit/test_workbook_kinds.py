"""Workbooks as programs write them: each kind of file on which readers are known to go wrong."""

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from datetime import date, time
from itertools import chain
from pathlib import Path

import msoffcrypto.format.ooxml
import openpyxl
import pytest
import xlwt

from producers.reading import FileRow, RefusedError, open_source
from schemas.import_types import ENTREPRISE
from tests.fix_files import ods, xls, zipped

A, B, C = "732829320", "005520135", "552013500"
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
Read = Callable[[bytes], list[FileRow]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(content: bytes) -> list[FileRow]:
        path = tmp_path / "classeur"
        path.write_bytes(content)
        return list(chain.from_iterable(open_source(path, ENTREPRISE).chunks()))

    return read


def package(
    rows: str,
    *,
    after: str = "",
    workbook: str = "xl/workbook.xml",
    strings: str | None = None,
    calc: str = "",
    texts: str = "",
    backslashes: bool = False,
) -> bytes:
    """An .xlsx workbook of one sheet, given the XML of its lines."""
    folder = workbook.rpartition("/")[0]
    base = workbook.rpartition("/")[2]
    inside = f"{folder}/" if folder else ""
    related = [("worksheet", "worksheets/sheet1.xml")]
    if strings:
        related.append(("sharedStrings", f"/{strings}"))
    parts = {
        "[Content_Types].xml": "<Types/>",
        "_rels/.rels": _related(("officeDocument", workbook)),
        workbook: f'<workbook xmlns="{_MAIN}" xmlns:r="{_RELATIONS}"><sheets>'
        f'<sheet name="F" sheetId="1" r:id="r0"/></sheets>{calc}</workbook>',
        f"{inside}_rels/{base}.rels": _related(*related),
        f"{inside}worksheets/sheet1.xml": rows
        if rows.startswith("<x:")
        else f'<worksheet xmlns="{_MAIN}"><sheetData>{rows}</sheetData>{after}</worksheet>',
    }
    if strings:
        parts[strings] = f'<sst xmlns="{_MAIN}">{texts}</sst>'
    return zipped(
        {
            name.replace("/", "\\") if backslashes else name: xml.encode()
            for name, xml in parts.items()
        }
    )


def _related(*targets: tuple[str, str]) -> str:
    inside = "".join(
        f'<Relationship Id="r{at}" Type="{_RELATIONS}/{kind}" Target="{target}"/>'
        for at, (kind, target) in enumerate(targets)
    )
    return f'<Relationships xmlns="{_PACKAGE}">{inside}</Relationships>'


def cell(place: str, text: str, kind: str = "str") -> str:
    return f'<c r="{place}" t="{kind}"><v>{text}</v></c>'


def line(number: int, *texts: str, first: str = "A") -> str:
    cells = (cell(f"{chr(ord(first) + at)}{number}", text) for at, text in enumerate(texts))
    return f'<row r="{number}">{"".join(cells)}</row>'


def names(rows: Sequence[FileRow]) -> list[object]:
    return [row.record["nom"] for row in rows]


def errors(rows: Sequence[FileRow]) -> list[list[tuple[str, str]]]:
    return [[(str(fault.column), fault.code) for fault in row.faults] for row in rows]


HEADER = line(1, "siren", "nom")
_F = "<f>UPPER(A1)</f>"


@pytest.mark.parametrize(
    "formula",
    [
        f'<c r="B2">{_F}</c>',
        f'<c r="B2">{_F}<v/></c>',
        f"<c r='B2'>{_F}<v></v></c>",
        f'<c s="1" r="B2" >{_F}</c>',
        f"<c>{_F}</c>",
        '<c a="&gt;>" r="B2"><f a=">">x</f></c>',
        '<c r="B2"><f t="shared" si="0"/></c>',
        f'<c r="B2">{_F}<v>0.0</v></c>',
        '<c r="B2" t="e"><v>#REF!</v></c>',
        "<c r='B2' t='e'><v>#REF!</v></c>",
        '<c r="B2" t = "e"><v>#REF!</v></c>',
        '<c r="B2" t="&#101;"><v>#REF!</v></c>',
        '<c r="B2" s="0" t = "e"><v>#REF!</v></c>',
        '<c r="B2" s="0" t="e"/>',
        '<c r="B2" t="e"><v>#SPILL!</v></c>',
        '<!-- > --><c r="B2"><f><![CDATA[a<b]]></f></c>',
    ],
)
def test_a_formula_without_a_result(read: Read, formula: str) -> None:
    """It is a fault of its column, however its XML is spelled."""
    sheet = f'{HEADER}<row r="2">{cell("A2", A)}{formula}</row>'
    prefixed = sheet.replace("</", "<\0").replace("<", "<x:").replace("<x:\0", "</x:")
    content = [package(sheet)]
    if "<!" not in sheet:
        content.append(
            package(
                f'<x:worksheet xmlns:x="{_MAIN}"><x:sheetData>{prefixed}</x:sheetData></x:worksheet>'
            )
        )

    for one in content:
        assert errors(read(one)) == [[("nom", "formula-error")]]


@pytest.mark.parametrize(
    ("calc", "value", "wrong"),
    [
        ('<calcPr fullCalcOnLoad="1"/>', "0", "formula-error"),
        ("<calcPr calcId='1' fullCalcOnLoad = 'true'/>", "0", "formula-error"),
        ("<calcPr calcId='1'/>", "0", "malformed"),
        ('<calcPr fullCalcOnLoad="1"/>', "7", None),
    ],
)
def test_zeros_of_writers_that_do_not_calculate(
    read: Read, calc: str, value: str, wrong: str | None
) -> None:
    """A stored 0 is not a result if every formula is to be calculated when the workbook is opened. One that
    is a result is not a name.
    """
    sheet = f'{HEADER}<row r="2">{cell("A2", A)}<c r="B2">{_F}<v>{value}</v></c></row>'

    (row,) = read(package(sheet, calc=calc))

    assert errors([row]) == [[("nom", wrong)] if wrong else []]
    assert wrong or row.record["nom"] == value


def _moved(table: Sequence[Sequence[str]], merged: int) -> bytes:
    """The table from C4 on; `merged`: the column of it of which the last two lines are one cell."""
    book = openpyxl.Workbook()
    sheet = book.active
    for at, row in enumerate(table):
        for column, text in enumerate(row):
            sheet.cell(at + 4, column + 3, text)
    last = len(table) + 3
    sheet.merge_cells(None, last - 1, merged + 3, last, merged + 3)
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def _moved_xls(table: Sequence[Sequence[str]], merged: int) -> bytes:
    book = xlwt.Workbook()
    sheet = book.add_sheet("F")
    last = len(table) + 2
    for at, row in enumerate(table, start=3):
        for column, text in enumerate(row):
            if column != merged or at < last - 1:
                sheet.write(at, column + 2, text)
    sheet.write_merge(last - 1, last, merged + 2, merged + 2, table[-2][merged])
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def _moved_ods(table: Sequence[Sequence[str]], merged: int) -> bytes:
    def one(at: int, column: int, text: str) -> str:
        tag, more = "table-cell", ""
        if column == merged and at == len(table) - 2:
            more = ' table:number-rows-spanned="2" table:number-columns-spanned="1"'
        if column == merged and at == len(table) - 1:
            tag = "covered-table-cell"
        return (
            f'<table:{tag} office:value-type="string"{more}><text:p>{text}</text:p></table:{tag}>'
        )

    blank = '<table:table-cell table:number-columns-repeated="2"/>'
    rows = "".join(
        f"<table:table-row>{blank}{''.join(one(at, c, text) for c, text in enumerate(row))}"
        "</table:table-row>"
        for at, row in enumerate(table)
    )
    lead = '<table:table-row table:number-rows-repeated="3"><table:table-cell/></table:table-row>'
    return ods({"F": lead + rows})


@pytest.mark.parametrize(
    "make",
    [_moved, _moved_xls, _moved_ods],
    ids=["xlsx", "xls", "ods"],
)
def test_merged_cells_of_a_table_in_the_middle(
    read: Read, make: Callable[[Sequence[Sequence[str]], int], bytes]
) -> None:
    """A merged cell counts in its own column, wherever the table begins."""
    table = [
        ["siren", "nom", "code_postal", "ville"],
        [A, "UN", "69003", "Lyon"],
        [B, "DEUX", "75001", "Paris"],
        [C, "", "06000", "Nice"],
    ]

    rows = read(make(table, 1))

    assert names(rows) == ["UN", "DEUX", "DEUX"]
    assert [row.record["code_postal"] for row in rows] == ["69003", "75001", "06000"]
    assert [row.line for row in rows] == [5, 6, 7]


def test_a_formula_of_a_table_in_the_middle(read: Read) -> None:
    """What was never calculated is a fault of its own column, wherever the table begins."""
    header = line(4, "siren", "nom", "ville", first="C")
    values = f'<row r="5">{cell("C5", A)}<c r="D5">{_F}</c>{cell("E5", "Lyon")}</row>'

    assert errors(read(package(header + values))) == [[("nom", "formula-error")]]


def test_rows_of_formulas_below_the_values(read: Read) -> None:
    """Rows of which no cell was calculated are faults, also below the last value."""
    last = f'<row r="3"><c r="A3">{_F}</c><c r="B3">{_F}</c></row>'

    rows = read(package(HEADER + line(2, A, "UN") + last))

    assert [row.line for row in rows] == [2, 3]
    assert {code for _, code in errors(rows)[1]} == {"formula-error"}


_TABLE = HEADER + line(2, A, "UN") + line(3, B, "DEUX")


@pytest.mark.parametrize(
    "stray",
    [
        '<row r="1048576"><c r="A1048576" s="0"/><c r="Z1048576" s="0"/></row>',
        "".join(f'<row r="{at}"><c r="XFD{at}" s="0"/></row>' for at in range(4, 1100)),
        f'<row r="1050">{cell("XFD1050", "x")}</row>',
    ],
    ids=["last-row", "last-column", "value"],
)
def test_used_ranges_that_lie(read: Read, stray: str) -> None:
    """Blank formatted cells and a stray value do not make a small table large."""
    rows = [row for row in read(package(_TABLE + stray)) if not row.faults]

    assert names(rows) == ["UN", "DEUX"]


@pytest.mark.parametrize(
    "content",
    [
        package(_TABLE, workbook="workbook.xml"),
        package(_TABLE, workbook="xl/classeur.xml"),
        package(_TABLE, workbook="Data/book2.xml"),
        package(_TABLE, backslashes=True),
        package(
            HEADER + line(2, A, "UN") + f'<row r="3">{cell("A3", B)}{cell("B3", "0", "s")}</row>',
            strings="texts.xml",
            texts="<si><r><t>DE</t></r><r><t>UX</t></r><rPh><t>no</t></rPh></si>",
        ),
        package(HEADER + line(2, A, "<![CDATA[UN]]>") + line(3, B, "DEUX")),
    ],
    ids=["root", "renamed", "folder", "backslashes", "texts-elsewhere", "cdata"],
)
def test_parts_that_are_named_otherwise(read: Read, content: bytes) -> None:
    """Parts are found by their relations, and values that calamine does not see are read."""
    assert names(read(content)) == ["UN", "DEUX"]


_INDENTED = """
  <table:table-row>
    <table:table-cell office:value-type="string"><text:p>siren</text:p></table:table-cell>
    <table:table-cell office:value-type="string"><text:p>nom</text:p></table:table-cell>
    <table:table-cell office:value-type="string"><text:p>actif</text:p></table:table-cell>
  </table:table-row>
  <table:table-row table:number-rows-repeated="2"><table:table-cell/></table:table-row>
  <table:table-row>
    <table:table-cell office:value-type="float" office:value="732829320"><text:p>x</text:p></table:table-cell>
    <table:table-cell office:value-type="string">
      <office:annotation><text:p>un commentaire</text:p></office:annotation>
      <text:p>CAFÉ <text:span>DU<text:s text:c="2"/>PORT</text:span></text:p>
      <text:p>BIS</text:p>
    </table:table-cell>
    <table:table-cell office:value-type="boolean" office:boolean-value="false"/>
  </table:table-row>
  <table:table-row table:number-rows-repeated="1048000"><table:table-cell/></table:table-row>
"""


def test_indented_xml(read: Read) -> None:
    """An .ods workbook may have line ends between its cells."""
    (row,) = read(ods({"F": _INDENTED}))

    assert (row.line, row.key) == (4, A)
    assert row.cells == [A, "CAFÉ DU  PORT\nBIS", "FAUX"]


@pytest.mark.parametrize(
    ("attributes", "shown"),
    [
        ('office:value-type="string" office:string-value="" calcext:value-type="error"', "#REF!"),
        ('office:value-type="float" office:value="0"', "#DIV/0!"),
        ('office:value-type="float" office:value="0"', "Err:502"),
    ],
)
def test_errors_in_ods(read: Read, attributes: str, shown: str) -> None:
    """An error is not a value, whatever the file gives as one."""
    header = "".join(
        f'<table:table-cell office:value-type="string"><text:p>{name}</text:p></table:table-cell>'
        for name in ("siren", "nom")
    )
    cells = (
        f'<table:table-cell office:value-type="string"><text:p>{A}</text:p></table:table-cell>'
        f'<table:table-cell table:formula="of:=1" {attributes}><text:p>{shown}</text:p>'
        "</table:table-cell>"
    )
    rows = f"<table:table-row>{header}</table:table-row><table:table-row>{cells}</table:table-row>"

    assert errors(read(ods({"F": rows}))) == [[("nom", "formula-error")]]


def _biff(strings: Sequence[Sequence[str]]) -> bytes:
    """As the snippet that PHP programs copy writes it: records without a container."""

    def record(opcode: int, content: bytes) -> bytes:
        return opcode.to_bytes(2, "little") + len(content).to_bytes(2, "little") + content

    def label(row: int, column: int, text: str) -> bytes:
        raw = text.encode("cp1252")
        numbers = (row, column, 0, len(raw))
        return record(0x0204, b"".join(n.to_bytes(2, "little") for n in numbers) + raw)

    cells = (label(r, c, text) for r, row in enumerate(strings) for c, text in enumerate(row))
    begin = record(0x0809, bytes([0, 0, 0x10, 0, 0, 0, 0, 0]))
    return begin + b"".join(cells) + record(0x000A, b"")


def test_an_old_workbook_without_a_container(read: Read) -> None:
    """Its texts are those of Windows."""
    assert names(read(_biff([["siren", "nom"], [A, "Cœur"]]))) == ["Cœur"]


@pytest.mark.parametrize("number", [0, 3, 7, 100_000])
def test_a_wrong_count_of_shared_texts(read: Read, number: int) -> None:
    """There are as many as there are."""
    content = bytearray(xls(F=[["siren", "nom"], [A, "UN"], [B, "DEUX"]]))
    at = content.index((6).to_bytes(4, "little"), content.index(b"\xfc\x00", 512) + 4)
    content[at : at + 4] = number.to_bytes(4, "little")

    assert names(read(bytes(content))) == ["UN", "DEUX"]


def test_formulas_of_old_workbooks_that_were_never_calculated(read: Read) -> None:
    """Apache POI stores 0 as the result and asks to calculate when opened, xlwt stores no text."""
    book = xlwt.Workbook()
    sheet = book.add_sheet("F")
    for column, text in enumerate(["siren", "nom"]):
        sheet.write(0, column, text)
    sheet.write(1, 0, A)
    sheet.write(1, 1, xlwt.Formula("1+1"))
    target = io.BytesIO()
    book.save(target)
    content = target.getvalue()
    at = content.index(b"\x06\x00", content.index(b"\x01\x00\x01\x00", 1024) - 8)
    stored = content[at + 10 : at + 20]
    changed = content.replace(stored, bytes(8) + b"\x02\x00")

    for written in (content, changed):
        assert errors(read(written)) == [[("nom", "formula-error")]]


@pytest.mark.parametrize(("password", "opens"), [("VelvetSweatshop", True), ("autre", False)])
def test_a_password_that_excel_does_not_ask_for(read: Read, password: str, opens: bool) -> None:
    """Only Excel's own password is tried."""
    table = [["siren", "nom"], [A, "UN"], [B, "DEUX"], [C, ""]]
    target = io.BytesIO()
    plain = msoffcrypto.format.ooxml.OOXMLFile(io.BytesIO(_moved(table, 1)))
    plain.encrypt(password, target)
    if opens:
        assert names(read(target.getvalue())) == ["UN", "DEUX", "DEUX"]
    else:
        with pytest.raises(RefusedError) as refused:
            read(target.getvalue())
        assert refused.value.code == "encrypted-workbook"


_TWO_ROWS: Mapping[str, tuple[Sequence[str], str]] = {
    "merged-down": (
        [
            line(1, "siren", "nom", "Adresse", "", "tel"),
            line(2, "", "", "code_postal", "ville"),
            line(3, A, "UN", "69003", "Lyon", "0478000000"),
        ],
        "A1:A2 B1:B2 C1:D1 E1:E2",
    ),
    "titles-only": (
        [
            line(1, "siren", "nom", "Adresse", ""),
            f'<row r="2">{cell("C2", "code_postal")}{cell("D2", "ville")}</row>',
            line(3, A, "UN", "69003", "Lyon"),
        ],
        "C1:D1",
    ),
}


@pytest.mark.parametrize("kind", _TWO_ROWS)
def test_a_header_over_two_rows(read: Read, kind: str) -> None:
    """Merged cells say which rows are the header."""
    rows, merged = _TWO_ROWS[kind]
    ranges = "".join(f'<mergeCell ref="{ref}"/>' for ref in merged.split())

    (row,) = read(package("".join(rows), after=f"<mergeCells>{ranges}</mergeCells>"))

    assert (row.line, row.record["nom"]) == (3, "UN")
    assert (row.record["code_postal"], row.record["ville_nom"]) == ("69003", "Lyon")


_DEEP = "<a>" * 20_000 + "</a>" * 20_000
_NAMES = "".join(f"<n{at}/>" for at in range(30_000))


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ("<!-- -->" + _DEEP, "broken-workbook"),
        ("<!-- -->" + _NAMES, "broken-workbook"),
        (f"<!-- --><c a='{'x' * (40 << 20)}'/>", "too-large"),
        ("<c r='A1' t='s'><v>0</v></c>" * 400, "too-large"),
        ("<c><v>1</v></c>" * 20_000, "broken-workbook"),
    ],
    ids=["deep", "names", "tag", "shared", "wide"],
)
def test_what_a_file_may_make_a_reader_hold(read: Read, rows: str, code: str) -> None:
    """Bounded, however the XML is spelled."""
    content = package(
        f'<row r="1">{rows}</row>',
        strings="xl/sharedStrings.xml",
        texts=f"<si><t>{'x' * (4 << 20)}</t></si>",
    )
    with pytest.raises(RefusedError) as refused:
        read(content)
    assert refused.value.code == code


def test_entities_are_refused(read: Read) -> None:
    """A part that declares some may expand to much more than its own size."""
    content = package(_TABLE)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = parts["xl/worksheets/sheet1.xml"]
    parts["xl/worksheets/sheet1.xml"] = b'<!DOCTYPE w [<!ENTITY a "aaaa">]>' + sheet

    with pytest.raises(RefusedError) as refused:
        read(zipped(parts))
    assert refused.value.code == "broken-workbook"


FORMATTED: Sequence[tuple[str, object, str | None, list[str]]] = (
    ("ville_nom", 0, None, ["malformed"]),  # =Autre!D2 of an empty cell
    ("ville_nom", date(2012, 3, 1), "2012-03-01", ["corrected"]),  # "mars 12", as Excel has it
    ("ville_nom", time(8, 30), "08:30:00", ["corrected"]),
    ("adresse", 0.5, "0.5", ["corrected"]),  # 50 %
    ("adresse", 12, "12", []),
    ("telephone", 0.478, None, ["malformed"]),
    ("telephone", 4.78000004, None, ["malformed"]),
    ("telephone", 478000000, "0478000000", ["zeros-restored"]),
    ("code_postal", date(1984, 2, 1), None, ["malformed"]),
)


@pytest.mark.parametrize(("field", "value", "stored", "warnings"), FORMATTED)
def test_numbers_that_show_something_else(
    read: Read, field: str, value: object, stored: str | None, warnings: list[str]
) -> None:
    """A value that a person sees in another form is stored with a warning, or not at all."""
    book = openpyxl.Workbook()
    for cells in (["siren", "nom", field], [A, "Un", value]):
        book.active.append(cells)
    target = io.BytesIO()
    book.save(target)
    [row] = read(target.getvalue())

    assert (row.record[field], row.warnings, row.faults) == (stored, warnings, [])


PREPARED: Mapping[str, tuple[Sequence[object], int]] = {
    "a number": ((3, None, None, None, None), 1),
    "a box": ((None, None, None, False, None), 1),
    "a box of a field": ((None, None, None, None, False), 1),
    "a formula without a result": ((None, None, None, "#N/A", None), 1),
    "an error of a field": ((None, "#N/A", None, None, None), 2),
    "an error in front": (("#N/A", None, "Deux", None, None), 2),
    "a total": ((None, None, None, "Total : 2", None), 1),
    "something of a company": ((3, None, None, None, True), 2),
}


@pytest.mark.parametrize("case", PREPARED)
def test_lines_for_rows_to_come(read: Read, case: str) -> None:
    """Lines with nothing but their number, a box or a formula are blank, all others are rows."""
    cells, count = PREPARED[case]
    book = openpyxl.Workbook()
    for row in (["N°", "siren", "nom", "fait", "actif"], [1, A, "Un", True, True], cells):
        book.active.append(row)
    target = io.BytesIO()
    book.save(target)
    rows = read(target.getvalue())

    assert [bool(row.faults) for row in rows] == [False, True][:count]


def test_what_separates_words_in_open_documents(read: Read) -> None:
    """Line breaks, tabs and blanks that are tags of their own are not glued."""
    words = ["<text:line-break/>", "<text:tab/>", '<text:s text:c="2"/>', "</text:p><text:p>"]
    rows = [["siren", "nom"], *([A, f"A{word}B"] for word in words)]
    cell = '<table:table-cell office:value-type="string"><text:p>%s</text:p></table:table-cell>'
    lines = ("".join(cell % text for text in cells) for cells in rows)
    table = "".join(f"<table:table-row>{cells}</table:table-row>" for cells in lines)

    assert names(read(ods({"a": table}))) == ["A B"] * 4


@pytest.mark.parametrize("repeated", ["2", "3"])
def test_two_rows_of_one_number(read: Read, repeated: str) -> None:
    """Readers make one row of the cells of both, which no person sees: the workbook is refused."""
    third = line(3, B, "DEUX").replace('<row r="3"', f'<row r="{repeated}"', 1)
    rows = HEADER + line(2, A, "UN") + third + line(3, A, "TROIS")

    with pytest.raises(RefusedError) as refused:
        read(package(rows))

    assert refused.value.code == "broken-workbook"
