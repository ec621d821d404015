"""Whether a record of several lines is one, or a stray quote that swallowed rows up to another.

Both readings are weighed: how many cells the lines have by themselves, and whether keys are where
keys should be.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from producers.reading.header import city_list
from producers.reading.header.columns import Header
from producers.reading.text.quoting import Dialect, Record
from schemas.import_types import ImportType

_KEYS = {
    "siren": re.compile(r"[0-9]{9}"),
    "siret": re.compile(r"[0-9]{14}"),
    "postal_code": re.compile(r"[0-9]{4,5}"),
}
_AROUND = " \t\u00a0\"'="
_ONE_IN = 10


class Table(NamedTuple):
    """`width` is the number of columns, `keys` are forms by column, `used` the imported columns."""

    dialect: Dialect
    width: int
    keys: dict[int, re.Pattern[str]]
    used: frozenset[int]
    lists_cities: bool = False


def table_of(dialect: Dialect, header: Header, import_type: ImportType) -> Table:
    """What is known of the lines below the header."""
    lists_cities = header.cities is not None
    keys = _keys(header, import_type)
    return Table(dialect, len(header.names), keys, frozenset(header.used), lists_cities)


def _keys(header: Header, import_type: ImportType) -> dict[int, re.Pattern[str]]:
    of_companies = {"siren", "siret"}.intersection(header.sources)
    return {
        sources[0][-1]: _KEYS[import_type.field[name].kind]
        for name, sources in header.sources.items()
        if import_type.field[name].kind in _KEYS and (name in of_companies or not of_companies)
    }


def swallows_rows(lines: Sequence[str], record: Record, table: Table) -> bool:
    """Whether the record, which these lines are, looks like several rows."""
    if len(lines) < 2:
        return False
    plain = [line.rstrip("\r\n").split(table.dialect.delimiter) for line in lines]
    fits = len(plain[0]) == table.width
    if table.keys or table.lists_cities:
        rest = [cells for cells in plain[1:] if any(map(str.strip, cells))]
        keyed = sum(_has_key(cells, table) for cells in rest)
        return 2 * keyed >= len(rest) > 0 and (fits or len(record.cells) != table.width)
    if not fits or table.width == 1 or any(2 * table.dialect.quote in line for line in lines):
        return False
    unfit = sum(len(cells) != table.width for cells in plain)
    return len(plain[-1]) == table.width and unfit * _ONE_IN <= len(plain)


def _has_key(cells: Sequence[str], table: Table) -> bool:
    if table.lists_cities:
        return city_list.has_form(cells[0].strip(_AROUND))
    return any(
        form.fullmatch(cells[column].strip(_AROUND).replace(" ", "")) is not None
        for column, form in table.keys.items()
        if column < len(cells)
    )
