import json
from pathlib import Path

import openpyxl
import pytest

from producers.imports.preview import preview_of
from producers.reading import Options
from schemas.import_types import ENTREPRISE, VILLE

KEYS = [
    "file_name", "import_type", "refusal", "format", "encoding", "delimiter", "sheet",
    "header_line", "mapping", "unknown_columns", "total_rows", "valid_rows", "rejected_rows",
    "duplicate_rows", "blank_lines", "errors_by_code", "warnings_by_code", "examples", "preview",
    "already_imported", "ai_estimate", "compression", "encoding_hint", "delimiter_confidence",
    "skipped_sheets", "left_out_rows", "left_out", "other_sheets", "skipped_rows", "hidden_rows", "hidden_columns", "merged_cells",
    "dropped_rows", "dropped", "untouched_rows",
    "confidence", "corrects", "blank_cells",
]  # fmt: skip

COMPANIES = """siren;nom;cp;slogan
732829320;ACME;35000;x
;;1000;
552013500;Été;1000;
732829320;ACME bis;2A300;

732829320;trop;de;cel;lules
"""


@pytest.fixture
def companies(tmp_path: Path) -> Path:
    (tmp_path / "entreprises.csv").write_text(COMPANIES, encoding="utf-8")
    return tmp_path / "entreprises.csv"


def test_verdict(companies: Path) -> None:
    """A verdict tells how the file is read, what is wrong with it and shows its first rows."""
    found = preview_of(companies, ENTREPRISE, Options())

    examples, preview = found.pop("examples"), found.pop("preview")
    assert [(v["line"], v["value"]) for v in found.pop("dropped")] == [(5, "2A300")]
    assert found == {
        "file_name": "entreprises.csv",
        "import_type": "ENTREPRISE",
        "refusal": None,
        "format": "csv",
        "encoding": "utf-8",
        "delimiter": ";",
        "sheet": None,
        "header_line": 1,
        "mapping": {"siren": "siren", "nom": "nom", "cp": "code_postal"},
        "unknown_columns": ["slogan"],
        "total_rows": 5,
        "valid_rows": 3,
        "rejected_rows": 2,
        "duplicate_rows": 1,
        "blank_lines": 1,
        "errors_by_code": {"missing-value": 2, "extra-cell": 1},
        "warnings_by_code": {"zeros-restored": 2, "malformed": 1},
        "already_imported": None,
        "ai_estimate": {
            "texts": 2,
            "model": "gpt-6-luna",
            "tokens_in": 1600,
            "tokens_out": 800,
            "cost": 0.00056,
            "currency": "USD",
            "priced_on": "2026-09-22",
        },
        "compression": None,
        "encoding_hint": None,
        "delimiter_confidence": 0.72,
        "skipped_sheets": [],
        "left_out_rows": 0,
        "left_out": [],
        "other_sheets": [],
        "skipped_rows": 0,
        "hidden_rows": 0,
        "hidden_columns": 0,
        "confidence": {"siren": 1.0, "nom": 1.0, "cp": 0.95},
        "corrects": None,
        "blank_cells": {"code_postal": 1},
        "merged_cells": 0,
        "dropped_rows": 1,
        "untouched_rows": 0,
    }
    assert [(e["line"], e["column"], e["code"], e["value"]) for e in examples] == [
        (3, "siren", "missing-value", ""),
        (3, "nom", "missing-value", ""),
        (7, None, "extra-cell", None),
    ]
    assert [record["nom"] for record in preview] == ["ACME", "Été", "ACME bis"]


def test_keys(companies: Path, tmp_path: Path) -> None:
    """A verdict has the documented keys in their order and fits into JSON, refused or not."""
    (tmp_path / "vide.csv").touch()

    for path in (companies, tmp_path / "vide.csv"):
        found = preview_of(path, ENTREPRISE, Options())

        assert list(found) == KEYS
        assert list(json.loads(json.dumps(found))) == KEYS


def test_refusal(companies: Path) -> None:
    """A refusal is part of the verdict, in one or two sentences."""
    found = preview_of(companies, VILLE, Options())

    assert found["refusal"] == {
        "code": "wrong-type",
        "message": "Ces colonnes sont celles d'un import ENTREPRISE, pas d'un import VILLE : "
        "choisissez le type ENTREPRISE.",
    }
    assert (found["total_rows"], found["mapping"]) == (0, {})


def test_refusal_for_the_header(tmp_path: Path) -> None:
    """It names all columns, so that somebody can say which is which."""
    path = tmp_path / "clients.csv"
    path.write_text("SIREN;Client;Montant\n732829320;Dupont;12\n", encoding="utf-8")

    found = preview_of(path, ENTREPRISE, Options())

    assert found["refusal"]["code"] == "missing-label"
    assert found["mapping"] == {"SIREN": "siren"}
    assert found["unknown_columns"] == ["Client", "Montant"]


def test_examples_are_bounded(tmp_path: Path) -> None:
    """However many rows are wrong, twenty examples are shown and all are counted."""
    path = tmp_path / "faux.csv"
    path.write_text("siren,nom\n" + "x,A\n" * 5000, encoding="utf-8")

    found = preview_of(path, ENTREPRISE, Options())

    assert found["errors_by_code"] == {"malformed": 5000}
    assert [example["line"] for example in found["examples"]] == list(range(2, 22))
    assert found["examples"][0]["value"] == "x"


def test_workbook(tmp_path: Path) -> None:
    """The verdict of a workbook names the sheet that is read."""
    book = openpyxl.Workbook()
    book.active.title = "Sociétés"
    book.active.append(["SIREN", "Raison sociale"])
    book.active.append([5520135, "ACME"])
    book.save(tmp_path / "a.xlsx")

    found = preview_of(tmp_path / "a.xlsx", ENTREPRISE, Options())

    assert (found["format"], found["sheet"], found["valid_rows"]) == ("xlsx", "Sociétés", 1)
    assert found["mapping"] == {"SIREN": "siren", "Raison sociale": "nom"}
    assert found["warnings_by_code"] == {"zeros-restored": 1}


def test_missing_file(tmp_path: Path) -> None:
    """A file that cannot be opened has no verdict."""
    with pytest.raises(FileNotFoundError):
        preview_of(tmp_path / "absent.csv", ENTREPRISE, Options())
