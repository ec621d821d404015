"""Cells as people report them of importers: what is stored of each, and what is said of it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.fix_files import reading, xlsx

KEYS = ("900000019", "900000027", "900000035")
FINE: Sequence[str] = ()
CORRECTED = ["corrected"]
DROPPED = ["malformed"]
Expected = tuple[str, object, Sequence[str]]
"""A cell, its value, and the codes of its row's faults and warnings."""


def quoted(cell: str) -> str:
    return '"{}"'.format(cell.replace('"', '""')) if any(sign in cell for sign in ';"\n') else cell


def check(folder: Path, field: str, cell: str, value: object, codes: Sequence[str]) -> None:
    """The cell is read between two rows that have none."""
    cells = dict.fromkeys(KEYS, "")
    cells[KEYS[1]] = cell
    lines = [f"siren;nom;{field}", *(f"{key};A;{quoted(own)}" for key, own in cells.items())]
    if field in ("siren", "nom"):
        lines = [field_line.rpartition(";")[0] for field_line in lines]
        usual = {"siren": KEYS[1], "nom": "A"} | {field: quoted(cell)}
        lines[2] = ";".join(usual.values())
    path = folder / "fichier.csv"
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")

    rows, _ = reading(path)

    found = rows[1]
    assert len(rows) == len(KEYS)
    said = [fault.code for fault in found.faults] + found.warnings
    assert (found.record.get(field), said) == (value, list(codes))


@pytest.mark.parametrize(
    ("cell", "value", "codes"),
    [
        ("0478000000x12", "0478000000", CORRECTED),
        ("04 78 00 00 00 Fax : 04 78 00 00 01", "04 78 00 00 00", CORRECTED),
        ("04 78 00 00 00 (fax 04 78 00 00 01)", "04 78 00 00 00", CORRECTED),
        ("04 78 00 00 00 (fax)", None, DROPPED),
        ("Fax 04 78 00 00 01 Tél 04 78 00 00 00", None, DROPPED),
    ],
)
def test_telephones(tmp_path: Path, cell: str, value: object, codes: Sequence[str]) -> None:
    check(tmp_path, "telephone", cell, value, codes)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("a@exemple.fr\nb@exemple.fr", "a@exemple.fr"),
        ("'a@exemple.fr", "a@exemple.fr"),
    ],
)
def test_addresses_of_mail(tmp_path: Path, cell: str, value: object) -> None:
    check(tmp_path, "email_contact", cell, value, CORRECTED)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("[exemple](https://exemple.fr)", "https://exemple.fr"),
        ("www. exemple.fr", "https://www.exemple.fr"),
    ],
)
def test_addresses_of_sites(tmp_path: Path, cell: str, value: object) -> None:
    check(tmp_path, "site_web", cell, value, CORRECTED)


@pytest.mark.parametrize("cell", ["(69003)", "Lyon 69003", "Lyon (69003)", "69003_"])
def test_postal_codes(tmp_path: Path, cell: str) -> None:
    check(tmp_path, "code_postal", cell, "69003", CORRECTED)


@pytest.mark.parametrize("cell", ["5610-A", "56.10-A"])
def test_activities(tmp_path: Path, cell: str) -> None:
    check(tmp_path, "naf_code", cell, "56.10A", CORRECTED)


@pytest.mark.parametrize(
    ("cell", "value", "codes"),
    [
        ("900-000-027", "900000027", CORRECTED),
        ("Lyon B 900 000 027", "900000027", CORRECTED),
        ("B900000027", "900000027", CORRECTED),
        ("TVA FR12900000027", "900000027", CORRECTED),
        ("9,00000027E+08", "900000027", CORRECTED),
        ("9,0000003E+08", None, DROPPED),
        ("W900000027", None, DROPPED),
    ],
)
def test_numbers_of_companies(
    tmp_path: Path, cell: str, value: object, codes: Sequence[str]
) -> None:
    """In scientific notation a number has all its digits or is lost."""
    check(tmp_path, "siren", cell, value or "".join(cell.split()), codes)


