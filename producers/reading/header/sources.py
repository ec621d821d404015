"""Which columns give each field: those that the operator fixed, those that a label names, then others."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from producers.reading.header import matching
from producers.reading.header.content import is_not
from producers.reading.header.labels import fields_by_label, fold, label
from producers.reading.header.matching import HeadedLines, Match
from producers.reading.header.words import without_prefix
from schemas.import_types import ImportType
from schemas.values.field import Field
from schemas.values.public_headers import NAMES_OF_ESTABLISHMENTS

Sources = tuple[tuple[int, ...], ...]

# Beside these, a name is of a person.
_PERSONS = frozenset(
    {"prenom", "prenoms", "firstname", "givenname", "civilite", "nomdefamille", "familyname"}
)
_NAMES_OF_PERSONS = frozenset(
    {"nom", "name", "nomdefamille", "lastname", "familyname", "fullname", "nomcomplet"}
)

_NAMES_OF_COMPANIES = frozenset(
    {"entreprise", "nomentreprise", "nomdelentreprise", "societe", "nomsociete", "nomdelasociete"}
    | {"company", "companyname", "organisation", "organization"}
)


@dataclass
class Selection:
    """What `Header` says of its columns, and by field the columns of which none is the likelier one."""

    sources: dict[str, Sources]
    rivals: set[str] = field(default_factory=set)
    unclear: dict[str, list[int]] = field(default_factory=dict)
    confidence: dict[int, float] = field(default_factory=dict)
    assigned: dict[int, str] = field(default_factory=dict)
    passed: list[int] = field(default_factory=list)

    def used(self) -> Iterator[int]:
        """The columns that feed a field, or may."""
        for sources in self.sources.values():
            for source in sources:
                yield from source
        for columns in self.unclear.values():
            yield from columns


def chosen(table: HeadedLines, fixed: Mapping[str, int], left_out: set[int]) -> Selection:
    """The columns of each field. `left_out` are not imported, whatever they are called."""
    found = Selection({name: ((column,),) for name, column in fixed.items()})
    found.confidence = dict.fromkeys(fixed.values(), matching.EXACT)
    free = [at for at in range(len(table.names)) if at not in left_out | set(fixed.values())]
    _by_labels(table, found, free)
    if _is_of_register(table.import_type, found):
        return found  # all its columns are known
    bare = table._replace(names=without_prefix(table.names))
    steps = [(_by_words, table), (_by_party, bare), (_alone, bare), (_by_cells, table)]
    if bare.names != table.names:
        steps[1:1] = [(_by_labels, bare), (_by_words, bare)]
    for step, headed in steps:
        used = set(found.used())
        step(headed, found, [at for at in free if at not in used and headed.names[at]])
    return found


def _is_of_register(import_type: ImportType, found: Selection) -> bool:
    """Whether a field of the register has a column under the name that INSEE gives it."""
    return any(
        import_type.field[name].register and found.confidence[sources[0][-1]] < matching.EXACT
        for name, sources in found.sources.items()
    )


def _by_labels(table: HeadedLines, found: Selection, free: Sequence[int]) -> None:
    import_type, names = table.import_type, table.names
    fields = fields_by_label(import_type)
    labels = [label(fields, name) for name in names]
    columns: dict[str, list[int]] = {}
    for at in free:
        name = fields.get(labels[at])
        if name is not None and name not in found.sources:
            columns.setdefault(name, []).append(at)
    if "etablissement_siege" in columns:
        _drop_trade_names(columns, names)
    _drop_names_of_persons(table, columns, labels)
    for name, candidates in columns.items():
        one = import_type.field[name]
        likely = (
            _likelier(one, labels, candidates)
            if one.required
            else _credible(table, found, one, labels, candidates)
        )
        _take_labelled(table, found, one, labels, likely)
    _take_others(table, found, labels, free)


def _are_copies(table: HeadedLines, columns: Sequence[int]) -> bool:
    """Whether the sample has the same values in all of the columns; rows in which they differ are warned of."""
    first, *others = map(table.cells, columns)
    return any(map(str.strip, first)) and all(cells == first for cells in others)


def _take_others(
    table: HeadedLines, found: Selection, labels: Sequence[str], free: Sequence[int]
) -> None:
    """A header that names two fields, as "Département" does, is of the second if the first has another."""
    for one in table.import_type.fields:
        if one.required and one.name not in {*found.sources, *found.unclear}:
            spelled, used = set(map(fold, one.usual)), set(found.used())
            others = [at for at in free if at not in used and labels[at] in spelled]
            _take_labelled(table, found, one, labels, others)


def _take_labelled(
    table: HeadedLines, found: Selection, one: Field, labels: Sequence[str], candidates: list[int]
) -> None:
    if not candidates:
        return
    sources, are_rivals = _sources(one, labels, candidates)
    if sources is None and _are_copies(table, candidates):
        sources, are_rivals = tuple((at,) for at in candidates), True
    if sources is None:
        found.unclear[one.name] = candidates
        return
    found.sources[one.name] = sources
    found.rivals |= {one.name} if are_rivals else set()
    for source in sources:
        found.confidence |= {at: _confidence(one, labels[at]) for at in source}


def _credible(
    table: HeadedLines, found: Selection, one: Field, labels: Sequence[str], candidates: list[int]
) -> list[int]:
    """Without those whose cells are something else, if there are others or their headers say little."""
    wrong = [
        at
        for at in candidates
        if (len(candidates) > 1 or _confidence(one, labels[at]) == matching.USUAL)
        and is_not(one.kind, table.cells(at))
    ]
    found.assigned |= dict.fromkeys(wrong, "")
    return [at for at in candidates if at not in wrong]


def _confidence(one: Field, folded: str) -> float:
    if folded == fold(one.name):
        return matching.EXACT
    return matching.ALIAS if folded in map(fold, one.aliases) else matching.USUAL


def _sources(
    one: Field, labels: Sequence[str], candidates: list[int]
) -> tuple[Sources | None, bool]:
    """The columns that give a field, and whether they are rivals, not links of a chain.

    None if the field is required and each of them is as likely as the others.
    """
    found = _linked(one, labels, candidates)
    if found is not None:
        return found, False
    if one.required:
        return None, False
    spellings = list(map(fold, (one.name, *one.aliases, *one.usual)))
    ranked = sorted(candidates, key=lambda column: spellings.index(labels[column]))
    return tuple((column,) for column in ranked), True


def _drop_names_of_persons(
    table: HeadedLines, columns: dict[str, list[int]], labels: Sequence[str]
) -> None:
    """Beside a first name, or "Entreprise", "Nom" is that of a person if another column names the company."""
    own = columns.get("nom", [])
    persons = {at for at in own if labels[at] in _NAMES_OF_PERSONS}
    others = [at for at in own if at not in persons]
    beside_person = not _PERSONS.isdisjoint(map(fold, table.names))
    beside_company = any(labels[at] in _NAMES_OF_COMPANIES for at in others)
    if not persons or not (beside_person or beside_company):
        return
    if others:
        columns["nom"] = others
    elif "nom" in matching.by_words(table, set(range(len(labels))) - persons):
        del columns["nom"]


def _likelier(one: Field, labels: Sequence[str], candidates: list[int]) -> list[int]:
    """The candidates for a company's own name or number, if usual headers are among them."""
    usual = set(map(fold, one.usual))
    some = [column for column in candidates if labels[column] in usual]
    return [column for column in candidates if column not in some] or some


