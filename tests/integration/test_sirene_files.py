"""SIRENE's two files through the command line, Kafka and a worker."""

import csv
import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from producers.terminal.exits import REFUSED
from tests.fix_stack import Site, eventually

SEAT = (
    "siren,siret,statutDiffusionEtablissement,dateDernierTraitementEtablissement,"
    "etablissementSiege,numeroVoieEtablissement,typeVoieEtablissement,libelleVoieEtablissement,"
    "codePostalEtablissement,libelleCommuneEtablissement,codeCommuneEtablissement,"
    "etatAdministratifEtablissement,enseigne1Etablissement,denominationUsuelleEtablissement,"
    "activitePrincipaleEtablissement,nomenclatureActivitePrincipaleEtablissement,"
    "activitePrincipaleNAF25Etablissement"
)
UNIT = (
    "siren,statutDiffusionUniteLegale,sigleUniteLegale,prenomUsuelUniteLegale,"
    "dateDernierTraitementUniteLegale,etatAdministratifUniteLegale,nomUniteLegale,"
    "nomUsageUniteLegale,denominationUniteLegale,categorieJuridiqueUniteLegale,"
    "activitePrincipaleUniteLegale,nomenclatureActivitePrincipaleUniteLegale,"
    "activitePrincipaleNAF25UniteLegale"
)
DATE = "2026-03-18T12:01:56"
COLUMNS = "siren, nom, nom_commercial, siret, adresse, code_postal, ville_nom, naf_code, is_active"

COMPANIES: dict[str, tuple[str, ...]] = {
    "552100554": ("552100554", "O", "ACM", "", DATE, "A", "", "", "ACME", "5710", "62.01Z", "NAFRev2", "62.10Y"),
    "732829320": ("732829320", "O", "", "ALIX", DATE, "C", "EXEMPLARD", "MODELE", "", "1000", "22.02", "NAP", ""),
    "443061841": ("443061841", "P", "", "ALIX", DATE, "A", "EXEMPLARD", "", "", "1000", "62.01Z", "NAFRev2", "62.10Y"),
    "404833048": ("404833048", "P", "", "", DATE, "A", "", "", "GARAGE", "5499", "62.01Z", "NAFRev2", "62.10Y"),
}  # fmt: skip


def seat(siren: str, nic: str, *, siege: bool) -> tuple[str, ...]:
    masked = COMPANIES[siren][1] == "P"
    place = ["[ND]"] * 4 if masked else [nic[-1], "RUE", "DE RENNES", "35000"]
    return (
        siren, siren + nic, COMPANIES[siren][1], DATE, str(siege).lower(), *place, "RENNES", "35238",
        "A", "[ND]" if masked else "", "", "62.02A", "NAFRev2", "62.20G",
    )  # fmt: skip


SEATS = [seat(siren, "00014", siege=True) for siren in COMPANIES]
BRANCHES = [seat("552100554", f"0002{digit}", siege=False) for digit in range(3)]

EXPECTED = [
    ("404833048", "GARAGE", "", "40483304800014", "", "", "RENNES", "62.02A", True),
    ("552100554", "ACME", "ACM", "55210055400014", "4 RUE DE RENNES", "35000", "RENNES", "62.02A", True),
    ("732829320", "ALIX MODELE", "", "73282932000014", "4 RUE DE RENNES", "35000", "RENNES", "62.02A", False),
]  # fmt: skip


def written(path: Path, header: str, lines: Sequence[Sequence[str]]) -> Path:
    text = "".join(",".join(cells) + "\n" for cells in lines)
    path.write_text(f"{header}\n{text}", encoding="utf-8")
    return path


def state_of(site: Site, path: Path) -> dict[str, Any]:
    done = site.foxstream("import", path, "--type", "entreprise", "--json")
    state: dict[str, Any] = done.json()
    return state


@pytest.mark.parametrize("first", ["units", "seats"])
def test_both_files_in_any_order(site: Site, tmp_path: Path, first: str) -> None:
    """They end in one state; branches are skipped and counted, a masked person leaves no company."""
    site.worker()
    units = written(tmp_path / "StockUniteLegale.csv", UNIT, list(COMPANIES.values()))
    seats = written(tmp_path / "StockEtablissement.csv", SEAT, [*BRANCHES, *SEATS])

    if first == "units":
        states = [state_of(site, units), state_of(site, seats)]
    else:
        states = [state_of(site, seats), state_of(site, units)][::-1]

    assert site.query(f"SELECT {COLUMNS} FROM enterprise_entreprise ORDER BY siren") == EXPECTED
    assert [state["total_rows"] for state in states] == [4, 4]
    assert [state["skipped_rows"] for state in states] == [0, 3]
    # Of the masked person no row is left waiting.
    eventually(lambda: site.query("SELECT count(*) FROM ingest.parked") == [(0,)])
    assert site.query("SELECT sum(rejected), sum(parked) FROM ingest.progress") == [(0, 0)]


