"""foxstream on the site's own database beside foxstream on the bare table of the other benchmarks.

    python -m tests.benchmarks.production [ROWS [ROUNDS]]

The site's database is as Django makes it (25 indexes on the table of companies, deferred foreign
keys) and as it is in production: the NAF file is loaded, and all cities and sub-categories are there,
so that each new company gets its public page. The two take turns on one broker and one PostgreSQL.
Writes results/production.json.
"""

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg

from processors.operator.naf.naf_files import read, shipped
from tests.benchmarks.measuring import Command, save
from tests.benchmarks.samples import SAMPLES, write_csv
from tests.benchmarks.sinks import FOXSTREAM, PASSES, passes
from tests.benchmarks.stage import FOXSTREAM as COMMAND
from tests.benchmarks.stage import TEMPLATE, WORKER, Stage, stage, words

ROWS, ROUNDS = 200_000, 3
SITE = "bench_site"
STATES = {"bare table": (TEMPLATE, ""), "production": (SITE, "site-")}
"""Of the database: the one that is copied, and the prefix of the topics that are written into it."""


def main(rows: int, rounds: int) -> None:
    with stage() as ready:
        prepare(ready)
        for prefix in ("", "site-"):
            for name, edition in PASSES.items():
                ready.topics(f"{prefix}{name}.")
                file = write_csv(ready.directory / f"{name}.csv", rows, edition=edition)
                ready.publish(file, f"{prefix}{name}.")
        for name in PASSES:
            run(ready, f"site-{name}.", "reference", "load")
        results: list[dict[str, Any]] = []
        for _ in range(rounds):
            for state, (ready.template, prefix) in STATES.items():
                found = passes(ready, FOXSTREAM, rows, list(PASSES), prefix)
                results += [{"state": state, **result} for result in found]
    save("production", results, rows=rows, rounds=rounds)


def prepare(ready: Stage) -> None:
    """Makes the site's database: its tables by Django, its cities and trades by imports."""
    url = ready.create(SITE)
    subprocess.run([sys.executable, "-m", "tests.django_site", url], check=True)
    ready.topics("site.")
    environment = ready.environment("site.", url)
    run(ready, "site.", "migrate")
    worker = ready.spawn("worker", WORKER, environment)
    for kind, file in references(ready.directory).items():
        argv = [*COMMAND, "import", str(file), "--type", kind]
        done = Command(argv, environment).wait()
        assert done.code == 0, done.output
    worker.stop()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def references(folder: Path) -> dict[str, Path]:
    """Files of all cities, and of the trades that the NAF file names."""
    trades = sorted({activity.slug for activity in read(shipped()).values()})
    categories, sub_categories = folder / "categories.csv", folder / "sous-categories.csv"
    with categories.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["nom"], ["Métiers"]])
    with sub_categories.open("w", encoding="utf-8", newline="") as file:
        names = [[slug.replace("-", " "), "Métiers"] for slug in trades]
        csv.writer(file).writerows([["nom", "categorie"], *names])
    return {
        "categorie": categories,
        "sous_categorie": sub_categories,
        "ville": SAMPLES / "villes-france.csv",
    }


def run(ready: Stage, prefix: str, *words: str) -> None:
    """A command of the worker on the site's database, to its end."""
    argv = [*WORKER[:-1], *words]
    done = Command(argv, ready.environment(prefix, ready.url(SITE))).wait()
    assert done.code == 0, done.output


if __name__ == "__main__":
    main(*words([ROWS, ROUNDS]))
