"""Columns for the fields that no label names: by the words of a header, then by what the cells are."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from producers.reading.header.content import BY_CONTENT, is_not, is_value, of_communes, of_kind
from producers.reading.header.labels import fields_by_label, fold, label
from producers.reading.header.words import (
    CHECKABLE,
    is_of_any_number,
    is_of_something_else,
    named,
    named_party,
    names_towns,
    party_of,
)
from schemas.import_types import ImportType
from schemas.values.field import Field

EXACT, ALIAS, USUAL, WORDS, CONFIRMED, CONTENT = 1.0, 0.95, 0.9, 0.8, 0.75, 0.6
"""Confidence in a column by its name, an alias, a usual header, words within its header, words within
it that its cells confirm, and its cells alone."""

_MOST = 0.8
_FEWEST_TOWNS = 2


class Match(NamedTuple):
    """A column for a field. `share` is that of its cells which are of the field's kind."""

    field: str
    column: int
    confidence: float
    share: float = 0.0


class HeadedLines(NamedTuple):
    """A header and lines below it."""

    import_type: ImportType
    names: Sequence[str]
    below: Sequence[Sequence[str]]

    def cells(self, column: int) -> list[str]:
        """The cells of the sample in a column."""
        return [row[column] for row in self.below if column < len(row)]


def by_words(table: HeadedLines, columns: Iterable[int]) -> dict[str, list[Match]]:
    """The best of the columns for each field by words within their headers."""
    return _best_by_field(_named(table, column) for column in columns)


def by_party(table: HeadedLines, columns: Iterable[int], number: str) -> dict[str, list[Match]]:
    """The columns for the name of the party whose number has the header `number`."""
    party = party_of(number)
    if party is None:
        return {}
    return _best_by_field(
        Match("nom", column, WORDS)
        for column in columns
        if party == named_party(table.names[column])
    )


def alone(table: HeadedLines, columns: Iterable[int]) -> dict[str, list[Match]]:
    """The columns whose headers name a field that no other column names."""
    return _best_by_field(
        Match(field.name, column, WORDS)
        for field in table.import_type.fields
        for column in columns
        if fold(table.names[column]) in map(fold, field.alone)
    )


def contradicted(table: HeadedLines, columns: Iterable[int]) -> list[int]:
    """Columns whose header names a field, and whose cells are something else."""
    bare = table._replace(below=())
    return [at for at in columns if _named(bare, at) is not None and _named(table, at) is None]


def by_cells(
    table: HeadedLines, columns: Iterable[int], taken: Mapping[str, int]
) -> dict[str, list[Match]]:
    """The best of the columns for each field by what their cells are; `taken` are those of other fields."""
    return _best_by_field(
        _telling(table, column, taken)
        for column in columns
        if not is_of_something_else(table.names[column])
    )


def _best_by_field(found: Iterable[Match | None]) -> dict[str, list[Match]]:
    """Those of the highest confidence, the one with the most cells of the kind first."""
    fields: dict[str, list[Match]] = {}
    for one in sorted(filter(None, found), key=lambda one: (-one.confidence, -one.share)):
        best = fields.setdefault(one.field, [])
        if not best or best[0].confidence == one.confidence:
            best.append(one)
    return fields


def _named(table: HeadedLines, column: int) -> Match | None:
    name, labels = table.names[column], fields_by_label(table.import_type)
    by_name = named(table.import_type, name)
    if by_name is None or label(labels, name) in labels:
        return None
    field = table.import_type.field[by_name.field]
    if field.kind not in CHECKABLE:
        return Match(field.name, column, WORDS)
    cells = table.cells(column)
    given = of_kind(field.kind, cells)
    if by_name.certain and not is_not(field.kind, cells):
        return Match(field.name, column, WORDS, given.share)
    confirmed = given.share >= _MOST
    return Match(field.name, column, CONFIRMED, given.share) if confirmed else None


def _telling(table: HeadedLines, column: int, taken: Mapping[str, int]) -> Match | None:
    cells = table.cells(column)
    if is_value(table.names[column]):
        return None
    for field in sorted(table.import_type.fields, key=_order):
        if field.register or not (field.kind in BY_CONTENT or names_towns(field)):
            continue
        given = of_communes(cells) if names_towns(field) else of_kind(field.kind, cells)
        if given.share < _MOST or (names_towns(field) and given.filled < _FEWEST_TOWNS):
            continue
        if field.kind == "siren" and not _may_be_siren(table, field, column):
            continue
        fits = field.name not in taken and _fits(table, field, cells, taken)
        return Match(field.name, column, CONTENT, given.share) if fits else None
    return None


def _may_be_siren(table: HeadedLines, field: Field, column: int) -> bool:
    """Other registers have numbers of nine digits with the same check digit (FINESS): the header decides."""
    return is_of_any_number(table.names[column]) or likeness(field, table.names[column]) >= LIKENESS


def _order(field: Field) -> int:
    return BY_CONTENT.index(field.kind) if field.kind in BY_CONTENT else len(BY_CONTENT)


def _fits(table: HeadedLines, field: Field, cells: Sequence[str], taken: Mapping[str, int]) -> bool:
    """Whether a number goes with the one that the companies have in another column."""
    if field.kind == "siren":
        return "siret" not in taken
    if field.kind == "siret" and "siren" in taken:
        sirens = table.cells(taken["siren"])
        pairs = [(a.strip(), b.strip()) for a, b in zip(sirens, cells, strict=False) if b.strip()]
        return all(number.startswith(siren) for siren, number in pairs)
    return True


LIKENESS = 0.75


def likeness(field: Field, name: str) -> float:
    """How much a header resembles a label of the field, 0 to 1; 0 if their lengths are too unlike."""
    given = fold(name)
    near = (
        one
        for one in _folded(field)
        if 2 * min(len(given), len(one)) >= LIKENESS * (len(given) + len(one))
    )
    return max((difflib.SequenceMatcher(None, given, one).ratio() for one in near), default=0.0)


@cache
def _folded(field: Field) -> tuple[str, ...]:
    return tuple(map(fold, (field.name, *field.aliases, *field.usual)))


def alike(table: HeadedLines, field: Field, columns: Iterable[int]) -> list[int]:
    """Columns that may be meant for a field, the likeliest first: by their cells, then by their headers."""
    ranked = []
    for column in columns:
        if is_of_something_else(table.names[column]):
            continue
        given = of_kind(field.kind, table.cells(column))
        near = likeness(field, table.names[column])
        if given.share >= _MOST or near >= LIKENESS:
            ranked.append((given.share if given.share >= _MOST else 0.0, near, -column))
    return [-column for *_, column in sorted(ranked, reverse=True)]
