"""The rules of a valid row. The reader applies them to report faults early, the worker to every record.

A rule takes whole columns: a column without a violation is checked by C code, not by a call for each row.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, NamedTuple

from schemas.import_types import ImportType
from schemas.values.check_digits import unchecked
from schemas.values.field import Field, Kind
from schemas.values.public_headers import UNDISCLOSED
from schemas.values.slugs import SLUG_LENGTH, slugify

Column = Sequence[Any]


class Violation(NamedTuple):
    """Row `row` of the batch breaks a rule in `field`; docs/errors.md explains each `code`.

    If it is `fatal`, the row is rejected. If not, it is a warning, and the value is removed unless
    `kept` is set.
    """

    row: int
    field: str
    code: str
    fatal: bool
    kept: bool = False


NOT_DISCLOSED = "not-disclosed"
"""The code of a value that says that there is none."""

Luhn = Literal["off", "warning", "error"]
"""What a SIREN or SIRET is whose check digit is wrong."""


# What can be typed in an e-mail address only by mistake, direction marks and zero width included.
_NOT_IN_EMAIL = '@\\s<>()\\[\\]\\\\,;:"\u00ad\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff'

_NOT_IN_HOST = "'/.?#&=%!$*|{}~^+"

_PATTERNS: dict[Kind, re.Pattern[str]] = {
    # People write zeros for a number that they do not know.
    "siren": re.compile(r"(?!0{9})[0-9]{9}"),
    "siret": re.compile(r"(?!0{9})[0-9]{14}"),
    "postal_code": re.compile(r"(?!0{5})[0-9]{5}"),
    "departement": re.compile(r"(?!00)[0-9]{2}|2[AB]|9[78][0-9]"),
    "naf": re.compile(r"[0-9]{2}\.[0-9]{2}[A-Z]"),
    "commune": re.compile(r"(?:[0-9]{2}|2[AB])[0-9]{3}"),
    "legal_category": re.compile(r"[0-9]{4}"),
    "disclosure": re.compile(r"[OP]"),
    "source_date": re.compile(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9:.]{5,15})?Z?(?: [0-9]{4}-[0-9]{2}-[0-9]{2})?"
    ),
    "phone": re.compile(
        r"0[1-9](?:[ .-]?[0-9]{2}){4}|"  # most are so
        # Not a date (2024-01-05, 20240105, 5/1/24), a price (1 234.50), a SIRET, or zeros alone.
        r"(?!(?:19|20)[0-9]{2}([-/. ])[0-9]{1,2}\1[0-9]{1,2}$)"
        r"(?!(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])$)"
        r"(?![0-9]{1,2}([-/.])[0-9]{1,2}\2(?:[0-9]{2}|(?:19|20)[0-9]{2})$)"
        r"(?![0-9]{1,2} [0-9]{1,2} (?:19|20)[0-9]{2}$)"
        r"(?![0-9]{1,3}(?: ?[0-9]{3}){0,3}\.[0-9]{1,2}$)"
        r"(?!(?:0|[1-9][0-9]{0,2})\.[0-9]{4,}$)(?!(?!00)[0-9]{14}$)(?![+0 .()/-]*$)"
        r"(?=[+(0-9])(?=(?:[^0-9]{0,20}[0-9]){4})\+?[0-9 .()/-]{4,20}"
    ),
    "email": re.compile(
        r"[\w.+-]+@(?:[\w-]+\.)+[\w-]+|"  # most are so
        f"[^{_NOT_IN_EMAIL}]+@(?:[^{_NOT_IN_EMAIL}{_NOT_IN_HOST}]+\\.)+[^{_NOT_IN_EMAIL}{_NOT_IN_HOST}]+"
    ),
    "url": re.compile(
        r"https?://(?!www\.[^./?#]*(?:[/?#]|$))(?:"  # "www.exemple" is a name cut off
        r"(?:[\w-]+\.)+[\w-]{2,}(?:[/?#]\S*)?|"  # most are so
        r"(?:[^\s/?#.,;<>\"|]+\.)+[^\s/?#.,;<>\"|]{2,}(?:[/?#]\S*)?)",
        re.IGNORECASE,
    ),
    "domain": re.compile(r"(?:[\w-]{1,63}\.){1,10}[\w-]{2,63}"),
    "place_id": re.compile(r"[A-Za-z0-9_-]{10,255}"),
}


FORMED = frozenset(_PATTERNS)
"""Kinds that are defined by their form."""


def has_form(kind: Kind, text: str) -> bool:
    """Whether a text has the form of a kind that is defined by one."""
    return len(text) <= LONGEST and _PATTERNS[kind].fullmatch(text) is not None


# What a name has besides.
_MEANT = re.compile(r"[^\s\-–—_.]")


def _has_slug(name: str) -> bool:
    # What makes the slug longer than the name are signs such as ﬃ; a name that is too long has a code of its own.
    return 0 < len(slugify(name)) <= max(SLUG_LENGTH, len(name))


_NAMES: dict[Kind, Callable[[str], object]] = {"name": _MEANT.search, "slugged": _has_slug}

# A whole column in the form that most values of the kind have, each with a line end behind it.
_USUAL: dict[Kind, re.Pattern[str]] = {
    "name": re.compile(r"(?:[^\s\-–—_.][^\n]*+\n)*+"),
    "phone": re.compile(r"(?:0[1-9](?:[ .-]?[0-9]{2}){4}\n)*+"),
    "email": re.compile(r"(?:[a-zA-Z0-9_.+-]++@(?:[a-zA-Z0-9_-]++\.)++[a-zA-Z0-9_-]++\n)*+"),
    "url": re.compile(
        r"(?:https?://(?!www\.[^./?#\n]*+[/?#\n])"
        r"(?:[a-zA-Z0-9_-]++\.)++[a-zA-Z0-9_-]{2,}+(?:[/?#][!-~]*+)?\n)*+"
    ),
}

# Kinds that are so many digits and nothing else.
_DIGITS: dict[Kind, int] = {"siren": 9, "siret": 14, "postal_code": 5}
_ZEROS: dict[Kind, str] = {"siren": "0" * 9, "siret": "0" * 9, "postal_code": "0" * 5}

# Those whose last digit checks the others.
CHECKED = ("siren", "siret")

# Where PostgreSQL would refuse the value or the site's rules do: inclusive bounds.
_RANGES: dict[Kind, tuple[float, float]] = {
    "integer": (0, 2**31 - 1),
    "latitude": (-90.0, 90.0),
    "longitude": (-180.0, 180.0),
}

# How many characters the site's column takes, for kinds whose pattern does not say it.
_TEXTS = ("text", "name", "slugged", "phone", "email", "url", "domain", "departement")


def violations(
    import_type: ImportType, columns: Mapping[str, Column], luhn: Luhn = "off"
) -> list[Violation]:
    """All that is wrong with the rows that `columns` hold (a column per field, equally long)."""
    found: list[Violation] = []
    nameless = may_be_nameless(columns)
    for field in import_type.fields:
        if field.name not in columns:  # a detail
            continue
        values = columns[field.name]
        found += [
            Violation(row, field.name, code, fatal)
            for row, code, fatal in _broken(field, values)
            if not (code == "missing-value" and field.name == "nom" and row in nameless)
        ]
        if luhn != "off" and field.kind in CHECKED:
            fatal = luhn == "error"
            found += [
                Violation(row, field.name, "checksum", fatal, not fatal)
                for row in unchecked(values, _DIGITS[field.kind])
            ]
    if "siret" in columns:
        found += _foreign_sirets(columns["siren"], columns["siret"])
        if any(columns["telephone"]):
            found += _sirens_as_phones(columns["siren"], columns["telephone"])
    return found


def may_be_nameless(columns: Mapping[str, Column]) -> set[int]:
    """Rows of a company that is known, or whose name is not disclosed: establishments in SIRENE have no
    name of their own."""
    if "etablissement_siege" not in columns:
        return set()
    if not any(columns["statut_diffusion"]) and set(columns["etablissement_siege"]) <= {None}:
        return set()
    marks = zip(columns["etablissement_siege"], columns["statut_diffusion"], strict=True)
    return {row for row, (siege, status) in enumerate(marks) if siege is not None or status == "P"}


def _broken(field: Field, values: Column) -> Iterator[tuple[int, str, bool]]:
    if field.required and not all(values):
        yield from ((i, "missing-value", True) for i, value in enumerate(values) if value is None)
    if not any(values):
        return
    malformed = _malformed(field.kind, values)
    for i in malformed:
        if not field.required and UNDISCLOSED.search(str(values[i])):
            yield i, NOT_DISCLOSED, False
        else:
            yield i, "malformed", field.strict
    if field.kind in _TEXTS:
        dropped = () if field.strict else malformed
        yield from (found for found in _unstorable(field, values) if found[0] not in dropped)


def _unstorable(field: Field, values: Column) -> Iterator[tuple[int, str, bool]]:
    limit = field.max_length
    if limit is not None and max(map(len, filter(None, values)), default=0) > limit:
        yield from ((i, "too-long", True) for i, v in enumerate(values) if v and len(v) > limit)
    joined = "".join(filter(None, values))
    if "[" in joined:
        hidden = (i for i, v in enumerate(values) if v and UNDISCLOSED.search(v))
        yield from ((i, NOT_DISCLOSED, False) for i in hidden)
    if "\0" in joined:
        yield from ((i, "nul-byte", True) for i, v in enumerate(values) if v and "\0" in v)


def _malformed(kind: Kind, values: Column) -> list[int]:
    if _are_plain(kind, values) or _are_usual(kind, values):
        return []
    if pattern := _PATTERNS.get(kind):
        return _unfit(pattern.fullmatch, values, too_long_fits=False)
    if kind in _RANGES:
        low, high = _RANGES[kind]
        return [i for i, v in enumerate(values) if v is not None and not low <= v <= high]
    if kind in _NAMES:
        return _unfit(_NAMES[kind], values, too_long_fits=True)
    if kind == "postal_codes":
        fits = _PATTERNS["postal_code"].fullmatch
        return [i for i, codes in enumerate(values) if codes and not all(map(fits, codes))]
    return []


LONGEST = 4096
"""Characters that a value may have before its form is looked at. No column of the site takes as many."""


def _unfit(fits: Callable[[str], object], values: Column, *, too_long_fits: bool) -> list[int]:
    """The rows whose value does not fit; one that is too long has a code of its own if it is a name."""
    wrong = {
        value
        for value in set(values)
        if value is not None and not (too_long_fits if len(value) > LONGEST else fits(value))
    }
    return [i for i, value in enumerate(values) if value in wrong] if wrong else []


def _are_usual(kind: Kind, values: Column) -> bool:
    """Whether all values have the usual form of their kind: one look at all is cheaper than one at each."""
    usual = _USUAL.get(kind)
    if usual is None:
        return False
    given = list(filter(None, values))
    lines = "\n".join((*given, ""))
    return (
        lines.count("\n") == len(given)
        and max(map(len, given), default=0) <= LONGEST
        and usual.fullmatch(lines) is not None
    )


def _are_plain(kind: Kind, values: Column) -> bool:
    """Whether all values are so many digits, and no run of zeros could be one of them."""
    if kind not in _DIGITS:
        return False
    joined = "".join(filter(None, values))
    return (
        joined.isascii()
        and joined.isdigit()
        and {_DIGITS[kind]}.issuperset(map(len, filter(None, values)))
        and _ZEROS[kind] not in joined
    )


def _sirens_as_phones(sirens: Column, phones: Column) -> list[Violation]:
    """Phones that are the company's own SIREN, before which the reader puts the zero of a phone."""
    with suppress(TypeError):  # some are not given
        if not any(map(str.endswith, phones, sirens)):
            return []
    return [
        Violation(row, "telephone", "malformed", fatal=False)
        for row, (siren, phone) in enumerate(zip(sirens, phones, strict=True))
        if siren and phone and phone.endswith(siren) and phone in (siren, f"0{siren}")
    ]


def _foreign_sirets(sirens: Column, sirets: Column) -> list[Violation]:
    with suppress(TypeError):  # some are not given
        if all(map(str.startswith, sirets, sirens)):
            return []
    return [
        Violation(row, "siret", "mismatch", fatal=True)
        for row, (siren, siret) in enumerate(zip(sirens, sirets, strict=True))
        if siret is not None
        and siren is not None
        and not siret.startswith(siren)
        and _PATTERNS["siren"].fullmatch(siren)  # else that is what is wrong
        and _PATTERNS["siret"].fullmatch(siret)
    ]
