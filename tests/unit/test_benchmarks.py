"""What benchmarks publish is what the rows' schema is: they run too seldom to tell it themselves."""

import pytest

from schemas.codec.framing import Encoder, RowDecoder
from tests.benchmarks import isolation, stages
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
