"""Import files, made of a seed: lines of companies or cities, some of them repeated or faulty.

A line knows what it gives, so nobody has to read it to say what becomes of it.
"""

import csv
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

Kind = Literal["entreprise", "ville"]
Values = tuple[Any, ...]

COMPANY = (
    *("siren", "nom", "siret", "nom_commercial", "adresse", "code_postal", "ville_nom"),
    *("naf_code", "naf_libelle", "telephone", "email_contact", "site_web", "is_active"),
)
CITY = (
    *("nom", "code_postal_principal", "codes_postaux", "departement", "region"),
    *("lat", "lng", "population"),
)
HEADERS: dict[Kind, tuple[str, ...]] = {"entreprise": COMPANY, "ville": CITY}

REFUSED_TOWN = "Mars"
"""PostgreSQL alone refuses companies there, by a constraint that the run adds."""


class Line(NamedTuple):
    """One line. `key` is None where the reader finds it faulty, `refused` where PostgreSQL does."""

    cells: list[str]
    key: str | None
    values: Values
    refused: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class File:
    """A file of `rows` lines, whose keys are of one family.

    Earlier files of the family gave the keys `before` this number: some of them come again with
    new values, the others are new. A family has files of one kind.
    """

    number: int
    kind: Kind
    family: int
    policy: str
    rows: int
    before: int
    seed: int

    @property
    def name(self) -> str:
        return f"import{self.number:04d}.csv"

    @property
    def faulty(self) -> int:
        """Lines that the reader refuses: none in some files."""
        return 0 if self.number % 5 == 0 else 1 + min(self.rows // 100, 200)

    @property
    def refused(self) -> int:
        """Lines that only PostgreSQL refuses."""
        return 3 if self.kind == "entreprise" and self.number % 5 else 0

    @property
    def repeated(self) -> int:
        return self.rows // 40

    @property
    def known(self) -> int:
        return min(self.before, self._keys * 4 // 5)

    @property
    def fresh(self) -> int:
        return self._keys - self.known

    @property
    def _keys(self) -> int:
        return self.rows - self.repeated - self.faulty - self.refused

    def write(self, directory: Path) -> Path:
        """The file, in a directory that is there."""
        path = directory / self.name
        with path.open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out, delimiter=";", lineterminator="\n")
            writer.writerow(HEADERS[self.kind])
            writer.writerows(line.cells for line in self.lines())
        return path

    def lines(self) -> Iterator[Line]:
        """The same at every call; the first stands on line 2 of the file."""
        chance = random.Random(self.seed)
        keys = chance.sample(range(self.before), self.known)
        keys += range(self.before, self.before + self.fresh)
        keys += chance.choices(keys, k=self.repeated)
        # Below 0: the lines that cannot be written.
        keys += range(-self.faulty - self.refused, 0)
        chance.shuffle(keys)
        latest: dict[int, Line] = {}
        for key in keys:
            bits = chance.getrandbits(64)
            if key < -self.faulty:
                yield self._refused(key, bits)
            elif key < 0:
                yield faulty_line(self.kind, bits)
            elif key in latest and bits & 1:
                yield latest[key]
            else:
                latest[key] = made(self.kind, self.family, key, bits)
                yield latest[key]

    def _refused(self, key: int, bits: int) -> Line:
        # Keys that no other line has.
        line = made("entreprise", self.family, 999_999 + key - 10 * self.number, bits)
        cells = list(line.cells)
        cells[6] = REFUSED_TOWN
        return Line(cells, line.key, line.values, refused=True, warnings=line.warnings)


def made(kind: Kind, family: int, index: int, bits: int) -> Line:
    """The line that `bits` make of a key. Each optional value is missing at times."""
    return (_company if kind == "entreprise" else _city)(family, index, bits)


_TRADES = ("", "", "", "L'Été", "Chez « Zoé » ; et fils", "A\\B", "Bar |", "Tabac")
_STREETS = ("", "", "1 rue A", "2 rue de la Forêt", "3 bd B", "4 allée\tC", "5 quai D", "6 D6")
_CODES = ("", "", "75001", "01000", "97411", "20200", "69003", "2900")
_TOWNS = ("", "", "", "Paris", "Évry", "Lyon", "Saint-Étienne", "Nîmes")
_NAFS = ("", "", "", "62.01Z", "10.71C", "43.22A", "56.10A", "96.02A")
_LABELS = ("", "", "", "", "Coiffure", "Restauration", "Plomberie", "Programmation")
_PHONES = ("", "", "", "0102030405", "+33 1 02 03 04", "01.02.03.04.05", "04 00 00 00 00", "?")
_MAILS = ("", "", "", "", "", "a@exemple.fr", "b@exemple.fr", "c@exemple.org")
_SITES = ("", "", "", "", "", "https://a.example", "https://b.example/x", "https://c.example")
_FLAGS = ("", "", "", "", "", "oui", "non", "oui")


def _company(family: int, index: int, bits: int) -> Line:
    siren = f"{family:03d}{index:06d}"
    name = f"Société {index}" if bits >> 1 & 3 else f"Société {index} & Cie"
    warnings = _checksum(siren)
    if bits >> 3 & 3 == 0:  # nothing but what is required
        return Line(
            [siren, name, *[""] * 11], siren, (siren, name, *[None] * 11), warnings=warnings
        )
    cells = [
        siren,
        name,
        f"{siren}0000{bits >> 5 & 1}" if bits >> 6 & 3 else "",
        *(
            texts[bits >> at & 7]
            for texts, at in (
                *((_TRADES, 8), (_STREETS, 11), (_CODES, 14), (_TOWNS, 17), (_NAFS, 20)),
                *((_LABELS, 23), (_PHONES, 26), (_MAILS, 29), (_SITES, 32), (_FLAGS, 35)),
            )
        ),
    ]
    values: list[Any] = [cell or None for cell in cells]
    warnings += _checksum(cells[2])
    if cells[5] == "2900":  # a spreadsheet has lost its zero
        values[5] = "02900"
        warnings += ("zeros-restored",)
    if cells[9] == "?":  # not a phone number: a warning, and not given
        values[9] = None
        warnings += ("malformed",)
    values[12] = {"": None, "oui": True, "non": False}[cells[12]]
    return Line(cells, siren, tuple(values), warnings=warnings)


def _checksum(number: str) -> tuple[str, ...]:
    """The warning of a SIREN or SIRET whose digits do not add up by Luhn's formula."""
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(number))]
    return () if sum(one // 10 + one % 10 for one in doubled) % 10 == 0 else ("checksum",)


# Main postal code, another one, and the département and region that follow from the main one.
PLACES = (
    ("75001", "75002", "75", "Île-de-France"),
    ("20000", "20090", "2A", "Corse"),
    ("20600", "20200", "2B", "Corse"),
    ("97400", "97490", "974", "La Réunion"),
    ("29200", "29000", "29", "Bretagne"),
    ("01000", "01990", "01", "Auvergne-Rhône-Alpes"),
    ("98000", "98001", "980", "Monaco"),
)
_SPELLINGS = (("Évry", "EVRY", "evry"), ("Saint-Étienne", "saint etienne", "saint-etienne"))
_REGIONS = ("", "", "", "", "", "Ailleurs", "Île-de-France", "L'Outre-Mer")
_LATITUDES = ("", "", "", "", "48.8566", "-21.1151", "14.6", "43.296482")
_LONGITUDES = ("", "", "", "", "2.3522", "55.45", "-61.07", "0.5")
_PEOPLE = ("", "", "", "", "1", "2100000", "35000", "412")


def _city(family: int, index: int, bits: int) -> Line:
    code, other, _, _ = PLACES[index % len(PLACES)]
    spellings = _SPELLINGS[index % 2]
    name = f"F{family} {spellings[bits >> 1 & 1]} {index}"
    key = f"f{family}-{spellings[2]}-{index}-{code}"
    if bits >> 3 & 3 == 0:
        return Line([name, code, *[""] * 6], key, (name, code, *[None] * 6))
    cells = [
        name,
        code,
        ("", "", f"{code} {other}", other)[bits >> 5 & 3],
        "",
        _REGIONS[bits >> 8 & 7],
        _LATITUDES[bits >> 11 & 7],
        _LONGITUDES[bits >> 14 & 7],
        _PEOPLE[bits >> 17 & 7],
    ]
    values = (
        name,
        code,
        [code, other] if cells[2] else None,
        None,
        cells[4] or None,
        float(cells[5]) if cells[5] else None,
        float(cells[6]) if cells[6] else None,
        int(cells[7]) if cells[7] else None,
    )
    return Line(cells, key, values)


def faulty_line(kind: Kind, bits: int) -> Line:
    """A line that the reader refuses, with a natural key or without."""
    number = bits >> 40
    if kind == "entreprise":
        siren = f"{number % 10**9:09d}"
        cells = (
            ["12345", f"Fausse {number}", *[""] * 11],
            [siren, "", *[""] * 11],
            [siren, "---", *[""] * 11],
            [siren, "Fausse", "99999999999999", *[""] * 10],
            [siren, "Fausse", *[""] * 11, "trop"],
        )[bits % 5 if siren[0] != "9" else bits % 3]
    else:
        cells = (
            ["", "75001", *[""] * 6],
            [f"Fausse {number}", "", *[""] * 6],
            [f"Fausse {number}", "7500A", *[""] * 6],
            [f"Fausse {number}", "75001", *[""] * 6, "trop"],
        )[bits % 4]
    # A line of the wrong length is not looked at any further.
    numbers = (cells[0], cells[2]) if kind == "entreprise" and len(cells) == len(COMPANY) else ()
    warnings = [_checksum(number) for number in numbers if len(number) in (9, 14)]
    return Line(cells, None, (), warnings=sum(warnings, ()))
