"""Numbers of a workbook that are shown as more than they are, read as a person sees them.

A street number with the format 0" bis" is a text, a postal code with the format 00000 has its zero, a
population of 1 500 hab. is a number all the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from producers.reading.header.columns import Header
from producers.reading.table import Block
from schemas.import_types import ImportType
from schemas.values.field import Kind

_TEXTS: frozenset[Kind] = frozenset({"text", "name", "slugged", "phone"})
_CODES: frozenset[Kind] = frozenset(
    {"siren", "siret", "postal_code", "departement", "commune", "legal_category"}
)
_BETWEEN = str.maketrans("", "", " \u00a0\u202f.-")


class Seen(NamedTuple):
    """A block with its numbers as they are shown, and by column the lines whose text is not known."""

    block: Block
    unknown: Mapping[int, Sequence[int]]


def as_seen(import_type: ImportType, header: Header, block: Block) -> Seen:
    """Puts the texts into the lines of the block."""
    if not block.displayed:
        return Seen(block, {})
    numeric = dict(block.numeric)
    unknown: dict[int, list[int]] = {}
    for field, sources in header.sources.items():
        kind = import_type.field[field].kind
        if kind not in _TEXTS and kind not in _CODES:
            continue
        for column in {column for source in sources for column in source}:
            texts = block.displayed[column]() if column in block.displayed else {}
            put = {
                i: text
                for i, text in texts.items()
                if text is not None and (kind in _TEXTS or _is_code(text, block.rows[i][column]))
            }
            for i, text in put.items():
                block.rows[i][column] = text
            numeric[column] = [i for i in numeric.get(column, ()) if i not in put]
            if kind in _TEXTS:
                unknown[column] = [i for i, text in texts.items() if text is None]
    return Seen(replace(block, numeric=numeric), unknown)


def _is_code(text: str, number: str) -> bool:
    """Whether the text is the number with zeros in front, which may have signs between its digits."""
    digits = text.translate(_BETWEEN)
    return digits.isascii() and digits.isdigit() and digits.lstrip("0") == number != digits
