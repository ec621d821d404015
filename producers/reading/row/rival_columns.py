"""Several columns for one field: in each row the first that is of use."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from producers.reading.row.cell_texts import texts_of
from producers.reading.row.cell_values import CONVERSIONS
from schemas.rules import FORMED, has_form
from schemas.values.field import Kind


class Chosen(NamedTuple):
    """The cells, from which of the columns each is, and the rows where another one holds something else."""

    cells: list[str]
    origins: list[int]
    left_out: list[int]


def choose(kind: Kind, columns: Sequence[Sequence[str]]) -> Chosen:
    """The cells of a field that the columns name, the likelier ones first."""
    values = [_usable(kind, column) for column in columns]
    cells, origins, left_out = [], [], []
    for row, given in enumerate(zip(*values, strict=True)):
        usable = [at for at, value in enumerate(given) if value is not None]
        filled = [at for at, column in enumerate(columns) if column[row].strip()]
        origin = next(iter(usable or filled), 0)
        origins.append(origin)
        cells.append(columns[origin][row])
        if len({_bare(given[at]) for at in usable}) > 1:
            left_out.append(row)
    return Chosen(cells, origins, left_out)


def _usable(kind: Kind, cells: Sequence[str]) -> list[Any]:
    """The values of a column; None if a cell holds none of the kind."""
    texts = texts_of(cells).texts
    values = CONVERSIONS[kind](texts, ()).values
    if kind in FORMED:
        return [value if value and has_form(kind, value) else None for value in values]
    return values


def _bare(value: object) -> str:
    return "".join(filter(str.isalnum, str(value).casefold()))
