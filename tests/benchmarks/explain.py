"""What each index is worth on a million companies: the plan of a query with it and without.

    python -m tests.benchmarks.explain [COMPANIES]

Each query is explained (EXPLAIN ANALYZE) with all indexes, then in a transaction that drops its
own and is rolled back; of several runs the fastest counts, so that pages are in memory both times.
Writes results/explain.json, and with tests.benchmarks.report the table in docs/database.md.
"""

from collections.abc import Iterator
from typing import Any, LiteralString, NamedTuple

import psycopg

from tests.benchmarks.measuring import save
from tests.benchmarks.stage import stage, words

COMPANIES = 1_000_000
RUNS = 3

Connection = psycopg.Connection[tuple[Any, ...]]

FILL: tuple[LiteralString, ...] = (
    """
    INSERT INTO location_ville (id, created_at, updated_at, nom, slug, code_postal_principal,
        codes_postaux, departement, region, lat, lng, population)
    SELECT md5('v' || n)::uuid, now(), now(), 'Ville ' || n, 'ville-' || n, lpad((n % 6000 * 16)::text, 5, '0'),
        CASE n % 50 WHEN 0 THEN jsonb_build_array(lpad((n % 6000 * 16)::text, 5, '0'), lpad((n % 6000 * 16 + 1)::text, 5, '0'))
            ELSE jsonb_build_array(lpad((n % 6000 * 16)::text, 5, '0')) END,
        lpad((n % 95 + 1)::text, 2, '0'), 'Région ' || n % 13, 0, 0, n
    FROM generate_series(1, 35000) n
    """,
    """
    INSERT INTO category_categorie (id, created_at, updated_at, nom, slug)
    SELECT md5('c' || n)::uuid, now(), now(), 'Famille ' || n, 'famille-' || n FROM generate_series(1, 20) n
    """,
    """
    INSERT INTO subcategory_souscategorie (id, created_at, updated_at, categorie_id, nom, slug)
    SELECT md5('s' || n)::uuid, now(), now(), md5('c' || n % 20 + 1)::uuid, 'Métier ' || n, 'metier-' || n
    FROM generate_series(1, 300) n
    """,
    """
    INSERT INTO enterprise_entreprise (id, created_at, updated_at, siren, siret, nom, code_postal,
        ville_nom, naf_code, ingest_offset)
    SELECT md5('e' || n)::uuid, now(), now(), lpad(n::text, 9, '0'), lpad(n::text, 9, '0') || '00011',
        'Société ' || n, lpad((v % 6000 * 16)::text, 5, '0'), 'Ville ' || v, lpad((n % 700)::text, 4, '0') || 'A', n
    FROM generate_series(1, COMPANIES) n, LATERAL (SELECT n % 35000 + 1 AS v) place
    """,
    """
    INSERT INTO enterprise_prolocalisation (id, created_at, updated_at, entreprise_id,
        sous_categorie_id, ville_id, score_global)
    SELECT md5('p' || n)::uuid, now(), now(), md5('e' || n)::uuid, md5('s' || n % 300 + 1)::uuid,
        md5('v' || n % 35000 + 1)::uuid, n % 100
    FROM generate_series(1, COMPANIES) n
    """,
    """
    INSERT INTO ingest.rejects (id, topic, partition, "offset", appended_at, headers, import_id, line,
        faults, published_at)
    SELECT md5('r' || n)::uuid, 'rows.entreprise', n % 6, n, now(), '[]', md5('i' || n % 500)::uuid, n,
        '[{"code": "malformed"}]', CASE WHEN n % 10000 > 0 THEN now() END
    FROM generate_series(1, COMPANIES / 5) n
    """,
)


class Query(NamedTuple):
    """`sql` is how `reader` asks; `constraint` is the table whose constraint the index is."""

    reader: str
    drops: str
    sql: LiteralString
    constraint: str | None = None


