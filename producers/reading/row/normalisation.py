"""Cells as read to the values of rows, and all that is wrong with them, a column at a time."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, NamedTuple

from producers.reading.row.cell_texts import EmptyCells, says_nothing, texts_of
from producers.reading.row.cell_values import CONVERSIONS
from producers.reading.row.column_values import Values
from producers.reading.row.coordinates import misplaced
from schemas.dropped_value import DroppedValue, dropped_value
from schemas.faults import Fault, fault
from schemas.import_types import ImportType
from schemas.outcomes import PARTLY_DISCLOSED
from schemas.rules import NOT_DISCLOSED, Luhn, Violation, may_be_nameless, violations
from schemas.values.check_digits import unchecked
from schemas.values.field import Field
from schemas.values.naf import codes

MALFORMED = "malformed"
UNREADABLE = "unreadable-character"
LOST_LETTER = "lost-letter"
MISSING = "missing-value"
CHECKSUM = "checksum"
FORMULA_ERROR = "formula-error"
ZEROS_RESTORED = "zeros-restored"
CORRECTED = "corrected"
OTHER_COLUMN = "other-column"
DERIVED = "siren-from-siret"
UNKNOWN_NAF = "unknown-naf"
KNOWN_ONLY = "known-company-only"
OTHER_NOMENCLATURE = "other-nomenclature"

_SIREN = re.compile(r"[0-9]{9}")
_SIRET = re.compile(r"[0-9]{14}")
_SIREN_DIGITS, _SIRET_DIGITS = 9, 14
_ACTIVITY = re.compile(r"[0-9]{2}\.[0-9]{2}[A-Z]")


@dataclass(slots=True)
class NormalisedRows:
    """As many records and keys as rows; `faults`, `warnings` and `dropped` by row, only if there are any.

    A record holds each field of the import type, None if not given; a detail only if the file has a
    column for it. The key of a row whose
    key is at fault is None.
    """

    records: list[dict[str, Any]]
    keys: list[str | None]
    faults: dict[int, list[Fault]]
    warnings: dict[int, list[str]]
    dropped: dict[int, list[DroppedValue]]


class Column(NamedTuple):
    """The cells of a field.

    `numeric`: the rows where a workbook holds a number, not a text. `calculated`: the file has
    formulas, so that an error can be corrected where it arose. `corrected`: rows whose cell was not
    taken unchanged. `left_out`: rows where another column for the field holds something else.
    """

    header: str
    cells: Sequence[str]
    numeric: Sequence[int] = ()
    calculated: bool = False
    corrected: Sequence[int] = ()
    left_out: Sequence[int] = ()


def normalise(
    import_type: ImportType, given: Mapping[str, Column], count: int, luhn: Luhn = "warning"
) -> NormalisedRows:
    """The `count` rows whose cells are `given` by field.

    A field without a column is not given; the required ones have a column each, or one of the
    field that they are taken from.
    """
    warnings: dict[int, list[str]] = {}
    columns, found = _converted(import_type, given, count, warnings)
    found += _places(import_type, columns, warnings)
    _main_first(columns)
    _divide_sirets(columns, warnings)
    if "siren" not in given:
        _move_sirens(columns, warnings)
    taken = _take(import_type, columns, warnings)
    found = _independent(
        import_type, [*found, *violations(import_type, columns, luhn)], taken, given
    )
    _warn_of_companies(columns, warnings)

    faults, dropped = _judged(import_type, given, columns, found, warnings)
    for row, status in enumerate(columns.get("statut_diffusion", ())):
        if status == "P" and row not in faults:
            warnings.setdefault(row, []).append(PARTLY_DISCLOSED)

    names = tuple(columns)
    rows = zip(*columns.values(), strict=True)
    records: list[dict[str, Any]] = list(map(dict, map(zip, repeat(names), rows)))
    keys = import_type.keys(columns)
    for row, fields in _fields_at_fault(found):
        keys[row] = import_type.key_of(records[row] | dict.fromkeys(fields))
    return NormalisedRows(records, keys, faults, warnings, dropped)


def _judged(
    import_type: ImportType,
    given: Mapping[str, Column],
    columns: Mapping[str, list[Any]],
    found: Sequence[Violation],
    warnings: dict[int, list[str]],
) -> tuple[dict[int, list[Fault]], dict[int, list[DroppedValue]]]:
    """The faults and the dropped values of rows; the latter are removed from their columns."""
    faults: dict[int, list[Fault]] = {}
    dropped: dict[int, list[DroppedValue]] = {}
    for violation in found:
        if violation.fatal:
            field, column = import_type.field[violation.field], given.get(violation.field)
            shown = (column.header, column.cells[violation.row]) if column else ()
            faults.setdefault(violation.row, []).append(fault(field, violation.code, *shown))
            continue
        warnings.setdefault(violation.row, []).append(violation.code)
        if not violation.kept:
            columns[violation.field][violation.row] = None
            if not _is_no_value(given[violation.field], violation):
                dropped.setdefault(violation.row, []).append(
                    _dropped(import_type, given, violation)
                )
    return faults, dropped


def _is_no_value(column: Column, violation: Violation) -> bool:
    """Whether the cell marks a missing value, such as [ND] or "non renseigné"."""
    return violation.code == NOT_DISCLOSED or (
        violation.code == MALFORMED and says_nothing(column.cells[violation.row].strip())
    )


def _dropped(
    import_type: ImportType, given: Mapping[str, Column], violation: Violation
) -> DroppedValue:
    column, field = given[violation.field], import_type.field[violation.field]
    return dropped_value(field, violation.code, column.cells[violation.row], column.header)


def _converted(
    import_type: ImportType,
    given: Mapping[str, Column],
    count: int,
    warnings: dict[int, list[str]],
) -> tuple[dict[str, list[Any]], list[Violation]]:
    """The values of each field, and the cells that could not be converted."""
    nothing: list[Any] = [None] * count
    columns: dict[str, list[Any]] = {}
    found: list[Violation] = []
    for field in import_type.fields:
        column = given.get(field.name)
        if column is None:
            if not field.detail:
                columns[field.name] = nothing
            continue
        texts, unwrapped, empty, damaged = texts_of(column.cells)
        found += [Violation(row, field.name, UNREADABLE, fatal=True) for row in damaged]
        if any(empty):
            found += _empty_words(field, empty, column.calculated)
        done = CONVERSIONS[field.kind](texts, column.numeric)
        columns[field.name] = done.values
        _warn_of_changes(column, unwrapped, done, warnings)
        found += [Violation(row, field.name, MALFORMED, field.strict) for row in done.malformed]
        found += [
            Violation(row, field.name, LOST_LETTER, fatal=False, kept=True) for row in done.damaged
        ]
    return columns, found


def _empty_words(field: Field, empty: EmptyCells, calculated: bool) -> list[Violation]:  # noqa: FBT001 - a column's
    """What is said of words for no value. Of a required field the rules say the rest."""
    unavailable, errors, placeholders = empty
    return [
        *(Violation(row, field.name, FORMULA_ERROR, field.required) for row in unavailable),
        *(
            Violation(row, field.name, FORMULA_ERROR, calculated or field.required)
            for row in errors
        ),
        *(
            Violation(row, field.name, MALFORMED, fatal=False)
            for row in placeholders
            if not field.required
        ),
    ]


def _warn_of_changes(
    column: Column, unwrapped: Sequence[int], done: Values, warnings: dict[int, list[str]]
) -> None:
    for rows, code in (
        (done.restored, ZEROS_RESTORED),
        ({*unwrapped, *done.corrected, *column.corrected}, CORRECTED),
        (column.left_out, OTHER_COLUMN),
    ):
        for row in rows:
            warnings.setdefault(row, []).append(code)


def _places(
    import_type: ImportType, columns: dict[str, list[Any]], warnings: dict[int, list[str]]
) -> list[Violation]:
    """Puts coordinates in reverse order right; those that are nowhere are dropped."""
    given = [columns[name] for name in import_type.position if name in columns]
    if len(given) < 2:
        return []
    nowhere, swapped = misplaced(*given)
    if swapped:
        latitudes, longitudes = map(list, given)
        for row in swapped:
            latitudes[row], longitudes[row] = longitudes[row], latitudes[row]
            warnings.setdefault(row, []).append(CORRECTED)
        columns.update(zip(import_type.position, (latitudes, longitudes), strict=True))
    return [
        Violation(row, name, MALFORMED, fatal=False)
        for row in nowhere
        for name in import_type.position
    ]


def _fields_at_fault(found: Sequence[Violation]) -> Iterator[tuple[int, set[str]]]:
    by_row: dict[int, set[str]] = {}
    for violation in found:
        # A number with a wrong check digit is a key all the same: the strictness may change
        # before an interrupted import goes on, its partitions must not.
        if violation.fatal and violation.code != CHECKSUM:
            by_row.setdefault(violation.row, set()).add(violation.field)
    yield from by_row.items()


def _divide_sirets(columns: dict[str, list[Any]], warnings: dict[int, list[str]]) -> None:
    """A SIRET in the column of SIRENs is both, if its check digits are right."""
    sirens = columns.get("siren")
    if sirens is None or {_SIREN_DIGITS}.issuperset(map(len, filter(None, sirens))):
        return
    rows = [row for row, value in enumerate(sirens) if value and _SIRET.fullmatch(value)]
    numbers = [sirens[row] for row in rows]
    wrong = {
        *unchecked(numbers, _SIRET_DIGITS),
        *unchecked([number[:_SIREN_DIGITS] for number in numbers], _SIREN_DIGITS),
    }
    if not rows:
        return
    columns["siren"], columns["siret"] = sirens.copy(), columns["siret"].copy()
    for at, (row, number) in enumerate(zip(rows, numbers, strict=True)):
        if at in wrong:
            continue
        columns["siren"][row] = number[:_SIREN_DIGITS]
        if columns["siret"][row] is None:
            columns["siret"][row] = number
        warnings.setdefault(row, []).append(DERIVED)


def _take(
    import_type: ImportType, columns: dict[str, list[Any]], warnings: dict[int, list[str]]
) -> set[tuple[int, str]]:
    """Fills in fields that are taken from another one; returns the rows and fields that it filled in."""
    taken = set()
    for field in import_type.fields:
        sources = columns[field.taken_from] if field.taken_from else ()
        if not any(sources) or None not in columns[field.name]:
            continue
        values = columns[field.name]
        columns[field.name] = values = values.copy()  # several fields may have nothing in common
        for row, source in enumerate(sources):
            if values[row] is not None or source is None:
                continue
            if field.kind == "postal_code":
                values[row] = source[0]
            elif _SIRET.fullmatch(source):
                values[row] = source[:_SIREN_DIGITS]
                taken.add((row, field.name))
                warnings.setdefault(row, []).append(DERIVED)
    return taken


def _move_sirens(columns: dict[str, list[Any]], warnings: dict[int, list[str]]) -> None:
    """A SIREN in the column of SIRETs is one, if the file has no column of SIRENs."""
    sirets = columns.get("siret", ())
    rows = [row for row, value in enumerate(sirets) if value and _SIREN.fullmatch(value)]
    if not rows:
        return
    columns["siren"], columns["siret"] = columns["siren"].copy(), list(sirets)
    for row in rows:
        columns["siren"][row], columns["siret"][row] = sirets[row], None
        warnings.setdefault(row, []).append(DERIVED)


def _independent(
    import_type: ImportType,
    found: Sequence[Violation],
    taken: set[tuple[int, str]],
    given: Mapping[str, Column],
) -> list[Violation]:
    """Those of the violations that are not a mere consequence of another, in columns that exist."""
    wrong = {
        (violation.row, violation.field)
        for violation in found
        if violation.code != MISSING and violation.fatal
    }
    kept = []
    for violation in found:
        source = import_type.field[violation.field].taken_from
        if violation.code == MISSING and not wrong.isdisjoint(
            {(violation.row, violation.field), (violation.row, source)}
        ):
            continue
        if violation.code == CHECKSUM and (violation.row, violation.field) in taken:
            continue
        if violation.field not in given and source is not None:
            violation = violation._replace(field=source)
        kept.append(violation)
    return kept


def _warn_of_companies(columns: Mapping[str, list[Any]], warnings: dict[int, list[str]]) -> None:
    for name in ("naf_code", "naf_2025"):
        if name in columns and any(columns[name]):
            _unknown_activities(columns[name], warnings)
    for row in may_be_nameless(columns):
        if columns["nom"][row] is None:
            warnings.setdefault(row, []).append(KNOWN_ONLY)


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
