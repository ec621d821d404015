"""Files of the NAF reference: those that are shipped, and those that an operator brings instead."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from processors.errors import ConfigurationError
from schemas.values.naf import Nomenclature, nomenclature

LABEL_LENGTH = 255
"""Characters that the site's column of the label takes."""

_CODE = re.compile(r"[0-9]{2}\.[0-9]{2}[A-Z]")
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_EXAMPLES: Mapping[Nomenclature, str] = {"rev2": "62.01Z", "2025": "62.10Y"}
_CERTAIN = {"oui": True, "non": False}


class Activity(NamedTuple):
    """An activity's label, and the slug of its sub-category on the site.

    The slug is empty for a code of NAF 2025 whose trade nobody has decided yet.
    """

    label: str
    slug: str


class Pair(NamedTuple):
    """A code of rev. 2 and one of NAF 2025 that it corresponds to.

    `certain`: all or almost all companies of the first have the second (INSEE's words: Unique,
    quasi-totalité).
    """

    rev2: str
    naf2025: str
    certain: bool


class Naf2025(NamedTuple):
    """The labels of NAF 2025 by code, and how rev. 2 corresponds to it."""

    labels: Mapping[str, str]
    pairs: Sequence[Pair]


class Line(NamedTuple):
    """A line of a file: its cells by column, without spaces around them."""

    path: Path
    number: int
    cells: Mapping[str, str]

    def fault(self, column: str, what: str) -> ConfigurationError:
        """The error that says where `what` is wrong."""
        return ConfigurationError(f"{self.path}, line {self.number}, column {column}: {what}")

    def code(self, column: str, *allowed: Nomenclature) -> str:
        """The code of a column. Raises ConfigurationError if it is of none of these nomenclatures."""
        code = self.cells[column]
        if not _CODE.fullmatch(code) or nomenclature(code) not in allowed:
            examples = " or ".join(_EXAMPLES[each] for each in allowed)
            raise self.fault(column, f"{code!r} is not a NAF code such as {examples}")
        return code


def lines(
    path: Path, columns: Sequence[str], encoding: str = "utf-8-sig", delimiter: str = ","
) -> Iterator[Line]:
    """The lines below the header that are not blank; columns beside these may be there.

    Raises ConfigurationError with what is wrong, and the line.
    """
    try:
        with path.open(encoding=encoding, newline="") as file:
            rows = csv.reader(file, delimiter=delimiter)
            header = list(map(str.strip, next(rows, ())))
            if not set(columns) <= set(header):
                raise ConfigurationError(f"{path}, line 1: the columns are {', '.join(columns)}")
            for row in rows:
                if not any(map(str.strip, row)):
                    continue
                if len(row) != len(header):
                    where = f"{path}, line {rows.line_num}"
                    raise ConfigurationError(f"{where}: {len(row)} cells, not {len(header)}")
                cells = dict(zip(header, map(str.strip, row), strict=True))
                yield Line(path, rows.line_num, cells)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error


def shipped() -> Path:
    """The 732 activities of NAF rev. 2 with the site's trades: naf_code, libelle, sous_categorie."""
    return _shipped("naf.csv")


def shipped_labels() -> Path:
    """The 747 activities of NAF 2025: naf_code, libelle."""
    return _shipped("naf2025.csv")


def shipped_correspondence() -> Path:
    """INSEE's 1,223 pairs: code_rev2, code_2025, certain (oui or non)."""
    return _shipped("naf_correspondence.csv")


def _shipped(name: str) -> Path:
    return Path(str(resources.files("schemas"))) / "reference" / name


def read(path: Path) -> Mapping[str, Activity]:
    """Activities by code, of rev. 2 and, if the file has any, of NAF 2025.

    Raises ConfigurationError, with the line and the column that are wrong.
    """
    found: dict[str, Activity] = {}
    for line in lines(path, ("naf_code", "libelle", "sous_categorie")):
        code = line.code("naf_code", "rev2", "2025")
        slug = line.cells["sous_categorie"]
        if code in found:
            raise line.fault("naf_code", f"{code} is there twice")
        if not _SLUG.fullmatch(slug) and (slug or nomenclature(code) == "rev2"):
            raise line.fault("sous_categorie", f"{slug!r} is not the slug of a sub-category")
        found[code] = Activity(_label(line, code), slug)
    if not any(nomenclature(code) == "rev2" for code in found):
        raise ConfigurationError(
            f"{path} has no activity of NAF rev. 2, and what it leaves out is removed: add them, or "
            "decide trades of NAF 2025 alone with 'foxstream-worker reference decide'"
        )
    return found


def read_naf2025(labels: Path | None = None, correspondence: Path | None = None) -> Naf2025:
    """What these files say; None: the shipped one.

    Raises ConfigurationError, with the line and the column that are wrong.
    """
    found = _labels(labels or shipped_labels())
    return Naf2025(found, list(_pairs(correspondence or shipped_correspondence(), found)))


def _labels(path: Path) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for line in lines(path, ("naf_code", "libelle")):
        code = line.code("naf_code", "2025")
        if code in found:
            raise line.fault("naf_code", f"{code} is there twice")
        found[code] = _label(line, code)
    if not found:
        raise ConfigurationError(f"{path} has no activity")
    return found


def _label(line: Line, code: str) -> str:
    label = line.cells["libelle"]
    if not label or "\0" in label:
        raise line.fault("libelle", f"{code} has no label")
    if len(label) > LABEL_LENGTH:
        raise line.fault("libelle", f"{len(label)} characters: the site takes {LABEL_LENGTH}")
    return label


def _pairs(path: Path, labels: Mapping[str, str]) -> Iterator[Pair]:
    known: set[tuple[str, str]] = set()
    for line in lines(path, ("code_rev2", "code_2025", "certain")):
        rev2, naf2025 = line.code("code_rev2", "rev2"), line.code("code_2025", "2025")
        if naf2025 not in labels:
            raise line.fault("code_2025", f"{naf2025} has no label: load its labels too (--labels)")
        if (rev2, naf2025) in known:
            raise line.fault("code_2025", f"{rev2} and {naf2025} are there twice")
        certain = line.cells["certain"]
        if certain not in _CERTAIN:
            raise line.fault("certain", f"{certain!r} is neither oui nor non")
        known.add((rev2, naf2025))
        yield Pair(rev2, naf2025, _CERTAIN[certain])
    if not known:
        raise ConfigurationError(f"{path} has no pair of codes")
