"""What a batch reads of tables that are much larger than it, on whichever PostgreSQL is tried."""

from collections.abc import AsyncIterator, Callable
from itertools import count
from typing import Any

import psycopg
import pytest

from deploy.local.stack import Stack
from processors.database.pool import open_pool
from processors.rows.merge.targets import TARGETS
from schemas.import_types import VILLE
from tests.fix_stack import AS_DJANGO, new_database
from tests.integration.test_row_writer import Partition, company

Row = dict[str, Any]

_numbers = count(1)

STORED = 15_000
"""Rows of each table before the batch. Of much smaller ones the planner may well read all."""
ROWS = (1, 8)
"""Of a batch."""

FILL = f"""
    INSERT INTO ingest.naf VALUES ('62.01Z', 'Programmation', 'metier-1');
    INSERT INTO category_categorie (id, created_at, updated_at, nom, slug)
    VALUES (gen_random_uuid(), now(), now(), 'A', 'a');
    INSERT INTO subcategory_souscategorie (id, created_at, updated_at, categorie_id, nom, slug)
    SELECT gen_random_uuid(), now(), now(), c.id, 'Métier ' || n, 'metier-' || n
    FROM category_categorie c, generate_series(1, 300) n;
    INSERT INTO location_ville (
        id, created_at, updated_at, nom, slug, code_postal_principal, codes_postaux, departement,
        region, lat, lng, population
    )
    SELECT gen_random_uuid(), now(), now(), 'Ville ' || n, 'ville-' || n, (10000 + n)::text, '[]',
        '', '', 0, 0, 0
    FROM generate_series(1, {STORED}) n;
    INSERT INTO enterprise_entreprise (
        id, created_at, updated_at, siren, nom, naf_code, code_postal, ville_nom
    )
    SELECT gen_random_uuid(), now(), now(), (800000000 + n)::text, 'N', '62.01Z',
        (10000 + n)::text, 'Ville ' || n
    FROM generate_series(1, {STORED}) n;
    INSERT INTO enterprise_prolocalisation (
        id, created_at, updated_at, entreprise_id, sous_categorie_id, ville_id
    )
    SELECT gen_random_uuid(), now(), now(), e.id, s.id, v.id
    FROM enterprise_entreprise e
    JOIN location_ville v ON v.nom = e.ville_nom
    CROSS JOIN (SELECT id FROM subcategory_souscategorie WHERE slug = 'metier-1') s;
    INSERT INTO ingest.sirene (siren, unite_at)
    SELECT siren, '2020-01-01' FROM enterprise_entreprise;
    INSERT INTO ingest.communes (slug, code) SELECT slug, code_postal_principal FROM location_ville
    """
TABLES = (
    "enterprise_entreprise", "location_ville", "enterprise_prolocalisation", "sirene", "communes",
)  # fmt: skip


@pytest.fixture(scope="module")
def full(stack: Stack) -> str:
    """The URL of a migrated database whose tables are full."""
    url = new_database(stack, "large")
    with psycopg.connect(url, options=AS_DJANGO) as connection:
        connection.execute(FILL.encode())
    return url


@pytest.fixture
async def log(full: str) -> AsyncIterator[Partition]:
    """A partition of companies. Its one connection counts what it reads."""
    async with open_pool(full, 1) as pool:
        yield Partition(pool, topic=f"fox.rows.{next(_numbers)}")


async def rows_read(log: Partition) -> dict[str, int]:
    """Rows that all statements have read so far, by table."""
    await log.query("SELECT pg_stat_force_next_flush()")
    found = await log.query(
        "SELECT relname, (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::bigint"
        " FROM pg_stat_user_tables WHERE relname = ANY(%s)", list(TABLES),
    )  # fmt: skip
    return dict(found)


def of_register(number: int) -> Row:
    return company(number, etablissement_siege=True, source_date="2026-01-01", statut_diffusion="O")


def placed(number: int) -> Row:
    return company(
        number, naf_code="62.01Z", code_postal=str(10001 + number), ville_nom=f"Ville {1 + number}"
    )


def of_commune(number: int) -> Row:
    """Of a company whose postal code is not disclosed."""
    return company(
        number, naf_code="62.01Z", categorie_juridique="5710", statut_diffusion="P",
        code_commune=f"{10001 + number}", etablissement_siege=True, source_date="2026-01-01",
    )  # fmt: skip


def city(number: int) -> Row:
    return {"nom": f"Commune {number}", "code_postal": str(60000 + number)}


@pytest.mark.parametrize("analyzed", [False, True])
@pytest.mark.parametrize(
    ("row", "change"),
    [
        (placed, {"site_web": "https://example.org"}),
        (of_register, {"site_web": "https://example.org"}),
        (of_commune, {"site_web": "https://example.org"}),
        (city, {"population": 7}),
    ],
)
async def test_what_a_batch_reads(
    log: Partition, row: Callable[[int], Row], change: Row, analyzed: bool
) -> None:
    """A few rows of each table for each row of the batch, if it is new and if it changes."""
    if analyzed:
        await log.execute("ANALYZE")
    if row is city:
        log.target = TARGETS[VILLE.name]
    await log.begin()
    for rows in ROWS:
        new = [next(_numbers) for _ in range(rows)]
        for more in (dict[str, Any](), change):
            start = len(log.records)
            for number in new:
                log.append({**row(number), **more})
            before = await rows_read(log)

            await log.write(log.batch(start))

            after = await rows_read(log)
            read = {table: after[table] - before[table] for table in TABLES}
            assert max(read.values()) <= 20 * rows + 400, (rows, read)
