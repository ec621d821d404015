"""Tables that stand one below another in a file, each with a header of its own."""

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

import pytest

from producers.imports.preview import preview_of
from producers.reading import FileRow, Source, open_source
from schemas.import_types import CATEGORIE, ENTREPRISE, ImportType
from tests.fix_files import xlsx

A, B, C, D = "900000019", "900000027", "900000035", "900000043"
HEADER = ["siren", "nom", "adresse", "ville"]
FIRST = [HEADER, [A, "Un", "1 rue X", "Lyon"], [B, "Deux", "2 rue X", "Lyon"]]
Lines = Sequence[Sequence[str]]
Written = Callable[[Lines], Path]


@pytest.fixture(params=["csv", "xlsx"])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Written:
    def written(lines: Lines) -> Path:
        path = tmp_path / f"table.{request.param}"
        if request.param == "csv":
            path.write_text("\n".join(";".join(line) for line in lines))
            return path
        path.write_bytes(xlsx(*lines))
        return path

    return written


def rows_of(path: Path, import_type: ImportType = ENTREPRISE) -> tuple[Source, list[FileRow]]:
    source = open_source(path, import_type)
    return source, list(chain.from_iterable(source.chunks()))


SECOND: dict[str, Lines] = {
    "another order": [["nom", "adresse", "ville", "siren"], ["Trois", "3 rue Y", "Brest", C]],
    "other words": [["Commune", "SIREN", "Raison sociale", "Adresse"], ["Brest", C, "Trois", "3 rue Y"]],
    "a column in front": [["rang", *HEADER], ["1", C, "Trois", "3 rue Y", "Brest"]],
    "a title": [["Clients de Brest"], ["ville", "nom", "siren", "adresse"], ["Brest", "Trois", C, "3 rue Y"]],
}  # fmt: skip


@pytest.mark.parametrize("gap", [0, 2])
@pytest.mark.parametrize("second", SECOND.values(), ids=SECOND)
def test_a_table_of_other_columns(written: Written, second: Lines, gap: int) -> None:
    """A table below another one is read with its own header and shown under the first one's."""
    source, rows = rows_of(written([*FIRST, *[[""] * 4] * gap, *second]))

    assert [row.faults for row in rows] == [[]] * 3
    stored = [
        [row.record[name] for name in ("siren", "nom", "adresse", "ville_nom")] for row in rows
    ]
    assert stored == [*FIRST[1:], [C, "Trois", "3 rue Y", "Brest"]]
    assert rows[2].cells[:4] == [C, "Trois", "3 rue Y", "Brest"]
    assert source.blank_lines == gap + len(second) - 1


def test_a_third_table(written: Written) -> None:
    """Each header holds up to the next one, in the order of the first table, too."""
    _, rows = rows_of(
        written(
            [*FIRST, ["nom", "siren", "ville"], ["Trois", C, "Brest"], HEADER, [D, "Quatre", "", "Lyon"]]
        )
    )  # fmt: skip

    assert [(row.key, row.record["nom"], row.record["ville_nom"]) for row in rows[2:]] == [
        (C, "Trois", "Brest"),
        (D, "Quatre", "Lyon"),
    ]


def test_a_column_that_only_the_second_table_has(written: Written) -> None:
    """Its values are stored, though the first table's lines do not have them."""
    _, rows = rows_of(
        written([*FIRST, ["siren", "ville", "nom", "adresse", "téléphone"], [C, "Brest", "Trois", "", "0298000000"]])
    )  # fmt: skip

    assert rows[2].record["telephone"] == "0298000000"
    assert rows[2].record["ville_nom"] == "Brest"
    assert rows[2].cells == [C, "Trois", "", "Brest", "0298000000"]


def test_a_table_that_cannot_be_read(written: Written) -> None:
    """Its lines are faults that name its header: of what else they would be, nobody can be sure."""
    path = written([*FIRST, ["nom", "ville", "téléphone"], ["Trois", "Brest", "0298000000"]])
    _, rows = rows_of(path)

    assert [[fault.code for fault in row.faults] for row in rows] == [[], [], ["other-table"]]
    assert "La ligne 4 est un second en-tête" in rows[2].faults[0].message
    assert preview_of(path, ENTREPRISE)["errors_by_code"] == {"other-table": 1}


def test_a_list_of_persons(written: Written) -> None:
    """The names of persons are not those of companies."""
    _, rows = rows_of(written([*FIRST, ["siren", "nom", "prénom"], [C, "Dupont", "Jean"]]))

    assert [[fault.code for fault in row.faults] for row in rows] == [[], [], ["other-table"]]


def test_categories(written: Written) -> None:
    """Where no column is of numbers a header is recognised by its words."""
    _, rows = rows_of(
        written(
            [["nom", "description"], ["Plomberie", "Tuyaux"], ["description", "nom"], ["Des murs", "Maçonnerie"]]
        ),
        CATEGORIE,
    )  # fmt: skip

    assert [(row.record["nom"], row.record["description"]) for row in rows] == [
        ("Plomberie", "Tuyaux"),
        ("Maçonnerie", "Des murs"),
    ]


@pytest.mark.parametrize("name", ["Nom", "SIREN", "Le Site", "Ville"])
def test_a_company_that_is_called_as_a_column(written: Written, name: str) -> None:
    _, rows = rows_of(written([*FIRST, [C, name, "Adresse", "Ville"]]))

    assert [row.key for row in rows if not row.faults] == [A, B, C]
    assert rows[2].record["nom"] == name
