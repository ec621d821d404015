"""A JSON file as a table: nested objects become columns that are called as their values."""

import re
from collections.abc import Iterator
from itertools import islice

from producers.reading.container.archive import Content
from producers.reading.header import header_line
from producers.reading.options import Options
from producers.reading.refusals import RefusedError, refusal
from producers.reading.table import Block, Part, chunked
from producers.reading.text.delimited_lines import UNREADABLE_LINE
from producers.reading.text.encoding import decision
from producers.reading.text.encoding.decision import Text
from producers.reading.text.encoding.repairs import REPAIRED, UNREADABLE, repaired, repaired_lines
from producers.reading.text.json_objects import (
    COLUMNS,
    Found,
    Path,
    leaves,
    names,
    objects,
    text_of,
)
from producers.reading.text.text_table import decoded
from schemas.faults import Fault
from schemas.import_types import ImportType

_SAMPLE = 200
_BETWEEN = b'\n\r}]," '  # a value need not be on a line of its own
# Half of a character of two, which PostgreSQL cannot store.
_HALF_A_SIGN = re.compile("[\ud800-\udfff]")


def part_of(content: Content, import_type: ImportType, options: Options) -> Part:
    """The table that `content` is. Raises RefusedError."""
    with content.open() as file:
        found = decision.text_of(file, options.encoding, _BETWEEN)
    paths = _paths(content, found)
    if not paths:
        raise refusal("empty-file")

    def blocks() -> Iterator[Block]:
        for chunk in chunked(_objects(content, found), lambda one: len(one.text)):
            yield _block(chunk, paths, content.name, found)

    sample = [cells for block in islice(blocks(), 1) for cells in block.rows[:_SAMPLE]]
    columns = names(list(paths))
    try:
        header = header_line.header_of(columns, sample, import_type, options.columns)
    except RefusedError as reason:
        reason.lines = [columns]
        raise
    hint = found.hint
    return Part(
        content.name, "json", 1, header, blocks, encoding=found.encoding, encoding_hint=hint
    )


def _objects(content: Content, text: Text) -> Iterator[Found]:
    with decoded(content, text) as file:
        yield from objects(file)


def _paths(content: Content, text: Text) -> dict[Path, int]:
    """All paths to a value in the objects of the file, and their columns."""
    paths: dict[Path, int] = {}
    for found in _objects(content, text):
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


def _repair(cells: list[str]) -> set[str]:
    """Repairs the cells in place; what was found in them. A cell is not the end of a text that is cut off."""
    ended = [f"{cell}\n" for cell in cells]
    codes = {code for _, code in repaired_lines(ended)}
    cells[:] = [cell[:-1] for cell in ended]
    return codes


def _block(chunk: list[Found], paths: dict[Path, int], name: str | None, text: Text) -> Block:
    rows, broken = [], {}
    warned: dict[int, str] = {}
    for at, found in enumerate(chunk):
        if found.value is None:
            broken[at] = _NO_OBJECT
            rows.append([found.text])
            continue
        cells = [""] * len(paths)
        for path, value in leaves(found.value):
            cells[paths[path]] = text_of(value)
        codes = _repair(cells) if text.repair else set()
        if UNREADABLE in codes or ("\\u" in found.text and any(map(_HALF_A_SIGN.search, cells))):
            broken[at] = UNREADABLE_LINE
            cells = [repaired(found.text).text]
        elif codes:
            warned[at] = REPAIRED
        rows.append(cells)
    return Block([found.line for found in chunk], rows, name, broken=broken, warned=warned)
