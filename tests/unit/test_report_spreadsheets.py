"""Error reports in LibreOffice itself, in the ways in which offices of several countries open them."""

import shutil
import subprocess
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from xml.etree import ElementTree

import pytest

from producers.reports.error_report import Report, write

SOFFICE = shutil.which("soffice") or shutil.which("libreoffice")
FORMULA = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}formula"
SEPARATORS = {";": "59", ",": "44", "tab": "9", "|": "124", "all": "59/44/9/124"}
EVALUATED = "{},34,76,1,,0,false,true,false,false,false,0,true"
"""UTF-8; special numbers are detected, formulas evaluated."""

CALLS = (
    "=1+1",
    "+1+1",
    "-1+2",
    "@SUM(1,2)",
    "=cmd|' /C calc'!A0",
    "\uff1d1+1",
    '=HYPERLINK("http://a")',
)
BEFORE = (
    "",
    " ",
    "\t",
    "\r",
    "\n",
    "\r\n",
    '"',
    "'",
    "\u00a0",
    "x;",
    "x,",
    "x|",
    "x\t",
    'x";',
    'x,"',
    "x\n",
    "x, ",
)
CORPUS = [f"{before}{call}" for before, call in product(BEFORE, CALLS)]


def formulas(*paths: Path, options: Sequence[str] = ()) -> dict[str, list[str]]:
    """By name, those of the cells of each file once LibreOffice has opened it."""
    assert SOFFICE is not None
    folder = paths[0].parent
    command = [SOFFICE, f"-env:UserInstallation=file://{folder}/profile", "--headless", *options]
    command += ["--convert-to", "fods", "--outdir", str(folder / "opened"), *map(str, paths)]
    subprocess.run(command, check=True, capture_output=True)
    found = {}
    for path in paths:
        document = ElementTree.parse(folder / "opened" / f"{path.stem}.fods")
        cells = [cell for cell in document.iter() if cell.tag.endswith("}table-cell")]
        assert len(cells) > len(CORPUS)
        found[path.name] = [cell.attrib[FORMULA] for cell in cells if FORMULA in cell.attrib]
    return found


def split_at(separators: str) -> list[str]:
    return [f"--infilter=CSV:{EVALUATED.format(SEPARATORS[separators])}"]


def report(path: Path, delimiter: str = ";") -> Path:
    rows = [["a", cell, cell, "b"] for cell in CORPUS]
    write(path, Report(["siren", "nom", "=1+1", "note"], rows), delimiter)
    return path


pytestmark = pytest.mark.skipif(SOFFICE is None, reason="LibreOffice Calc (soffice) is missing")


@pytest.mark.parametrize("separators", SEPARATORS)
def test_no_cell_of_a_csv_report_is_a_formula(tmp_path: Path, separators: str) -> None:
    """Whatever separator the report has, and whatever one the spreadsheet splits it at."""
    semicolons, commas = report(tmp_path / "s.csv"), report(tmp_path / "c.csv", ",")

    found = formulas(semicolons, commas, options=split_at(separators))

    assert found == {"s.csv": [], "c.csv": []}


def test_no_cell_of_a_workbook_is_a_formula(tmp_path: Path) -> None:
    assert formulas(report(tmp_path / "e.xlsx")) == {"e.xlsx": []}


def test_the_same_cells_unguarded_are_formulas(tmp_path: Path) -> None:
    """As plain CSV: LibreOffice would run what the reports disarm."""
    path = tmp_path / "e.csv"
    path.write_text(
        "a\n" * len(CORPUS) + "\n".join(f"a;{cell}" for cell in CORPUS), encoding="utf-8"
    )

    assert len(formulas(path, options=split_at("all"))["e.csv"]) > 20
