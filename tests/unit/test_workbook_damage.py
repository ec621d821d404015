"""Any table by any writer of workbooks, with any single damage: nothing is stored that nobody sees."""

import io
import random
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import openpyxl
import pytest
import xlsxwriter
import xlwt
from odf.opendocument import OpenDocumentSpreadsheet
from odf.table import Table, TableCell, TableRow
from odf.text import P

from tests.examples import seeds
from tests.fix_files import reading

Cells = list[list[str]]

HEADER = ["siren", "nom", "adresse", "code_postal", "ville_nom"]
_SIRENS = ["900000019", "900000027", "900000035", "900000043", "900000050"]
_NAMES = ["Boulangerie", "Crêperie Lefèvre", "L’Été & Fils", 'Le "Zinc"', "<A> B", "42", "1, rue X", "N° 5"]  # fmt: skip
_PLACES = ["", "Évreux", "Lyon", "A|B", "12", "Été", "12 bis"]
_CODES = ["", "75001", "69003", "01000"]


def by_openpyxl(sheets: Mapping[str, Cells]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append([cell or None for cell in row])
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def by_xlsxwriter(sheets: Mapping[str, Cells]) -> bytes:
    target = io.BytesIO()
    book = xlsxwriter.Workbook(target, {"in_memory": True})
    for name, rows in sheets.items():
        sheet = book.add_worksheet(name)
        for at, row in enumerate(rows):
            for column, cell in enumerate(row):
                sheet.write_string(at, column, cell)
    book.close()
    return target.getvalue()


def by_xlwt(sheets: Mapping[str, Cells]) -> bytes:
    book = xlwt.Workbook()
    for name, rows in sheets.items():
        sheet = book.add_sheet(name)
        for at, row in enumerate(rows):
            for column, cell in enumerate(row):
                sheet.write(at, column, cell)
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def by_odfpy(sheets: Mapping[str, Cells]) -> bytes:
    book = OpenDocumentSpreadsheet()
    for name, rows in sheets.items():
        table = Table(name=name)
        for row in rows:
            line = TableRow()
            for cell in row:
                one = TableCell(valuetype="string") if cell else TableCell()
                if cell:
                    one.addElement(P(text=cell))
                line.addElement(one)
            table.addElement(line)
        book.spreadsheet.addElement(table)
    target = io.BytesIO()
    book.write(target)
    return target.getvalue()


Writer = Callable[[Mapping[str, Cells]], bytes]
WRITERS: Sequence[Writer] = [by_openpyxl, by_xlsxwriter, by_xlwt, by_odfpy]


def inserted(rows: Cells, draw: random.Random) -> Cells:
    """A line that somebody put between the others: a title, a total, a header of another order, blanks."""
    at = draw.randrange(1, len(rows) + 1)
    line = draw.choice(
        [
            ["Clients", "", "", "", ""],
            ["Total", str(len(rows) - 1), "", "", ""],
            HEADER,
            ["", "", "", "", ""],
            ["", "Sans numéro", "", "", "Lyon"],
        ]
    )
    return [*rows[:at], line, *rows[at:]]


def swapped(rows: Cells, draw: random.Random) -> Cells:
    """The lines from one on have their columns in another order, below a header of their own."""
    at = draw.randrange(1, len(rows) + 1)
    order = draw.sample(range(len(HEADER)), len(HEADER))
    return [*rows[:at], *([row[i] for i in order] for row in [HEADER, *rows[at:]])]


def shifted(rows: Cells, draw: random.Random) -> Cells:
    """A cell was deleted, and those behind it moved to the left."""
    at, column = draw.randrange(1, len(rows)), draw.randrange(len(HEADER))
    line = [*rows[at][:column], *rows[at][column + 1 :], ""]
    return [*rows[:at], line, *rows[at + 1 :]]


TABLES: Mapping[str, Callable[[Cells, random.Random], Cells]] = {
    "none": lambda rows, _: rows,
    "a blank column in front": lambda rows, _: [["", *row] for row in rows],
    "a blank line in front": lambda rows, _: [[""] * len(HEADER), *rows],
    "a title": lambda rows, _: [["Nos clients", "", "", "", ""], *rows],
    "a line inserted": inserted,
    "another order below": swapped,
    "a cell deleted": shifted,
}


def ranged(content: bytes) -> bytes:
    """The used range is said to be one cell."""
    return rewritten(content, rb'<dimension ref="[^"]*"', b'<dimension ref="A1"')


def rewritten(content: bytes, old: bytes, new: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as book, zipfile.ZipFile(target, "w") as other:
        for part in book.infolist():
            xml = book.read(part)
            if part.filename.startswith("xl/worksheets/"):
                xml = re.sub(old, new, xml)
            other.writestr(part, xml)
    return target.getvalue()


def same(content: bytes) -> bytes:
    return content


@pytest.mark.parametrize("numbers", seeds(4000), ids=str)
def test_any_damage(tmp_path: Path, numbers: range) -> None:
    """Each row that is valid and has no warning is one of the table, with the cells that a person sees.

    Of a table without a damage no row is missing.
    """
    for seed in numbers:
        check(tmp_path / "classeur", seed)


def check(path: Path, seed: int) -> None:
    """One table, damaged or not."""
    draw = random.Random(seed)
    rows = [
        [siren, *map(draw.choice, (_NAMES, _PLACES, _CODES, _PLACES))]
        for siren in _SIRENS[: draw.randint(1, len(_SIRENS))]
    ]
    write, damage = draw.choice(WRITERS), draw.choice(list(TABLES))
    packed = draw.choice([same, ranged])
    has_other = draw.choice([False, True])
    table = TABLES[damage]([HEADER, *rows], draw)
    sheets = {"Liste": table} | ({"Autre": [["a"], ["b"]]} if has_other else {})
    content = write(sheets)
    path.write_bytes(packed(content) if content.startswith(b"PK") else content)

    found = reading(path).rows

    seen = [tuple(cell or None for cell in row) for row in rows]
    sound = [row for row in found if not row.faults and not row.warnings]
    if damage == "a cell deleted":  # a person sees a shifted line
        seen = [tuple(cell or None for cell in line) for line in table]
    for row in sound:
        assert tuple(row.record[name] for name in HEADER) in seen, (seed, row, table)
    if damage in ("none", "a blank column in front", "a blank line in front", "a title"):
        assert [row.key for row in found] == [row[0] for row in rows]
