"""Uploaded files to rows: recognise a text file, a workbook or an archive of them, and read it."""

from producers.reading.correction import UNREAD, Correction, open_source
from producers.reading.options import Options
from producers.reading.refusals import RefusedError
from producers.reading.row.row import FileRow
from producers.reading.source import READER_VERSION, Source

__all__ = [
    "READER_VERSION",
    "UNREAD",
    "Correction",
    "FileRow",
    "Options",
    "RefusedError",
    "Source",
    "open_source",
]
