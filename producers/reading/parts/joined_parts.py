"""The sheets of a workbook and the files of an archive, joined to one table.

They belong together by the fields that their columns map to; the names and the order of the columns
do not matter. Each is read with its own header. Reports and retries show the lines of
all parts under one header, which has the columns of all; columns of the same field appear in it once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from producers.reading.header.columns import Header, recognise
from producers.reading.header.labels import OURS, fold, known
from producers.reading.refusals import RefusedError
from producers.reading.row.row import filled
from producers.reading.table import Part
from schemas.import_types import ImportType

PERSONS = frozenset(
    {"prenom", "prenoms", "firstname", "civilite", "fonction", "poste", "datedenaissance"}
)
"""Folded headers of a list of persons, whose names are not those of their companies."""

_NAMES = ("name", "slugged")


class Apart(NamedTuple):
    """A part that is not read, and why, in French. `foreign`: it is a table of something else."""

    part: Part
    why: str
    foreign: bool = False

    @property
    def may_lead(self) -> bool:
        """Whether the others may be read with this one, if it has the most rows."""
        return not self.foreign and self.why != _LIST_OF_PERSONS


class Joined(NamedTuple):
    """`columns` is the header of all `parts`; the others are `apart`."""

    columns: Header
    parts: Sequence[Part]
    apart: Sequence[Apart]


def joined(parts: Sequence[Part], import_type: ImportType, requested: Mapping[str, str]) -> Joined:
    """The parts that belong together: with the one of the most fields or, if others are left, of the most rows."""
    whole = _around(max(parts, key=_fields), parts, import_type, requested)
    if not whole.apart:
        return whole
    largest = max(parts, key=rows_in)
    if any(largest is one.part and one.may_lead for one in whole.apart):
        return _around(largest, parts, import_type, requested)
    return whole


def rows_in(part: Part) -> int:
    """How many of its lines are not blank."""
    return sum(len(filled(block.rows)) for block in part.blocks())


def _fields(part: Part) -> int:
    return len(part.columns.sources)


def _around(
    base: Part, parts: Sequence[Part], import_type: ImportType, requested: Mapping[str, str]
) -> Joined:
    """The parts with the header of `base`, widened by the columns of those that differ."""
    columns = base.columns
    kept: list[Part] = []
    apart: list[Apart] = []
    for part in parts:
        if part.columns.names == base.columns.names:
            kept.append(replace(part, columns=base.columns))
            continue
        strange = strange_to(base.columns, part.columns, import_type)
        wider = None if strange else _wider(columns, part.columns, import_type, requested)
        if wider is None:
            apart.append(Apart(part, strange or _OTHER_COLUMNS, strange == _OTHER_TABLE))
            continue
        columns, places = wider
        own = replace(part.columns, names=[columns.names[place] for place in places])
        kept.append(replace(part, columns=own, places=places))
    if len(columns.names) > len(base.columns.names):
        own_places = range(len(base.columns.names))
        kept = [replace(part, places=own_places) if part.places is None else part for part in kept]
    return Joined(columns, kept, apart)


_OTHER_COLUMNS = (
    "Ses colonnes ne vont pas avec celles des autres feuilles ou fichiers : importez-la séparément."
)
_OTHER_TABLE = "Ses colonnes sont celles d'une autre table."
_LIST_OF_PERSONS = (
    "Ses colonnes sont celles d'une liste de personnes, dont les noms ne sont pas ceux des "
    "entreprises : importez-la séparément si ce sont bien des entreprises."
)


def strange_to(base: Header, other: Header, import_type: ImportType) -> str | None:
    """Why a header does not go with that of `base`, whatever its columns are called; None if it does."""
    names, others = (set(map(fold, header.names)) - {""} for header in (base, other))
    if {*OURS} & {*base.names, *other.names} or _is_shaped(base) or _is_shaped(other):
        return _OTHER_COLUMNS
    if _is_register(base) != _is_register(other):
        return _OTHER_COLUMNS
    if (others - names) & PERSONS:
        return _LIST_OF_PERSONS
    by_name = all(import_type.field[field].kind in _NAMES for field in import_type.key_fields)
    foreign = sum(not known(import_type, [name]) for name in others - names)
    return _OTHER_TABLE if by_name and foreign >= len(other.sources) else None


def _is_register(header: Header) -> bool:
    """Whether its lines carry dates of a register's own."""
    return "source_date" in header.sources


def _is_shaped(header: Header) -> bool:
    """Whether its columns are read by their content."""
    return header.cities is not None or header.activity is not None or bool(header.parents)


def _wider(
    whole: Header, part: Header, import_type: ImportType, requested: Mapping[str, str]
) -> tuple[Header, list[int]] | None:
    """`whole` with the columns of the part, and the place of each of these in it.

    None if the two together would be read in another way than each by itself.
    """
    places = places_in(whole, part)
    new = [name for name, place in zip(part.names, places, strict=True) if place is None]
    end = iter(range(len(whole.names), len(whole.names) + len(new)))
    at = [next(end) if place is None else place for place in places]
    names = [*whole.names, *new]
    if not new:
        return (whole, at) if _covers(whole, part, at) else None
    own = {name: field for name, field in requested.items() if name in names}
    assigned = {**whole.assigned, **part.assigned}
    assigned = {name: field for name, field in assigned.items() if name in names}
    try:
        wider = recognise(import_type, names, {**assigned, **own})
    except RefusedError:
        return None
    here = range(len(whole.names))
    return (wider, at) if _covers(wider, part, at) and _covers(wider, whole, here) else None


def places_in(whole: Header, part: Header) -> list[int | None]:
    """The position of each column of the part in the whole, found by its name, its folded name or its field."""
    places: list[int | None] = [None] * len(part.names)
    free = set(range(len(whole.names)))
    # The files of a register have columns of their own for what they share.
    for keys in (_named, _spelled, *([] if _is_register(part) else [_fields_of_columns])):
        there = {key: at for at, key in reversed([*enumerate(keys(whole))]) if key is not None}
        for at, key in enumerate(keys(part)):
            place = None if key is None else there.get(key)
            if places[at] is None and place in free:
                places[at] = place
                free.discard(place)
    return places


def _named(header: Header) -> list[str | None]:
    return [*header.names]


def _spelled(header: Header) -> list[str | None]:
    return [fold(name) or None for name in header.names]


def _fields_of_columns(header: Header) -> list[str | None]:
    """The field of each column that is the only one to feed it."""
    fields: list[str | None] = [None] * len(header.names)
    for field, sources in header.sources.items():
        if _is_one(sources):
            fields[sources[0][0]] = field
    return fields


def _is_one(sources: Sequence[Sequence[int]]) -> bool:
    return len(sources) == len(sources[0]) == 1


def _covers(whole: Header, part: Header, at: Sequence[int]) -> bool:
    """Whether each column of the part feeds the same field in the whole, in which its position is `at`.

    The files of a register are known to go together.
    """
    if _is_register(part):
        return True
    for field, sources in part.sources.items():
        used = {column for source in whole.sources.get(field, ()) for column in source}
        if not {at[column] for source in sources for column in source} <= used:
            return False
    coordinates = None if part.coordinates is None else at[part.coordinates]
    named = {at[column] for column in part.nomenclatures}
    return coordinates in (None, whole.coordinates) and named <= {*whole.nomenclatures}
