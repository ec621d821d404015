"""`foxstream-worker migrate` looks at the site's tables first, and changes nothing if one does not fit."""

import subprocess
import sys
from itertools import count

import psycopg
import pytest

from deploy.local.stack import Stack
from processors.database.migrator import migrate
from processors.database.site_tables import REQUIRED, TABLES, Column, added
from processors.errors import ConfigurationError
from processors.operator.site_fit import Fit, check
from tests.fix_stack import create_database

_numbers = count(1)


def new(stack: Stack, options: str = "") -> str:
    """The URL of a new database without any table."""
    return create_database(stack.environment["FOX_DATABASE_URL"], f"fit{next(_numbers)}", options)


@pytest.fixture
def django(stack: Stack) -> str:
    """A database with the site's tables, and nothing of foxstream."""
    url = new(stack)
    subprocess.run([sys.executable, "-m", "tests.django_site", url], check=True)
    return url


def looked_at(url: str) -> dict[str, Fit]:
    """What `migrate` found, by table."""
    found: list[Fit] = []
    migrate(url, lambda connection: found.extend(check(connection)))
    return {fit.table: fit for fit in found}


def test_tables_of_django(django: str) -> None:
    """All fit; what Django fills itself is filled."""
    found = looked_at(django)

    assert {table for table, fit in found.items() if fit.blocks} == set()
    assert {"siren_temporaire", "contacts"} <= {
        c.name for c in found["enterprise_entreprise"].filled
    }
    assert [column.name for column in found["core_importlog"].filled] == ["file"]


def test_tables_of_django_4(stack: Stack) -> None:
    """Its statements are those of 5.2."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.django_site", new(stack), "--sql"],
        check=True,
        capture_output=True,
        text=True,
    )

    with open("tests/django_site/site-4.2.sql", encoding="utf-8") as file:
        assert done.stdout == file.read()


def test_no_tables(stack: Stack) -> None:
    """Without a site foxstream creates them, and fills in nothing."""
    assert [fit for fit in looked_at(new(stack)).values() if fit.filled or fit.blocks] == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            "ALTER TABLE enterprise_entreprise ADD COLUMN rang integer NOT NULL",
            "ALTER TABLE enterprise_entreprise ALTER COLUMN rang SET DEFAULT 0",
        ),
        ("ALTER TABLE location_ville RENAME COLUMN population TO habitants", '"population"'),
        (
            "ALTER TABLE location_ville DROP COLUMN population;"
            " ALTER TABLE location_ville ADD COLUMN population integer"
            " GENERATED ALWAYS AS (1) STORED",
            'column "population"',
        ),
        (
            "ALTER TABLE enterprise_prolocalisation RENAME COLUMN ville_id TO lieu_id",
            "ville_id",
        ),
        ("ALTER TABLE reviews_avisdecrypte DROP COLUMN job_id", '"job_id"'),
    ],
)
def test_a_table_that_blocks(django: str, change: str, why: str) -> None:
    """The message gives the reason, and the database is unchanged."""
    with psycopg.connect(django) as connection:
        connection.execute(change.encode())

    with pytest.raises(ConfigurationError, match=r"[Nn]othing was changed") as caught:
        looked_at(django)

    assert why in str(caught.value)
    with psycopg.connect(django) as connection:
        [known] = connection.execute("SELECT to_regnamespace('ingest')").fetchall()
    assert known == (None,)


def test_an_encoding_that_cannot_hold_every_text(stack: Stack) -> None:
    """It is refused before anything is created."""
    url = new(stack, "ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")

    with pytest.raises(ConfigurationError, match="LATIN1"):
        migrate(url)


def test_a_column_that_a_deployment_has_added(django: str) -> None:
    """The overview names it and its value; columns of the models are not named."""
    with psycopg.connect(django) as connection:
        connection.execute("ALTER TABLE enterprise_entreprise ADD COLUMN vip boolean NOT NULL")
        rows = connection.execute(REQUIRED, {"tables": list(TABLES)}).fetchall()

    assert added(rows) == [Column("enterprise_entreprise", "vip", "bool", "false")]
