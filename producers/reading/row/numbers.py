"""Numbers as spreadsheets and people write them, and codes of digits, which are taken for numbers.

A cell is read as a number only if one rule matches all of it: digits; thousands between the same
separators; nothing but zeros behind a decimal separator.
"""

import re
from collections.abc import Callable, Sequence

from producers.reading.row.column_values import (
    LONGEST,
    Corrected,
    Texts,
    Values,
    correct,
    plain,
)
from schemas.values.check_digits import unchecked

_DECIMAL_ZERO = re.compile(r"([0-9]+)[.,]0+")
# "30.000" has three zeros behind a separator: thousands, unless there are too many digits before it.
_THOUSANDS = re.compile(r"([0-9]{1,3}(?:([.,'_])[0-9]{3})(?:\2[0-9]{3})*)(?:([.,])0+)?")
# Digits in groups: 732.829.320, 732.829.320.00074.
_DOTTED = re.compile(
    r"[0-9]{1,3}(?:\.[0-9]{3})+(?:\.?[0-9]{5})?|[0-9]{9}\.[0-9]{5}|[0-9]{2}\.[0-9]{3}"
)
# With as many decimals as its power has zeros it has all the digits of a number.
_POWER = re.compile(r"([1-9])[.,]([0-9]{1,17})[eE]\+?([0-9]{1,2})")
_AROUND = "'\"“”«»"


def whole(text: str) -> str:
    """478000000 of 478000000.0 and 4.78000000E+08; any other text as it is."""
    match = None if _THOUSANDS.fullmatch(text) else _DECIMAL_ZERO.fullmatch(text)
    if match is None and (power := _POWER.fullmatch(text)) and len(power[2]) == int(power[3]):
        return power[1] + power[2]
    return match[1] if match else text


def ungrouped(text: str) -> str | None:
    """41000 of 41,000 and 41'000.00; None of a text that is not a number with thousands."""
    match = _THOUSANDS.fullmatch(text)
    if match is None or match[2] == match[3]:
        return None
    return match[1].replace(match[2], "")


def bare(text: str) -> Corrected:
    """Digits without the signs between and around them; any other text without its blanks."""
    squeezed = "".join(text.split())
    if is_digits(squeezed):
        return Corrected(squeezed)
    if _DOTTED.fullmatch(squeezed):
        return Corrected(squeezed.replace(".", ""))
    if len(squeezed) > LONGEST:
        return Corrected(text)
    stripped = plain(squeezed).strip(_AROUND).rstrip(".,;:")
    found = ungrouped(stripped) or whole(stripped)
    return Corrected(found, is_corrected=True) if is_digits(found) else Corrected(squeezed)


def is_digits(text: str) -> bool:
    """Whether a text is ASCII digits and nothing else."""
    return text.isascii() and text.isdigit()


def are_digits(texts: Texts) -> bool:
    """Whether all texts of a column are digits."""
    return is_digits("".join(filter(None, texts)))


def bare_digits(texts: Texts, numeric: Sequence[int]) -> Values:
    """A column of codes without the signs between their digits. A workbook's own numbers have none."""
    if are_digits(texts):
        return Values(texts)
    numbers = set(numeric)
    found = correct(texts, [row for row in range(len(texts)) if row not in numbers], bare)
    for row in numeric:
        text = texts[row]
        found.values[row] = text and whole(text)
    return found


def codes_of(full: int, shortest: int) -> Callable[[Texts, Sequence[int]], Values]:
    """The conversion of codes of `full` digits.

    With fewer digits than `shortest` a number is something else, not zeros lost.
    """

    def digits(texts: Texts, numeric: Sequence[int]) -> Values:
        if are_digits(texts) and {full}.issuperset(map(len, filter(None, texts))):
            return Values(texts)
        found = _without_labels(texts, bare_digits(texts, numeric))
        if {full}.issuperset(map(len, filter(None, found.values))):
            return found
        short = [
            row
            for row, text in enumerate(found.values)
            if text and shortest <= len(text) < full and is_digits(text) and int(text)
        ]
        proven = set(numeric).union(_proven([found.values[row] for row in short], short, full))
        restored = [row for row in short if row in proven]
        values = found.values.copy()
        for row in restored:
            values[row] = values[row].zfill(full)
        return found._replace(values=values, restored=restored)

    return digits