QUERIES = (
    Query(
        "a batch of 2,000 companies finds its rows",
        "enterprise_entreprise_siren_key",
        "SELECT t.id FROM (SELECT lpad((n * 400)::text, 9, '0') AS key FROM generate_series(1, 2000) n) s "
        "JOIN enterprise_entreprise t ON t.siren = s.key",
        "enterprise_entreprise",
    ),
    Query(
        "`trace` by SIRET",
        "enterprise_entreprise_siret",
        "SELECT * FROM enterprise_entreprise WHERE siret = '00040000000011'",
    ),
    Query(
        "the site: companies of a city",
        "enterprise_entreprise_ville",
        "SELECT * FROM enterprise_entreprise WHERE ville_nom = 'Ville 77' AND code_postal = '01232' LIMIT 50",
    ),
    Query(
        "the site: companies of an activity",
        "enterprise_entreprise_naf",
        "SELECT count(*) FROM enterprise_entreprise WHERE naf_code = '0042A'",
    ),
    Query(
        "2,000 companies find their cities",
        "location_ville_ingest",
        "SELECT v.id FROM (SELECT lpad((n % 6000 * 16)::text, 5, '0') AS code, "
        "ingest.city_key('Ville ' || n) AS key FROM generate_series(1, 2000) n) g "
        "JOIN location_ville v ON v.code_postal_principal = g.code AND v.ingest_key = g.key",
    ),
    Query(
        "200 companies find cities by their other codes",
        "location_ville_codes_postaux",
        "SELECT v.id FROM (SELECT lpad((n * 16 + 1)::text, 5, '0') AS code FROM generate_series(1, 200) n) g "
        "JOIN location_ville v ON jsonb_array_length(v.codes_postaux) > 1 "
        "AND v.codes_postaux @> to_jsonb(g.code)",
    ),
    Query(
        "the page of a company",
        "enterprise_prolocalisation_entreprise_id_sous_categorie_id__key",
        "SELECT * FROM enterprise_prolocalisation WHERE entreprise_id = md5('e77')::uuid",
        "enterprise_prolocalisation",
    ),
    Query(
        "the pages of a city, as when it is deleted",
        "enterprise_prolocalisation_ville",
        "SELECT * FROM enterprise_prolocalisation WHERE ville_id = md5('v77')::uuid",
    ),
    Query(
        "the site: the best pages",
        "enterprise_prolocalisation_score",
        "SELECT * FROM enterprise_prolocalisation ORDER BY score_global DESC, note_moyenne DESC LIMIT 50",
    ),
    Query(
        "rejects that are not published yet",
        "rejects_unpublished",
        "SELECT * FROM ingest.rejects WHERE published_at IS NULL AND topic = 'rows.entreprise' "
        'ORDER BY topic, partition, "offset" LIMIT 500',
    ),
    Query(
        "the rejects of an import",
        "rejects_import",
        "SELECT * FROM ingest.rejects WHERE import_id = md5('i77')::uuid ORDER BY line LIMIT 100",
    ),
)


def main(companies: int) -> None:
    with stage() as ready, psycopg.connect(ready.database(), autocommit=True) as connection:
        for statement in FILL:
            connection.execute(statement.replace("COMPANIES", str(companies)).encode())
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("SET jit = off")
        results = [explain(connection, query) for query in QUERIES]
    save("explain", results, companies=companies)


def explain(connection: Connection, query: Query) -> dict[str, Any]:
    """Plan and milliseconds with the index and without, and the index's size."""
    schema = "ingest." if query.drops.startswith("rejects") else ""
    size = connection.execute("SELECT pg_relation_size(%s::regclass)", (schema + query.drops,))
    found: dict[str, Any] = {
        "reader": query.reader,
        "index": query.drops,
        "mb": round(size.fetchall()[0][0] / 1e6, 1),
        "with": fastest(connection, query.sql),
    }
    with connection.transaction(force_rollback=True):
        if query.constraint is None:
            connection.execute(f"DROP INDEX {schema}{query.drops}".encode())
        else:
            drop = f"ALTER TABLE {query.constraint} DROP CONSTRAINT {query.drops}"
            connection.execute(drop.encode())
        found["without"] = fastest(connection, query.sql)
    print("{reader} ({index}): {with[ms]} ms, without {without[ms]} ms".format_map(found))
    return found


def fastest(connection: Connection, sql: LiteralString) -> dict[str, Any]:
    """The plan's ways to read tables, and its milliseconds."""
    plans = []
    for _ in range(RUNS):
        [(document,)] = connection.execute(
            b"EXPLAIN (ANALYZE, FORMAT JSON) " + sql.encode()
        ).fetchall()
        plans.append(document[0])
    best = min(plans, key=lambda plan: plan["Execution Time"])
    return {"ms": round(best["Execution Time"], 2), "plan": " + ".join(reads(best["Plan"]))}


def reads(plan: dict[str, Any]) -> Iterator[str]:
    """The scans of tables, outermost first."""
    if "Relation Name" in plan or "Index Name" in plan:
        yield plan["Node Type"]
    for below in plan.get("Plans", ()):
        yield from reads(below)


if __name__ == "__main__":
    main(*words([COMPANIES]))
