"""One table of a file: a text file, a file of an archive or a sheet of a workbook."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from producers.reading.blocks import Block
from producers.reading.header.columns import Header

Format = Literal["csv", "xlsx", "xls", "ods", "jsonl"]


@dataclass(frozen=True)
class Part:
    """`name` is None for a text file by itself. `blocks` reads it anew at each call.

    The delimiter's confidence is 0 to 1. The counts of what is hidden and merged are those that
    the file states; both are read.
    """

    name: str | None
    format: Format
    header_line: int
    columns: Header
    blocks: Callable[[], Iterator[Block]]
    encoding: str | None = None
    encoding_hint: str | None = None
    delimiter: str | None = None
    delimiter_confidence: float | None = None
    hidden_rows: int = 0
    hidden_columns: int = 0
    merged_cells: int = 0
