"""Lines of the type that is imported, in a sheet or a file of an archive that cannot be read.

Such lines are not in total_rows: they are counted apart, and the import is PARTIAL.
"""

import re
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from itertools import chain, islice
from typing import NamedTuple

from producers.reading.container.archive import Content
from producers.reading.header.labels import known
from producers.reading.refusals import RefusedError
from schemas.import_types import ENTREPRISE, ImportType
from schemas.values.check_digits import unchecked

_SAMPLE = 50
_LONGEST = 1 << 16
_MESSAGE = 500
_BETWEEN_CELLS = re.compile(r'[;,\t|"{}\[\]:]+')
_LENGTHS = (9, 14)
_FEWEST = 3  # of a SIREN in scientific notation
_OTHERWISE = ("wrong-type", "unsupported-format", "empty-file")
"""Refusals of what holds no lines of the type."""

Lines = Iterator[Sequence[str]]


class LeftOut(NamedTuple):
    """A sheet, or a file of an archive, by its `name`; how many `rows` it has, and why, in French."""

    name: str
    rows: int
    message: str


def left_out(
    name: str, lines: Lines, import_type: ImportType, reason: RefusedError
) -> LeftOut | None:
    """What is lost with the part that was refused for `reason`; None if nothing of the type is."""
    if reason.code in _OTHERWISE:
        return None
    given = (cells for cells in lines if any(map(str.strip, cells)))
    sample = list(islice(given, _SAMPLE))
    header = next((at for at, cells in enumerate(sample) if _names(import_type, cells)), None)
    if header is None and not _holds_companies(import_type, sample):
        return None
    if import_type is ENTREPRISE and not any(map(_has_digits, chain.from_iterable(sample))):
        return None  # the columns of such a table, explained one a line
    before = 0 if header is None else header + 1
    rows = sum(1 for _ in chain(sample, given)) - before
    return LeftOut(name, rows, reason.message[:_MESSAGE]) if rows > 0 else None


def text_lines(content: Content) -> Lines:
    """The lines of a text, about as they are cut into cells, whatever is wrong with them."""
    head = content.head()
    encoding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    with TextIOWrapper(content.open(), encoding=encoding, errors="replace") as text:
        while line := text.readline(_LONGEST):
            yield _BETWEEN_CELLS.split(line)


def _names(import_type: ImportType, cells: Sequence[str]) -> bool:
    """Whether the cells are a header that names all that makes up the key of a row."""
    fields = known(import_type, cells)
    return all(
        field in fields or import_type.field[field].taken_from in fields
        for field in import_type.key_fields
    )


def _holds_companies(import_type: ImportType, sample: Sequence[Sequence[str]]) -> bool:
    """Whether half of the lines have a SIREN or SIRET: a table of companies without a header."""
    if import_type is not ENTREPRISE:
        return False
    found = sum(any(map(_is_number, cells)) for cells in sample)
    return bool(sample) and found * 2 >= len(sample)


def _has_digits(cell: str) -> bool:
    return sum(map(str.isdigit, cell)) >= _FEWEST


def _is_number(cell: str) -> bool:
    digits = "".join(cell.split())
    length = len(digits)
    if length not in _LENGTHS or not (digits.isascii() and digits.isdigit()):
        return False
    return not unchecked([digits], length) and digits.strip("0") != ""
