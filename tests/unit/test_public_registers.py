"""What columns of public registers give: dates and statuses of SIRENE, codes of communes."""

from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from producers.gateway.access.accounts import Account
from producers.gateway.pages import admin_pages
from producers.gateway.pages.import_view import import_view
from producers.gateway.pages.page_rendering import render
from producers.imports.preview import preview_of
from producers.kafka.import_state import new_state
from producers.reading import open_source
from producers.terminal.screen import summary
from schemas.import_types import ENTREPRISE, VILLE, ImportType

SIREN = "732829320"


def records(path: Path, import_type: ImportType, *lines: str) -> list[dict[str, Any]]:
    path.write_text("\n".join(lines), encoding="utf-8")
    chunks = open_source(path, import_type).chunks()
    return [row.record for row in chain.from_iterable(chunks)]


@pytest.mark.parametrize(
    ("treated", "began", "date"),
    [
        ("2026-03-18T12:01:56", "2026-03-13", "2026-03-18T12:01:56 2026-03-13"),
        ("2026-03-18T12:01:56", "", "2026-03-18T12:01:56"),
        ("", "2026-03-13", "2026-03-13"),
        ("", "", None),
        ("hier", "2026-03-13", None),
        ("18/03/2026 12:01", "13/03/2026", "2026-03-18T12:01 2026-03-13"),
        ("18/03/2026 9:01:56", "13/03/2026", "2026-03-18T09:01:56 2026-03-13"),
        ("2026-03-18 12:01:56", "2026-03-13 00:00:00", "2026-03-18T12:01:56 2026-03-13"),
        ("", "13/03/2026 00:00", "2026-03-13"),
        ("2026-03-18 12:01:56", "", "2026-03-18T12:01:56"),
    ],
)
@pytest.mark.parametrize("what", ["Etablissement", "UniteLegale"])
def test_dates_of_a_line(
    tmp_path: Path, what: str, treated: str, began: str, date: str | None
) -> None:
    """The treatment sorts first, then what the line is about; columns may come in any order."""
    header = f"siren;nom;dateDebut;dateDernierTraitement{what}"

    [one] = records(tmp_path / "a.csv", ENTREPRISE, header, f"{SIREN};A;{began};{treated}")

    assert one["source_date"] == date


@pytest.mark.parametrize(
    "header",
    ["code_insee", "Code_commune_INSEE", "#Code_commune_INSEE", "Code INSEE", "code_commune"],
)
@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("35238", "35238"),
        ("01004", "01004"),
        ("1004", "01004"),
        ("2A004", "2A004"),
        ("2b033", "2B033"),
        ("75108", "75108"),
        ("97411", "97411"),
        ("3523", "03523"),
        ("352381", None),
        ("", None),
    ],
)
def test_the_commune_of_a_city(tmp_path: Path, header: str, cell: str, code: str | None) -> None:
    """Lists of cities have INSEE's code under several names, and some have lost its zero."""
    lines = f"nom;code_postal;{header}", f"Quelque part;35000;{cell}"

    [one] = records(tmp_path / "a.csv", VILLE, *lines)

    assert one["code_insee"] == code


def test_two_columns_of_communes(tmp_path: Path) -> None:
    """Beside INSEE's code some lists have the number of the commune in its département."""
    lines = "Code_commune_INSEE;nom;code_postal;code_commune", "01004;Ambérieu;01500;4"

    assert records(tmp_path / "a.csv", VILLE, *lines)[0]["code_insee"] == "01004"


def test_partly_disclosed_rows_are_counted(tmp_path: Path) -> None:
    """Each valid line counts once; a line with a fault does not count."""
    path = tmp_path / "a.csv"
    path.write_text(
        "siren;denominationUniteLegale;statutDiffusionUniteLegale\n"
        f"{SIREN};A;P\n552100554;[ND];N\n443061841;B;O\n12345;C;P\n",
        encoding="utf-8",
    )

    found = preview_of(path, ENTREPRISE)

    assert found["warnings_by_code"] == {"partly-disclosed": 2, "known-company-only": 1}


