"""The next version that tests/outages/test_upgrade.py installs."""

from pathlib import Path

from tests.next_version import FIELD, write_next_version


def test_it_fits_the_statements_of_this_one(tmp_path: Path) -> None:
    """A statement that was changed has its one place for each part of the new column."""
    write_next_version(tmp_path / "next")

    statement = tmp_path / "next/processors/rows/merge/ville.sql"
    assert statement.read_text("utf-8").count(FIELD) == 10
