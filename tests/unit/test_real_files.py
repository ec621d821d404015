"""Real files come to the counts that the README beside them states.

Where the project decided otherwise than a README's line, `why` says so.
"""

import csv
import json
import re
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from producers.imports.preview import preview_of
from producers.reading import Options, open_source
from producers.reading.container.archive import Content
from producers.reading.table import Block
from producers.reading.text import delimited_lines
from producers.reading.text.encoding.decision import Text
from producers.reading.text.lines import Lines
from producers.reading.text.quoting import Dialect
from producers.reading.text.swallowed import Table
from producers.reading.text.text_table import decoded
from schemas.import_types import (
    CATEGORIE,
    DEPARTEMENT,
    ENTREPRISE,
    SOUS_CATEGORIE,
    VILLE,
    ImportType,
)
from tests.fix_files import SHARED

if SHARED is None:
    pytest.skip(
        "the real files of shared/data are MISSING beside this checkout", allow_module_level=True
    )
DATA: Path = SHARED


class Expected(NamedTuple):
    path: str
    total: int = 0
    rejected: int = 0
    duplicate: int = 0
    blank: int = 0
    skipped: int = 0
    errors: Mapping[str, int] = {}
    warnings: Mapping[str, int] = {}
    refusal: str | None = None
    import_type: ImportType = ENTREPRISE
    why: str = ""


