"""Both stock files of SIRENE imported in both orders, on a running stack: the tables end alike.

    python -m tests.benchmarks.sirene_imports [LINES]

LINES establishments and all their companies are generated. Each order has topics, a database and a
worker of its own. Ends with an error if a row of the two databases differs. Writes
results/sirene_imports.json.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

import psycopg

from tests.benchmarks.measuring import save
from tests.benchmarks.sirene_stock import establishments, write_stock
from tests.benchmarks.stage import WORKER, Site, Stage, stage, words

LINES = 100_000
TABLES = {
    "companies": (
        "SELECT siren, nom, nom_commercial, siret, adresse, code_postal, ville_nom, naf_code,"
        " naf_libelle, is_active FROM enterprise_entreprise ORDER BY siren"
    ),
    "register": "SELECT * FROM ingest.sirene ORDER BY siren",
}


def main(lines: int) -> None:
    companies = sum(line["etablissementSiege"] == "true" for line in establishments(lines))
    results = []
    with stage() as ready:
        files = [
            write_stock(ready.directory, "StockUniteLegale", companies),
            write_stock(ready.directory, "StockEtablissement", lines),
        ]
        found = []
        for prefix, order in (("units.", files), ("seats.", files[::-1])):
            tables, imports = imported(ready, prefix, order, companies)
            found.append(tables)
            results += imports
    for name in TABLES:
        differing = set(found[0][name]) ^ set(found[1][name])
        if differing:
            raise SystemExit(f"{name}: {len(differing)} rows differ, such as {min(differing)}")
        print(f"{name}: {len(found[0][name]):,} rows, the same in both orders")
    save("sirene_imports", results, lines=lines, companies=companies)


Rows = list[tuple[str, ...]]


def imported(
    ready: Stage, prefix: str, files: Sequence[Path], companies: int
) -> tuple[dict[str, Rows], list[dict[str, Any]]]:
    """The tables after the files in this order, and what each import took."""
    ready.topics(prefix)
    here = Site(ready, prefix, ready.database())
    # All head offices wait if they come first, and those of companies that stay unknown are swept.
    settings = {"FOX_PARKED_ROWS": str(companies), "FOX_SWEEP_SECONDS": "5"}
    worker = ready.spawn("worker", WORKER, here.environment | settings)
    try:
        imports = [one(here, file) for file in files]
        with psycopg.connect(here.database_url, autocommit=True) as connection:
            wait_for_parked(connection)
            tables = {
                name: [tuple(map(str, row)) for row in connection.execute(query.encode())]
                for name, query in TABLES.items()
            }
    finally:
        worker.stop()
    return tables, [{"first": files[0].stem, **each} for each in imports]


def one(here: Site, file: Path) -> dict[str, Any]:
    ran = here.start_import(file).wait()
    state = json.loads(ran.output)
    if state["rejected"]:
        raise SystemExit(f"{file.name}: {state}")
    result = {
        "file": file.stem,
        "seconds": round(ran.seconds, 1),
        **{name: state[name] for name in ("total_rows", "skipped_rows", "parked")},
    }
    print("{file:<24} {seconds:6.1f} s  {total_rows:>9,} rows, {skipped_rows:,} skipped, {parked:,} parked".format_map(result))  # fmt: skip
    return result


def wait_for_parked(connection: psycopg.Connection[Any], seconds: float = 300) -> None:
    """Those of companies that are not created, as they are not disclosed, are swept later."""
    ends = monotonic() + seconds
    while connection.execute("SELECT count(*) FROM ingest.parked").fetchone() != (0,):
        if monotonic() > ends:
            raise SystemExit("rows are still parked")
        Event().wait(1)


if __name__ == "__main__":
    main(*words([LINES]))
