"""A workbook of any kind, recognised by its first bytes."""

import io
from typing import BinaryIO

from producers.reading.refusals import EMPTY_ZIP, OLE, ZIP, refusal
from producers.reading.workbook import xls
from producers.reading.workbook.default_password import decrypted
from producers.reading.workbook.excel import Workbook
from producers.reading.workbook.xls import BinaryWorkbook

Book = Workbook | BinaryWorkbook


def open_book(file: BinaryIO) -> Book:
    """The workbook that the file is. Raises RefusedError."""
    head = file.read(len(OLE))
    file.seek(0)
    if head.startswith((ZIP, EMPTY_ZIP)):
        return Workbook(file)
    content = file.read(xls.BYTES + 1)
    if len(content) > xls.BYTES:
        raise refusal("too-large", found=f"plus de {xls.BYTES >> 20} Mio")
    if xls.is_package(content):
        return Workbook(io.BytesIO(decrypted(content)))
    return BinaryWorkbook(content)