_SIREN = 9
_SIRET = 14
# RCS Lyon B 732 829 320, TVA FR40732829320, SIREN : 732829320 (siège), 732829320-00074
_LABELLED = re.compile(
    r"(?:(?:SIRE[NT]|R\.?C\.?S|N ?[°º]|NUM[EÉ]RO|TVA)[^0-9]{0,60})?"
    r"(?:FR ?[0-9]{2} ?|(?:[^\W\d][^\d]{2,60} )?[A-D] ?)?"
    r"([0-9]{3})(?P<between>[ .-]?)([0-9]{3})(?P=between)([0-9]{3})(?:[ ./-]{0,3}([0-9]{3}) ?([0-9]{2}))?"
    r"(?: ?(?:R\.?C\.?S|\()[^0-9]{0,60})?",
    re.IGNORECASE,
)


def _without_labels(texts: Texts, found: Values) -> Values:
    """`found`, with the numbers of cells that also hold a word, if their check digits are right."""
    if are_digits(found.values):
        return found
    numbers: dict[int, str] = {}
    for row, value in enumerate(found.values):
        if value is None or is_digits(value) or len(value) > LONGEST:
            continue
        match = _LABELLED.fullmatch(" ".join(plain(texts[row] or "").split()))
        if match:
            numbers[row] = "".join(match.group(1, 3, 4)) + "".join(filter(None, match.group(5, 6)))
    right = {
        row
        for full in (_SIREN, _SIRET)
        for row in _proven(
            [text for text in numbers.values() if len(text) == full],
            [row for row, text in numbers.items() if len(text) == full],
            full,
        )
    }
    if not right:
        return found
    values = [numbers[row] if row in right else text for row, text in enumerate(found.values)]
    return found._replace(values=values, corrected=[*found.corrected, *sorted(right)])


def _proven(texts: Sequence[str], rows: Sequence[int], full: int) -> set[int]:
    """The rows whose numbers have right check digits with the zeros that they lack."""
    whole_numbers = [text.zfill(full) for text in texts]
    wrong = {
        *unchecked(whole_numbers, full),
        *unchecked([number[:_SIREN] for number in whole_numbers], _SIREN),
    }
    return {row for at, row in enumerate(rows) if at not in wrong}


_WHOLE = re.compile(r"-?[0-9]{1,18}")
_SPACED = re.compile(r"-?[0-9]{1,3}(?:\s{1,2}[0-9]{3})+(?:[.,]0+)?")
MALFORMED = object()
"""Replaces a value that is not of the kind."""


def readable(values: list[object], corrected: Sequence[int] = ()) -> Values:
    """The values, with the rows of those that are malformed."""
    if MALFORMED not in values:
        return Values(values, corrected=corrected)
    malformed = [row for row, value in enumerate(values) if value is MALFORMED]
    for row in malformed:
        values[row] = None
    return Values(values, malformed=malformed, corrected=corrected)


def integers(texts: Texts, numeric: Sequence[int]) -> Values:
    """Whole numbers; one with thousands is read as such, but not in a workbook's own numbers."""
    numbers = set(numeric)
    values: list[object] = []
    corrected = []
    for row, text in enumerate(texts):
        if text is None:
            values.append(None)
            continue
        digits = whole("".join(text.split()) if _SPACED.fullmatch(text) else text)
        if not _WHOLE.fullmatch(digits) and row not in numbers and len(digits) <= LONGEST:
            found = ungrouped(plain(digits)) if not digits.startswith("0") else None
            if found is not None:
                digits = found
                corrected.append(row)
        values.append(int(digits) if _WHOLE.fullmatch(digits) else MALFORMED)
    return readable(values, corrected)
