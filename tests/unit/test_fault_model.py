"""The plain calculation that the fault-injection run compares with, on cases done by hand."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from producers.imports.preview import preview_of
from producers.reading import Options
from schemas.import_types import IMPORT_TYPES
from tests.faults.files import COMPANY, File, Kind, Values
from tests.faults.model import applied, imported, published
from tests.faults.plan import Plan
from tests.faults.upstream import Row, Transaction

FULL = ("000000001", "A", "00000000100001", "t", "a", "75001", "v", "62.01Z", "l", "0102", "e@x.fr", "https://a.b", False)  # fmt: skip
BARE = ("000000001", "B", *[None] * 11)
INSERTED = ("000000001", "B", None, *[""] * 9, True)


@pytest.mark.parametrize(
    ("policy", "stored", "given", "expected"),
    [
        ("merge", None, BARE, INSERTED),
        ("insert_only", None, FULL, FULL),
        ("merge", FULL, BARE, ("000000001", "B", *FULL[2:])),
        ("overwrite", FULL, BARE, INSERTED),
        ("fill_missing", INSERTED, FULL, ("000000001", "B", *FULL[2:-1], True)),
        ("insert_only", INSERTED, FULL, INSERTED),
    ],
)
def test_a_policy(policy: str, stored: Values | None, given: Values, expected: Values) -> None:
    assert applied("entreprise", policy, stored, given) == expected


@pytest.mark.parametrize("kind", ["entreprise", "ville"])
def test_a_file_is_what_the_reader_says(kind: Kind, tmp_path: Path) -> None:
    """Lines, faults, repetitions and warnings are those that `foxstream check` finds."""
    file = File(1, kind, 3, "merge", 2000, 500, 5)
    rows: dict[str, Values] = {}

    outcome = imported(rows, file)
    found = preview_of(file.write(tmp_path), IMPORT_TYPES[kind.upper()], Options())

    assert found["refusal"] is None
    assert found["total_rows"] == outcome.total == 2000
    # The reader does not see what PostgreSQL alone refuses.
    assert found["rejected_rows"] == outcome.counts["rejected"] - file.refused
    assert found["duplicate_rows"] == outcome.counts["duplicate"] == file.repeated
    assert len(rows) == outcome.counts["inserted"] == file.known + file.fresh


def test_a_wave_has_each_family_once() -> None:
    """Nothing depends on which import of a wave is first; all sizes follow from the seed."""
    waves = [wave for wave, _ in zip(Plan(1, 50_000, 10).waves(), range(20), strict=False)]

    for wave in waves:
        assert len({file.family for file in wave.files}) == len(wave.files)
    assert waves == [wave for wave, _ in zip(Plan(1, 50_000, 10).waves(), range(20), strict=False)]
    assert any(file.before for wave in waves for file in wave.files)


def test_what_an_upstream_system_leaves() -> None:
    """Aborted rows are nowhere; of two observations the newer one holds."""
    now = datetime(2024, 1, 1, tzinfo=UTC)
    older = Row("000000001", FULL, now - timedelta(days=1))
    newer = Row("000000001", BARE, now)

    def left(*transactions: Transaction) -> object:
        return published(transactions)["entreprise"]

    one, other = (
        Transaction("entreprise", True, (newer,)),
        Transaction("entreprise", True, (older,)),
    )
    assert left(one, other) == {"000000001": INSERTED}
    assert left(Transaction("entreprise", False, (newer,))) == {}
    assert len(COMPANY) == len(FULL)