def _linked(one: Field, labels: Sequence[str], candidates: list[int]) -> Sources | None:
    """The chain that the candidates are links of; None if they are several columns for one field."""
    spelled = {labels[column] for column in candidates}
    if len(spelled) < len(candidates):
        return None
    for column in candidates:
        first, *chain = _chain(one, labels[column])
        if spelled <= {name for link in (first, *chain) for name in link}:
            links = [link for link in chain if set(link) <= set(labels)]
            parts = [name for name in first if name in labels]
            return tuple(tuple(map(labels.index, link)) for link in (parts, *links))
    return None


@cache
def _chain(one: Field, folded: str) -> tuple[tuple[str, ...], ...]:
    """The links of the chain that begins with the header, which may stand last in the first one."""
    for chain in one.chains:
        links = tuple(tuple(map(fold, link.split("+"))) for link in chain.split(">"))
        if links[0][-1] == folded:
            return links
    return ((folded,),)


def _drop_trade_names(columns: dict[str, list[int]], names: Sequence[str]) -> None:
    """In a file of establishments what looks like a name of the company is one of the establishment."""
    trade_names = set(map(fold, NAMES_OF_ESTABLISHMENTS))
    columns["nom"] = [at for at in columns.get("nom", ()) if fold(names[at]) not in trade_names]
    if not columns["nom"]:
        del columns["nom"]


def _by_words(table: HeadedLines, found: Selection, free: Sequence[int]) -> None:
    found.assigned |= dict.fromkeys(matching.contradicted(table, free), "")
    _take_all(table, found, matching.by_words(table, free))


def _by_party(table: HeadedLines, found: Selection, free: Sequence[int]) -> None:
    """The name that goes with the number: "nom_amenageur" beside "siren_amenageur"."""
    numbers = [found.sources[name][0][-1] for name in ("siret", "siren") if name in found.sources]
    for column in numbers:
        _take_all(table, found, matching.by_party(table, free, table.names[column]))


def _alone(table: HeadedLines, found: Selection, free: Sequence[int]) -> None:
    """Columns that only have no better one."""
    _take_all(table, found, matching.alone(table, free))


def _by_cells(table: HeadedLines, found: Selection, free: Sequence[int]) -> None:
    taken = {name: sources[0][-1] for name, sources in found.sources.items()}
    taken |= {name: columns[0] for name, columns in found.unclear.items()}
    _take_all(table, found, matching.by_cells(table, free, taken))


def _take_all(table: HeadedLines, found: Selection, matches: Mapping[str, Sequence[Match]]) -> None:
    for name, candidates in matches.items():
        _take(table.import_type, found, name, candidates)


def _take(
    import_type: ImportType, found: Selection, name: str, candidates: Sequence[Match]
) -> None:
    """The better candidate for a field that has none; of equal ones for a required field, neither."""
    if name in found.sources or name in found.unclear:
        return
    first, *others = candidates
    if others and _is_needed(import_type, found, name):
        found.unclear[name] = [one.column for one in candidates]
        return
    found.sources[name] = ((first.column,),)
    found.confidence[first.column] = first.confidence
    found.passed += [one.column for one in others]
    if others or first.confidence < matching.WORDS:
        found.assigned[first.column] = name


def _is_needed(import_type: ImportType, found: Selection, name: str) -> bool:
    """Whether a field is required, or gives one that is and has no column."""
    return import_type.field[name].required or any(
        one.required and one.taken_from == name and one.name not in found.sources
        for one in import_type.fields
    )