def test_telephone_in_scientific_notation(tmp_path: Path) -> None:
    """Its zero comes back too."""
    check(tmp_path, "telephone", "4.78000001E+08", "0478000001", ["zeros-restored"])


@pytest.mark.parametrize(
    ("field", "cell"),
    [
        ("siret", "à venir"),
        ("siret", "En cours d'immatriculation"),
        ("siret", "SANS SIRET"),
        ("ville_nom", "Non transmis"),
        ("adresse", "Adresse inconnue"),
        ("site_web", "pas de site"),
    ],
)
def test_words_for_no_value(tmp_path: Path, field: str, cell: str) -> None:
    check(tmp_path, field, cell, None, DROPPED)


@pytest.mark.parametrize(
    ("cell", "value", "codes"),
    [
        ("Caf=C3=A9", "Café", CORRECTED),
        ("Caf%C3%A9%20de%20la%20Gare", "Café de la Gare", CORRECTED),
        ("L%27Atelier%20du%20Pain", "L'Atelier du Pain", CORRECTED),
        ("Caf+AOk- Bar", "Café Bar", CORRECTED),
        ("Durand_x000D_", "Durand_x000D_", FINE),
        ("Durand<br/>Fils", "Durand Fils", CORRECTED),
        ("<b>Durand</b>", "<b>Durand</b>", FINE),
        ("{\\rtf1{\\fonttbl{\\f0 Arial;}}\\f0 Caf\\u233? \\b Durand\\b0\\par }", "Café Durand", CORRECTED),
        ("A=41=42 100%41%42", "A=41=42 100%41%42", FINE),
        ("Plus+Belle-Vie <3 C:\\new I<3U", "Plus+Belle-Vie <3 C:\\new I<3U", FINE),
        ("L&#39;Atelier", "L'Atelier", FINE),
    ],
)  # fmt: skip
def test_letters_as_codes(tmp_path: Path, cell: str, value: object, codes: Sequence[str]) -> None:
    check(tmp_path, "nom", cell, value, codes)


@pytest.mark.parametrize("cell", ["En activite", "EN ACTIVITÉ", "en-activite"])
def test_active_companies(tmp_path: Path, cell: str) -> None:
    check(tmp_path, "is_active", cell, value=True, codes=FINE)


@pytest.mark.parametrize(
    ("cell", "codes"),
    [
        ("Besan?on", ["lost-letter"]),
        ("?vreux", ["lost-letter"]),
        ("L?Haÿ-les-Roses (n?3)", ["lost-letter"]),
        ("Où est le chef ?", FINE),
        ("Quoi? Rien", FINE),
        ("exemple.fr/?a=b", FINE),
    ],
)
def test_letters_that_were_lost(tmp_path: Path, cell: str, codes: Sequence[str]) -> None:
    """The letter behind a question mark is lost, and the warning says so."""
    check(tmp_path, "ville_nom", cell, cell, codes)


@pytest.mark.parametrize(
    ("field", "cell", "value", "codes"),
    [
        ("adresse", True, "VRAI", CORRECTED),
        ("adresse", 1e21, "1e+21", CORRECTED),
        ("is_active", True, True, FINE),
        ("telephone", False, None, DROPPED),
    ],
)
def test_cells_that_are_not_texts(
    tmp_path: Path, field: str, cell: object, value: object, codes: Sequence[str]
) -> None:
    """A person sees VRAI in a column of texts, and does not mean it."""
    path = tmp_path / "classeur.xlsx"
    path.write_bytes(xlsx(["siren", "nom", field], [KEYS[0], "A", cell], [KEYS[1], "B"]))

    (row, _), _ = reading(path)

    assert (row.record[field], row.warnings, row.faults) == (value, list(codes), [])
