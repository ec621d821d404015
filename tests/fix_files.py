"""Files to read, written by other means than ours."""

import bz2
import gzip
import io
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from itertools import chain
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

import openpyxl
import xlwt

from producers.reading import FileRow, RefusedError, open_source
from schemas.import_types import ENTREPRISE, ImportType

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ROOT = Path(__file__).parent.parent
SHARED = next(
    (found for up in ("..", "../..") if (found := ROOT / up / "shared" / "data").is_dir()), None
)
"""Real files, beside the checkout; None where they are missing."""

COMPRESSIONS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "zstd": zstd.compress,
}

Table = Sequence[Sequence[object]]


def xlsx(*rows: Sequence[object]) -> bytes:
    """A workbook with one sheet."""
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def xls(**sheets: Table) -> bytes:
    """An old Excel workbook."""
    book = xlwt.Workbook()
    dates = xlwt.easyxf(num_format_str="YYYY-MM-DD")
    for name, rows in sheets.items():
        sheet = book.add_sheet(name)
        for at, row in enumerate(rows):
            for column, value in enumerate(row):
                if value is None:
                    continue
                if isinstance(value, date):
                    sheet.write(at, column, value, dates)
                else:
                    sheet.write(at, column, value)
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


_ODS = (
    '<?xml version="1.0" encoding="UTF-8"?><office:document-content '
    'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
    'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" '
    'xmlns:calcext="urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0" '
    'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0">'
    "<office:body><office:spreadsheet>%s</office:spreadsheet></office:body>"
    "</office:document-content>"
)


def ods(tables: Mapping[str, str]) -> bytes:
    """A LibreOffice workbook of tables given by the XML of their lines."""
    body = "".join(
        f"<table:table table:name={quoteattr(name)}>{rows}</table:table>"
        for name, rows in tables.items()
    )
    return zipped(
        {
            "mimetype": b"application/vnd.oasis.opendocument.spreadsheet",
            "content.xml": (_ODS % body).encode(),
            "META-INF/manifest.xml": b'<?xml version="1.0"?><manifest:manifest/>',
        }
    )


def ods_rows(rows: Table) -> str:
    """Lines of a table, as LibreOffice writes them: the empty rest of the sheet repeated."""
    lines = "".join(
        f"<table:table-row>{''.join(map(_ods_cell, row))}"
        '<table:table-cell table:number-columns-repeated="16380"/></table:table-row>'
        for row in rows
    )
    return (
        lines + '<table:table-row table:number-rows-repeated="1048000">'
        '<table:table-cell table:number-columns-repeated="16384"/></table:table-row>'
    )


def _ods_cell(value: object) -> str:
    if value is None:
        return "<table:table-cell/>"
    if isinstance(value, bool):
        return (
            f'<table:table-cell office:value-type="boolean" office:boolean-value="{value!s:.5}"/>'
        ).lower()
    if isinstance(value, int | float):
        return (
            f'<table:table-cell office:value-type="float" office:value="{value}">'
            f"<text:p>{value}</text:p></table:table-cell>"
        )
    if isinstance(value, date):
        return (
            f'<table:table-cell office:value-type="date" office:date-value="{value.isoformat()}"/>'
        )
    paragraphs = "".join(f"<text:p>{escape(line)}</text:p>" for line in str(value).split("\n"))
    return f'<table:table-cell office:value-type="string">{paragraphs}</table:table-cell>'


def zipped(members: Mapping[str, bytes], *, level: int = 6) -> bytes:
    """A ZIP archive."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


class Reading(NamedTuple):
    """What a file gives: its rows, and the warnings of the file as a whole; nothing if it is refused."""

    rows: list[FileRow]
    warnings: Mapping[str, int]


def reading(path: Path, import_type: ImportType = ENTREPRISE) -> Reading:
    """The file at `path`, read to its end."""
    try:
        source = open_source(path, import_type)
        return Reading(list(chain.from_iterable(source.chunks())), source.warnings)
    except RefusedError:
        return Reading([], {})
