"""Words within a header: which field it names, whatever else it says."""

import csv
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from itertools import chain
from typing import NamedTuple

from producers.reading.header.labels import OURS, fields_by_label, fold, label
from schemas.import_types import ImportType
from schemas.values.field import Field

CHECKABLE = frozenset(
    {"siren", "siret", "postal_code", "naf", "departement", "phone", "email", "url"}
)
"""Kinds of which the cells show whether they are of it."""

_COORDINATES = ("latitude", "longitude")
_CONTACTS = ("phone", "email", "url")
_PART = re.compile(r"[a-z]+|[0-9]+")
_CASES = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_BRACKETS = re.compile(r"[(\[]([^)\]]{0,100})[)\]]")
_SILENT = frozenset(
    [
        "d",
        "l",
        "de",
        "du",
        "des",
        "la",
        "le",
        "les",
        "un",
        "une",
        "et",
        "ou",
        "of",
        "the",
        "a",
        "au",
        "aux",
        "en",
        "sur",
        "par",
        "pour",
        "n",
        "no",
        "num",
        "numero",
        "number",
    ]
)
_YEAR = re.compile(r"(?:19|20)[0-9]{2}")
_LONGEST = 200


class Named(NamedTuple):
    """`certain`: the other words of the header say nothing else. If it is not, its cells must be of
    the field's kind."""

    field: str
    certain: bool


def words(name: str) -> frozenset[str]:
    """The words of a header, without accents, plurals and those that say nothing.

    "raisonSociale" and "Raison_Sociale" are two.
    """
    return frozenset(map(_singular, _parts(name))) - _SILENT