FILES = [
    Expected("entreprise/bordeaux_companies_sans_siren.csv", refusal="missing-label"),
    Expected("entreprise/ess_01_numerique.csv", 2061),
    Expected("entreprise/ess_02_cate_juridique.csv", 1590),
    Expected(
        "entreprise/ess_03_tiers_lieux.csv", 47, 6, 1,
        errors={"missing-value": 7}, warnings={"zeros-restored": 2, "corrected": 46},
        why="one of the six rows without a SIREN has no name either: seven faults",
    ),
    Expected(
        "entreprise/lbb_etablissement_full_pipe_crlf.csv", 26, duplicate=2,
        warnings={"siren-from-siret": 26, "checksum": 2, "corrected": 1},
    ),
    Expected(
        "entreprise/signaux_faibles/sireneTestData.csv", 4, 2, skipped=1,
        errors={"mismatch": 2},
        warnings={
            "checksum": 8, "unknown-naf": 2, "malformed": 6, "known-company-only": 4,
            "other-nomenclature": 1,
        },
        why="random letters stand for the status; one line is a secondary establishment",
    ),
    Expected(
        "entreprise/signaux_faibles/sireneULTestData.csv", 4,
        warnings={"checksum": 4, "unknown-naf": 6, "malformed": 4, "other-nomenclature": 1},
    ),
    Expected(
        "entreprise/signaux_faibles/test_uniteLegale.csv", 6,
        warnings={"checksum": 6, "unknown-naf": 4},
    ),
    Expected(
        "entreprise/sirene44/StockEtablissement_44_part000.csv", 4601, skipped=398,
        warnings={"known-company-only": 4601, "other-nomenclature": 4208},
        why="head offices have no name; most are closed, with a code of an older nomenclature",
    ),
    Expected(
        "entreprise/sirene_as_api/sample_etablissements_OK.csv", 3,
        warnings={"known-company-only": 3, "other-nomenclature": 3},
    ),
    Expected(
        "entreprise/sirene_as_api/sample_unites_legales_OK.csv", 3,
        warnings={"other-nomenclature": 1},
    ),
    Expected(
        "sirene2026/sirene_etablissements_naf25.csv", 51, skipped=47,
        warnings={"partly-disclosed": 7, "known-company-only": 51, "other-nomenclature": 1},
    ),
    Expected(
        "sirene2026/sirene_unites_legales_naf25.csv", 102,
        warnings={"partly-disclosed": 15, "known-company-only": 8, "other-nomenclature": 1},
        why="of the natural persons with status P one has its name in clear",
    ),
    Expected(
        "sirene2026/sirene_api_3.11_siret_naf25.json", 5,
        warnings={"known-company-only": 1, "other-nomenclature": 1, "partly-disclosed": 2},
    ),
    Expected("entreprise/sirene_as_api/stock_v2_mensuel.csv", 4, duplicate=1),
    Expected("entreprise/sirene_v2_ods_bars_libelles_longs.csv", 1674, duplicate=84),
    Expected(
        "entreprise/siretmatcher_siro_opco_pipe.csv", refusal="missing-label",
        why="it has no column of names",
    ),
    Expected(
        "entreprise/siretmatcher_stock.csv", 10, 2,
        errors={"malformed": 2, "missing-value": 1},
        warnings={"checksum": 14, "malformed": 2, "unknown-naf": 1},
        why="seven SIREN and seven SIRET with a wrong check digit",
    ),
    Expected(
        "entreprise/subventions/SCDL_DILCRAH_2019.csv", 4,
        warnings={"siren-from-siret": 4, "checksum": 4},
    ),
    Expected("ville/hexasmal_lf_gps.csv", 39192, duplicate=3592, import_type=VILLE),
    Expected(
        "ville/insee_donnees_communes_population.csv",
        refusal="unknown-columns", import_type=VILLE,
    ),
    Expected("ville/lbb_city_codes_pipe.csv", refusal="missing-label", import_type=VILLE),
    Expected(
        "ville/slim-communes-departement-region.csv", 527, duplicate=45,
        warnings={"zeros-restored": 527}, import_type=VILLE,
    ),
    Expected(
        "villes france.csv", 39192, duplicate=3681,
        warnings={"zeros-restored": 3432}, import_type=VILLE,
    ),
    Expected("ville/villes_france_bom_crlf_pop.csv", 100, blank=34728, import_type=VILLE),
    Expected("ville/villes_france_sans_cp.csv", refusal="missing-label", import_type=VILLE),
    Expected(
        "categorie/naf2008_liste_n5.csv", 732, 15,
        errors={"too-long": 15}, import_type=SOUS_CATEGORIE,
    ),
    Expected(
        "int_courts_naf_rev_2.xls", 732, 15, blank=1, skipped=1377,
        errors={"too-long": 15}, import_type=SOUS_CATEGORIE,
        why="sections, divisions, groups, classes and lines of a number alone are no activities",
    ),
    Expected("categorie/naf2008_liste_n5.csv", refusal="wrong-type", import_type=CATEGORIE),
    Expected("int_courts_naf_rev_2.xls", refusal="wrong-type", import_type=DEPARTEMENT),
    Expected("departements_france.xlsx", 101, import_type=DEPARTEMENT),
    Expected("departements_france.xlsx", refusal="wrong-type", import_type=CATEGORIE),
    Expected("excel/ess_numerique_complet.xlsx", 2406, warnings={"other-sheets": 2}),
    Expected("excel/finess.xlsx", refusal="missing-label"),
    Expected("excel/insee_grille_densite_2022.xlsx", refusal="missing-label"),
    Expected("excel/perf/MiniExcel_Test100000x10.xlsx", refusal="unknown-columns"),
    Expected(
        "excel/subventions/fonjep-new.xlsx", 4,
        warnings={"siren-from-siret": 4, "checksum": 4, "other-sheets": 4},
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    "expected", FILES, ids=lambda expected: f"{expected.path}-{expected.import_type.name}"
)
def test_counts(expected: Expected) -> None:
    """A check of the file finds what a correct importer concludes."""
    found = preview_of(DATA / expected.path, expected.import_type)

    assert (found["refusal"] or {}).get("code") == expected.refusal, found["refusal"]
    assert found["errors_by_code"] == expected.errors
    assert found["warnings_by_code"] == expected.warnings
    assert (
        found["total_rows"],
        found["rejected_rows"],
        found["duplicate_rows"],
        found["blank_lines"],
        found["skipped_rows"],
    ) == (
        expected.total,
        expected.rejected,
        expected.duplicate,
        expected.blank,
        expected.skipped,
    )


def records(path: str, import_type: ImportType = ENTREPRISE) -> list[dict[str, Any]]:
    chunks = open_source(DATA / path, import_type).chunks()
    return [row.record for row in chain.from_iterable(chunks)]


def test_names_are_kept_verbatim() -> None:
    """A company that is really called @LEF INFORMATIQUE keeps its name."""
    names = {row["siren"]: row["nom"] for row in records("entreprise/ess_01_numerique.csv")}

    assert names["443563184"] == "@LEF INFORMATIQUE"


def test_coordinates_of_la_poste() -> None:
    """La Poste's one column of coordinates gives latitude and longitude."""
    first = records("ville/hexasmal_lf_gps.csv", VILLE)[0]

    assert (first["lat"], first["lng"]) == (48.9741132204, -1.54436628419)


def test_address_of_insee() -> None:
    """INSEE's address is put together from its parts, and blank parts leave no gap."""
    rows = records("entreprise/siretmatcher_stock.csv")

    assert rows[0]["adresse"] == "8 RUE DE LONDRES"


def test_sheets_are_named() -> None:
    """Which sheets were read and which not is told."""
    source = open_source(DATA / "excel/ess_numerique_complet.xlsx", ENTREPRISE)

    assert len(source.parts) == 10
    assert source.skipped_sheets == ["Aperçu_FTL", "Inclusion numérique"]
    first = preview_of(
        DATA / "excel/ess_numerique_complet.xlsx", ENTREPRISE, Options(sheet="58.21Z")
    )
    assert first["total_rows"] == 55


def test_line_ends_in_headers() -> None:
    """INSEE's density file has headers of several lines: they are told on one."""
    found = preview_of(
        DATA / "excel/insee_grille_densite_2022.xlsx",
        VILLE,
        Options(
            columns={
                "Libellé des communes": "nom",
                "Code Commune": "code_postal_principal",
                "Population municipale 2018": "population",
            }
        ),
    )

    assert found["total_rows"] == 34955
    assert not any("\n" in name for name in found["mapping"])


# --- corpora of CSV, with what they should be read as beside them

_CORPORA = [
    *sorted((DATA / "corpus/csv-spectrum/csvs").glob("*.csv")),
    *sorted((DATA / "corpus/csv-test-data/csv").glob("*.csv")),
]
# In this snapshot newlines_crlf has no CRLF, and location_coordinates differs from its JSON.
_WRONG = {"newlines_crlf", "location_coordinates"}


def cells_of(path: Path) -> list[list[str]]:
    content = Content(None, lambda: path.open("rb"))
    return [row for block in blocks_of(content) for row in block.rows]


def blocks_of(content: Content) -> list[Block]:
    """Its blocks, as of a table of which nothing is known but the delimiter."""
    with decoded(content, Text("utf-8")) as text:
        first = Lines(text, repair=False).line()
    table = Table(Dialect(","), len(next(csv.reader([first]), [])), {}, frozenset())
    with decoded(content, Text("utf-8")) as text:
        return list(delimited_lines.blocks(Lines(text, repair=False), table, 1, None))


@pytest.mark.parametrize("path", _CORPORA, ids=lambda path: path.stem)
def test_corpora(path: Path) -> None:
    """The cells of a CSV file are those that the corpus states; what it calls bad is a fault."""
    stated = path.parent.parent / "json" / f"{path.stem}.json"
    if path.stem in _WRONG:
        pytest.skip("the snapshot of this file is wrong")
    if not stated.exists():
        _check_bad(path)
        return
    expected = json.loads(stated.read_text(encoding="utf-8"))
    rows = [row for row in cells_of(path) if row]
    if path.stem.startswith("header") or isinstance(expected[0], dict):
        names, *rows = rows
        assert [dict(zip(names, row, strict=True)) for row in rows] == expected
    else:
        assert rows == [row for row in expected if row != [""]]


def _check_bad(path: Path) -> None:
    if path.stem == "bad-unescaped-quote":
        return  # a quote inside an unquoted cell is text: company names have inches in them
    if path.stem == "bad-quotes-with-unescaped-quote":
        return  # one inside a quoted cell too, with a warning
    content = Content(None, lambda: path.open("rb"))
    blocks = blocks_of(content)
    widths = {len(row) for block in blocks for row in block.rows}
    # A header that is missing or wrong is no matter of cells.
    assert "header" in path.stem or len(widths) > 1 or any(block.broken for block in blocks)


# --- hostile texts

_PAYLOADS = [
    line
    for name in ("payloadbox_csv-payload.txt", "payloadsallthethings.txt")
    for line in (DATA / "hostile/csv-injection" / name).read_text(encoding="utf-8").splitlines()
    if line.strip()
]
_NAUGHTY: list[str] = json.loads((DATA / "hostile/blns/blns.json").read_text(encoding="utf-8"))
_CHANGED = re.compile(
    r"\s|&[#a-zA-Z0-9]+;|[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)


@pytest.mark.parametrize("texts", [_PAYLOADS, _NAUGHTY], ids=["csv-injection", "blns"])
def test_hostile_names(texts: list[str], tmp_path: Path) -> None:
    """Formulas and naughty strings are names like others, stored as they stand."""
    path = tmp_path / "noms.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=";", quoting=csv.QUOTE_ALL)
        writer.writerows([["siren", "nom"], *(["732829320", text] for text in texts)])

    rows = list(chain.from_iterable(open_source(path, ENTREPRISE).chunks()))

    assert [row.cells[1] for row in rows] == texts
    for row, text in zip(rows, texts, strict=True):
        if not row.faults and not _CHANGED.search(text):
            assert row.record["nom"] == text
    assert {fault.code for row in rows for fault in row.faults} <= {
        "missing-value", "malformed", "too-long", "formula-error", "unreadable-character",
    }  # fmt: skip
