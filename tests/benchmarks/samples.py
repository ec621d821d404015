"""Companies as docs/samples/generate.py makes them, one by one: millions of them fit in no list."""

import csv
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

SAMPLES = Path(__file__).parents[2] / "docs" / "samples"
sys.path.insert(0, str(SAMPLES))
from generate import HEADER, NAMES, TRADES, luhn  # type: ignore[import-not-found]  # noqa: E402

__all__ = ["HEADER", "SAMPLES", "companies", "luhn", "siren", "write_csv", "write_xlsx"]


def siren(number: int) -> str:
    """The SIREN of company `number`; different up to 100 million."""
    digits: str = luhn(f"{(81_234_567 + number * 7_919) % 10**8:08d}")
    return digits


def companies(count: int, start: int = 0, edition: int = 1) -> Iterator[list[str]]:
    """`count` rows in the order of HEADER, the same at every call.

    Another `edition` has the same companies with other names, addresses and telephones. A name ends
    with its edition in parentheses.
    """
    chance = random.Random(start)
    changes = random.Random(f"{start} {edition}")
    text = (SAMPLES / "villes-france.csv").read_text(encoding="utf-8")
    cities = [re.fullmatch(r"(.*) \((\d+)\)", line) for line in text.splitlines()[1:]]
    places = [(city[2].zfill(5), city[1]) for city in cities if city]
    for number in range(start, start + count):
        key = siren(number)
        code, label, trade = chance.choice(TRADES)
        yield [
            key,
            f"{trade} {changes.choice(NAMES)} ({edition})",
            luhn(f"{key}0001"),
            f"{changes.randint(1, 180)} rue {changes.choice(NAMES)}",
            *chance.choice(places),
            code,
            label,
            f"0{changes.randint(1, 9)} {changes.randint(10, 99)} {changes.randint(10, 99)} 00 00",
            f"contact{number}@exemple.fr",
            "oui",
        ]


def write_csv(file: Path, count: int, start: int = 0, edition: int = 1) -> Path:
    """A file of companies; `file` itself."""
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(HEADER)
        writer.writerows(companies(count, start, edition))
    return file


def write_xlsx(file: Path, count: int) -> Path:
    """The same as a workbook."""
    from openpyxl import Workbook

    workbook = Workbook(write_only=True)
    sheet = workbook.create_sheet("Entreprises")
    sheet.append(HEADER)
    for row in companies(count):
        sheet.append(row)
    workbook.save(file)
    return file
