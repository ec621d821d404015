"""The worksheet of trades of NAF 2025: written, filled in, and read back."""

import csv
from pathlib import Path

import pytest

from processors.errors import ConfigurationError
from processors.operator.naf.naf_worksheet import COLUMNS, Candidate, choices, save, worksheet

CANDIDATES = (
    Candidate("10.61H", "Travail des grains ; autres", "autre", "10.86Z", "=Aliments", 7),
    Candidate("10.61H", "Travail des grains ; autres", "boulangerie", "10.71A / 10.71B", "Pain", 3),
    Candidate("46.89Y", "Autre commerce de gros", "", "", "", 0),
)


def filled_in(path: Path, *marks: str, **slugs: str) -> None:
    """Writes the worksheet of CANDIDATES with these in the column choix, and slugs by line."""
    save(path, worksheet(CANDIDATES))
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    for number, (row, mark) in enumerate(zip(rows, marks, strict=True)):
        row["choix"] = mark
        row["sous_categorie"] = slugs.get(f"line{number + 2}", row["sous_categorie"])
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        written = csv.DictWriter(file, COLUMNS, delimiter=";")
        written.writeheader()
        written.writerows(rows)


def test_the_worksheet() -> None:
    """As spreadsheets of French offices open it; no cell is a formula."""
    text = worksheet(CANDIDATES).decode("utf-8")

    assert text.splitlines() == [
        "\ufeffcode_2025;libelle_2025;sous_categorie;code_rev2;libelle_rev2;entreprises;choix",
        '10.61H;"Travail des grains ; autres";autre;10.86Z;\'=Aliments;7;',
        '10.61H;"Travail des grains ; autres";boulangerie;10.71A / 10.71B;Pain;3;',
        "46.89Y;Autre commerce de gros;;;;0;",
    ]


def test_a_worksheet_comes_back(tmp_path: Path) -> None:
    """A choice for each code that has an x, also of a trade that a person wrote."""
    path = tmp_path / "naf.csv"
    filled_in(path, "", " X ", "x", line4="grossiste")

    assert [(choice.code, choice.slug) for choice in choices(path)] == [
        ("10.61H", "boulangerie"),
        ("46.89Y", "grossiste"),
    ]


@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8", "cp1252"])
def test_a_worksheet_that_a_spreadsheet_saved(
    tmp_path: Path, delimiter: str, encoding: str
) -> None:
    """With its own delimiter and encoding, with blank lines, and without columns nobody needs."""
    path = tmp_path / "naf.csv"
    rows = [
        ["choix", "code_2025", "libelle_2025", "sous_categorie"],
        ["x", "10.61H", "Blé œuf", "a"],
    ]
    text = "\r\n".join(delimiter.join(row) for row in [*rows, ["", "", "", ""]])
    path.write_text(text, encoding)

    assert [(choice.code, choice.slug) for choice in choices(path)] == [("10.61H", "a")]


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        (("x", "x", ""), "line 3, column choix: 10.61H has an x on line 2 too"),
        (("x", "oui", ""), "line 3, column choix: 'oui': write x"),
        (("", "", ""), "no x in the column choix"),
    ],
)
def test_choices_that_are_not_clear(tmp_path: Path, marks: tuple[str, ...], message: str) -> None:
    path = tmp_path / "naf.csv"
    filled_in(path, *marks)

    with pytest.raises(ConfigurationError, match=message):
        choices(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("code_2025;choix\n10.61H;x\n", "line 1: the columns are code_2025, sous_categorie, choix"),
        (
            "code_2025;sous_categorie;choix\n10.61Z;a;x\n",
            "line 2, column code_2025: '10.61Z' is no",
        ),
        ("code_2025;sous_categorie;choix\n10.61H;a\n", "line 2: 2 cells, not 3"),
        ("", "line 1: the columns are"),
    ],
)
def test_a_file_that_is_not_a_worksheet(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "naf.csv"
    path.write_text(text, "utf-8")

    with pytest.raises(ConfigurationError, match=message):
        choices(path)


def test_a_worksheet_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        choices(tmp_path / "naf.csv")


def test_a_worksheet_replaces_no_other(tmp_path: Path) -> None:
    """It may hold choices."""
    path = tmp_path / "naf.csv"
    filled_in(path, "x", "", "")

    with pytest.raises(ConfigurationError, match="is there already"):
        save(path, b"")
    assert len(choices(path)) == 1
    with pytest.raises(ConfigurationError, match="cannot be written"):
        save(tmp_path / "none" / "naf.csv", b"")
