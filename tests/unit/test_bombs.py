"""Small files that unpack to much, or make their reader compute: rows or a refusal, in bounded memory."""

import asyncio
import gzip
import io
import lzma
import resource
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import openpyxl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from openpyxl.utils import get_column_letter

from producers.gateway.processes.child_processes import Children
from producers.reading import RefusedError, open_source
from producers.reading.workbook.memory_limit import ADDRESS_SPACE
from producers.reading.workbook.open_xml.xlsx_notes import Look
from schemas.import_types import ENTREPRISE
from tests.fix_files import COMPRESSIONS, ods, xls, zipped

MOST_BYTES = 330 << 20
"""Beyond what the process has when it begins: less than half of ADDRESS_SPACE."""
SECONDS = 300.0

TABLE = b"siren;nom\n732829320;A\n"
ENDLESS = TABLE[:10] + b"a" * (100 << 20)
_MAIN = b'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_HEADER = (
    b'<row r="1"><c r="A1" t="inlineStr"><is><t>siren</t></is></c>'
    b'<c r="B1" t="inlineStr"><is><t>nom</t></is></c></row>'
)
_VALUE = 'office:value-type="float" office:value="1"'
_ODS_HEADER = "<table:table-row>{}</table:table-row>".format(
    "".join(
        f'<table:table-cell office:value-type="string"><text:p>{name}</text:p></table:table-cell>'
        for name in ("siren", "nom")
    )
)


