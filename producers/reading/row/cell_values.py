"""The cells of a column to the values of a field, by its kind.

Functions take a column of up to a thousand cells: most columns need nothing but a check in C that
nothing is to be done, and calls per cell would cost more than all the rest of an import.
"""

import re
from collections.abc import Callable, Sequence
from html import unescape
from typing import Any, NamedTuple

from schemas.values.field import Kind
from schemas.values.public_headers import UNDISCLOSED

Texts = list[str | None]


class Values(NamedTuple):
    """The values of a column; the rows whose leading zeros were restored, and the malformed ones."""

    values: list[Any]
    restored: Sequence[int] = ()
    malformed: Sequence[int] = ()


# What spreadsheets and exports write for an empty value, and SIRENE for one that is not disclosed.
_NOTHING = ("", "None", "nan", "NaN", "null", "NULL", "#N/A", *UNDISCLOSED)
_given = dict.fromkeys(_NOTHING).get
_ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff"
_EDGES = "".join(filter(str.isspace, map(chr, range(0x3001)))) + _ZERO_WIDTH


def texts_of(cells: Sequence[str]) -> Texts:
    """The cells without the blanks around them; None if nothing is left, or a word for nothing."""
    trimmed = list(map(str.strip, cells))
    joined = "".join(trimmed)
    if not joined.isascii() and any(map(joined.__contains__, _ZERO_WIDTH)):
        trimmed = [cell.strip(_EDGES) for cell in trimmed]
    return list(map(_given, trimmed, trimmed))


class Memo(dict[str | None, Any]):
    """What `compute` makes of a text, for columns in which few different texts recur."""

    _ENTRIES = 50_000
    _LENGTH = 64

    def __init__(self, compute: Callable[[str], Any]) -> None:
        super().__init__({None: None})
        self._compute = compute

    def __missing__(self, text: str) -> Any:
        value = self._compute(text)
        if len(text) <= self._LENGTH:
            if len(self) >= self._ENTRIES:
                self.clear()
                self[None] = None
            self[text] = value
        return value


# What Excel and LibreOffice show for a formula in error; the reader shows the first for one that
# was never calculated.
_ERRORS = frozenset(
    [
        "#CALC!",
        "#REF!",
        "#VALUE!",
        "#DIV/0!",
        "#NAME?",
        "#NUM!",
        "#NULL!",
        "#SPILL!",
        "#VALEUR!",
        "#NOM?",
        "#NOMBRE!",
        "#NUL!",
    ]
)


def clear_formula_errors(texts: Texts) -> list[int]:
    """Replaces what a formula in error shows by None; the rows of it."""
    if _ERRORS.isdisjoint(texts):
        return []
    rows = [row for row, text in enumerate(texts) if text in _ERRORS]
    for row in rows:
        texts[row] = None
    return rows


_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")


def _decoded(texts: Texts) -> Texts:
    """HTML's entities as the letters that they stand for: exports of websites leave them."""
    if "&" not in "".join(filter(None, texts)):
        return texts
    return [text and _ENTITY.sub(lambda found: unescape(found[0]), text) for text in texts]


def _text(texts: Texts, numeric: Sequence[int]) -> Values:
    return Values(_decoded(texts))


_UNEVEN = ("  ", *filter(str.isspace, map(chr, range(0x3001))))
_UNEVEN_ASCII = tuple(run for run in _UNEVEN if run.isascii() and run != " ")
_UNEVEN_OTHER = tuple(run for run in _UNEVEN if not run.isascii())


def _name(texts: Texts, numeric: Sequence[int]) -> Values:
    texts = _decoded(texts)
    joined = "".join(filter(None, texts))
    uneven = any(map(joined.__contains__, _UNEVEN_ASCII))
    if not uneven and not joined.isascii():
        uneven = any(map(joined.__contains__, _UNEVEN_OTHER))
    if uneven:
        return Values([text and " ".join(text.split()) for text in texts])
    return Values(texts)


_SEPARATORS = re.compile(r"[\s.\u200b\u2060\ufeff]+")
_DECIMAL_ZERO = re.compile(r"([0-9]+)[.,]0+")


def _whole(text: str | None) -> str | None:
    """478000000 of 478000000.0; any other text as it is."""
    whole = text and _DECIMAL_ZERO.fullmatch(text)
    return whole[1] if whole else text


def _bare(text: str | None) -> str | None:
    whole = _whole(text)
    return whole if whole is None or whole != text else _SEPARATORS.sub("", text)


def _is_digits(texts: Texts) -> bool:
    joined = "".join(filter(None, texts))
    return joined.isascii() and joined.isdigit()


def _restore(texts: Texts, numeric: Sequence[int], lengths: range, full: int) -> list[int]:
    restored = []
    for row in numeric:
        text = texts[row]
        if text is not None and len(text) in lengths and text.isdigit():
            texts[row] = text.zfill(full)
            restored.append(row)
    return restored


def _digits(full: int, shortest: int) -> Callable[[Texts, Sequence[int]], Values]:
    """`shortest`: with fewer digits than this a number is something else, not zeros lost."""

    def digits(texts: Texts, numeric: Sequence[int]) -> Values:
        if not _is_digits(texts):
            texts = list(map(_bare, texts))
        return Values(texts, _restore(texts, numeric, range(shortest, full), full))

    return digits


def _phone(texts: Texts, numeric: Sequence[int]) -> Values:
    if numeric:
        texts = list(map(_whole, texts))
    joined = "".join(filter(None, texts))
    if not joined.isascii():
        texts = [text and " ".join(text.split()) for text in texts]
    return Values(texts, _restore(texts, numeric, range(9, 10), 10))