def _parts(name: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii")
    return _PART.findall(_CASES.sub(" ", plain).lower())


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and word[-2] != "s" else word


def is_of_something_else(name: str) -> bool:
    """Whether a header names a person, another party, another address or a thing of another kind."""
    return not words(name).isdisjoint(_said_of("other"))


_NUMBERS = frozenset({"siren", "siret"})
_NAMES = frozenset({"raison", "sociale"})
_PLACES = frozenset({"siege", "social", "billing", "facturation", "office", "hq", "accueil"})


def party_of(name: str) -> frozenset[str] | None:
    """What the header of a number says of whose it is: "amenageur" of "siren_amenageur"."""
    party = words(name) - _NUMBERS - _said_of("number") - _said_of("any")
    return party if party and party.isdisjoint(_PLACES | _said_of("contact")) else None


def named_party(name: str) -> frozenset[str] | None:
    """Of whom a header is the name, if it says nothing else; None if it is of something else."""
    if is_of_something_else(name) or not _COUNTING.isdisjoint(_parts(name)):
        return None
    return words(name) - _said_of("name") - _NAMES


_COUNTING = frozenset({"n", "no", "num", "numero", "number"})


_PREFIX = re.compile(r"([^\W_]{1,20})(?:_|\.|/| - )")
_FEWEST_COLUMNS = 4


def without_prefix(names: Sequence[str]) -> list[str]:
    """The headers without what nearly all of them begin with, such as the table of a program: "CT_Siret"."""
    found = [_PREFIX.match(name) for name in names]
    prefixes = Counter(match[1] for match in found if match)
    for prefix, columns in prefixes.most_common(1):
        is_person = is_of_something_else(prefix) or prefix.lower() in _said_of("contact")
        if columns >= _FEWEST_COLUMNS and 4 * columns >= 3 * len(names) and not is_person:
            return [
                name[match.end() :] if match and match[1] == prefix else name
                for name, match in zip(names, found, strict=True)
            ]
    return list(names)


def is_of_any_number(name: str) -> bool:
    """Whether a header says no more than that its cells are numbers of companies."""
    return words(name) <= _said_of("number") | _said_of("company") | _said_of("any")


@cache
def _said_of(subject: str) -> frozenset[str]:
    """Words of schemas/reference/header_words.csv."""
    text = resources.files("schemas").joinpath("reference", "header_words.csv")
    rows = csv.DictReader(text.read_text(encoding="utf-8").splitlines())
    return frozenset(_singular(row["word"]) for row in rows if row["said_of"] == subject)


def named(import_type: ImportType, name: str) -> Named | None:
    """The field that a header names which is none of its labels; None if it names none, or several."""
    if name in OURS or not 0 < len(name) <= _LONGEST:
        return None
    if field := _beside_brackets(import_type, name):
        return Named(field, certain=True)
    found = sorted(_found(import_type, words(name)), reverse=True)
    best = {field for *rank, field in found if rank == list(found[0][:-1])}
    if len(best) > 1:
        best = {field for field in best if _is_spelled(import_type.field[field], name)}
    if len(best) != 1:
        return None
    return Named(best.pop(), certain=bool(found[0][0]))


def _is_spelled(field: Field, name: str) -> bool:
    """Whether a header has the words of a label as they are, singular or plural."""
    given = set(_parts(name))
    return any(given.issuperset(_parts(label)) for label in (field.name, *field.aliases))


def _beside_brackets(import_type: ImportType, name: str) -> str | None:
    """The field whose label precedes or follows brackets, unless these name something else."""
    bare = _BRACKETS.sub(" ", name)
    if bare == name or any(map(is_of_something_else, _BRACKETS.findall(name))):
        return None
    fields = fields_by_label(import_type)
    return fields.get(label(fields, bare.strip()))


class _Label(NamedTuple):
    field: Field
    words: frozenset[str]
    silent: frozenset[str]


def _found(import_type: ImportType, given: frozenset[str]) -> Iterator[tuple[bool, int, str]]:
    """Whether the rest of the words says nothing else, how many words are of the field, and the field."""
    other, labels = _said_of("other"), _labels(import_type)
    for field, spelled, silent in chain.from_iterable(labels.get(word, ()) for word in given):
        if not spelled <= given:
            continue
        rest = given - spelled
        if field.kind == "integer":
            rest = frozenset(word for word in rest if not _YEAR.fullmatch(word))
        if rest <= silent:
            yield True, len(spelled), field.name
        elif field.kind in CHECKABLE and rest.isdisjoint(other):
            yield False, len(spelled), field.name


@cache
def _labels(import_type: ImportType) -> dict[str, list[_Label]]:
    """The labels of fields, each by one of its words.

    A file without a header may have many thousand cells in its first lines, each looked up here.
    """
    labels: dict[str, list[_Label]] = {}
    for field in import_type.fields:
        if not field.register:
            silent = _silent_beside(import_type, field)
            for spelled in _spellings(field):
                labels.setdefault(min(spelled), []).append(_Label(field, spelled, silent))
    return labels


def _spellings(field: Field) -> frozenset[frozenset[str]]:
    """The words of each label, and these as one; usual labels of one word say too little beside others."""
    own = {words(spelled) for spelled in (field.name, *field.aliases)}
    usual = {found for spelled in field.usual if len(found := words(spelled)) > 1}
    labels = (field.name, *field.aliases, *field.usual)
    joined = {frozenset({fold(spelled)}) for spelled in labels if len(words(spelled)) > 1}
    return frozenset(found for found in own | usual | joined if found)


def _silent_beside(import_type: ImportType, field: Field) -> frozenset[str]:
    """Words that say nothing else beside the label of a field."""
    kinds = {one.kind for one in import_type.fields}
    silent = set(_said_of("any"))
    if field.kind == "boolean":
        return frozenset(silent)  # an establishment that is closed is not a company that is
    if "siren" in kinds:
        silent |= _said_of("company")
    if field.kind in _COORDINATES or ("siren" not in kinds and "latitude" in kinds):
        silent |= _said_of("place")
    if field.kind in _CONTACTS:
        silent |= _said_of("contact")
    if field.kind == "postal_code" or names_towns(field):
        silent |= _said_of("address")
    if field.kind == "text":
        silent |= _said_of("name")
    return frozenset(silent)


def names_towns(field: Field) -> bool:
    """Whether a field is the name of a town."""
    return field.kind in ("text", "name") and {"commune", "ville"} <= {*field.aliases}
