"""Which column of a file is which field."""

import difflib
import unicodedata
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from producers.reading.header.labels import fields_by_label, fold, known, label, named
from producers.reading.refusals import RefusedError, quoted, refusal
from schemas.import_types import IMPORT_TYPES, VILLE, ImportType
from schemas.values.field import Field
from schemas.values.public_headers import NAMES_OF_ESTABLISHMENTS, NOMENCLATURES

_LIKENESS = 0.75
HEADER_WITHIN = 200
"""Lines among which the header is looked for: the samples of texts and sheets have as many."""


@dataclass(frozen=True, slots=True)
class Header:
    """`names` as the file spells them, trimmed and on one line.

    `sources`, by field, are the columns that give its value, each used if those before it are
    blank; a source of several columns is their texts joined by a space. The last column of the
    first source names the field's column. `coordinates` is the column of "latitude, longitude", which
    fills the fields of `position`,
    `cities` is the column of a city list, whose values are "Nom (code postal)". `parents` are the
    columns of a taxonomy that a term without a parent leaves blank, `activity` is the column of
    codes of a nomenclature, `nomenclatures` are columns of which the first that is not blank names
    the one of a company's activity.
    """

    names: list[str]
    sources: Mapping[str, tuple[tuple[int, ...], ...]]
    cities: int | None = None
    coordinates: int | None = None
    parents: tuple[int, ...] = ()
    activity: int | None = None
    nomenclatures: tuple[int, ...] = ()
    rivals: frozenset[str] = frozenset()
    position: tuple[str, ...] = ()

    @property
    def mapping(self) -> dict[str, str]:
        """Field by header, for each column that is used, in the order of the file."""
        mapping: dict[str, str] = {}
        for field, sources in self.sources.items():
            for column in sources[0]:
                mapping[self.names[column]] = field
        if self.coordinates is not None:
            mapping[self.names[self.coordinates]] = self.position[0]
        if self.activity is not None:
            mapping[self.names[self.activity]] = "categorie"
        for field, sources in self.sources.items():
            for source in sources[1:]:
                for column in source:
                    mapping.setdefault(self.names[column], field)
        return {name: mapping[name] for name in self.names if name in mapping}

    @property
    def unknown(self) -> list[str]:
        """The named columns that do not feed a field."""
        used = {column for sources in self.sources.values() for one in sources for column in one}
        used.update(self.parents, self.nomenclatures)
        others = (self.coordinates, self.activity)
        used.update(at for at in others if at is not None)
        return [name for at, name in enumerate(self.names) if name and at not in used]

    def needed(self, import_type: ImportType) -> int:
        """How many cells a line must have: those up to the last one that a required field is read from."""
        special = [*self.parents, self.cities, self.coordinates, self.activity]
        columns = [at for at in special if at is not None]
        for name, sources in self.sources.items():
            if import_type.field[name].required or import_type.field[name].taken_from:
                columns += sources[0]
        return max(columns, default=-1) + 1


def index_of_header(
    rows: Sequence[Sequence[str]], import_type: ImportType, requested: Mapping[str, str]
) -> int:
    """Returns the index of the header line: the first that names all required fields, because a title,
    notes or "sep=;" may precede it. If none does, returns the first of those that name the most fields.
    `requested` maps headers to fields.
    """
    by_label = fields_by_label(import_type)
    spelled = {fold(name): field for name, field in requested.items()}
    best, most = 0, 1  # a word of a title may be called as a field
    for at, cells in enumerate(rows[:HEADER_WITHIN]):
        fields = named(by_label, cells)
        if spelled:
            fields |= {spelled[folded] for folded in map(fold, cells) if folded in spelled}
        if not _missing(import_type, fields):
            return at
        if len(fields) > most:
            best, most = at, len(fields)
    return best


def _missing(import_type: ImportType, fields: Container[str]) -> list[str]:
    """The required fields that neither are there nor can be taken from another one.

    A file of establishments needs no names: its companies are known.
    """
    return [
        field.name
        for field in import_type.fields
        if field.required
        and field.name not in fields
        and field.taken_from not in fields
        and not (field.name == "nom" and "etablissement_siege" in fields)
    ]


def clean(cells: Sequence[str]) -> list[str]:
    """The cells of a header, trimmed and on one line."""
    return [_clean(cell) for cell in cells]


