"""Postal codes, activities, départements and communes, as people write them."""

import re
from collections.abc import Sequence

from producers.reading.row.column_values import (
    LONGEST,
    Corrected,
    Memo,
    Texts,
    Values,
    correct,
    plain,
    recurring,
)
from producers.reading.row.numbers import are_digits, bare, is_digits, whole
from schemas.values.naf import codes

_POSTAL_CODE = 5
# CEDEX, a town or a box may accompany the code; the letter of another country may not.
_WITH_TOWN = re.compile(
    r"(?:(?:BP|CS|TSA) ?[0-9]{1,5}[ ,;-]{1,3}|F(?:R|RANCE)?[ -]{1,3}|F(?=[0-9])|FR(?=[0-9])|CP ?:? ?)?"
    r"([0-9]{2}) ?([0-9]{3})(?:[ ,;:()-]{1,3}[^\W\d_][^0-9]*(?:(?<=CEDEX)[0-9]{1,2}|(?<=CEDEX )[0-9]{1,2})?)?",
    re.IGNORECASE,
)
# Behind another country's letter, as in D-10115, it is not a French one.
_BEHIND_TOWN = re.compile(r"[^\W\d_][^0-9]{2,60}[ (-]([0-9]{2}) ?([0-9]{3})")


def _padded(code: str) -> str | None:
    return code.zfill(_POSTAL_CODE) if is_digits(code) and len(code) == _POSTAL_CODE - 1 else None


def postal_code(text: str) -> Corrected:
    """The postal code of a cell that has one, and a town or CEDEX beside it."""
    found = bare(text)
    padded = _padded(found.value)
    if padded:
        return Corrected(padded, found.is_corrected, is_restored=True)
    if not is_digits(found.value) and len(text) <= LONGEST:
        spelled = " ".join(plain(text).strip("'\" .,;()_").split())
        match = _WITH_TOWN.fullmatch(spelled) or _BEHIND_TOWN.fullmatch(spelled)
        if match:
            return Corrected(match[1] + match[2], is_corrected=True)
    return found


_postal_code = Memo(postal_code)


def postal_codes_of(texts: Texts, numeric: Sequence[int]) -> Values:
    """A column of postal codes."""
    if are_digits(texts) and {_POSTAL_CODE}.issuperset(map(len, filter(None, texts))):
        return Values(texts)
    numbers = set(numeric)
    if not numbers:
        return recurring(texts, _postal_code)
    rows = [row for row in range(len(texts)) if row not in numbers]
    found = correct(texts, rows, _postal_code.__getitem__)
    restored = list(found.restored)
    for row in numeric:
        code = whole(texts[row] or "")
        padded = _padded(code)
        found.values[row] = padded or code or None
        if padded:
            restored.append(row)
    return found._replace(restored=restored)


def communes(texts: Texts, numeric: Sequence[int]) -> Values:
    """As long as a postal code, and loses its zero with that of its line; Corsica has a letter: 2A004."""
    codes = [text and bare(text).value for text in texts]
    return Values([code and (_padded(code) or code).upper() for code in codes])


_BETWEEN = re.compile(r"[\s,;|/\[\]\"']+")


def lists_of_postal_codes(texts: Texts, numeric: Sequence[int]) -> Values:
    """A JSON list is a list between brackets: the brackets and quotes are separators too."""
    values: list[list[str] | None] = []
    restored = []
    for row, text in enumerate(texts):
        found = list(map(_listed, filter(None, _BETWEEN.split(text or ""))))
        values.append(list(dict.fromkeys(code for code, _ in found)) or None)
        if any(was_padded for _, was_padded in found):
            restored.append(row)
    return Values(values, restored)


def _listed(text: str) -> tuple[str, bool]:
    """A code, and whether it got its zero back."""
    code = bare(text).value
    padded = _padded(code)
    return padded or code, padded is not None


_LOST_DOT = re.compile(r"([0-9]{2})[.]?([0-9]{2})([A-Z])")
_WITH_LABEL = re.compile(
    r"(?:(?:CODE )?(?:NAF|APE)(?:/(?:NAF|APE))?[ :]{1,3})?"
    r"([0-9](?=[.,-])|[0-9]{2}) ?[.,-]? ?([0-9])\.?([0-9])[ -]?([A-Z])(?:[ :(,;|/-].*)?",
    re.DOTALL,
)
_CODE_WITHIN = re.compile(r"(?<![0-9A-Z.,])[A-U]?([0-9]{2})\.?([0-9]{2}[A-Z])(?![0-9A-Z])")


def activity(text: str) -> Corrected:
    """The code of an activity with its dot; the cell may also hold the label.

    Without a dot 721Z is not 07.21Z but 72.1Z of the nomenclature before 2008.
    """
    compact = "".join(text.split()).upper()
    if match := _LOST_DOT.fullmatch(compact):
        return Corrected(f"{match[1]}.{match[2]}{match[3]}")
    upper = " ".join(plain(text[:LONGEST]).strip("'\" .,;").split()).upper()
    match = _WITH_LABEL.fullmatch(upper)
    code = f"{match[1].zfill(2)}.{match[2]}{match[3]}{match[4]}" if match else ""
    if code in codes():
        lost = match is not None and len(match[1]) == 1
        return Corrected(code, upper != compact or not lost, is_restored=lost)
    within = {f"{division}.{rest}" for division, rest in _CODE_WITHIN.findall(upper)}
    if len(within) == 1 and within <= codes():
        return Corrected(within.pop(), is_corrected=True)
    return Corrected(compact)


_activity = Memo(activity)


def activities(texts: Texts, numeric: Sequence[int]) -> Values:
    """A column of activities."""
    return recurring(texts, _activity)


_PADDED = 3
_NUMBER_AND_NAME = re.compile(r"([0-9]{2,3}|2[AB])(?: ?[-:(] ?[^\W\d_][^0-9]*)")


def departement(text: str) -> Corrected:
    """The code of a département, whose name may follow."""
    code, is_corrected, _ = bare(text)
    match = _NUMBER_AND_NAME.fullmatch(" ".join(plain(text[:LONGEST]).upper().split()))
    if match:
        return Corrected(match[1], is_corrected=True)
    code = code.upper()
    if len(code) == _PADDED and code.startswith("0") and int(code[1:-1]):
        return Corrected(code[1:], is_corrected=True)
    return Corrected(code.zfill(2) if is_digits(code) else code, is_corrected)


_departement = Memo(departement)


def departements(texts: Texts, numeric: Sequence[int]) -> Values:
    """A column of départements."""
    return recurring(texts, _departement)
