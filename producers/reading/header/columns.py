"""Which column of a file is which field."""

import unicodedata
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from producers.reading.header import words
from producers.reading.header.labels import fields_by_label, fold, is_report, known, named
from producers.reading.header.matching import CONFIRMED, WORDS, HeadedLines, alike
from producers.reading.header.sources import Selection, chosen
from producers.reading.refusals import RefusedError, quoted, refusal
from schemas.import_types import ENTREPRISE, IMPORT_TYPES, VILLE, ImportType
from schemas.values.public_headers import NOMENCLATURES

_NAMED_WITHIN = 20
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

    `confidence`, by column, is 0 to 1. `assigned`, by header, are the fields of columns whose header
    does not say them, or LEFT_OUT: with these the header is understood in the same way without the
    lines below it. `passed` are columns for a field that has a likelier one.
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
    confidence: Mapping[int, float] = field(default_factory=dict, compare=False)
    assigned: Mapping[str, str] = field(default_factory=dict)
    passed: tuple[str, ...] = field(default=(), compare=False)

    @property
    def by_cells(self) -> list[str]:
        """The columns that only their cells tell."""
        return [self.names[at] for at, found in self.confidence.items() if found < WORDS]

    @property
    def mapping(self) -> dict[str, str]:
        """Field by header, for each column that is used, in the order of the file."""
        mapping: dict[str, str] = {}
        for name, sources in self.sources.items():
            for column in sources[0]:
                mapping[self.names[column]] = name
        if self.coordinates is not None:
            mapping[self.names[self.coordinates]] = self.position[0]
        if self.activity is not None:
            mapping[self.names[self.activity]] = "categorie"
        # A column that may give two fields is shown with the one that prefers it.
        further = (sources[1:] for sources in self.sources.values())
        for links in zip_longest(*further, fillvalue=()):
            for field_name, source in zip(self.sources, links, strict=True):
                for column in source:
                    mapping.setdefault(self.names[column], field_name)
        return {name: mapping[name] for name in self.names if name in mapping}

    @property
    def fields(self) -> list[str]:
        """The fields that a column gives."""
        special = self.position if self.coordinates is not None else ()
        return [*self.sources, *special]

    @property
    def used(self) -> set[int]:
        """The columns that something is read from."""
        used = {column for sources in self.sources.values() for one in sources for column in one}
        used.update(self.parents, self.nomenclatures)
        others = (self.cities, self.coordinates, self.activity)
        used.update(at for at in others if at is not None)
        return used

    @property
    def unknown(self) -> list[str]:
        """The named columns that do not feed a field."""
        used = self.used
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
    spelled = {fold(name): field for name, field in requested.items() if field != LEFT_OUT}
    best, most = 0, 1  # a word of a title may be called as a field
    for at, cells in enumerate(rows[:HEADER_WITHIN]):
        if is_report(cells):
            return at
        fields = named(by_label, cells)
        if spelled:
            fields |= {spelled[folded] for folded in map(fold, cells) if folded in spelled}
        if not _missing(import_type, fields):
            return at
        if len(fields) > most:
            best, most = at, len(fields)
    return best if most > 1 else _index_by_words(rows[:_NAMED_WITHIN], import_type)


def _index_by_words(rows: Sequence[Sequence[str]], import_type: ImportType) -> int:
    """The first of the lines that name the most fields by words, if they name several; else the first."""
    counts = [
        len({found.field for cell in cells if (found := words.named(import_type, cell))})
        for cells in rows
    ]
    most = max(counts, default=0)
    return counts.index(most) if most > 1 else 0


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


LEFT_OUT = ""
"""The field of a column that the operator does not want to be imported."""


def recognise(
    import_type: ImportType,
    cells: Sequence[str],
    requested: Mapping[str, str],
    *,
    below: Sequence[Sequence[str]] = (),
    city_list: int | None = None,
) -> Header:
    """The header that `cells` are, `requested` being the fields by header that the operator fixed.

    `below` are lines of the table, by which columns are recognised that no header names. `city_list`:
    the column whose values look like those of a city list. Raises RefusedError.
    """
    names = clean(cells)
    fixed, left_out = _fixed(import_type, names, requested)
    table = HeadedLines(import_type, names, below)
    found = chosen(table, fixed, left_out)
    is_complete = not found.unclear and not _missing(import_type, found.sources)
    if not fixed and not (is_complete and _missing(import_type, known(import_type, names))):
        _check_type(import_type, names, city_list)
    if not _lists_cities(import_type, found.sources, city_list):
        city_list = None
    header = Header(
        names,
        found.sources,
        city_list,
        _coordinates(import_type, names, found.sources),
        nomenclatures=_nomenclatures(names) if "naf_code" in found.sources else (),
        rivals=frozenset(found.rivals),
        confidence=found.confidence,
        assigned={names[at]: name for at, name in found.assigned.items()},
        passed=tuple(names[at] for at in found.passed),
        position=import_type.position,
    )
    reason = None if fixed else _lists_companies(table, header)
    reason = reason or _unclear(names, found) or _lacking(table, header)
    if reason is not None:
        reason.mapping, reason.unknown_columns = header.mapping, header.unknown
        raise reason
    return header


