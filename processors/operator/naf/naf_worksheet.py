"""The worksheet in which a person chooses the trades of NAF 2025 that could not be carried over.

A CSV with the words of its readers: one line for each code and each trade that it could be.
"""

import csv
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from psycopg import Connection

from processors.database.connection import connect
from processors.database.queries import load
from processors.errors import ConfigurationError
from processors.operator.naf.naf_files import Line, lines
from processors.settings import Settings

_SQL = load("processors.operator.naf", "naf_reference.sql")

COLUMNS = (
    *("code_2025", "libelle_2025", "sous_categorie"),
    *("code_rev2", "libelle_rev2", "entreprises", "choix"),
)
_DELIMITERS = ";,\t"
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


class Candidate(NamedTuple):
    """A trade that a code could be: that of these codes of rev. 2, which so many companies have.

    All but the first two are empty, or 0, for a code that none of rev. 2 corresponds to.
    """

    code: str
    label: str
    slug: str
    codes_rev2: str
    labels_rev2: str
    companies: int


class Choice(NamedTuple):
    """The trade that a person chose for a code, and where."""

    line: Line
    code: str
    slug: str


def document(settings: Settings) -> bytes:
    """The file of what is in the database. Raises ConfigurationError and UnreachableError."""
    with connect(settings.database_url.get_secret_value()) as connection:
        return worksheet(candidates(connection))


def save(path: Path, document: bytes) -> None:
    """Raises ConfigurationError if the file is there: it may hold somebody's choices."""
    try:
        with path.open("xb") as file:
            file.write(document)
    except FileExistsError as error:
        raise ConfigurationError(f"{path} is there already: name a new file") from error
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error}") from error


def candidates(connection: Connection[Any]) -> list[Candidate]:
    """Of the codes of NAF 2025 without a trade. Raises ConfigurationError if no code is loaded."""
    if connection.execute(_SQL["codes_2025"]).fetchone() == (0,):
        raise ConfigurationError("NAF 2025 is not loaded: run 'foxstream-worker reference load'")
    return [Candidate(*row) for row in connection.execute(_SQL["candidates"]).fetchall()]


def worksheet(found: Iterable[Candidate]) -> bytes:
    """The file, as spreadsheets of French offices open it: UTF-8 with a BOM, semicolons."""
    text = StringIO(newline="")
    rows = csv.writer(text, delimiter=";")
    rows.writerow(COLUMNS)
    rows.writerows([_safe(str(cell)) for cell in (*candidate, "")] for candidate in found)
    return text.getvalue().encode("utf-8-sig")


def _safe(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(_FORMULAS) else cell


def choices(path: Path) -> Sequence[Choice]:
    """The lines with an x, at most one for each code. Spreadsheets may have saved the file anew.

    Raises ConfigurationError, with the line and the column that are wrong.
    """
    encoding, delimiter = _form(path)
    found: dict[str, Choice] = {}
    for line in lines(path, ("code_2025", "sous_categorie", "choix"), encoding, delimiter):
        choice = line.cells["choix"].lower()
        if choice not in ("", "x"):
            raise line.fault("choix", f"{choice!r}: write x on the line to choose, nothing else")
        code = line.code("code_2025", "2025")
        if not choice:
            continue
        if code in found:
            raise line.fault(
                "choix", f"{code} has an x on line {found[code].line.number} too: leave one of them"
            )
        found[code] = Choice(line, code, line.cells["sous_categorie"])
    if not found:
        raise ConfigurationError(f"{path} has no x in the column choix: nothing is decided")
    return list(found.values())


def _form(path: Path) -> tuple[str, str]:
    """Encoding and delimiter. All that is read here is ASCII: an encoding may be guessed."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    try:
        header, encoding = data.decode("utf-8-sig"), "utf-8-sig"
    except UnicodeDecodeError:
        header, encoding = data.decode("latin-1"), "latin-1"
    first = header.partition("\n")[0]
    return encoding, max(_DELIMITERS, key=first.count)
