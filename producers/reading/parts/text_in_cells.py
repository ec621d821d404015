"""A sheet of one column whose cells are lines of a text: a CSV file that a spreadsheet did not divide."""

import io
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from producers.reading.container.archive import Content
from producers.reading.header.labels import known
from producers.reading.options import Options
from producers.reading.table import Format, Part
from producers.reading.text import text_table
from producers.reading.text.dialect import DELIMITERS
from producers.reading.workbook.sheet import Sheet
from schemas.import_types import ImportType


def is_text(lines: Sequence[Sequence[str]], import_type: ImportType) -> bool:
    """Whether each of the filled lines has one cell, and the cell of one of them names several fields."""
    if any(any(map(str.strip, line[1:])) for line in lines):
        return False
    cells = [line[0].replace('"', "") for line in lines]
    return any(
        len(known(import_type, cell.split(delimiter))) > 1
        for cell in cells
        for delimiter in DELIMITERS
        if delimiter in cell
    )


def part_of(sheet: Sheet, format_: Format, import_type: ImportType, options: Options) -> Part:
    """The table that the text is. Raises RefusedError."""
    rows = (row for block in sheet.blocks(1, 1) for row in block.rows)
    text = "\n".join(" ".join(row[0].split("\n")) for row in rows).encode()
    content = Content(sheet.name, partial(io.BytesIO, text))
    part = text_table.part_of(content, import_type, replace(options, encoding="utf-8"))
    return replace(part, format=format_, encoding=None)