@pytest.mark.parametrize(
    ("first_name", "name"),
    [
        ("[ND]", "[ND]"),
        ("[nd]", "[Nd]"),
        ("[ND] ", "[ ND ]"),
        ("", "[ND] [ND]"),
        ("", "[Non diffusible]"),
        ("[NON-DIFFUSIBLE]", "[non-diffusible]"),
    ],
)
def test_words_for_what_is_not_disclosed(tmp_path: Path, first_name: str, name: str) -> None:
    """In any case and joined, as systems pass them on, they are not values."""
    header = (
        "siren;statutDiffusionUniteLegale;denominationUniteLegale;prenomUsuelUniteLegale"
        ";nomUniteLegale;sigleUniteLegale"
    )
    line = f"{SIREN};P;;{first_name};{name};{name}"

    [one] = records(tmp_path / "a.csv", ENTREPRISE, header, line)

    assert (one["nom"], one["nom_commercial"]) == (None, None)


@pytest.mark.parametrize(
    ("cells", "name"),
    [
        ("ALIX;ANNE;MARTIN;DUPONT", "ALIX MARTIN"),
        ("ALIX;ANNE;;DUPONT", "ALIX DUPONT"),
        (";ANNE;MARTIN;DUPONT", "ANNE MARTIN"),
        ("[ND];ANNE;;DUPONT", "ANNE DUPONT"),
        (";[ND];MARTIN;DUPONT", "MARTIN"),
        (";;;DUPONT", "DUPONT"),
        ("ALIX;ANNE;;", None),
    ],
)
def test_names_of_persons(tmp_path: Path, cells: str, name: str | None) -> None:
    """The usual first name or else the first one, with the name of usage or else that of birth."""
    header = (
        "siren;denominationUniteLegale;prenomUsuelUniteLegale;prenom1UniteLegale"
        ";nomUsageUniteLegale;nomUniteLegale;statutDiffusionUniteLegale"
    )

    [one] = records(tmp_path / "a.csv", ENTREPRISE, header, f"{SIREN};;{cells};O")

    assert one["nom"] == name


def test_a_company_that_has_only_an_acronym(tmp_path: Path) -> None:
    """It is the last one of its names; a name in full goes before."""
    header = "siren;denominationUniteLegale;sigleUniteLegale;nomUniteLegale"

    found = records(tmp_path / "a.csv", ENTREPRISE, header, f"{SIREN};;ADMR;", f"{SIREN};AIDE;A;")

    assert [(one["nom"], one["nom_commercial"]) for one in found] == [
        ("ADMR", "ADMR"),
        ("AIDE", "A"),
    ]


def test_an_establishment_that_may_be_a_head_office(tmp_path: Path) -> None:
    """Without that it lacks a name, for which the file has no column: the other lines are read."""
    path = tmp_path / "a.csv"
    path.write_text(
        f"siren;etablissementSiege;siret\n{SIREN};;{SIREN}00012\n{SIREN};true;{SIREN}00020\n",
        "utf-8",
    )

    rows = list(chain.from_iterable(open_source(path, ENTREPRISE).chunks()))

    assert [[(found.column, found.code) for found in row.faults] for row in rows] == [
        [("nom", "missing-value")],
        [],
    ]


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (1, "1 entreprise à diffusion partielle"),
        (12, "12 entreprises à diffusion partielle"),
        (1200, "1\u00a0200 entreprises à diffusion partielle"),
    ],
)
def test_partly_disclosed_companies_are_shown(count: int, words: str) -> None:
    """In a line of its own, as nothing is wrong with them: by commands and on the page."""
    state = new_state(
        id="i",
        import_type="ENTREPRISE",
        warnings_by_code={"partly-disclosed": count, "malformed": 2},
    )

    shown = summary(state)
    facts: dict[str, Any] = {
        "row": import_view(state),
        "related": [],
        "actions": [],
        "estimate": None,
    }
    page = str(render("_import.html", Account("a", "read", "t"), 200, **facts).body, "utf-8")

    assert f"  {words}" in shown
    assert shown[-1] == "  avertissements : 2 valeurs mal formées et ignorées"
    assert f"<p>{words}</p>" in page
    assert "partly-disclosed" not in page
    assert admin_pages._warnings([state, state]) == {"malformed": 4}
