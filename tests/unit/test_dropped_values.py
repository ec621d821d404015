"""Optional values that are not stored, although their row is: nothing is dropped quietly."""

from pathlib import Path
from typing import Any

import pytest

from producers.imports.preview import preview_of
from producers.reading import Options
from schemas.import_types import ENTREPRISE, IMPORT_TYPES, VILLE, ImportType

KEPT = "n'a pas été enregistré"


def preview(folder: Path, text: str, import_type: ImportType = ENTREPRISE) -> dict[str, Any]:
    """What a check finds in a file of this text."""
    file = folder / "file.csv"
    file.write_text(text, encoding="utf-8")
    return preview_of(file, import_type, Options())


@pytest.mark.parametrize(
    ("header", "cell", "code", "message"),
    [
        ("email", "x@", "malformed", "L'adresse e-mail « x@ » n'est pas valide : elle ne sera pas enregistrée ; le reste de la ligne le sera."),
        ("cp", "2A300", "malformed", "Le code postal « 2A300 » n'est pas valide : il ne sera pas enregistré ; le reste de la ligne le sera."),
        ("tel", "demander", "malformed", "Le numéro de téléphone « demander » n'est pas valide : il ne sera"),
        ("tel", "3,36E+10", "malformed", "Le numéro de téléphone « 3,36E+10 » est un nombre qu'Excel a arrondi : il ne sera"),
        ("site", "http://", "malformed", "L'adresse du site web « http:// » n'est pas valide : elle ne sera"),
        ("naf", "commerce", "malformed", "Le code NAF « commerce » n'est pas valide : il ne sera"),
        ("actif", "peut-être", "malformed", "La valeur « peut-être » de la colonne actif n'est pas valide : elle ne sera"),
        ("adresse", "#REF!", "formula-error", "La cellule « #REF! » de la colonne adresse est une formule en erreur"),
    ],
)  # fmt: skip
def test_a_check_lists_them(
    tmp_path: Path, header: str, cell: str, code: str, message: str
) -> None:
    """With line, column, value and reason; the line is valid all the same."""
    found = preview(tmp_path, f"siren;nom;{header}\n732829320;ACME;{cell}\n")

    assert (found["valid_rows"], found["dropped_rows"], found["examples"]) == (1, 1, [])
    [value] = found["dropped"]
    assert (value["line"], value["sheet"], value["column"]) == (2, None, header)
    assert (value["code"], value["value"]) == (code, cell)
    assert value["message"].startswith(message)
    assert KEPT not in value["message"]  # nothing has been imported


def test_a_city_with_a_latitude_beyond_the_pole(tmp_path: Path) -> None:
    """Other types have such values as well."""
    text = "nom;code_postal_principal;lat\nRennes;35000;148.1\n"

    [value] = preview(tmp_path, text, VILLE)["dropped"]

    assert value["message"].startswith("La latitude « 148.1 » n'est pas valide : elle ne sera")


def test_an_activity_of_an_old_nomenclature(tmp_path: Path) -> None:
    """SIRENE holds such codes of companies that closed long ago."""
    text = (
        "siren,denominationUniteLegale,activitePrincipaleUniteLegale,"
        "nomenclatureActivitePrincipaleUniteLegale\n732829320,ACME,74.1G,NAFRev1\n"
        "552013500,Été,62.01Z,NAFRev2\n"
    )

    [value] = preview(tmp_path, text)["dropped"]

    assert (value["line"], value["code"], value["value"]) == (2, "other-nomenclature", "74.1G")
    assert value["message"].startswith("Le code NAF « 74.1G » est d'une ancienne nomenclature")


def test_of_a_rejected_line_nothing_is_stored_anyway(tmp_path: Path) -> None:
    """Its own faults say so."""
    found = preview(tmp_path, "siren;nom;email\n;ACME;x@\n")

    assert (found["rejected_rows"], found["dropped_rows"], found["dropped"]) == (1, 0, [])


def test_what_the_source_does_not_disclose_is_not_a_value(tmp_path: Path) -> None:
    """SIRENE writes [ND] in place of what it must not publish."""
    found = preview(tmp_path, "siren;nom;adresse\n732829320;ACME;[ND]\n")

    assert (found["valid_rows"], found["dropped"]) == (1, [])


def test_the_list_is_short_and_the_count_whole(tmp_path: Path) -> None:
    """A file of any length is checked in the same memory."""
    rows = "".join(f"{siren:09d};ACME;x@\n" for siren in range(1, 3001))

    found = preview(tmp_path, "siren;nom;email\n" + rows)

    assert (found["dropped_rows"], len(found["dropped"])) == (3000, 20)
    assert found["dropped"][-1]["line"] == 21


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    """A cell may hold a mebibyte."""
    [value] = preview(tmp_path, f"siren;nom;email\n732829320;ACME;{'x' * 100_000}\n")["dropped"]

    assert len(value["value"]) == 1000
    assert len(value["message"]) < 300


def test_every_type_is_read() -> None:
    """A message needs a name only of kinds that a field has."""
    from schemas.dropped_value import dropped_value

    for import_type in IMPORT_TYPES.values():
        for field in import_type.fields:
            assert KEPT in dropped_value(field, "malformed", "x").message
