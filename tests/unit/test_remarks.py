"""Lines that are not rows: comments, totals and what stands below a table."""

from itertools import chain
from pathlib import Path

import pytest

from producers.reading import FileRow, Source, open_source
from schemas.import_types import CATEGORIE, ENTREPRISE, ImportType

A, B = "900000019", "900000027"
HEADER = "siren;nom;adresse;ville"
ROWS = [f"{A};Un;1 rue X;Lyon", f"{B};Deux;2 rue X;Lyon"]


def read(
    tmp_path: Path, lines: list[str], import_type: ImportType = ENTREPRISE
) -> tuple[Source, list[FileRow]]:
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines))
    source = open_source(path, import_type)
    return source, list(chain.from_iterable(source.chunks()))


@pytest.mark.parametrize(
    "line",
    [
        "// un commentaire",
        "// un commentaire ; avec un séparateur",
        "# un commentaire ; avec un séparateur",
        "-- fin",
        "Total;2;;",
        ";;;Total : 2",
        "TOTAL GÉNÉRAL;;;12 500,00 €",
        "Sous-total;;;50 %",
        "Total des entreprises : 2",
        "Source : INSEE, mars 2024",
        "(2 rows affected)",
        "Export généré le 05/01/2024 à 12:00",
        "Nombre de lignes : 2",
        "Page 1/1",
    ],
)
def test_a_line_that_is_not_a_row(tmp_path: Path, line: str) -> None:
    """It is counted with the blank ones, in the middle and at the end."""
    source, rows = read(tmp_path, [HEADER, ROWS[0], line, ROWS[1], line])

    assert [(row.key, row.faults) for row in rows] == [(A, []), (B, [])]
    assert source.blank_lines == 2


@pytest.mark.parametrize(
    "line",
    [
        "Total;TotalEnergies;2 place J. Millier;Courbevoie",
        ";Total;;Lyon",
        "#900000035;Trois;3 rue X;Lyon",
        "Lyon",
        "#N/D;Trois;3 rue X;Lyon",
    ],
)
def test_a_line_that_may_be_a_company(tmp_path: Path, line: str) -> None:
    """Nobody knows that it is none: it is a fault."""
    _, rows = read(tmp_path, [HEADER, *ROWS, line])

    assert [bool(row.faults) for row in rows] == [False, False, True]


def test_categories(tmp_path: Path) -> None:
    """A category may be called as one likes, a total has nothing but numbers beside it."""
    lines = ["nom;description", "Plomberie;Tuyaux", "Total;Tout", "Total;12"]
    _, rows = read(tmp_path, lines, CATEGORIE)

    assert [row.record["nom"] for row in rows] == ["Plomberie", "Total"]


@pytest.mark.parametrize(
    ("header", "rows"), [(";", ","), (",", ";"), (";", "\t"), ("\t", ";"), ("|", ",")]
)
def test_rows_with_another_delimiter(tmp_path: Path, header: str, rows: str) -> None:
    """The delimiter of the rows is the one by which they have as many cells as the header."""
    lines = [HEADER.replace(";", header), *(row.replace(";", rows) for row in ROWS)]
    source, found = read(tmp_path, lines)

    assert [(row.key, row.record["ville_nom"]) for row in found] == [(A, "Lyon"), (B, "Lyon")]
    assert source.delimiter == rows


@pytest.mark.parametrize("name", ["Caf\ufffd", "\ufffdt\ufffd"])
@pytest.mark.parametrize("column", [1, 3])
def test_letters_that_were_lost_before(tmp_path: Path, name: str, column: int) -> None:
    """What an earlier program could not decode is a fault of its line, not a name."""
    cells = ROWS[0].split(";")
    cells[column] = name
    _, rows = read(tmp_path, [HEADER, ";".join(cells), ROWS[1]])

    assert [[fault.code for fault in row.faults] for row in rows] == [["unreadable-character"], []]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (f'"{A}";"ACME "Le Bon" SARL";"1 rue X";"Lyon"', 'ACME "Le Bon" SARL'),
        (f'{A};"Le "Zinc; bar"";1 rue X;Lyon', 'Le "Zinc; bar"'),
        (f'{A};"12" x 3";1 rue X;Lyon', '12" x 3'),
    ],
)
def test_quotes_within_a_quoted_cell(tmp_path: Path, line: str, name: str) -> None:
    _, rows = read(tmp_path, [HEADER, line, ROWS[1]])

    assert (rows[0].record["nom"], rows[0].warnings) == (name, ["corrected"])
    assert rows[1].record["nom"] == "Deux"


@pytest.mark.parametrize("line", [f'{A};"a;"b";Lyon', f'{A};"a;"b";"c";Lyon'])
def test_quotes_that_may_mean_anything(tmp_path: Path, line: str) -> None:
    _, rows = read(tmp_path, [HEADER, line, ROWS[1]])

    assert rows[0].faults
    assert rows[1].record["nom"] == "Deux"


@pytest.mark.parametrize("form", ["[%s,\n%s]", "%s\n%s\n", "[%s,%s]"])
def test_a_damaged_letter_in_json(tmp_path: Path, form: str) -> None:
    """One byte of another encoding is repaired as in delimited text, the rest is UTF-8."""
    one = '{"siren": "900000019", "nom": "Café", "ville": "Lyon"}'
    two = '{"siren": "900000027", "nom": "Été", "ville": "Évreux"}'
    path = tmp_path / "a.json"
    path.write_bytes((form % (one, two)).encode().replace("fé".encode(), b"f\xe9"))
    rows = list(chain.from_iterable(open_source(path, ENTREPRISE).chunks()))

    assert [(row.record["nom"], row.warnings) for row in rows] == [
        ("Café", ["encoding-repaired"]),
        ("Été", []),
    ]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8-sig"])
def test_json_in_another_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.json"
    text = '[{"siren": "900000019", "nom": "Crêperie de l’Été", "ville": "Évreux"}]'
    path.write_bytes(text.encode(encoding))
    (row,) = chain.from_iterable(open_source(path, ENTREPRISE).chunks())

    assert (row.record["nom"], row.record["ville_nom"]) == ("Crêperie de l’Été", "Évreux")