def _fixed(
    import_type: ImportType, names: list[str], requested: Mapping[str, str]
) -> tuple[dict[str, int], set[int]]:
    """The columns of fields that are fixed, and those that are left out."""
    fixed: dict[str, int] = {}
    left_out: set[int] = set()
    folded = list(map(fold, names))
    for name, field_name in requested.items():
        if field_name != LEFT_OUT and field_name not in import_type.field:
            raise refusal(
                "unknown-field",
                field=field_name,
                type=import_type.name,
                fields=quoted(list(import_type.field)),
            )
        if name in names:
            column = names.index(name)
        elif fold(name) in folded:
            column = folded.index(fold(name))
        else:
            raise refusal("unknown-column", column=name, found=_found(names))
        if field_name == LEFT_OUT:
            left_out.add(column)
            continue
        if field_name in fixed:
            raise _duplicate(field_name, [names[fixed[field_name]], name])
        fixed[field_name] = column
    return fixed, left_out


_OF_COMPANIES = frozenset(
    {"siret", "nom_commercial", "adresse", "naf_code", "naf_libelle", "telephone", "email_contact"}
    | {"site_web"}
)
_COMPANIES = (
    "Ces colonnes sont celles d'une liste d'entreprises ou de contacts sans SIREN, pas d'un import "
    "{type} : ajoutez-y une colonne « siren » ou « siret » et choisissez le type ENTREPRISE."
)


def _lists_companies(table: HeadedLines, header: Header) -> RefusedError | None:
    """The refusal of a list of companies as anything else: any such list has a column of names."""
    if table.import_type is ENTREPRISE:
        return None
    found = chosen(table._replace(import_type=ENTREPRISE), {}, set())
    fields = found.sources.keys() | found.unclear.keys()
    if "nom" not in fields or fields.isdisjoint(_OF_COMPANIES):
        return None
    if len(fields) <= len(header.sources):
        return None
    return RefusedError("wrong-type", _COMPANIES.format(type=table.import_type.name))


def _unclear(names: list[str], found: Selection) -> RefusedError | None:
    """The refusal of a table in which several columns are as likely for a field that is required."""
    for name, columns in found.unclear.items():
        return _duplicate(name, [names[column] for column in columns])
    return None


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
    companies = known(ENTREPRISE, names)

    def fits(other: ImportType) -> bool:
        fields = known(other, names)
        if not companies.isdisjoint(_OF_COMPANIES) and len(companies) > len(fields):
            return False
        if other is VILLE and city_list is not None:
            fields |= {"code_postal_principal"}
        return not _missing(other, fields)

    fields = known(import_type, names)
    required = {
        name for one in import_type.fields if one.required for name in (one.name, one.taken_from)
    }
    named_columns = sum(map(bool, names))
    for other in IMPORT_TYPES.values():
        better = len(known(other, names)) > len(fields) or not fields & required
        if other is not ENTREPRISE and 2 * len(known(other, names)) < named_columns:
            continue  # a town and its postal code are in many tables
        if other is not import_type and fits(other) and better:
            raise refusal("wrong-type", right=other.name, type=import_type.name)


_FIXED_WIDTH = "un texte dont rien ne sépare les colonnes, de largeur fixe peut-être"


def _lacking(table: HeadedLines, header: Header) -> RefusedError | None:
    import_type = table.import_type
    missing = _missing(import_type, header.sources)
    parts = known(import_type, header.names[0].split()) if len(header.names) == 1 else set()
    if len(parts) > 1 and not _missing(import_type, parts):
        return refusal("unsupported-format", found=_FIXED_WIDTH)
    if not header.sources or (missing and not _is_headed(header)):
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
            advice=_advice(table, header, missing),
        )
    return None


_NO_NUMBER = (
    "C'est une liste d'entreprises sans SIREN ni SIRET : ajoutez-en la colonne. "
    "L'annuaire des entreprises (annuaire-entreprises.data.gouv.fr) donne le SIREN de chacune."
)


def _is_headed(header: Header) -> bool:
    """Whether a header names a field: what cells alone say is not enough if fields are missing."""
    return any(confidence >= CONFIRMED for confidence in header.confidence.values())


def _advice(table: HeadedLines, header: Header, missing: list[str]) -> str:
    unused = [at for at, name in enumerate(header.names) if fold(name) and name in header.unknown]
    for name in missing:
        for column in alike(table, table.import_type.field[name], unused)[:1]:
            return (
                f"La colonne « {header.names[column]} » y ressemble : si c'est elle, renommez-la "
                f"« {name} »."
            )
    if missing == ["siren"]:
        return _NO_NUMBER
    if len(missing) > 1:
        return "Ajoutez-les, ou renommez celles qui les contiennent."
    return "Ajoutez-la, ou renommez celle qui la contient."


def _duplicate(field_name: str, columns: list[str]) -> RefusedError:
    return refusal("duplicate-label", columns=quoted(columns), field=f"« {field_name} »")


def _found(names: list[str]) -> str:
    return quoted([name for name in names if name]) or "aucune"
