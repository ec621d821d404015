"""Table and columns of each import type: its .sql, and its columns in COPY's format."""

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString, NamedTuple

from processors.rows.merge.naf_columns import in_order
from schemas.import_types import (
    CATEGORIE,
    DEPARTEMENT,
    ENTREPRISE,
    SOUS_CATEGORIE,
    VILLE,
    ImportType,
)
from schemas.values.field import Kind
from schemas.values.geography import departement_of, region_of

Column = Sequence[Any]


class Detail(NamedTuple):
    """A column of the site that few rows have: its SQL value for nothing, and the condition on which
    SIRENE does not disclose it.
    """

    blank: str
    hidden: str


_BLANKS: Mapping[Kind, str] = {"boolean": "false", "latitude": "NULL", "longitude": "NULL"}
_HIDDEN = {
    "latitude": "g.hides_place",
    "longitude": "g.hides_place",
    "nom_proprietaire": "g.hides_name",
    "google_place_id": "g.hides_place",
    "original_title": "g.hides_name",
}
COMPANY_DETAILS = {
    field.name: Detail(_BLANKS.get(field.kind, "''"), _HIDDEN.get(field.name, "false"))
    for field in ENTREPRISE.fields
    if field.detail
}


async def _nothing() -> None:
    """For targets whose columns need nothing but the row."""


@dataclass(frozen=True)
class Target:
    """`computed` names columns of the staging table beyond the fields; `compute` makes them of those,
    after `ready`, which is called before each transaction.

    `register_sql` has the statement for rows of a register, which costs more. `details` are columns
    that the statements mark, and name only for rows that have one: see `detailed`.
    """

    import_type: ImportType
    sql: str
    computed: tuple[str, ...] = ()
    compute: Callable[[Mapping[str, Column]], Iterable[Column]] = lambda _: ()
    ready: Callable[[], Awaitable[None]] = _nothing
    register_sql: str | None = None
    details: Mapping[str, Detail] = field(default_factory=dict)

    def texts(self, columns: Mapping[str, Column]) -> dict[str, list[str]]:
        """Columns in COPY's text format, without those that have only NULL.

        `columns` are of all fields.
        """
        kinds: dict[str, Kind] = {each.name: each.kind for each in self.import_type.fields}
        computed = zip(self.computed, self.compute(columns), strict=True)
        return {
            name: _FORMATS.get(kinds.get(name, "text"), escaped)(column)
            for name, column in {**columns, **dict(computed)}.items()
            if column.count(None) < len(column)
        }


_MARKED = re.compile(r"/\* each detail: (.*?) \*/", re.DOTALL)


def detailed(statement: LiteralString, target: Target) -> LiteralString:
    """The statement with its details: of "each detail: , {name}" a piece for each of them."""

    def pieces(marked: re.Match[str]) -> str:
        return " ".join(
            marked[1].format(name=name, **detail._asdict())
            for name, detail in target.details.items()
        )

    return _MARKED.sub(pieces, statement)


NULL = r"\N"
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def escaped(column: Sequence[str | None]) -> list[str]:
    """Texts for COPY (PostgreSQL, COPY, "Text format")."""
    whole = "".join(filter(None, column))
    if "\\" in whole or "\t" in whole or "\n" in whole or "\r" in whole:
        return [NULL if text is None else text.translate(_ESCAPES) for text in column]
    return [NULL if text is None else text for text in column]


def _numbers(column: Sequence[float | None]) -> list[str]:
    return [NULL if number is None else repr(number) for number in column]


_FLAGS: Mapping[bool | None, str] = {None: NULL, True: "t", False: "f"}


def _flags(column: Sequence[bool | None]) -> list[str]:
    return [_FLAGS[flag] for flag in column]


def _lists(column: Sequence[list[str] | None]) -> list[str]:
    return escaped([None if items is None else json.dumps(items) for items in column])


_FORMATS: Mapping[Kind, Callable[[Sequence[Any]], list[str]]] = {
    "boolean": _flags,
    "integer": _numbers,
    "latitude": _numbers,
    "longitude": _numbers,
    "postal_codes": _lists,
}


def _of_postal_code(columns: Mapping[str, Column]) -> Iterable[Column]:
    """Département and region of cities, for rows that lack them."""
    own = list(map(departement_of, columns["code_postal_principal"]))
    given = zip(columns["departement"], own, strict=True)
    return own, [region_of(departement or of_code) for departement, of_code in given]


TARGETS = {
    target.import_type.name: target
    for target in (
        Target(
            ENTREPRISE,
            "entreprise.sql",
            ("naf_first", "naf_other"),
            in_order,
            register_sql="entreprise_sirene.sql",
            details=COMPANY_DETAILS,
        ),
        Target(VILLE, "ville.sql", ("own_departement", "own_region"), _of_postal_code),
        Target(CATEGORIE, "categorie.sql"),
        Target(SOUS_CATEGORIE, "sous_categorie.sql"),
        Target(DEPARTEMENT, "departement.sql"),
    )
}
