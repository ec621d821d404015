"""Degrees of latitude and longitude: with decimal commas, with N and E, in minutes, two in a cell."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from producers.reading.row.column_values import LONGEST, Texts, Values, plain
from producers.reading.row.numbers import MALFORMED, readable

_NUMBER = re.compile(r"[+-]?([0-9]{1,18}([.,][0-9]{0,40})?|[.,][0-9]{1,40})([eE][+-]?[0-9]{1,3})?")
_SEXAGESIMAL = re.compile(
    r"([0-9]{1,3}) ?° ?(?:([0-5]?[0-9](?:[.,][0-9]{1,10})?) ?['′] ?)?"
    r"(?:([0-5]?[0-9](?:[.,][0-9]{1,10})?) ?(?:\"|''|″|”) ?)?"
)
_DECIMAL_DEGREES = re.compile(r"([+-]?[0-9]{1,3}(?:[.,][0-9]{1,20})?) ?°?")
_WEST_OR_SOUTH = "SWO"
_SIDE = re.compile(r"\b(N|S|E|O)(?:ORD|UD|ST|UEST)\b")
_MINUTES = 60


def latitudes(texts: Texts, numeric: Sequence[int]) -> Values:
    """A column of latitudes."""
    return _degrees(texts, "NS")


def longitudes(texts: Texts, numeric: Sequence[int]) -> Values:
    """A column of longitudes."""
    return _degrees(texts, "EWO")


def _degrees(texts: Texts, sides: str) -> Values:
    """A column of degrees; those that are not a plain number are corrected."""
    values: list[object] = []
    corrected = []
    for row, text in enumerate(texts):
        if text is None:
            values.append(None)
        elif _NUMBER.fullmatch(text):
            values.append(float(text.replace(",", ".")))
        else:
            value = _of_hemisphere(text, sides)
            values.append(MALFORMED if value is None else value)
            if value is not None:
                corrected.append(row)
    return readable(values, corrected)


def _of_hemisphere(text: str, possible: str) -> float | None:
    """48.85 of 48,85° N and 48°51'N, -1.5 of 1.5 W."""
    if len(text) > LONGEST:
        return None
    bare = _SIDE.sub(r"\1", " ".join(plain(text).upper().replace("º", "°").split()))
    sides = [side for side in (bare[0], bare[-1]) if side in possible]
    bare = bare.strip(f" {possible}") if len(sides) == 1 else bare
    sign = -1 if sides and sides[0] in _WEST_OR_SOUTH else 1
    if match := _DECIMAL_DEGREES.fullmatch(bare):
        return sign * float(match[1].replace(",", "."))
    match = _SEXAGESIMAL.fullmatch(bare)
    if match is None:
        return None
    whole, minutes, seconds = (float((part or "0").replace(",", ".")) for part in match.groups())
    return round(sign * (whole + minutes / _MINUTES + seconds / _MINUTES**2), 8)


# Latitudes and longitudes between which French territory lies.
_TERRITORIES = (
    ((41.0, 51.6), (-5.6, 10.0)),  # France in Europe
    ((14.2, 18.3), (-63.3, -60.6)),  # Antilles
    ((2.0, 6.0), (-55.0, -51.0)),  # Guyane
    ((-21.6, -20.7), (55.0, 56.0)),  # La Réunion
    ((-13.2, -12.4), (44.8, 45.5)),  # Mayotte
    ((46.6, 47.3), (-56.7, -56.0)),  # Saint-Pierre-et-Miquelon
    ((-28.0, -7.0), (-155.0, -134.0)),  # Polynésie
    ((-24.0, -17.0), (155.0, 173.0)),  # Nouvelle-Calédonie
    ((-15.0, -13.0), (-179.0, -175.0)),  # Wallis-et-Futuna
)


class Pair(NamedTuple):
    """Latitude and longitude as texts, and whether the cell had them in reverse order."""

    latitude: str
    longitude: str
    is_swapped: bool = False


_POINT = re.compile(
    r"(?:SRID=[0-9]{1,6};)?POINT ?\( ?([+-]?[0-9.]{1,30}) ([+-]?[0-9.]{1,30}) ?\)", re.IGNORECASE
)
_PAIRS = tuple(
    re.compile(pattern)
    for pattern in (
        # 48.97, -1.54
        r"([+-]?[0-9]{1,3}(?:\.[0-9]{0,20})?) ?[,;|/ ] ?([+-]?[0-9]{1,3}(?:\.[0-9]{0,20})?)",
        # 45,76, 4,83 and 45,76;4,83 and 45,76 4,83 and 45,76,4,83
        r"([+-]?[0-9]{1,3},[0-9]{1,20})(?: ?[;|/,] ?| )([+-]?[0-9]{1,3},[0-9]{1,20})",
    )
)
_ONE_NUMBER = re.compile(r"[+-]?[0-9]{1,3}(?:[.,][0-9]{0,20})?")


def pair_of(text: str) -> Pair:
    """The two values of a cell; a cell that does not hold two is all latitude, which is malformed."""
    bare = " ".join(text.strip("[]() ").split())
    if not bare or len(bare) > LONGEST:
        return Pair(bare, "")
    if match := _POINT.fullmatch(" ".join(text.split())):
        return Pair(match[2], match[1])  # a point of WKT is longitude first
    if _ONE_NUMBER.fullmatch(bare):
        return Pair(f"[{bare}]", "")  # half of a pair: malformed
    for pattern in _PAIRS:
        if match := pattern.fullmatch(bare):
            return _in_order(match[1], match[2])
    return _by_hemisphere(bare)


def _in_order(first: str, second: str) -> Pair:
    latitude, longitude = (float(value.replace(",", ".")) for value in (first, second))
    if not _is_french(latitude, longitude) and _is_french(longitude, latitude):
        return Pair(second, first, is_swapped=True)
    return Pair(first, second)


class Misplaced(NamedTuple):
    """The rows at 0;0, where geocoders put what they do not find, and those in reverse order."""

    nowhere: Sequence[int]
    swapped: Sequence[int]


def misplaced(latitudes: Sequence[float | None], longitudes: Sequence[float | None]) -> Misplaced:
    """What is wrong with two columns of degrees together."""
    nowhere, swapped = [], []
    for row, (latitude, longitude) in enumerate(zip(latitudes, longitudes, strict=True)):
        if latitude is None or longitude is None:
            continue
        if latitude == longitude == 0:
            nowhere.append(row)
        elif not _is_french(latitude, longitude) and _is_french(longitude, latitude):
            swapped.append(row)
    return Misplaced(nowhere, swapped)


def _is_french(latitude: float, longitude: float) -> bool:
    return any(
        south <= latitude <= north and west <= longitude <= east
        for (south, north), (west, east) in _TERRITORIES
    )


_BETWEEN_SIDES = re.compile(
    r"(?<=[NS]) ?[,;/ ]? ?(?=[0-9])|(?<=[0-9°'\"″]) ?[,;/ ] ?(?=[EWO] ?[0-9])"
)


def _by_hemisphere(bare: str) -> Pair:
    """48°51'N 2°21'E and N48.85 E2.35: the two halves; of what is neither everything is the latitude."""
    halves = _BETWEEN_SIDES.split(bare.upper(), maxsplit=1)
    if len(halves) == 2 and {side for half in halves for side in half} & set("NS"):
        return Pair(halves[0].strip(), halves[1].strip())
    return Pair(bare, "")
