"""Uploaded files to rows: recognise a text file, a workbook or an archive of them, and read it."""

from producers.reading.options import Options
from producers.reading.refusals import RefusedError
from producers.reading.rows import Row
from producers.reading.source import READER_VERSION, Source, open_source

__all__ = ["READER_VERSION", "Options", "RefusedError", "Row", "Source", "open_source"]