@pytest.mark.parametrize("first", ["units", "seats"])
def test_both_files_in_one_archive(site: Site, tmp_path: Path, first: str) -> None:
    """They are one import, whose tables are those of two. A report of it has the columns of both."""
    site.worker()
    short = ("552100554", "O")
    units = written(tmp_path / "StockUniteLegale.csv", UNIT, [*COMPANIES.values(), short])
    seats = written(tmp_path / "StockEtablissement.csv", SEAT, [*BRANCHES, *SEATS])
    archive = tmp_path / "stock.zip"
    with ZipFile(archive, "w") as file:
        for path in (units, seats) if first == "units" else (seats, units):
            file.write(path, path.name)

    state = state_of(site, archive)

    assert site.query(f"SELECT {COLUMNS} FROM enterprise_entreprise ORDER BY siren") == EXPECTED
    assert (state["total_rows"], state["skipped_rows"], state["rejected"]) == (9, 3, 1)
    eventually(lambda: site.query("SELECT count(*) FROM ingest.parked") == [(0,)])
    report = tmp_path / "errors.csv"
    site.foxstream("errors", state["id"], "--output", report)
    [header, line] = csv.reader(StringIO(report.read_text("utf-8-sig")), delimiter=",")
    assert {*UNIT.split(","), *SEAT.split(",")} <= set(header)
    assert line[header.index("_code")] == "missing-cell"
    assert set(short) <= set(line)


def test_answers_of_the_api(site: Site, tmp_path: Path) -> None:
    """Nested lines of the API Sirene end in the tables as the lines of both files do."""
    site.worker()
    shown = "SELECT * FROM ingest.sirene ORDER BY siren"
    kept = f"SELECT {COLUMNS} FROM enterprise_entreprise ORDER BY siren"
    unit_names, seat_names = UNIT.split(","), SEAT.split(",")
    unit_periods = {"etatAdministratifUniteLegale", "nomUniteLegale", "denominationUniteLegale"}
    units = [
        nested(dict(zip(unit_names, unit, strict=True)), "periodesUniteLegale", unit_periods)
        for unit in COMPANIES.values()
    ]
    seats = []
    for seat_ in [*BRANCHES, *SEATS]:
        cells = dict(zip(seat_names, seat_, strict=True))
        place = {
            name: cells.pop(name) for name in seat_names if "Voie" in name or "Commune" in name
        }
        place["codePostalEtablissement"] = cells.pop("codePostalEtablissement")
        periods = {"activitePrincipaleEtablissement", "nomenclatureActivitePrincipaleEtablissement"}
        line = nested(cells, "periodesEtablissement", periods)
        seats.append({**line, "adresseEtablissement": place})
    for name, lines in (("unitesLegales", units), ("etablissements", seats)):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"header": {"statut": 200}, name: lines}, indent=1), "utf-8")
        assert state_of(site, path)["total_rows"] == 4
    from_json = site.query(kept), site.query(shown)
    assert from_json[0] == EXPECTED

    site.execute("DELETE FROM enterprise_entreprise")
    site.execute("DELETE FROM ingest.sirene")
    state_of(site, written(tmp_path / "StockUniteLegale.csv", UNIT, list(COMPANIES.values())))
    state_of(site, written(tmp_path / "StockEtablissement.csv", SEAT, [*BRANCHES, *SEATS]))
    assert (site.query(kept), site.query(shown)) == from_json


def nested(cells: dict[str, str], periods: str, names: set[str]) -> dict[str, Any]:
    """A line as the API returns it: values that change are in a list of periods, one of which has ended."""
    present = {name: cells[name] or None for name in names}
    past = dict.fromkeys(names, "01.11Z")
    line = {name: cell or None for name, cell in cells.items() if name not in names}
    listed = [{"dateFin": "2020-01-01", **past}, {"dateFin": None, **present}]
    return {**line, periods: listed}


def test_settings(site: Site, tmp_path: Path) -> None:
    """The site's nomenclature, and how many head offices may wait for their companies."""
    site.settings = {**site.settings, "FOX_NAF_PRIMARY": "2025", "FOX_PARKED_ROWS": "1"}
    site.worker()
    seats = written(tmp_path / "StockEtablissement.csv", SEAT, SEATS)

    done = site.foxstream("import", seats, "--type", "entreprise", "--json")
    assert done.code == REFUSED
    assert done.json()["status"] == "ERROR"
    assert "importez d'abord StockUniteLegale" in done.json()["error"]["message"]
    shown = site.foxstream("status", done.json()["id"]).stdout
    assert shown.count("importez d'abord StockUniteLegale") == 1
    # Partitions count by themselves what they write at the same moment.
    assert done.json()["rejected"] >= 1
    assert done.json()["parked"] + done.json()["rejected"] == len(SEATS)

    state_of(site, written(tmp_path / "StockUniteLegale.csv", UNIT, list(COMPANIES.values())))
    found = site.query("SELECT naf_code FROM enterprise_entreprise WHERE naf_code LIKE '62%%'")
    assert {code[-1] for (code,) in found} <= {"Y", "G"}
    assert found

    # The lines that were refused find their companies now.
    assert site.foxstream("retry", done.json()["id"]).code == 0
    ended = "SELECT status, parked, rejected FROM ingest.imports WHERE id = %s"
    eventually(lambda: site.query(ended, done.json()["id"]) == [("SUCCESS", 0, 0)])
