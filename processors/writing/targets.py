"""Where the rows of each import type go: its .sql and how its columns are written for COPY."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.geography import departement_of, region_of
from schemas.import_types import (
    CATEGORIE,
    DEPARTEMENT,
    ENTREPRISE,
    SOUS_CATEGORIE,
    VILLE,
    ImportType,
    Kind,
)

Values = tuple[Any, ...]


@dataclass(frozen=True)
class Target:
    """`derived` names columns of the staging table beyond the fields; `derive` fills them."""

    import_type: ImportType
    sql: str
    derived: tuple[str, ...] = ()
    derive: Callable[[Values], Values] = lambda _: ()

    def columns(self) -> tuple[str, ...]:
        """Names in the order of `texts`."""
        return tuple(field.name for field in self.import_type.fields) + self.derived

    def texts(self, rows: Sequence[Values]) -> list[list[str]]:
        """The columns of rows, each value as COPY's text format wants it."""
        columns = list(zip(*rows, strict=True))
        kinds: list[Kind] = [field.kind for field in self.import_type.fields]
        if self.derived:
            columns += zip(*map(self.derive, rows), strict=True)
            kinds += ["text"] * len(self.derived)
        return [
            _FORMATS.get(kind, escaped)(column) for kind, column in zip(kinds, columns, strict=True)
        ]


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


def _of_postal_code(values: Values) -> Values:
    """Département and region of a city, for where the row does not give them."""
    _, postal_code, _, departement, *_ = values
    own = departement_of(postal_code)
    return own, region_of(departement or own)


TARGETS = {
    target.import_type.name: target
    for target in (
        Target(ENTREPRISE, "entreprise.sql"),
        Target(VILLE, "ville.sql", ("own_departement", "own_region"), _of_postal_code),
        Target(CATEGORIE, "categorie.sql"),
        Target(SOUS_CATEGORIE, "sous_categorie.sql"),
        Target(DEPARTEMENT, "departement.sql"),
    )
}