def _clean(cell: str) -> str:
    if cell.isascii():
        return " ".join(cell.split())
    # Marks of direction and of zero width are not seen.
    seen = "".join(sign for sign in cell if unicodedata.category(sign) != "Cf")
    return " ".join(unicodedata.normalize("NFC", seen).split())


def recognise(
    import_type: ImportType,
    cells: Sequence[str],
    requested: Mapping[str, str],
    *,
    city_list: int | None = None,
) -> Header:
    """The header that `cells` are, `requested` being the fields by header that the operator fixed.

    `city_list`: the column whose values look like those of a city list. Raises RefusedError.
    """
    names = clean(cells)
    fixed = _fixed(import_type, names, requested)
    if not fixed:
        _check_type(import_type, names, city_list)
    sources, rivals = _all_sources(import_type, names, fixed)
    if not _lists_cities(import_type, sources, city_list):
        city_list = None
    header = Header(
        names,
        sources,
        city_list,
        _coordinates(import_type, names, sources),
        nomenclatures=_nomenclatures(names) if "naf_code" in sources else (),
        rivals=rivals,
        position=import_type.position,
    )
    lacking = _lacking(import_type, header)
    if lacking is not None:
        lacking.mapping, lacking.unknown_columns = header.mapping, header.unknown
        raise lacking
    return header


def _fixed(
    import_type: ImportType, names: list[str], requested: Mapping[str, str]
) -> dict[str, int]:
    fixed: dict[str, int] = {}
    for name, field in requested.items():
        if field not in import_type.field:
            raise refusal(
                "unknown-field",
                field=field,
                type=import_type.name,
                fields=quoted(list(import_type.field)),
            )
        folded = list(map(fold, names))
        if name in names:
            column = names.index(name)
        elif fold(name) in folded:
            column = folded.index(fold(name))
        else:
            raise refusal("unknown-column", column=name, found=_found(names))
        if field in fixed:
            raise _duplicate(field, [names[fixed[field]], name])
        fixed[field] = column
    return fixed


Sources = tuple[tuple[int, ...], ...]


def _all_sources(
    import_type: ImportType, names: list[str], fixed: Mapping[str, int]
) -> tuple[dict[str, Sources], frozenset[str]]:
    """The columns of each field, and the fields that several columns name."""
    columns: dict[str, list[int]] = {}
    fields = fields_by_label(import_type)
    labels = [label(fields, name) for name in names]
    for at, folded in enumerate(labels):
        field = fields.get(folded)
        if field is not None and field not in fixed and at not in fixed.values():
            columns.setdefault(field, []).append(at)
    if "etablissement_siege" in columns:
        _drop_trade_names(columns, names)
    sources: dict[str, Sources] = {field: ((column,),) for field, column in fixed.items()}
    rivals = set()
    for field, candidates in columns.items():
        sources[field], are_rivals = _sources(import_type.field[field], names, labels, candidates)
        if are_rivals:
            rivals.add(field)
    return sources, frozenset(rivals)


# Beside a first name, these are of a person.
_FIRST_NAMES = frozenset({"prenom", "prenoms", "firstname", "givenname"})
_LAST_NAMES = frozenset({"nom", "name", "nomdefamille", "lastname"})


def _sources(
    field: Field, names: list[str], labels: list[str], candidates: list[int]
) -> tuple[Sources, bool]:
    """The columns that give a field, and whether they are rivals, not links of a chain."""
    if field.required:
        candidates = _likelier(field, labels, candidates)
    found = _linked(field, labels, candidates)
    if found is not None:
        return found, False
    if field.required:
        raise _duplicate(field.name, [names[column] for column in candidates])
    spellings = list(map(fold, (field.name, *field.aliases, *field.usual)))
    ranked = sorted(candidates, key=lambda column: spellings.index(labels[column]))
    return tuple((column,) for column in ranked), True


def _likelier(field: Field, labels: list[str], candidates: list[int]) -> list[int]:
    """The candidates for a company's own name or number, if usual headers are among them."""
    usual = set(map(fold, field.usual))
    some = [column for column in candidates if labels[column] in usual]
    if not _FIRST_NAMES.isdisjoint(labels) and some:
        candidates = [column for column in candidates if labels[column] not in _LAST_NAMES]
    return [column for column in candidates if column not in some] or some


