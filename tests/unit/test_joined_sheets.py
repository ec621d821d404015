"""Sheets of a workbook and files of an archive whose headers differ."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path

import openpyxl
import pytest

from producers.imports.preview import preview_of
from producers.kafka.import_state import new_state
from producers.reading import Correction, FileRow, Options, Source, open_source
from producers.reading.header.stored_header import header_of
from producers.reports.error_report import Report, write
from schemas.import_types import CATEGORIE, ENTREPRISE, VILLE, ImportType
from tests.fix_files import xls, zipped

A, B, C = "732829320", "005520135", "552100554"

Sheets = Mapping[str, Sequence[Sequence[object]]]
FIRST: Sequence[Sequence[object]] = [["siren", "nom", "code_postal"], [A, "Un", "35000"]]


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., Source]:
    def opened(sheets: Sheets, import_type: ImportType = ENTREPRISE, **options: str) -> Source:
        path = tmp_path / "classeur.xlsx"
        path.write_bytes(xlsx(sheets))
        return open_source(path, import_type, Options(**options))  # type: ignore[arg-type]

    return opened


Opened = Callable[..., Source]


def xlsx(sheets: Sheets) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def rows_of(source: Source) -> list[FileRow]:
    return list(chain.from_iterable(source.chunks()))


OTHERS: Sheets = {
    "another order": [["nom", "code_postal", "siren"], ["Deux", "29000", B]],
    "other spellings": [["SIREN", "Raison sociale", "Code Postal"], [B, "Deux", "29000"]],
    "a title above": [["Clients de février"], [], ["Siren", "CP", "Nom"], [B, "29000", "Deux"]],
    "a column more": [["siren", "ville", "nom", "cp"], [B, "Brest", "Deux", "29000"]],
    "an unknown column": [["rang", "siren", "nom", "cp"], ["1", B, "Deux", "29000"]],
    "a blank column": [["", "siren", "nom", "cp"], ["", B, "Deux", "29000"]],
    "two columns of one name": [["x", "siren", "x", "nom", "cp"], ["1", B, "2", "Deux", "29000"]],
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("order", [1, -1])
def test_own_header(opened: Opened, other: str, order: int) -> None:
    """Each sheet is read with its own header, in either order."""
    sheets = dict([("Janvier", FIRST), ("Février", OTHERS[other])][::order])
    source = opened(sheets)

    rows = {row.key: row for row in rows_of(source)}

    assert {key: row.record["code_postal"] for key, row in rows.items()} == {A: "35000", B: "29000"}
    assert {key: row.record["nom"] for key, row in rows.items()} == {A: "Un", B: "Deux"}
    assert {row.sheet for row in rows.values()} == {"Janvier", "Février"}
    assert (source.skipped_sheets, source.left_out, source.warnings) == ([], [], {})
    # Each cell is in its column of the joined header, as in reports and retries.
    for row in rows.values():
        shown = dict(zip(source.header, row.cells, strict=True))
        by_field = {field: shown[name] for name, field in source.mapping.items()}
        assert (by_field["siren"], by_field["nom"]) == (row.key, row.record["nom"])


def test_fewer_columns(opened: Opened) -> None:
    """A summary is read beside the data, of which it has some columns only."""
    summary = [["Raison sociale", "SIREN"], ["Trois", C]]
    data = [
        ["siren", "nom", "code_postal", "ville"],
        [A, "Un", "35000", "Rennes"],
        [B, "Deux", "", ""],
    ]
    source = opened({"Synthèse": summary, "Données": data})

    assert [(row.key, row.line, row.record["code_postal"]) for row in rows_of(source)] == [
        (C, 2, None),
        (A, 2, "35000"),
        (B, 3, None),
    ]
    assert source.header == ["siren", "nom", "code_postal", "ville"]
    # What overwriting leaves as it is.
    assert [row.absent for row in rows_of(source)] == [["code_postal", "ville_nom"], (), ()]
    found = preview_of(source.path, ENTREPRISE)
    assert found["blank_cells"] == {"code_postal": 1, "ville_nom": 1}


@pytest.mark.parametrize("make", [xlsx, lambda sheets: xls(**sheets)], ids=["xlsx", "xls"])
def test_members_and_old_workbooks(tmp_path: Path, make: Callable[[Sheets], bytes]) -> None:
    """Files of an archive are joined as sheets are."""
    path = tmp_path / "a.zip"
    members = {
        "a.csv": f"nom;siren\nUn;{A}\n".encode(),
        "b.x": make({"F": OTHERS["a column more"]}),
    }
    path.write_bytes(zipped(members))

    rows = rows_of(open_source(path, ENTREPRISE))

    assert [(row.key, row.record["ville_nom"]) for row in rows] == [(A, None), (B, "Brest")]


def test_numbers_keep_their_column(opened: Opened) -> None:
    """Zeros that a number lost are restored in the column of its own sheet."""
    source = opened({"A": FIRST, "B": [["nom", "siren"], ["Deux", 5520135]]})

    assert [(row.key, row.warnings) for row in rows_of(source)] == [
        (A, []),
        (B, ["zeros-restored"]),
    ]


LEFT_OUT: Mapping[str, tuple[Sequence[Sequence[object]], int, str]] = {
    "no name": ([["siren", "enseigne principale"], [B, "Deux"], [C, "Trois"]], 2, "« nom » manque"),
    "two names": ([["siren", "nom", "raison sociale"], [B, "x", "y"]], 1, "désignent toutes"),
    "no header": ([[B, "Deux", "29000"], [C, "Trois", "29000"]], 2, "nommer les colonnes"),
    "a list of persons": ([["siren", "nom", "prénom"], [B, "Dupont", "Jean"]], 1, "personnes"),
    "a register": ([["siren", "nom", "dateDernierTraitementUniteLegale"], [B, "Deux", "2026-01-01"]], 1, "autres feuilles"),
}  # fmt: skip


@pytest.mark.parametrize("case", LEFT_OUT)
def test_lines_that_are_left_out(opened: Opened, tmp_path: Path, case: str) -> None:
    """Lines of the type that cannot be read are counted and named, and are not rows."""
    sheet, rows, why = LEFT_OUT[case]
    source = opened({"Janvier": [*FIRST, [C, "Encore", "75001"]], "Février": sheet})

    assert [row.key for row in rows_of(source)] == [A, C]
    [left] = source.left_out
    assert (left.name, left.rows, source.left_out_rows) == ("Février", rows, rows)
    assert why in left.message
    assert (source.skipped_sheets, source.other_sheets) == (["Février"], [])
    found = preview_of(tmp_path / "classeur.xlsx", ENTREPRISE)
    assert (found["total_rows"], found["left_out_rows"], found["left_out"][0]["name"]) == (
        2,
        rows,
        "Février",
    )


OTHER_SHEETS = {
    "another type": [["commune", "code postal", "latitude"], ["Brest", "29200", "48.4"]],
    "no table": [["Mode d'emploi"], ["Remplissez les colonnes."]],
    "columns explained": [["Champ", "Contenu"], ["siren", "9 chiffres"], ["nom", "le nom"]],
    "help": [["siren : 9 chiffres"], ["nom : obligatoire"]],
    "persons without a company": [["nom", "prénom", "téléphone"], ["Dupont", "Jean", "0612345678"]],
}


@pytest.mark.parametrize("case", OTHER_SHEETS)
def test_sheets_of_something_else(opened: Opened, case: str) -> None:
    """They are named in a warning, and no lines are missed."""
    source = opened({"Janvier": FIRST, "Autre": OTHER_SHEETS[case], "Vide": []})

    assert [row.key for row in rows_of(source)] == [A]
    assert (source.other_sheets, source.left_out) == (["Autre"], [])
    assert source.skipped_sheets == ["Autre", "Vide"]
    assert source.warnings == {"other-sheets": 1}


def test_a_chosen_sheet(opened: Opened) -> None:
    """What the operator did not choose is neither missed nor warned of."""
    source = opened({"Janvier": FIRST, "Février": LEFT_OUT["no name"][0]}, sheet="Janvier")

    assert (source.skipped_sheets, source.left_out, source.warnings) == (["Février"], [], {})


def test_a_name_is_no_key_of_anything(opened: Opened) -> None:
    """A list of products is not one of categories, although its column is called as theirs."""
    categories = [["nom", "description"], ["Plombiers", "Eau"]]
    products = [["nom", "prix", "stock"], ["Vis", "1", "2"]]
    source = opened({"Catégories": categories, "Produits": products}, CATEGORIE)

    assert [row.record["nom"] for row in rows_of(source)] == ["Plombiers"]
    assert source.other_sheets == ["Produits"]


def test_persons_do_not_lead(opened: Opened) -> None:
    """A list of persons is not read as one of categories, however long it is."""
    persons = [["Nom", "Prénom"], ["Durand", "Paul"], ["Petit", "Anne"], ["Martin", "Eve"]]
    sheets = {"Catégories": [["nom", "description"], ["Plombiers", "Eau"]], "Équipe": persons}
    source = opened(sheets, CATEGORIE)

    assert [row.record["nom"] for row in rows_of(source)] == ["Plombiers"]
    assert [(one.name, one.rows) for one in source.left_out] == [("Équipe", 3)]


def test_the_largest_wins(opened: Opened) -> None:
    """Of sheets that do not go together the one of the most lines is read."""
    cities = [["Villes"], ["Rennes (35000)"], ["Brest (29200)"], ["Vannes (56000)"]]
    summary = [["nom", "code postal", "région"], ["Rennes", "35000", "Bretagne"]]
    source = opened({"Synthèse": summary, "Données": cities}, VILLE)

    assert [row.record["nom"] for row in rows_of(source)] == ["Rennes", "Brest", "Vannes"]
    assert [(one.name, one.rows) for one in source.left_out] == [("Synthèse", 1)]


def test_a_report_of_both_comes_back(opened: Opened, tmp_path: Path) -> None:
    """Its cells have one header, by which their lines are found and read as before."""
    sheets: Sheets = {
        "Janvier": [FIRST[0], ["1", "Un", "35000"]],
        "Février": [["Raison sociale", "ville", "SIREN"], ["Deux", "Brest", "2"]],
    }
    source = opened(sheets)
    bad = rows_of(source)
    assert [row.faults[0].column for row in bad] == ["siren", "siren"]
    ours = ["_line", "_column", "_code", "_message", "_sheet", "_import"]
    lines = [
        [*(B if cell == "2" else cell for cell in row.cells), str(row.line), "siren", "malformed", "Faux.", row.sheet or "", "6f1d4a52-8a0e-5c3b-9a6e-0b8f7a1c2d3e"]
        for row in bad
    ]  # fmt: skip
    write(tmp_path / "erreurs.csv", Report([*source.header, *ours], lines), ";")

    back = open_source(tmp_path / "erreurs.csv", ENTREPRISE)
    still, fixed = rows_of(back)

    assert isinstance(back, Correction)
    assert still.cells == bad[0].cells
    assert (fixed.key, fixed.record["nom"], fixed.record["ville_nom"]) == (B, "Deux", "Brest")
    assert [row.resolves and row.resolves[1:] for row in (still, fixed)] == [
        (2, "Janvier"),
        (2, "Février"),
    ]


def test_a_retry_reads_them_alike(opened: Opened) -> None:
    """The header of an import's state gives each field of each sheet the column that it has."""
    source = opened({"A": FIRST, "B": OTHERS["a column more"], "C": OTHERS["other spellings"]})
    options = {"columns": json.dumps(source.mapping)}

    header = header_of(new_state(header=source.header, options=options), ENTREPRISE)

    assert header.mapping == source.mapping


def test_a_short_line_is_moved_too(tmp_path: Path) -> None:
    """A line with too few or too many cells has them under the columns of its own file."""
    path = tmp_path / "a.zip"
    members = {
        "a.csv": f"siren;adresse;nom\n{A};Rue;Un\n".encode(),
        "b.csv": f"siren;nom\n{B};Deux;et;plus\n".encode(),
    }
    path.write_bytes(zipped(members))

    _, long = rows_of(open_source(path, ENTREPRISE))

    assert [fault.code for fault in long.faults] == ["extra-cell"]
    assert long.cells == [B, "", "Deux", "et", "plus"]
