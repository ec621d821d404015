"""How long three jobs take: the repair of the NAF sub-categories, pages looked at again, the switch to
NAF 2025.

    python -m tests.benchmarks.jobs [COMPANIES [SWITCHED]]

732 sub-categories whose names, slugs and descriptions all have to be repaired, then repaired ones; then
100,000 companies whose city was missing and is there, then all of them resolved; a million companies,
three in five of which have a code of NAF 2025 beside that of rev. 2.
Time is of the job, with its connection, lease and record, as `foxstream-worker job` runs it; the
program's start comes on top. Writes results/jobs.json.
"""

from time import perf_counter
from typing import Any

import psycopg

from processors.jobs.job_run import by_hand, dry_run
from processors.jobs.lease import Counts
from processors.operator.naf.naf_files import read, shipped
from processors.settings import Settings
from schemas.values.naf import Nomenclature
from tests.benchmarks.measuring import save
from tests.benchmarks.stage import Stage, stage, words

COMPANIES, SWITCHED = 100_000, 1_000_000
CITIES = 5_000


def main(companies: int, switched: int) -> None:
    with stage() as ready:
        database = ready.database()
        settings = Settings(database_url=database)  # type: ignore[arg-type]
        with psycopg.connect(database) as connection:
            sub_categories(connection)
        results = [timed(settings, "repair-sous-categories", "all to be repaired")]
        results.append(timed(settings, "repair-sous-categories", "nothing to be repaired"))
        with psycopg.connect(database) as connection:
            unresolved(connection, companies)
        results.append(timed(settings, "resolve-pages", f"{companies:,} pages to be made"))
        results.append(timed(settings, "resolve-pages", "nothing to be made"))
        results += switch(ready, switched)
    save("jobs", results, companies=companies, switched=switched)


def switch(ready: Stage, companies: int) -> list[dict[str, Any]]:
    """To NAF 2025, with a dry run before, once more, and back."""
    database = ready.database()
    with psycopg.connect(database) as connection:
        sub_categories(connection)
        unresolved(connection, companies)
        connection.execute(
            """
            INSERT INTO ingest.sirene (siren, naf_rev2, naf_2025)
            SELECT siren, naf_code, CASE WHEN siren::integer % 5 < 3 THEN left(naf_code, 5) || 'Y' END
            FROM enterprise_entreprise
            """
        )

    def settings(primary: Nomenclature) -> Settings:
        return Settings(database_url=database, naf_primary=primary)  # type: ignore[arg-type]

    job, of = "switch-naf", f"of {companies:,} companies"
    began = perf_counter()
    counts = dry_run(settings("2025"), job)
    found = result(job, f"dry run {of}", perf_counter() - began, counts)
    return [
        found,
        timed(settings("2025"), job, f"three in five {of}"),
        timed(settings("2025"), job, f"none {of}"),
        timed(settings("rev2"), job, "back"),
    ]


def timed(settings: Settings, job: str, case: str) -> dict[str, Any]:
    """One run of a job, and what it counted."""
    began = perf_counter()
    counts = by_hand(settings, job)
    return result(job, case, perf_counter() - began, counts)


def result(job: str, case: str, seconds: float, counts: Counts) -> dict[str, Any]:
    print(f"{job}, {case}: {seconds:.3f} s, {dict(counts)}")
    return {"job": job, "case": case, "seconds": round(seconds, 3), "counts": dict(counts)}


def sub_categories(connection: psycopg.Connection[Any]) -> None:
    """One for each activity, as the earlier system left them: cut names, empty or odd slugs."""
    connection.execute(
        "INSERT INTO category_categorie (id, created_at, updated_at, nom, slug) "
        "VALUES (md5('c')::uuid, now(), now(), 'Activités', 'activites')"
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO subcategory_souscategorie "
            "(id, created_at, updated_at, categorie_id, nom, slug, description) VALUES "
            "(gen_random_uuid(), now(), now(), md5('c')::uuid, %s, %s, %s)",
            [
                (f"{activity.label[:40]} {code}"[:100], f"x-{code.lower()}", f"NAF {code} : ?")
                for code, activity in read(shipped()).items()
            ],
        )


def unresolved(connection: psycopg.Connection[Any], companies: int) -> None:
    """Companies with an activity, its trade and cities; no page yet."""
    connection.execute(
        "INSERT INTO ingest.naf SELECT substring(description FROM 5 FOR 6), nom, slug "
        "FROM subcategory_souscategorie"
    )
    connection.execute(
        """
        INSERT INTO location_ville (id, created_at, updated_at, nom, slug, code_postal_principal,
            codes_postaux, departement, region, lat, lng, population)
        SELECT gen_random_uuid(), now(), now(), 'Ville ' || n, 'ville-' || n, lpad(n::text, 5, '0'),
            jsonb_build_array(lpad(n::text, 5, '0')), '01', '', 0, 0, n
        FROM generate_series(1, %s) n
        """,
        (CITIES,),
    )
    connection.execute(
        """
        INSERT INTO enterprise_entreprise (id, created_at, updated_at, siren, nom, code_postal,
            ville_nom, naf_code)
        SELECT gen_random_uuid(), now(), now(), lpad(n::text, 9, '0'), 'Société ' || n,
            lpad((n %% %s + 1)::text, 5, '0'), 'VILLE ' || n %% %s + 1, codes[n %% 732 + 1]
        FROM generate_series(1, %s) n, (SELECT array_agg(code) AS codes FROM ingest.naf) activities
        """,
        (CITIES, CITIES, companies),
    )


if __name__ == "__main__":
    main(*words([COMPANIES, SWITCHED]))
