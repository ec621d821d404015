"""Uploaded files to rows: recognise a CSV or XLSX file, and read it in chunks of rows."""

from producers.reading.refusals import RefusedError
from producers.reading.rows import Row
from producers.reading.source import READER_VERSION, Options, Source, open_source

__all__ = ["READER_VERSION", "Options", "RefusedError", "Row", "Source", "open_source"]
