"""Which type a file is of, if nobody says it: the one that most of its columns fit."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from producers.reading import Correction, Options, RefusedError, Source, open_source
from producers.reading.header.content import of_communes
from producers.reading.header.labels import fold
from producers.reading.header.words import names_towns
from schemas.import_types import ImportType

_ANY_NAME = frozenset({"nom", "name", "title", "titre", "libelle"})


class Fit(NamedTuple):
    """How many of the `columns` of a file a type uses. `lacking` of its required fields have none."""

    import_type: ImportType
    used: int
    columns: int
    lacking: int = 0
    refused: bool = False
    is_named: bool = True

    @property
    def share(self) -> float:
        """Of the columns that there are or must be, those that are used."""
        return self.used / max(1, self.columns + self.lacking)


class Choice(NamedTuple):
    """The type whose check is shown. `doubt` says why a person must choose."""

    import_type: ImportType
    doubt: RefusedError | None = None


def choice_of(path: Path, import_types: Iterable[ImportType], options: Options) -> Choice:
    """The type of a file. Raises OSError if it cannot be read."""
    fits = [_fit(path, import_type, options) for import_type in import_types]
    best, *others = sorted(fits, key=lambda fit: fit.share, reverse=True)
    if best.refused:
        return Choice(best.import_type)
    alone = all(other.share < best.share for other in others)
    if alone and best.is_named and 2 * best.used > best.columns:
        return Choice(best.import_type)
    possible = sorted((fit for fit in fits if not fit.refused), key=lambda fit: -fit.share)
    losses = " ; ".join(map(_loss, possible))
    message = f"Le type de ce fichier n'est pas certain : choisissez-le ({losses})."
    return Choice(best.import_type, RefusedError("unknown-type", message))


def _loss(fit: Fit) -> str:
    lost = fit.columns - fit.used
    said = lost_columns(lost, fit.columns) if lost else "toutes les colonnes seront importées"
    return f"{fit.import_type.label} : {said}"


def lost_columns(lost: int, columns: int) -> str:
    """In French, how many columns of a file are not imported."""
    if lost == 1:
        return f"1 colonne sur {columns} ne sera pas importée"
    return f"{lost} colonnes sur {columns} ne seront pas importées"


def _fit(path: Path, import_type: ImportType, options: Options) -> Fit:
    try:
        source = open_source(path, import_type, options)
        if isinstance(source, Correction) and source.refusal is not None:
            raise source.refusal
    except RefusedError as reason:
        used, columns = len(reason.mapping), len(reason.mapping) + len(reason.unknown_columns)
        lacking = sum(
            field.required and field.name not in reason.mapping.values()
            for field in import_type.fields
        )
        return Fit(import_type, used, columns, lacking, refused=True)
    used, lost = len(source.mapping), len(source.unknown_columns)
    return Fit(import_type, used, used + lost, is_named=_is_named(source))


def _is_named(source: Source) -> bool:
    """Whether more than a column "Nom" says what the rows are."""
    columns = source.columns
    if "nom" not in columns.sources or columns.cities is not None or columns.activity is not None:
        return True
    column = columns.sources["nom"][0][-1]
    if columns.parents or fold(columns.names[column]) not in _ANY_NAME:
        return True
    field = source.import_type.field["nom"]
    if names_towns(field):
        names = [row.record["nom"] or "" for row in next(source.chunks(), [])]
        return of_communes(names).share >= 0.5
    return field.kind != "slugged" or "meta_description" in columns.sources