def sheet(rows: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    return b"<worksheet %s>%s<sheetData>%s%s</sheetData>%s</worksheet>" % (
        _MAIN, before, _HEADER, rows, after,
    )  # fmt: skip


def workbook(**parts: bytes) -> bytes:
    """An .xlsx workbook with some parts replaced or added: `sheet`, `strings`, `styles`, `names` …"""
    book = openpyxl.Workbook()
    book.active.append(["siren", "nom"])
    book.active.append(["732829320", "A"])
    target = io.BytesIO()
    book.save(target)
    with zipfile.ZipFile(target) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    if "names" in parts:
        own = members["xl/workbook.xml"].replace(b"<definedNames />", b"")
        names = b"<definedNames>%s</definedNames>" % parts.pop("names")
        members["xl/workbook.xml"] = own.replace(b"</sheets>", b"</sheets>" + names)
    where = {"sheet": "xl/worksheets/sheet1.xml", "strings": "xl/sharedStrings.xml", "styles": "xl/styles.xml",
             "drawing": "xl/drawings/drawing1.xml", "link": "xl/externalLinks/externalLink1.xml"}  # fmt: skip
    return zipped({**members, **{where[name]: part for name, part in parts.items()}}, level=1)


def numbered(count: int, form: bytes) -> bytes:
    return b"".join(form % number for number in range(count))


def lying(at: int, value: bytes = b"\xff\xff\xff\x7f") -> bytes:
    """An .xls workbook with a number of its header replaced."""
    content = bytearray(xls(F=[["siren", "nom"], ["732829320", "A"]]))
    content[at : at + len(value)] = value
    return bytes(content)


def lying_texts() -> bytes:
    content = bytearray(xls(F=[["siren", "nom"], ["732829320", "A"]]))
    at = content.index(struct.pack("<H", 0xFC)) + 4
    content[at : at + 8] = b"\xff\xff\xff\x7f" * 2
    return bytes(content)


def large_dictionary() -> bytes:
    """A ZIP member by LZMA that wants a window of 4 GiB."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.csv", TABLE)
    content = bytearray(target.getvalue())
    at = content.index(b"a.csv") + len("a.csv") + 5
    content[at : at + 4] = b"\xff\xff\xff\xff"
    return bytes(content)


def many_members() -> bytes:
    """More than ZIP had room for: ZIP64."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for number in range(66_000):
            archive.writestr(str(number), b"")
    return target.getvalue()


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "xlsx-entities": (
        lambda: workbook(sheet=b'<!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
                         + sheet(b"<row><c t='str'><v>&b;</v></c></row>")),
        "broken-workbook",
    ),
    "xlsx-column-of-six-letters": (lambda: workbook(sheet=sheet(b'<row r="2"><c r="ZZZZZZ2"><v>1</v></c></row>')), "broken-workbook"),
    "xlsx-far-cells": (lambda: workbook(sheet=sheet(b'<row r="499999"><c r="Z499999"><v>1</v></c></row>')), "no-rows|rows"),
    "xlsx-last-cell": (lambda: workbook(sheet=sheet(b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>')), "no-rows"),
    "xlsx-far-cells-of-many-sheets": (lambda: many_sheets(8), "no-rows|rows"),
    "xlsx-shared-texts": (lambda: workbook(strings=b"<sst %s>%s</sst>" % (_MAIN, b"<si><t/></si>" * 3_100_000)), "too-large"),
    "xlsx-styles": (
        lambda: workbook(styles=b"<styleSheet %s><numFmts>%s</numFmts></styleSheet>" % (
            _MAIN, numbered(700_000, b'<numFmt numFmtId="%d" formatCode="yyyy"/>'))),
        "rows",
    ),
    "xlsx-names": (lambda: workbook(names=numbered(700_000, b'<definedName name="n%d">Sheet!$A$1</definedName>')), "rows"),
    "xlsx-one-name": (lambda: workbook(names=b'<definedName name="n">1</definedName>' * 4_500_000), "rows"),
    "xlsx-merged": (lambda: workbook(sheet=sheet(b"", after=b"<mergeCells>%s</mergeCells>" % (b'<mergeCell ref="A2:XFD1048576"/>' * 250_000))), "no-rows|too-large"),
    "xlsx-merged-over-each-other": (
        lambda: workbook(sheet=sheet(b"<row><c><v>1</v></c></row>" * 1000, after=b"<mergeCells>%s</mergeCells>" % (b'<mergeCell ref="A2:XFD1048576"/>' * 200))),
        "rows",
    ),
    "xlsx-drawing": (lambda: workbook(drawing=b"<x>%s</x>" % (b"<a/>" * 9_000_000)), "rows"),
    "xlsx-link": (lambda: workbook(link=b"<x>%s</x>" % (b'<a b="c"/>' * 4_000_000)), "rows"),
    "xlsx-formulas": (lambda: workbook(sheet=sheet(b"<row>%s</row>" % (b"<c><f>1</f></c>" * 2) * 210_000)), "too-large"),
    "xlsx-attributes": (lambda: workbook(sheet=sheet(b"<row %s/>" % numbered(30_000, b'x%d="" '))), "no-rows|broken-workbook"),
    "xlsx-deep": (lambda: workbook(sheet=sheet(b"<a>" * 1_000_000)), "no-rows|broken-workbook"),
    "ods-rows": (
        lambda: ods({"F": f'{_ODS_HEADER}<table:table-row table:number-rows-repeated="1000000">'
                     f'<table:table-cell {_VALUE} table:number-columns-repeated="16384"/></table:table-row>'}),
        "too-large",
    ),
    "ods-formulas": (
        lambda: ods({"F": f'{_ODS_HEADER}<table:table-row table:number-rows-repeated="1000000">'
                     '<table:table-cell table:formula="1" table:number-columns-repeated="1000"/></table:table-row>'}),
        "too-large",
    ),
    "ods-spans": (
        lambda: ods({"F": _ODS_HEADER + f'<table:table-row><table:table-cell table:number-rows-spanned="1000000" '
                     f'table:number-columns-spanned="16384" {_VALUE}/></table:table-row>' * 500}),
        "rows|too-large",
    ),
    "xls-sectors": (lambda: lying(0x2C), "rows"),
    "xls-directory": (lambda: lying(0x30), "broken-workbook"),
    "xls-size-of-a-sector": (lambda: lying(0x1E, b"\xff\x00"), "rows"),
    "xls-texts": (lying_texts, "rows"),
    "xlsb": (lambda: zipped({"[Content_Types].xml": b"<Types/>", "xl/workbook.bin": b"\0" * (40 << 20)}, level=1), "unsupported-format"),
    "archive-in-an-archive": (lambda: zipped({"a.zip": zipped({"b.zip": zipped({"c.csv": TABLE})})}), "nested-archive"),
    "archive-in-gzip": (lambda: gzip.compress(zipped({"a.zip": zipped({"b.csv": TABLE})})), "nested-archive"),
    "workbook-in-an-archive": (
        lambda: zipped({"a.xlsx": workbook(sheet=sheet(b" " * (513 << 20))), "b.csv": TABLE}, level=1),
        "too-large",
    ),
    "zip-members": (many_members, "too-large"),
    "zip-dictionary": (large_dictionary, "too-large|broken-archive"),
    "xz": (lambda: lzma.compress(TABLE * 100_000), "unsupported-format"),
    "gzip-line": (lambda: COMPRESSIONS["gzip"](ENDLESS), "line-too-long"),
    "bzip2-line": (lambda: COMPRESSIONS["bzip2"](ENDLESS), "line-too-long"),
    "zstd-line": (lambda: COMPRESSIONS["zstd"](ENDLESS), "line-too-long"),
    "gzip-blank-lines": (lambda: gzip.compress(TABLE + b"\n" * (200 << 20), 1), "too-large"),
    "gzip-blank-cells": (lambda: gzip.compress(TABLE + b" ;\r\n" * (30 << 20), 1), "too-large"),
    "json-keys": (lambda: b"{%s}" % b",".join(b'"k%d":1' % n for n in range(150_000)), "too-large"),
    "json-depth": (lambda: b'[{"siren":"732829320","nom":%s%s}]' % (b"[" * 900_000, b"]" * 900_000), "broken-json"),
    "json-number": (lambda: b'{"siren":"732829320","nom":%s}' % (b"9" * 1_500_000), "broken-json"),
    "json-sparse-columns": (
        lambda: b"{%s}" % b",".join(b'"c%d":{%s}' % (c, b",".join(b'"%d":1' % (c * 180 + r) for r in range(180))) for c in range(900)),
        "too-large",
    ),
    "json-brackets": (lambda: b"[" * 2_000_000, "line-too-long|broken-json"),
    "csv-columns": (lambda: TABLE[:9] + b";c" * 500_000 + b"\n" + TABLE[10:], "too-large"),
    "csv-cells": (lambda: TABLE + (TABLE[10:-1] + b";" * 900_000 + b"\n") * 5, "too-large"),
    "csv-quotes": (lambda: TABLE + b'"' * 1_900_000 + b"\n", "rows"),
    "csv-city-list": (lambda: b"Villes\n" + (b"(" * 100_000 + b"\n") * 20, "missing-label"),
    "csv-numbers": (
        lambda: b"siren;nom;population;is_active\n" + (b"1" * 100_000 + b";A;" + b"9" * 100_000 + b";" + b" " * 100_000 + b"\n") * 5,
        "rows",
    ),
}  # fmt: skip
"""A file, and how reading it ends: the code of a refusal, or "rows"."""


def many_sheets(count: int) -> bytes:
    """Each is small, and far from its first cell."""
    book = openpyxl.Workbook()
    for number in range(count):
        page = book.create_sheet(f"F{number}")
        page.append(["siren", "nom"])
        page["Z99999"] = "A"
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def read(_: object, path: Path) -> tuple[str, int]:
    """How reading ends, and how many bytes it took beyond what there was."""
    tempfile.tempdir = str(path.parent / "scratch")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        end = "rows"
        for _chunk in open_source(path, ENTREPRISE).chunks():
            pass
    except RefusedError as refusal:
        end = refusal.code
    return end, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10


@pytest.fixture(scope="module")
def run() -> Iterator[Callable[[Path], tuple[str, int]]]:
    children = Children(1)
    yield lambda path: asyncio.run(children.run(read, path, seconds=SECONDS))
    children.close()


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb(
    tmp_path: Path,
    run: Callable[[Path], tuple[str, int]],
    name: str,
) -> None:
    """Its end is stated, memory is bounded, and nothing of it stays on the disk."""
    make, ends = BOMBS[name]
    path, scratch = tmp_path / "bomb", tmp_path / "scratch"
    path.write_bytes(make())
    scratch.mkdir()

    try:
        end, size = run(path)
    except RefusedError as refusal:  # the process had not enough memory for one piece
        end, size = refusal.code, 0

    assert end in ends.split("|")
    assert size < MOST_BYTES < ADDRESS_SPACE // 2
    assert list(scratch.iterdir()) == []


_STEPS = st.sampled_from([1, 1, 1, 90, 5_000, 60_000, 200_000])
_REACHED = st.lists(
    st.sampled_from([*range(1, 10), 26, 27, 104, 131, 702]), max_size=3, unique=True
)


@example([[(900, [1])], [(90, [9])]])
@given(st.lists(st.lists(st.tuples(_STEPS, _REACHED), max_size=4), max_size=5))
def test_a_first_look_counts_no_cell_too_few(blocks: list[list[tuple[int, list[int]]]]) -> None:
    """calamine holds the rectangle up to the last row and the last column of a sheet."""
    look = Look(is_sheet=True, recalculated=False)
    row = last_row = last_column = 0
    for block in blocks:
        xml = ""
        for step, columns in block:
            row += step
            cells = [
                f'<c r="{get_column_letter(at)}{row}" t="str"><v>a</v></c>'
                for at in sorted(columns)
            ]
            xml += f'<row r="{row}">{"".join(cells)}</row>'
            if columns:
                last_row, last_column = row, max(last_column, *columns)
        look.feed(xml.encode())

    if look.usual:
        assert look.cells >= last_row * last_column
        assert look.cells <= max(999, 10 * last_row, 99_999 * (last_row > 99_999)) * last_column
