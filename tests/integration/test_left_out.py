"""A workbook of which a part cannot be read, from the command line and the page to the tables."""

import csv
from collections.abc import Callable, Mapping
from io import BytesIO, StringIO
from pathlib import Path

from openpyxl import Workbook

from tests.fix_gateway import Served
from tests.fix_stack import Site

SHEETS = {
    "Janvier": [["siren", "nom", "code_postal"], ["732829320", "Un", "35000"], ["1", "Faux", ""]],
    "Février": [
        ["Ville", "Raison sociale", "SIREN"],
        ["Brest", "Deux", "005520135"],
        ["", "", "2"],
    ],
    "Mars": [["siren", "enseigne principale"], ["552100554", "Trois"], ["443061841", "Quatre"]],
    "Notice": [["Mode d'emploi"]],
}
STORED = "SELECT siren, nom, code_postal, ville_nom FROM enterprise_entreprise ORDER BY siren"
ROWS = [("005520135", "Deux", "", "Brest"), ("732829320", "Un", "35000", "")]


def workbook(sheets: Mapping[str, list[list[str]]] = SHEETS) -> bytes:
    book = Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    target = BytesIO()
    book.save(target)
    return target.getvalue()


def test_a_sheet_that_cannot_be_read(site: Site, tmp_path: Path) -> None:
    """The others are written, each by its own header; its lines are named, and the way back finds the rest."""
    site.worker()
    path = tmp_path / "clients.xlsx"
    path.write_bytes(workbook())

    checked = site.foxstream("check", path, "--type", "entreprise", "--json")
    done = site.foxstream("import", path, "--type", "entreprise", "--json")

    state = done.json()
    assert (checked.code, done.code, state["status"]) == (3, 3, "PARTIAL")
    assert (state["total_rows"], state["inserted"], state["rejected"]) == (4, 2, 2)
    for found in (state, checked.json()):
        assert (found["left_out_rows"], found["other_sheets"]) == (2, ["Notice"])
        [left] = found["left_out"]
        assert (left["name"], left["rows"]) == ("Mars", 2)
        assert "« nom » manque" in left["message"]
        assert found["warnings_by_code"] == {"other-sheets": 1}
    assert "« Mars » : 2 lignes n'ont pas été lues" in done.stderr
    assert site.query(STORED) == ROWS

    report = tmp_path / "erreurs.csv"
    site.foxstream("errors", state["id"], "--output", report)
    lines = list(csv.DictReader(StringIO(report.read_text("utf-8-sig")), delimiter=","))
    assert [(line["_sheet"], line["_line"], line["siren"]) for line in lines] == [
        ("Février", "3", "2"),
        ("Janvier", "3", "1"),
    ]
    text = report.read_text("utf-8-sig")
    assert '\n"2","",' in text
    report.write_text(text.replace('\n"2","",', '\n"552100554","Cinq",'), encoding="utf-8")
    back = site.foxstream("import", report, "--type", "entreprise", "--json")
    assert (back.json()["settles"], back.json()["rejected"]) == (1, 1), back.stderr
    parent = site.foxstream("status", state["id"], "--json").json()
    assert (parent["status"], parent["rejected"], parent["left_out_rows"]) == ("PARTIAL", 1, 2)


def test_all_that_was_read_is_written(site: Site, tmp_path: Path) -> None:
    """The import is PARTIAL nevertheless, and there is nothing to retry."""
    site.worker()
    path = tmp_path / "clients.xlsx"
    sound = {name: SHEETS[name][:2] for name in ("Janvier", "Février")}
    path.write_bytes(workbook({**sound, "Mars": SHEETS["Mars"]}))

    done = site.foxstream("import", path, "--type", "entreprise", "--json")

    state = done.json()
    assert (done.code, state["status"], state["error_rows"]) == (3, "PARTIAL", 0)
    assert (state["success_rows"], state["total_rows"], state["success_rate"]) == (2, 2, 100.0)
    again = site.foxstream("retry", state["id"])
    assert again.code == 4
    assert "2 lignes non lues" in again.stderr


def test_the_page_names_it(gateway: Callable[..., Served]) -> None:
    """Also without a word of the command line."""
    served = gateway()
    served.site.worker()
    state = served.ended(served.upload("clients.xlsx", workbook()).json()["id"])

    assert (state["status"], state["left_out_rows"]) == ("PARTIAL", 2)
    browser = served.browser()
    browser.post("/login", data={"token": served.token})
    page = browser.get(f"/imports/{state['id']}").text
    assert "« Mars » : 2 lignes n&#39;ont pas été lues" in page
    assert "non lus : Notice" in page
