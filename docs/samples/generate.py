"""Writes entreprises.csv: 1,000 companies that do not exist, as a French Excel would save them.

    python docs/samples/generate.py > docs/samples/entreprises.csv

SIREN and SIRET obey Luhn, cities are of villes-france.csv. A few lines are wrong on purpose, as in
real files: three to reject, two that repeat a SIREN, and some with lost zeros or odd spellings.
"""

import csv
import random
import re
import sys
from pathlib import Path

HEADER = ["SIREN", "Nom", "SIRET", "Adresse", "Code postal", "Ville", "Code NAF", "Libellé NAF", "Téléphone", "E-mail", "Actif"]  # fmt: skip
TRADES = [
    ("10.71C", "Boulangerie et boulangerie-pâtisserie", "Boulangerie"),
    ("43.22A", "Travaux d'installation d'eau et de gaz en tous locaux", "Plomberie"),
    ("43.21A", "Travaux d'installation électrique dans tous locaux", "Électricité"),
    ("56.10A", "Restauration traditionnelle", "Restaurant"),
    ("96.02A", "Coiffure", "Salon de coiffure"),
    ("62.01Z", "Programmation informatique", "Logiciels"),
]
NAMES = ["Martin", "Bernard", "Lefèvre", "Élodie", "du Marché", "des Tilleuls", "Garnier & Fils", "L'Étoile", "Saint-Éloi"]  # fmt: skip


def luhn(digits: str) -> str:
    """`digits` with the check digit that the SIREN and SIRET end with (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return digits + str(-total % 10)


def companies(count: int) -> list[list[str]]:
    """`count` rows in the order of HEADER, the same at every call."""
    chance = random.Random(732)  # noqa: S311 - samples, not secrets
    cities = Path(__file__).with_name("villes-france.csv").read_text().splitlines()[1:]
    rows = []
    for number in range(count):
        siren = luhn(f"{(81_234_567 + number * 7_919) % 10**8:08d}")
        code, label, trade = chance.choice(TRADES)
        city = re.fullmatch(r"(.*) \((\d+)\)", chance.choice(cities))
        assert city is not None  # noqa: S101
        rows.append(
            [
                siren,
                f"{trade} {chance.choice(NAMES)}",
                luhn(siren + "0001"),
                f"{chance.randint(1, 180)} rue {chance.choice(NAMES)}",
                city[2].zfill(5),
                city[1],
                code,
                label,
                f"0{chance.randint(1, 9)} {chance.randint(10, 99)} {chance.randint(10, 99)} 00 00",
                f"contact{number}@exemple.fr",
                "oui",
            ]
        )
    return rows


def main() -> None:
    rows = companies(1000)
    rows[99][0] = ""
    rows[299][1], rows[299][0] = "---", "12 345"
    rows[499][2] = rows[500][2]
    rows[699][0], rows[699][2] = rows[9][0], rows[9][2]
    rows[700][0], rows[700][2] = rows[10][0], rows[10][2]
    rows[4][4] = rows[4][4].lstrip("0")
    rows[5][6] = "6201z"
    rows[6][8] = "None"
    sys.stdout.reconfigure(encoding="cp1252", newline="")  # type: ignore[union-attr]
    writer = csv.writer(sys.stdout, delimiter=";", lineterminator="\r\n")
    writer.writerow(HEADER)
    writer.writerows(rows)


if __name__ == "__main__":
    main()
