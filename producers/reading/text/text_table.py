"""A text file, recognised: its encoding, its dialect and the position of its header."""

import re
from collections.abc import Iterable, Iterator
from io import TextIOWrapper

from producers.reading.container.archive import Content
from producers.reading.header import header_line
from producers.reading.options import Options
from producers.reading.refusals import refusal
from producers.reading.table import Block, Part
from producers.reading.text import delimited_lines, dialect
from producers.reading.text.encoding.decision import Text, text_of
from producers.reading.text.encoding.repairs import ASIDE
from producers.reading.text.lines import Lines, sample
from producers.reading.text.swallowed import table_of
from schemas.import_types import ImportType

_COLUMNS = 16_384  # as many as a spreadsheet has
_PADDED = re.compile(r"(?<=[^;,\t|])[;,\t|]+$")
_NO_TEXT = " \r\n\ufeff\0\x1a" + "".join(dialect.DELIMITERS)


def part_of(content: Content, import_type: ImportType, options: Options) -> Part:
    """The table that `content` is. Raises RefusedError."""
    with content.open() as file:
        found = text_of(file, options.encoding)
    with decoded(content, found) as text:
        first = sample(text, repair=found.repair)
    if not "".join(first).strip(_NO_TEXT):
        raise refusal("empty-file")
    spoken, confidence = dialect.recognise(first, import_type, options)
    records = list(delimited_lines.records(first, spoken))
    if not records:
        raise refusal("empty-file")
    if max(len(record.cells) for record in records) > _COLUMNS:
        raise refusal("too-large", found=f"plus de {_COLUMNS} colonnes")
    padding = _padding([record.cells[-1] for record in records])
    _strip([record.cells for record in records], padding)
    at, header = header_line.locate(
        [record.cells for record in records], import_type, options.columns
    )
    below = first[records[at].after - 1 :]
    of_rows = dialect.of_rows(below, spoken, len(header.names))
    if of_rows != spoken:
        cells = [record.cells for record in delimited_lines.records(below, of_rows)]
        _strip(cells, padding)
        header = header_line.header_of(header.names, cells, import_type, options.columns)
    table = table_of(of_rows, header, import_type)

    def blocks() -> Iterator[Block]:
        with decoded(content, found) as text:
            lines = Lines(text, repair=found.repair)
            for block in delimited_lines.blocks(lines, table, records[at].after, content.name):
                _strip(block.rows, padding)
                yield block

    return Part(
        name=content.name,
        format="csv",
        header_line=records[at].line,
        columns=header,
        blocks=blocks,
        encoding=found.encoding,
        encoding_hint=found.hint,
        delimiter=of_rows.delimiter,
        delimiter_confidence=confidence,
    )


def _padding(ends: list[str]) -> str:
    """The delimiters of another kind that all lines end with: a spreadsheet that took a line for one cell
    saves it beside the blank cells of the others. "" if there are none.
    """
    found = _PADDED.search(ends[0])
    return found[0] if found and all(end.endswith(found[0]) for end in ends) else ""


def _strip(rows: Iterable[list[str]], padding: str) -> None:
    if padding:
        for cells in rows:
            if cells:
                cells[-1] = cells[-1].removesuffix(padding)


def decoded(content: Content, text: Text) -> TextIOWrapper:
    """The file as a text, of which damaged bytes are kept aside."""
    file = content.open()
    file.read(text.start)
    errors = ASIDE if text.repair else "strict"
    return TextIOWrapper(file, encoding=text.encoding, errors=errors, newline="")
