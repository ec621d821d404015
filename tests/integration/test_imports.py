"""A file from the command line to the tables, with a real worker."""

from pathlib import Path

import pytest

from tests.fix_stack import Site

COMPANIES = "siren,nom,code_postal\n" + "".join(
    f"{number:09d},Entreprise {number},{number % 90000 + 1000:05d}\n" for number in range(1, 2001)
)


@pytest.fixture
def companies(tmp_path: Path) -> Path:
    file = tmp_path / "companies.csv"
    file.write_text(COMPANIES, encoding="utf-8")
    return file


def test_every_row_is_written_and_accounted_for(site: Site, companies: Path) -> None:
    """A clean file ends in SUCCESS, with as many rows in the table as lines in the file."""
    site.worker()

    done = site.foxstream("import", companies, "--type", "entreprise", "--json")

    assert done.code == 0, done.stderr
    state = done.json()
    assert (state["status"], state["total_rows"], state["inserted"]) == ("SUCCESS", 2000, 2000)
    assert site.query(
        "SELECT count(*), count(DISTINCT siren) FROM enterprise_entreprise"
    ) == [(2000, 2000)]
