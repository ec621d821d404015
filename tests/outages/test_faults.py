"""The fault-injection run in short, and that its check sees what is wrong.

The whole one is `make faults`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from deploy.local.stack import Stack
from tests.faults.check import check
from tests.faults.logs import tracebacks
from tests.faults.plan import Plan
from tests.faults.run import Driver
from tests.fix_stack import AS_DJANGO, Site, prepared

PLAN = Plan(seed=5, rows=5_000, faults=9)


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    """A run that is over, on servers of its own: they are killed."""
    with Stack(tmp_path / "stack", keep_schemas=True) as stack:
        done = Driver(prepared(stack), PLAN, tmp_path, lambda _: None)
        done.run()
        yield done


def test_every_row_is_exact_whatever_dies(driver: Driver) -> None:
    """Workers, producers, PostgreSQL and Kafka are killed and stopped in the middle of imports.

    The check reports each of several differences as well: a second run for that would take a minute.
    """
    assert driver.tally.seen.total() >= PLAN.faults
    assert sum(wave.rows for wave in driver.waves) >= PLAN.rows
    assert driver.tally.failures == []
    assert list(tracebacks(driver.processes, driver.outages)) == []
    assert check(driver.site, driver.waves).differences == []
    assert unseen_damages(driver) == []


_COMPANY = "siren = (SELECT max(siren) FROM enterprise_entreprise WHERE siren < '999')"  # of a file

# A statement, and how the difference that it makes is told.
DAMAGES = {
    "a value": (
        f"UPDATE enterprise_entreprise SET nom = 'Autre' WHERE {_COMPANY}",
        "entreprise of family",
    ),
    "a row too few": (
        f"DELETE FROM enterprise_entreprise WHERE {_COMPANY}",
        "enterprise_entreprise: ",
    ),
    "a row too many": (
        """
        INSERT INTO location_ville (id, created_at, updated_at, nom, slug, code_postal_principal,
            codes_postaux, departement, region, lat, lng, population)
        VALUES (gen_random_uuid(), now(), now(), 'X', 'x', '75001', '[]', '75', '', 0, 0, 0)
        """,
        "location_ville: ",
    ),
    "a counter": (
        "UPDATE ingest.imports SET updated = updated + 1 WHERE file_name = 'import0001.csv'",
        "imports: import0001.csv",
    ),
    "progress": (
        "UPDATE ingest.progress SET stale = stale + 1"
        " WHERE import_id = (SELECT id FROM ingest.imports WHERE file_name = 'import0001.csv')",
        "progress: import0001.csv",
    ),
    "an unfinished import": (
        "UPDATE ingest.imports SET completed_at = NULL WHERE file_name = 'import0002.csv'",
        "imports: import0002.csv",
    ),
    "a lost import": (
        "DELETE FROM ingest.imports WHERE file_name = 'import0005.csv'",
        "imports: import0005.csv",
    ),
    "the site's log": (
        "UPDATE core_importlog SET status = 'PENDING' WHERE file_name = 'import0004.csv'",
        "imports: import0004.csv",
    ),
    "a reject too few": (
        "DELETE FROM ingest.rejects WHERE value = 'last of ville 0'",
        "rejects in PostgreSQL: b'last of ville 0' is there 0 times",
    ),
    "a reject that nobody published": (
        """
        INSERT INTO ingest.rejects (id, topic, partition, "offset", appended_at, value, headers, faults)
        VALUES (gen_random_uuid(), 'x', 0, 0, now(), 'nobody', '[]', '[]')
        """,
        "rejects on the topic: b'nobody' is not there",
    ),
    "a reject twice": (
        """
        INSERT INTO ingest.rejects (id, topic, partition, "offset", appended_at, value, headers, faults)
        VALUES (gen_random_uuid(), 'x', 0, 0, now(), 'last of ville 1', '[]', '[]')
        """,
        "rejects in PostgreSQL: b'last of ville 1' is there 2 times",
    ),
    "a state that nobody published": (
        "UPDATE ingest.imports SET version = version + 1, published_version = version + 1",
        "imports.log: ",
    ),
}


def unseen_damages(driver: Driver) -> list[tuple[str, list[str]]]:
    """Those of DAMAGES that the check does not report, with what it reports."""
    site = tampered(driver.site, [statement for statement, _ in DAMAGES.values()])
    differences = check(site, driver.waves).differences
    return [
        (damage, differences)
        for damage, (_, told) in DAMAGES.items()
        if not any(text.startswith(told) for text in differences)
    ]


def tampered(site: Site, statements: Iterable[str]) -> Site:
    """The site with a copy of its database to which something was done."""
    server, _, name = site.database_url.rpartition("/")
    copy = f"{name}_tampered"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {copy}".encode())
        connection.execute(f"CREATE DATABASE {copy} TEMPLATE {name}".encode())
    with psycopg.connect(f"{server}/{copy}", options=AS_DJANGO) as connection:
        for statement in statements:
            connection.execute(statement.encode())
    return replace(site, database_url=f"{server}/{copy}")
