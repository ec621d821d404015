"""Types of SQL rows: each has exactly the columns that its statement returns."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

from processors.database.queries import load
from processors.imports.facts import ImportFacts
from processors.jobs.job_list import LatestRun
from processors.operator.upstream_rejects import StoredReject
from processors.operator.waiting import UnresolvedCompany, WaitingRow
from processors.rows.outbox import UnpublishedReject
from processors.rows.parking.parked_rows import ParkedRow
from tests.integration.test_row_writer import database

__all__ = ["database"]  # a fixture

NO_IDS: Mapping[str, object] = {"ids": list[UUID]()}
NO_PARTITIONS: Mapping[str, object] = {"topics": list[str](), "partitions": list[int]()}
ANY_REJECT: Mapping[str, object] = {
    **dict.fromkeys(("id", "topic", "code", "since", "import")),
    "open": True,
    "limit": 1,
}
STATEMENTS: Mapping[str, tuple[type, str, str, str, Mapping[str, object]]] = {
    "facts": (
        ImportFacts,
        "processors.imports",
        "tracker.sql",
        "facts",
        {**NO_IDS, "topics": Jsonb({}), "reader_gone": timedelta(seconds=1)},
    ),
    "latest": (LatestRun, "processors.jobs", "jobs.sql", "latest", {}),
    "unresolved": (
        UnresolvedCompany,
        "processors.rows.derived",
        "public_pages.sql",
        "unresolved",
        {"limit": 1},
    ),
    "listed-parked": (
        WaitingRow,
        "processors.rows.parking",
        "parked_rows.sql",
        "listed",
        {"import_id": None, "limit": 1},
    ),
    "taken": (
        ParkedRow,
        "processors.rows.parking",
        "parked_rows.sql",
        "take",
        {"topics": [""], "partition": 0, "keys": list[str](), "most": 1},
    ),
    "unpublished": (
        UnpublishedReject,
        "processors.rows",
        "outbox.sql",
        "unpublished",
        NO_PARTITIONS,
    ),
    "listed-rejects": (
        StoredReject,
        "processors.operator",
        "upstream_rejects.sql",
        "listed",
        ANY_REJECT,
    ),
    "chosen": (StoredReject, "processors.operator", "upstream_rejects.sql", "chosen", NO_IDS),
    "locked": (StoredReject, "processors.operator", "upstream_rejects.sql", "locked", NO_IDS),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_columns(name: str, database: str) -> None:
    """A column that a type lacks, or a key that no column has, is an error of the type."""
    row, package, file, statement, parameters = STATEMENTS[name]
    assert columns(database, load(package, file)[statement], parameters) == set(row.__annotations__)


def columns(database: str, statement: LiteralString, parameters: Mapping[str, Any]) -> set[str]:
    """The names of the columns that a statement returns."""
    with psycopg.connect(database) as connection:
        description = connection.execute(statement, parameters).description
    assert description is not None
    return {column.name for column in description}