def _linked(field: Field, labels: list[str], candidates: list[int]) -> Sources | None:
    """The chain that the candidates are links of; None if they are several columns for one field."""
    spelled = {labels[column] for column in candidates}
    if len(spelled) < len(candidates):
        return None
    for column in candidates:
        first, *chain = _chain(field, labels[column])
        if spelled <= {name for link in (first, *chain) for name in link}:
            links = [link for link in chain if set(link) <= set(labels)]
            parts = [name for name in first if name in labels]
            return tuple(tuple(map(labels.index, link)) for link in (parts, *links))
    return None


@cache
def _chain(field: Field, folded: str) -> tuple[tuple[str, ...], ...]:
    """The links of the chain that begins with the header, which may stand last in the first one."""
    for chain in field.chains:
        links = tuple(tuple(map(fold, link.split("+"))) for link in chain.split(">"))
        if links[0][-1] == folded:
            return links
    return ((folded,),)


def _drop_trade_names(columns: dict[str, list[int]], names: list[str]) -> None:
    """In a file of establishments what looks like a name of the company is one of the establishment."""
    trade_names = set(map(fold, NAMES_OF_ESTABLISHMENTS))
    columns["nom"] = [at for at in columns.get("nom", ()) if fold(names[at]) not in trade_names]
    if not columns["nom"]:
        del columns["nom"]


def _nomenclatures(names: list[str]) -> tuple[int, ...]:
    folded = list(map(fold, names))
    return tuple(folded.index(fold(name)) for name in NOMENCLATURES if fold(name) in folded)


def _coordinates(
    import_type: ImportType, names: list[str], sources: Mapping[str, object]
) -> int | None:
    if any(field in sources for field in import_type.position):
        return None
    wanted = set(map(fold, import_type.coordinates))
    return next((at for at, name in enumerate(names) if fold(name) in wanted), None)


def _lists_cities(
    import_type: ImportType, sources: Mapping[str, object], city_list: int | None
) -> bool:
    return (
        import_type is VILLE
        and city_list is not None
        and sources.get("nom") == ((city_list,),)
        and "code_postal_principal" not in sources
    )


def _check_type(import_type: ImportType, names: list[str], city_list: int | None) -> None:
    def fits(other: ImportType) -> bool:
        fields = known(other, names)
        if other is VILLE and city_list is not None:
            fields |= {"code_postal_principal"}
        return not _missing(other, fields)

    fields = known(import_type, names)
    required = {field.name for field in import_type.fields if field.required}
    for other in IMPORT_TYPES.values():
        better = len(known(other, names)) > len(fields) or not fields & required
        if other is not import_type and fits(other) and better:
            raise refusal("wrong-type", right=other.name, type=import_type.name)


_FIXED_WIDTH = "un texte dont rien ne sépare les colonnes, de largeur fixe peut-être"


def _lacking(import_type: ImportType, header: Header) -> RefusedError | None:
    missing = _missing(import_type, header.sources)
    words = known(import_type, header.names[0].split()) if len(header.names) == 1 else set()
    if len(words) > 1 and not _missing(import_type, words):
        return refusal("unsupported-format", found=_FIXED_WIDTH)
    if not header.sources:
        return refusal(
            "unknown-columns",
            type=import_type.name,
            found=_found(header.names),
            required=quoted(missing),
            within=HEADER_WITHIN,
        )
    if missing and header.cities is None:
        return refusal(
            "missing-label",
            columns=(
                "La colonne obligatoire " if len(missing) == 1 else "Les colonnes obligatoires "
            )
            + quoted(missing)
            + (" manque" if len(missing) == 1 else " manquent"),
            found=_found(header.names),
            advice=_advice(import_type, header.names, missing),
        )
    return None


def _advice(import_type: ImportType, names: list[str], missing: list[str]) -> str:
    fields = fields_by_label(import_type)
    unused = [name for name in names if fold(name) and fold(name) not in fields]
    for field in missing:
        spellings = [folded for folded, name in fields.items() if name == field]
        for name in unused:
            if difflib.get_close_matches(fold(name), spellings, 1, _LIKENESS):
                return (
                    f"La colonne « {name} » y ressemble : si c'est elle, renommez-la « {field} »."
                )
    if len(missing) > 1:
        return "Ajoutez-les, ou renommez celles qui les contiennent."
    return "Ajoutez-la, ou renommez celle qui la contient."


def _duplicate(field: str, columns: list[str]) -> Exception:
    return refusal("duplicate-label", columns=quoted(columns), field=f"« {field} »")


def _found(names: list[str]) -> str:
    return quoted([name for name in names if name]) or "aucune"
