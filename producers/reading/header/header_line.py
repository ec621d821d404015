"""Which line is the header, and tables whose columns are not fields: they are read by their content.

WordPress exports a taxonomy: each line a term, and its parent's name if it has one. Terms without
a parent are categories, the others sub-categories; a file is imported once as each. INSEE's NAF
nomenclature has a code and a label on each line: the activities become sub-categories of the
category of their division, and the divisions and groups between them are passed over.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest

from producers.reading.header import city_list, words
from producers.reading.header.columns import (
    HEADER_WITHIN,
    LEFT_OUT,
    Header,
    clean,
    index_of_header,
    recognise,
)
from producers.reading.header.labels import fold, is_report, known
from producers.reading.refusals import RefusedError, refusal
from schemas.faults import Fault
from schemas.import_types import CATEGORIE, ENTREPRISE, SOUS_CATEGORIE, ImportType
from schemas.values.naf import CODE


def locate(
    rows: Sequence[Sequence[str]], import_type: ImportType, requested: Mapping[str, str]
) -> tuple[int, Header]:
    """Which of the lines is the header, of two the lower one, and the header. Raises RefusedError."""
    at = index_of_header(rows, import_type, requested)
    names = list(rows[at])
    if at + 1 < len(rows) and _divides(rows[at + 1], names, import_type):
        at += 1
        pairs = zip_longest(names, rows[at], fillvalue="")
        names = [cell if cell.strip() else name for name, cell in pairs]
    while (
        len(names) > 1 and not names[-1].strip() and not _is_filled(len(names) - 1, rows[at + 1 :])
    ):
        names.pop()
    below = [row[: len(names)] for row in rows[at + 1 :]]
    try:
        return at, header_of(names, below, import_type, requested)
    except RefusedError as reason:
        reason.lines = rows[:HEADER_WITHIN]
        raise


def _is_filled(column: int, rows: Sequence[Sequence[str]]) -> bool:
    """Whether most of the lines have something in a column, which is one then, although without a name."""
    filled = sum(len(row) > column and bool(row[column].strip()) for row in rows)
    return 2 * filled > len(rows)


def _divides(below: Sequence[str], names: Sequence[str], import_type: ImportType) -> bool:
    """Whether the line below a header names the columns below a title, and only them.

    "SIREN;Nom;Adresse;;" over ";;Rue;CP;Ville": merged cells that were exported as text.
    """
    pairs = list(zip_longest(names, below, fillvalue=""))
    own = {
        at for at, (name, _) in enumerate(pairs) if known(import_type, [name]) & _keys(import_type)
    }
    untitled = [cell for name, cell in pairs if cell.strip() and not name.strip()]
    return (
        bool(untitled)
        and all(known(import_type, [cell]) for cell in untitled)
        and not any(pairs[at][1].strip() for at in own)
    )


def _keys(import_type: ImportType) -> set[str]:
    return {field.name for field in import_type.fields if field.required}


def header_of(
    names: Sequence[str],
    below: Sequence[Sequence[str]],
    import_type: ImportType,
    requested: Mapping[str, str],
) -> Header:
    """The header that `names` are, above lines of which some are `below`. Raises RefusedError.

    That of a report has no sources if this release cannot understand it: its import may say how.
    """
    assigned = {**_of_report(names, below, import_type), **_codes(import_type, names, below)}
    requested = {**assigned, **requested}
    if not any(requested.values()):
        shaped = _taxonomy(import_type, names) or _nomenclature(import_type, names, below)
        if shaped is not None:
            return shaped
    try:
        header = recognise(
            import_type,
            names,
            requested,
            below=() if is_report(names) else below,
            city_list=city_list.column(below),
        )
    except RefusedError:
        if not is_report(names):
            raise
        return Header(clean(names), {})
    return replace(header, assigned={**assigned, **header.assigned})


def _of_report(
    names: Sequence[str], below: Sequence[Sequence[str]], import_type: ImportType
) -> dict[str, str]:
    """For a report, fields by header as requested for its import; for other files, none."""
    if "_columns" not in names:
        return {}
    at = names.index("_columns")
    try:
        found = json.loads(next((row[at] for row in below if len(row) > at and row[at]), "{}"))
        return {
            name: field
            for name, field in found.items()
            if field in {LEFT_OUT, *import_type.field} and name in names
        }
    except (ValueError, AttributeError, TypeError, RecursionError):
        return {}


def _codes(
    import_type: ImportType, names: Sequence[str], below: Sequence[Sequence[str]]
) -> dict[str, str]:
    """A column named for labels of activities that holds their codes, if no other column does."""
    fields = [_field_named(import_type, name) for name in names]
    if "naf_code" in fields:
        return {}
    for at, field in enumerate(fields):
        if field == "naf_libelle" and _are_activities(below, at, one_in=2):
            return {names[at]: "naf_code"}
    return {}


def _field_named(import_type: ImportType, name: str) -> str | None:
    """The field that a header names, by a label or else by words."""
    for field in known(import_type, [name]):
        return field
    by_words = words.named(import_type, name)
    return by_words.field if by_words else None


def _are_activities(rows: Sequence[Sequence[str]], at: int, *, one_in: int) -> bool:
    """Whether at least one in so many of the cells of a column that hold anything is a code."""
    given = [row[at].strip() for row in rows if len(row) > at and row[at].strip()]
    codes = sum(CODE.fullmatch(text) is not None for text in given)
    return bool(given) and one_in * codes >= len(given)


_TERM, _PARENT, _PARENT_ID, _DESCRIPTION = "termname", "parentname", "parentid", "description"


def _taxonomy(import_type: ImportType, cells: Sequence[str]) -> Header | None:
    folded = list(map(fold, cells))
    if not {_TERM, _PARENT} <= set(folded):
        return None
    if import_type not in (CATEGORIE, SOUS_CATEGORIE):
        both = f"{CATEGORIE.name} ou {SOUS_CATEGORIE.name}"
        raise refusal("wrong-type", right=both, type=import_type.name)
    wanted = {"nom": _TERM, "description": _DESCRIPTION}
    if import_type is SOUS_CATEGORIE:
        wanted["categorie"] = _PARENT
    sources = {field: ((folded.index(name),),) for field, name in wanted.items() if name in folded}
    parents = tuple(folded.index(name) for name in (_PARENT, _PARENT_ID) if name in folded)
    return Header(clean(cells), sources, parents=parents)


def other_type(header: Header, import_type: ImportType, row: Sequence[str]) -> Fault | None:
    """The fault of a term that belongs to the other type than the one that is imported."""
    is_child = any(row[column].strip() not in ("", "0") for column in header.parents)
    if is_child == (import_type is SOUS_CATEGORIE):
        return None
    is_what, other = (
        ("une sous-catégorie", SOUS_CATEGORIE) if is_child else ("une catégorie", CATEGORIE)
    )
    return Fault(
        header.names[header.parents[0]],
        "other-type",
        f"Ce terme est {is_what} : importez aussi ce fichier avec le type {other.name}.",
    )


_CODES = ("code", "codenaf", "naf", "codenafrev2", "codeape")
_LABELS = ("libelle", "libelles", "intitule", "intitules", "libellenaf", "intitulesdelanafrev2")
# Of the first lines of INSEE's file, a third are activities.
_SHARE = 4


def _nomenclature(
    import_type: ImportType, cells: Sequence[str], below: Sequence[Sequence[str]]
) -> Header | None:
    folded = list(map(fold, cells))
    code = next((at for at, name in enumerate(folded) if name in _CODES), None)
    label = next((at for at, name in enumerate(folded) if name.startswith(_LABELS)), None)
    if code is None or label is None or _names_companies(cells):
        return None
    if not _are_activities(below, code, one_in=_SHARE):
        return None
    if import_type is not SOUS_CATEGORIE:
        raise refusal("wrong-type", right=SOUS_CATEGORIE.name, type=import_type.name)
    return Header(clean(cells), {"nom": ((label,),)}, activity=code)


def _names_companies(cells: Sequence[str]) -> bool:
    companies = known(ENTREPRISE, cells) & {"siren", "siret", "nom"}
    return bool(companies or known(SOUS_CATEGORIE, cells) & {"nom", "categorie"})


def activities(header: Header, rows: Sequence[Sequence[str]], at: Sequence[int]) -> Sequence[int]:
    """Those of the lines at the positions `at` that are an activity of a nomenclature."""
    code = header.activity
    if code is None:
        return at
    return [i for i in at if len(rows[i]) <= code or CODE.fullmatch(rows[i][code].strip())]