_POSTAL_CODE = 5


def _code(text: str) -> str:
    bare = _bare(text) or ""
    return bare.zfill(_POSTAL_CODE) if bare.isdigit() and len(bare) == _POSTAL_CODE - 1 else bare


_codes = Memo(_code)


def _postal_code(texts: Texts, numeric: Sequence[int]) -> Values:
    if _is_digits(texts) and {_POSTAL_CODE}.issuperset(map(len, filter(None, texts))):
        return Values(texts)
    codes = list(map(_codes.__getitem__, texts))
    padded = [
        row
        for row, (text, code) in enumerate(zip(texts, codes, strict=True))
        if text != code and text is not None and _bare(text) != code
    ]
    return Values(codes, padded)


def _commune(texts: Texts, numeric: Sequence[int]) -> Values:
    """As long as a postal code, and loses its zero with that of its line; Corsica has a letter: 2A004."""
    codes = _postal_code(texts, numeric).values
    return Values([code and code.upper() for code in codes])


_BETWEEN = re.compile(r"[\s,;|/\[\]\"']+")


def _postal_codes(texts: Texts, numeric: Sequence[int]) -> Values:
    # A JSON list is a list between brackets: the brackets and quotes are separators too.
    return Values(
        [
            text and (list(dict.fromkeys(map(_code, filter(None, _BETWEEN.split(text))))) or None)
            for text in texts
        ]
    )


_LOST_DOT = re.compile(r"([0-9]{2})[.]?([0-9]{2})([A-Z])")


def _naf_code(text: str) -> str:
    bare = "".join(text.split()).upper()
    parts = _LOST_DOT.fullmatch(bare)
    return f"{parts[1]}.{parts[2]}{parts[3]}" if parts else bare


def _departement_code(text: str) -> str:
    bare = (_bare(text) or "").upper()
    return bare.zfill(2) if bare.isdigit() else bare


# INSEE writes A for a company that is active, C for one that has ceased.
_WORDS = dict.fromkeys(("true", "1", "oui", "yes", "vrai", "x", "a"), True) | dict.fromkeys(
    ("false", "0", "non", "no", "faux", "c"), False
)
_UNREADABLE = object()


def truth(text: str) -> object:
    """True or False as operators and INSEE write it; another object if the text is neither."""
    return _WORDS.get((_whole(text) or "").casefold(), _UNREADABLE)


def _memoised(compute: Callable[[str], Any]) -> Callable[[Texts, Sequence[int]], Values]:
    memo = Memo(compute)

    def recurring(texts: Texts, numeric: Sequence[int]) -> Values:
        return _readable(list(map(memo.__getitem__, texts)))

    return recurring


def _readable(values: list[Any]) -> Values:
    if _UNREADABLE not in values:
        return Values(values)
    malformed = [row for row, value in enumerate(values) if value is _UNREADABLE]
    for row in malformed:
        values[row] = None
    return Values(values, malformed=malformed)


_SCHEME = ("http://", "https://")
_HOST = re.compile(r"[\w-]+(\.[\w-]+)+([:/?#]\S*)?")


def _address(text: str) -> str:
    return f"https://{text}" if _HOST.fullmatch(text) else text


def _url(texts: Texts, numeric: Sequence[int]) -> Values:
    return Values(
        [text if text is None or text.startswith(_SCHEME) else _address(text) for text in texts]
    )


_WHOLE = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,18}([.,][0-9]{0,40})?|[.,][0-9]{1,40})([eE][+-]?[0-9]{1,3})?")


def _count(text: str | None) -> object:
    if text is None:
        return None
    bare = _whole("".join(text.split())) or ""
    return int(bare) if _WHOLE.fullmatch(bare) else _UNREADABLE


def _integer(texts: Texts, numeric: Sequence[int]) -> Values:
    return _readable(list(map(_count, texts)))


def _degree(text: str | None) -> object:
    if text is None:
        return None
    return float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else _UNREADABLE


def _degrees(texts: Texts, numeric: Sequence[int]) -> Values:
    return _readable(list(map(_degree, texts)))


# Since 2023 P stands for what N stood for before (décret 2022-1014).
_STATUSES = {"O": "O", "P": "P", "N": "P"}


def _disclosure(text: str) -> str:
    return _STATUSES.get(text.upper(), text)


def _source_date(texts: Texts, numeric: Sequence[int]) -> Values:
    # Of "beginning treatment" the treatment sorts first.
    if " " not in "".join(filter(None, texts)):
        return Values(texts)
    return Values([text and " ".join(reversed(text.split())) for text in texts])


def _plain(texts: Texts, numeric: Sequence[int]) -> Values:
    return Values(texts)


# Of digits: how many, and how few may be left without the leading zeros, of which the smallest
# SIREN have three.
CONVERSIONS: dict[Kind, Callable[[Texts, Sequence[int]], Values]] = {
    "text": _text,
    "name": _name,
    "slugged": _name,
    "siren": _digits(9, 6),
    "siret": _digits(14, 11),
    "postal_code": _postal_code,
    "postal_codes": _postal_codes,
    "departement": _memoised(_departement_code),
    "naf": _memoised(_naf_code),
    "commune": _commune,
    "legal_category": _digits(4, 4),
    "disclosure": _memoised(_disclosure),
    "source_date": _source_date,
    "phone": _phone,
    "email": _plain,
    "url": _url,
    "boolean": _memoised(truth),
    "integer": _integer,
    "latitude": _degrees,
    "longitude": _degrees,
}
