"""`make demo` expects what a check says of its files."""

from typing import Any

import pytest

from deploy.local.demo import FILES, SAMPLES, TABLES
from producers.imports.preview import preview_of
from schemas.import_types import IMPORT_TYPES


@pytest.mark.parametrize(("name", "kind", "expected"), FILES)
def test_the_demo_expects_what_is_in_its_files(
    name: str, kind: str, expected: dict[str, Any]
) -> None:
    """Rows, duplicates, rejects, and what is left for the table."""
    import_type = IMPORT_TYPES[kind.upper()]

    found = preview_of(SAMPLES / name, import_type)

    inserted = found["valid_rows"] - found["duplicate_rows"]
    assert {
        "total_rows": found["total_rows"],
        "inserted": inserted,
        "duplicate": found["duplicate_rows"],
        "rejected": found["rejected_rows"],
    } == {key: value for key, value in expected.items() if key != "status"}
    assert TABLES[import_type.table] == inserted
