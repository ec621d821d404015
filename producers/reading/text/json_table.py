"""A JSON file as a table: nested objects become columns that are called as their values."""

import re
from collections.abc import Iterator
from io import TextIOWrapper
from itertools import islice

from producers.reading.container.archive import Content
from producers.reading.header import header_line
from producers.reading.options import Options
from producers.reading.refusals import refusal
from producers.reading.table import Block, Part, chunked
from producers.reading.text.delimited_lines import UNREADABLE_LINE
from producers.reading.text.json_objects import (
    COLUMNS,
    Found,
    Path,
    leaves,
    names,
    objects,
    text_of,
)
from schemas.faults import Fault
from schemas.import_types import ImportType

_SAMPLE = 200
# Half of a character of two, which PostgreSQL cannot store.
_HALF_A_SIGN = re.compile("[\ud800-\udfff]")


def part_of(content: Content, import_type: ImportType, options: Options) -> Part:
    """The table that `content` is. Raises RefusedError."""
    encoding = options.encoding or "utf-8-sig"
    paths = _paths(content, encoding)
    if not paths:
        raise refusal("empty-file")

    def blocks() -> Iterator[Block]:
        found = _objects(content, encoding)
        for chunk in chunked(found, lambda one: len(one.text)):
            yield _block(chunk, paths, content.name)

    sample = [cells for block in islice(blocks(), 1) for cells in block.rows[:_SAMPLE]]
    header = header_line.header_of(names(list(paths)), sample, import_type, options.columns)
    return Part(content.name, "json", 1, header, blocks, encoding=encoding)


def _objects(content: Content, encoding: str) -> Iterator[Found]:
    try:
        with TextIOWrapper(content.open(), encoding=encoding, newline="") as text:
            yield from objects(text)
    except LookupError as error:
        raise refusal("unknown-encoding", encoding=encoding) from error
    except UnicodeError as error:
        raise refusal("encoding", encoding=encoding.removesuffix("-sig")) from error


def _paths(content: Content, encoding: str) -> dict[Path, int]:
    """All paths to a value in the objects of the file, and their columns."""
    paths: dict[Path, int] = {}
    for found in _objects(content, encoding):
        for path, _ in leaves(found.value or {}):
            if path not in paths:
                paths[path] = len(paths)
        if len(paths) > COLUMNS:
            raise refusal("too-large", found=f"plus de {COLUMNS} colonnes")
    return paths


_NO_OBJECT = Fault(
    None,
    "malformed",
    "La ligne n'est pas un objet JSON : reprenez la forme des autres lignes.",
)


def _block(chunk: list[Found], paths: dict[Path, int], name: str | None) -> Block:
    rows, broken = [], {}
    for at, found in enumerate(chunk):
        if found.value is None:
            broken[at] = _NO_OBJECT
            rows.append([found.text])
            continue
        cells = [""] * len(paths)
        for path, value in leaves(found.value):
            cells[paths[path]] = text_of(value)
        if "\\u" in found.text and any(map(_HALF_A_SIGN.search, cells)):
            broken[at] = UNREADABLE_LINE
            cells = [found.text]
        rows.append(cells)
    return Block([found.line for found in chunk], rows, name, broken=broken)
