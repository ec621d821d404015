"""Cells as read to the values of a row, and all that is wrong with them.

It works on columns of up to a thousand cells: most columns need nothing but a check in C that
nothing is to be done, and calls per cell would cost more than all the rest of an import.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from itertools import repeat
from typing import Any, NamedTuple

from schemas.faults import Fault, fault
from schemas.import_types import ImportType, Kind
from schemas.rules import Luhn, Problem, problems
from schemas.values.naf import codes

Texts = list[str | None]

MALFORMED = "malformed"
MISSING = "missing-value"
CHECKSUM = "checksum"
FORMULA_ERROR = "formula-error"
ZEROS_RESTORED = "zeros-restored"
TAKEN = "siren-from-siret"
UNKNOWN_NAF = "unknown-naf"

_SIRET = re.compile(r"[0-9]{14}")
_SIREN_DIGITS = 9
_ACTIVITY = re.compile(r"[0-9]{2}\.[0-9]{2}[A-Z]")


@dataclass(slots=True)
class Batch:
    """As many records and keys as rows; `faults` and `warnings` by row, only where there are any.

    A record holds each field of the import type, None where not given. The key of a row whose
    key is at fault is None.
    """

    records: list[dict[str, Any]]
    keys: list[str | None]
    faults: dict[int, list[Fault]]
    warnings: dict[int, list[str]]


class Column(NamedTuple):
    """The cells of a field. `numeric`: the rows where a workbook holds a number, not a text."""

    header: str
    cells: Sequence[str]
    numeric: Sequence[int] = ()


class _Values(NamedTuple):
    values: list[Any]
    restored: Sequence[int] = ()
    malformed: Sequence[int] = ()


def normalise(
    import_type: ImportType, given: Mapping[str, Column], count: int, luhn: Luhn = "warning"
) -> Batch:
    """The `count` rows whose cells are `given` by field.

    A field without a column is not given; the required ones have a column each, or one of the
    field that they are taken from.
    """
    warnings: dict[int, list[str]] = {}
    columns, found = _converted(import_type, given, count, warnings)
    _main_first(columns)
    taken = _taken(import_type, columns, warnings)
    found = _telling(import_type, [*found, *problems(import_type, columns, luhn)], taken, given)
    if "naf_code" in given:
        _unknown_activities(columns["naf_code"], warnings)

    faults: dict[int, list[Fault]] = {}
    for problem in found:
        if problem.fatal:
            header, cells, _ = given[problem.field]
            faults.setdefault(problem.row, []).append(
                fault(import_type.field[problem.field], problem.code, header, cells[problem.row])
            )
            continue
        warnings.setdefault(problem.row, []).append(problem.code)
        if not problem.kept:
            columns[problem.field][problem.row] = None

    names = tuple(columns)
    rows = zip(*columns.values(), strict=True)
    records: list[dict[str, Any]] = list(map(dict, map(zip, repeat(names), rows)))
    keys = import_type.keys(columns)
    for row, blamed in _blamed(found):
        keys[row] = import_type.key_of(records[row] | dict.fromkeys(blamed))
    return Batch(records, keys, faults, warnings)


def _converted(
    import_type: ImportType,
    given: Mapping[str, Column],
    count: int,
    warnings: dict[int, list[str]],
) -> tuple[dict[str, list[Any]], list[Problem]]:
    """The values of each field, and what could not be made one."""
    nothing: list[Any] = [None] * count
    columns: dict[str, list[Any]] = {}
    found: list[Problem] = []
    for field in import_type.fields:
        column = given.get(field.name)
        if column is None:
            columns[field.name] = nothing
            continue
        texts = _texts(column.cells)
        if not _ERRORS.isdisjoint(texts):
            found += [Problem(i, field.name, FORMULA_ERROR, fatal=True) for i in _errors(texts)]
        done = _KINDS[field.kind](texts, column.numeric)
        columns[field.name] = done.values
        for row in done.restored:
            warnings.setdefault(row, []).append(ZEROS_RESTORED)
        found += [Problem(row, field.name, MALFORMED, field.strict) for row in done.malformed]
    return columns, found


def _blamed(found: Sequence[Problem]) -> Iterator[tuple[int, set[str]]]:
    by_row: dict[int, set[str]] = {}
    for problem in found:
        # A number with a wrong check digit is a key all the same: the strictness may change
        # before an interrupted import goes on, its partitions must not.
        if problem.fatal and problem.code != CHECKSUM:
            by_row.setdefault(problem.row, set()).add(problem.field)
    yield from by_row.items()


def _taken(
    import_type: ImportType, columns: dict[str, list[Any]], warnings: dict[int, list[str]]
) -> set[tuple[int, str]]:
    """Fills in what stands at the beginning of another field; the rows and fields of it."""
    taken = set()
    for field in import_type.fields:
        sources = columns[field.taken_from] if field.taken_from else ()
        values = columns[field.name]
        if None not in values or not any(sources):
            continue
        columns[field.name] = values = values.copy()  # several fields may have nothing in common
        for row, source in enumerate(sources):
            if values[row] is None and source is not None and _SIRET.fullmatch(source):
                values[row] = source[:_SIREN_DIGITS]
                taken.add((row, field.name))
                warnings.setdefault(row, []).append(TAKEN)
    return taken


def _telling(
    import_type: ImportType,
    found: Sequence[Problem],
    taken: set[tuple[int, str]],
    given: Mapping[str, Column],
) -> list[Problem]:
    """Those of the problems that are no mere consequence of another, in columns that there are."""
    wrong = {(problem.row, problem.field) for problem in found if problem.code != MISSING}
    kept = []
    for problem in found:
        source = import_type.field[problem.field].taken_from
        if problem.code == MISSING and not wrong.isdisjoint(
            {(problem.row, problem.field), (problem.row, source)}
        ):
            continue
        if problem.code == CHECKSUM and (problem.row, problem.field) in taken:
            continue
        if problem.field not in given and source is not None:
            problem = problem._replace(field=source)
        kept.append(problem)
    return kept


def _unknown_activities(given: Sequence[str | None], warnings: dict[int, list[str]]) -> None:
    """Warns of activities that the nomenclature lacks."""
    for code in set(given).difference(codes(), (None,)):
        if code is not None and _ACTIVITY.fullmatch(code):
            for row in (row for row, other in enumerate(given) if other == code):
                warnings.setdefault(row, []).append(UNKNOWN_NAF)


def _main_first(columns: dict[str, list[Any]]) -> None:
    codes = columns.get("codes_postaux")
    if codes is not None and any(codes):
        mains = columns["code_postal_principal"]
        columns["codes_postaux"] = [
            list(dict.fromkeys([main, *some])) if some and main else some
            for main, some in zip(mains, codes, strict=True)
        ]


# What spreadsheets and exports write where there is nothing.
_NOTHING = ("", "None", "nan", "NaN", "null", "NULL", "#N/A")
_given = dict.fromkeys(_NOTHING).get
_ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff"
_EDGES = "".join(filter(str.isspace, map(chr, range(0x3001)))) + _ZERO_WIDTH


def _texts(cells: Sequence[str]) -> Texts:
    trimmed = list(map(str.strip, cells))
    joined = "".join(trimmed)
    if not joined.isascii() and any(map(joined.__contains__, _ZERO_WIDTH)):
        trimmed = [cell.strip(_EDGES) for cell in trimmed]
    return list(map(_given, trimmed, trimmed))


class _Memo(dict[str | None, Any]):
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


def _errors(texts: Texts) -> list[int]:
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


def _text(texts: Texts, numeric: Sequence[int]) -> _Values:
    return _Values(_decoded(texts))


_UNEVEN = ("  ", *filter(str.isspace, map(chr, range(0x3001))))
_UNEVEN_ASCII = tuple(run for run in _UNEVEN if run.isascii() and run != " ")
_UNEVEN_OTHER = tuple(run for run in _UNEVEN if not run.isascii())


def _name(texts: Texts, numeric: Sequence[int]) -> _Values:
    texts = _decoded(texts)
    joined = "".join(filter(None, texts))
    uneven = any(map(joined.__contains__, _UNEVEN_ASCII))
    if not uneven and not joined.isascii():
        uneven = any(map(joined.__contains__, _UNEVEN_OTHER))
    if uneven:
        return _Values([text and " ".join(text.split()) for text in texts])
    return _Values(texts)


_SEPARATORS = re.compile(r"[\s.\u200b\u2060\ufeff]+")
_DECIMAL_ZERO = re.compile(r"([0-9]+)[.,]0+")


def _bare(text: str | None) -> str | None:
    if text is None:
        return None
    if whole := _DECIMAL_ZERO.fullmatch(text):
        return whole[1]
    return _SEPARATORS.sub("", text)


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


def _digits(full: int, shortest: int) -> Callable[[Texts, Sequence[int]], _Values]:
    """`shortest`: with fewer digits than this a number is something else, not zeros lost."""

    def digits(texts: Texts, numeric: Sequence[int]) -> _Values:
        if not _is_digits(texts):
            texts = list(map(_bare, texts))
        return _Values(texts, _restore(texts, numeric, range(shortest, full), full))

    return digits


def _phone(texts: Texts, numeric: Sequence[int]) -> _Values:
    if numeric:
        texts = [text and _DECIMAL_ZERO.sub(r"\1", text) for text in texts]
    joined = "".join(filter(None, texts))
    if not joined.isascii():
        texts = [text and " ".join(text.split()) for text in texts]
    return _Values(texts, _restore(texts, numeric, range(9, 10), 10))


_POSTAL_CODE = 5


def _code(text: str) -> str:
    bare = _bare(text) or ""
    return bare.zfill(_POSTAL_CODE) if bare.isdigit() and len(bare) == _POSTAL_CODE - 1 else bare


_codes = _Memo(_code)


def _postal_code(texts: Texts, numeric: Sequence[int]) -> _Values:
    if _is_digits(texts) and {_POSTAL_CODE}.issuperset(map(len, filter(None, texts))):
        return _Values(texts)
    codes = list(map(_codes.__getitem__, texts))
    padded = [
        row
        for row, (text, code) in enumerate(zip(texts, codes, strict=True))
        if text != code and text is not None and _bare(text) != code
    ]
    return _Values(codes, padded)


_BETWEEN = re.compile(r"[\s,;|/\[\]\"']+")


def _postal_codes(texts: Texts, numeric: Sequence[int]) -> _Values:
    # A JSON list is a list between brackets: the brackets and quotes are separators too.
    return _Values(
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


def _truth(text: str) -> object:
    return _WORDS.get(_DECIMAL_ZERO.sub(r"\1", text).casefold(), _UNREADABLE)


def _memoised(compute: Callable[[str], Any]) -> Callable[[Texts, Sequence[int]], _Values]:
    memo = _Memo(compute)

    def recurring(texts: Texts, numeric: Sequence[int]) -> _Values:
        return _readable(list(map(memo.__getitem__, texts)))

    return recurring


def _readable(values: list[Any]) -> _Values:
    if _UNREADABLE not in values:
        return _Values(values)
    malformed = [row for row, value in enumerate(values) if value is _UNREADABLE]
    for row in malformed:
        values[row] = None
    return _Values(values, malformed=malformed)


_SCHEME = ("http://", "https://")
_HOST = re.compile(r"[\w-]+(\.[\w-]+)+([:/?#]\S*)?")


def _address(text: str) -> str:
    return f"https://{text}" if _HOST.fullmatch(text) else text


def _url(texts: Texts, numeric: Sequence[int]) -> _Values:
    return _Values(
        [text if text is None or text.startswith(_SCHEME) else _address(text) for text in texts]
    )


_WHOLE = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,18}([.,][0-9]{0,40})?|[.,][0-9]{1,40})([eE][+-]?[0-9]{1,3})?")


def _count(text: str | None) -> object:
    if text is None:
        return None
    bare = _DECIMAL_ZERO.sub(r"\1", "".join(text.split()))
    return int(bare) if _WHOLE.fullmatch(bare) else _UNREADABLE


def _integer(texts: Texts, numeric: Sequence[int]) -> _Values:
    return _readable(list(map(_count, texts)))


def _degree(text: str | None) -> object:
    if text is None:
        return None
    return float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else _UNREADABLE


def _degrees(texts: Texts, numeric: Sequence[int]) -> _Values:
    return _readable(list(map(_degree, texts)))


def _plain(texts: Texts, numeric: Sequence[int]) -> _Values:
    return _Values(texts)


# The smallest SIREN have three leading zeros.
_KINDS: dict[Kind, Callable[[Texts, Sequence[int]], _Values]] = {
    "text": _text,
    "name": _name,
    "slugged": _name,
    "siren": _digits(9, 6),
    "siret": _digits(14, 11),
    "postal_code": _postal_code,
    "postal_codes": _postal_codes,
    "departement": _memoised(_departement_code),
    "naf": _memoised(_naf_code),
    "phone": _phone,
    "email": _plain,
    "url": _url,
    "boolean": _memoised(_truth),
    "integer": _integer,
    "latitude": _degrees,
    "longitude": _degrees,
}
