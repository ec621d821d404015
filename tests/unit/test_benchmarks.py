"""What benchmarks publish is what the rows' schema is: they run too seldom to tell it themselves."""

from pathlib import Path

import pytest

from producers.imports.preview import preview_of
from schemas.codec.framing import Encoder, RowDecoder
from schemas.import_types import ENTREPRISE
from tests.benchmarks import isolation, sirene, sirene_stock, stages
from tests.benchmarks.isolation import OneSchema
from tests.benchmarks.traits import TRAITS, Log, Trait


@pytest.mark.parametrize("trait", TRAITS, ids=lambda trait: trait.name)
def test_rows_of_a_trait(trait: Trait) -> None:
    """Every row of every trait can be written, and read again."""
    log = Log()
    trait.fill(log, 2)

    values = Encoder("entreprise_row", 1).encode_all(log.records)

    rows = RowDecoder("entreprise_row", OneSchema()).decode_all(values)
    assert [row[0] for row in rows] == [record["siren"] for record in log.records]  # type: ignore[index]


def test_batches() -> None:
    """The batches of the benchmarks without servers can be made, as many rows as asked."""
    assert len(stages.batch_of(3).records) == 3
    assert len(isolation.batch_of(3, 1).records) == 3


@pytest.mark.parametrize("name", sirene_stock.FILES)
def test_stock_files_of_sirene(name: str, tmp_path: Path) -> None:
    """They have INSEE's width, and what they are to hold; foxstream and plain reading find all lines."""
    path = sirene_stock.write_stock(tmp_path, name, 2000)

    found = preview_of(path, ENTREPRISE)

    header, made = sirene_stock.FILES[name]
    assert len(header) == {"StockEtablissement": 54, "StockUniteLegale": 35}[name]
    assert found["rejected_rows"] == 0, found["examples"]
    assert "checksum" not in found["warnings_by_code"]
    assert found["total_rows"] + found["skipped_rows"] == 2000
    assert sirene.plainly(path) == {"rows": 2000}
    lines = list(made(2000))
    status = next(column for column in header if column.startswith("statutDiffusion"))
    masked = sum(line[status] == "P" for line in lines)
    assert 60 <= masked <= 160
    code = next(column for column in header if column.startswith("activitePrincipaleNAF25"))
    assert {bool(line[code]) for line in lines} == {True, False}


def test_heads_that_moved() -> None:
    """Of each company one line is of its head office; some have been elsewhere before."""
    heads: dict[str, int] = {}
    moved = 0
    for line in sirene_stock.establishments(2000):
        is_head = line["etablissementSiege"] == "true"
        heads[line["siren"]] = heads.get(line["siren"], 0) + is_head
        moved += is_head and not line["nic"].startswith("0001")
    assert set(list(heads.values())[:-1]) == {1}
    assert 50 <= moved <= 250


def test_reading_of_sirene(tmp_path: Path) -> None:
    """The benchmark counts the same lines both ways, and measures both."""
    path = sirene_stock.write_stock(tmp_path, "StockEtablissement", 500)

    found = sirene.measured(path, 500)

    assert 0 < found["skipped"] < found["rows"]
    assert found["us_per_line"] > 0 < found["plain_us_per_line"]
