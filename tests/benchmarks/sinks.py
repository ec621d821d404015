"""foxstream beside three other ways of bringing the same rows into the same table.

    python -m tests.benchmarks.sinks [ROWS [ROUNDS [FAUST_ROUNDS]]]

The records are published before anybody starts, by foxstream's own producer. In each round each
contestant gets a new database, then writes all rows into the empty table (pass `insert`), then a
second edition of the same companies over them (pass `update`): once with all indexes of the site,
once with the table's two keys only. Writes results/sinks.json.
"""

import csv
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import psycopg
from confluent_kafka import murmur2

from deploy.local.processes.process import GuardedProcess
from schemas.import_types import ENTREPRISE
from schemas.topics import ROW_PARTITIONS
from tests.benchmarks.contestants import copy_floor
from tests.benchmarks.contestants.common import COLUMNS
from tests.benchmarks.measuring import Command, cpu_seconds, peak_mb, save
from tests.benchmarks.samples import companies, siren, write_csv
from tests.benchmarks.stage import WORKER, Stage, stage, words

ROWS, ROUNDS, FAUST_ROUNDS = 200_000, 3, 1
TABLES = {"all indexes": False, "keys only": True}
PASSES = {"insert": 1, "update": 2}  # and the edition that each writes
LONGEST_SECONDS = 300.0
POLL_SECONDS = 0.01
CONTESTANTS = "tests.benchmarks.contestants"
# As in samples.HEADER.
CSV_COLUMNS = ("siren", "nom", "siret", "adresse", "code_postal", "ville_nom", "naf_code", "naf_libelle", "telephone", "email_contact", "is_active")  # fmt: skip


@dataclass(frozen=True)
class Contestant:
    """How one of them is started; `handwritten` may stand in the list with several batch sizes."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"{CONTESTANTS}.{module}", *arguments]


FOXSTREAM = Contestant("foxstream", WORKER, {})
FAUST = Contestant("stock Faust", python("faust_stock", "worker", "--loglevel", "warn"), {})
BATCHES = (2_000, 5_000, 10_000)


def handwritten(rows: int) -> Contestant:
    """With a batch of so many rows."""
    return Contestant("hand-written", python("handwritten"), {"BENCH_BATCH_ROWS": str(rows)})


def main(rows: int, rounds: int, faust_rounds: int) -> None:
    with stage() as ready:
        files = publish(ready, rows)
        best = best_batch(ready, rows)
        results: list[dict[str, Any]] = []
        for table, keys_only in TABLES.items():
            print(table)
            ready.keys_only = keys_only
            for number in range(rounds):
                for contestant in (handwritten(best), FOXSTREAM, FAUST):
                    if contestant is not FAUST or number < faust_rounds:
                        some = passes(ready, contestant, rows, list(PASSES))
                        results += [{"table": table, **result} for result in some]
                results += [{"table": table, **result} for result in floor(ready, files, rows)]
    save("sinks", results, rows=rows, rounds=rounds, batch_rows=best)


def publish(ready: Stage, rows: int) -> dict[str, Path]:
    """Both editions on Kafka, and as files with the table's own columns."""
    files = {}
    for name, edition in PASSES.items():
        ready.topics(f"{name}.")
        file = write_csv(ready.directory / f"{name}.csv", rows, edition=edition)
        reading = ready.publish(file, f"{name}.")
        assert reading.file_rows == rows, reading
        files[name] = for_psql(ready.directory / f"{name}-table.csv", rows, edition)
    return files


def for_psql(file: Path, rows: int, edition: int) -> Path:
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(COLUMNS)
        for row in companies(rows, edition=edition):
            given = dict(zip(CSV_COLUMNS, row, strict=True), is_active="t")
            writer.writerow([given.get(name, "") for name in COLUMNS])
    return file


def best_batch(ready: Stage, rows: int) -> int:
    """The batch size that suits the hand-written consumer best, by one insert pass of each."""
    rates = {}
    for batch in BATCHES:
        [result] = passes(ready, handwritten(batch), rows, ["insert"])
        rates[batch] = result["rows_per_second"]
    return max(rates, key=lambda batch: rates[batch])


def passes(
    ready: Stage, contestant: Contestant, rows: int, names: Sequence[str], prefix: str = ""
) -> Iterator[dict[str, Any]]:
    """The passes of one contestant into one database; `prefix` is of the topics."""
    database = ready.database()
    for name in names:
        env = {
            **ready.environment(f"{prefix}{name}.", database),
            "BENCH_TOPIC": f"{prefix}{name}.{ENTREPRISE.file_topic.name}",
            "BENCH_GROUP": f"{contestant.name.replace(' ', '-')}-{database.rsplit('/', 1)[1]}",
            **contestant.env,
        }
        settle_down(database)
        with spawned(ready, contestant, env) as process:
            result = drain(ready, process, database, rows, PASSES[name])
        yield told({"contestant": contestant.name, "pass": name, **result})
    ready.drop(database)


@contextmanager
def spawned(
    ready: Stage, contestant: Contestant, env: Mapping[str, str]
) -> Iterator[GuardedProcess]:
    process = ready.spawn(contestant.name.replace(" ", "-"), contestant.argv, env)
    try:
        yield process
    finally:
        process.stop()


def settle_down(database: str) -> None:
    """No contestant pays for what another, or its own first pass, left to be cleaned up."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE) enterprise_entreprise")
        connection.execute("CHECKPOINT")


def drain(
    ready: Stage, process: GuardedProcess, database: str, rows: int, edition: int
) -> dict[str, Any]:
    """From the start of a process to its last committed row; the rate counts from the first."""
    pids = {"contestant": process.pid, **ready.server_pids()}
    began, start = perf_counter(), usage(pids)
    firsts, lasts = boundaries(rows)
    mark = f"%({edition})"
    with psycopg.connect(database, autocommit=True) as connection:

        def written(keys: Sequence[str]) -> int:
            found = connection.execute(
                "SELECT count(*) FROM enterprise_entreprise WHERE siren = ANY(%s) AND nom LIKE %s",
                [keys, mark],
            ).fetchone()
            assert found is not None
            return int(found[0])

        until(lambda: written(firsts) > 0, process)
        first, before = perf_counter(), usage(pids)
        already = count(connection, mark)
        until(lambda: written(lasts) == len(lasts), process)
        last, after = perf_counter(), usage(pids)
        assert count(connection, mark) == rows, "not all rows are there"
    counted = rows - already
    return {
        "rows_per_second": round(counted / (last - first)),
        "seconds_from_start": round(last - began, 2),
        "rows_per_second_from_start": round(rows / (last - began)),
        "cpu_us_per_row": {
            name: round((after[name] - before[name]) / counted * 1e6, 1) for name in pids
        },
        "cpu_us_per_row_from_start": {
            name: round((after[name] - start[name]) / rows * 1e6, 1) for name in pids
        },
        "peak_mb": round(peak_mb(process.pid)),
    }


def usage(pids: Mapping[str, int]) -> dict[str, float]:
    return {name: cpu_seconds(pid) for name, pid in pids.items()}


def boundaries(rows: int) -> tuple[list[str], list[str]]:
    """The keys of each partition's first and of its last record.

    A contestant writes a partition in order: when the last ones are there, all are.
    """
    firsts: dict[int, str] = {}
    lasts: dict[int, str] = {}
    for number in range(rows):
        key = siren(number)
        partition = murmur2(key.encode(), ROW_PARTITIONS)
        firsts.setdefault(partition, key)
        lasts[partition] = key
    return list(firsts.values()), list(lasts.values())


def count(connection: psycopg.Connection[Any], mark: str) -> int:
    found = connection.execute(
        "SELECT count(*) FROM enterprise_entreprise WHERE nom LIKE %s", [mark]
    ).fetchone()
    assert found is not None
    return int(found[0])


def until(true: Callable[[], bool], process: GuardedProcess) -> None:
    limit = perf_counter() + LONGEST_SECONDS
    while not true():
        if not process.running or perf_counter() > limit:
            raise SystemExit(f"{process.name} does not come to its end:\n{process.log_tail()}")
        threading.Event().wait(POLL_SECONDS)


def floor(ready: Stage, files: Mapping[str, Path], rows: int) -> Iterator[dict[str, Any]]:
    """psql has no first and last row: its one transaction is timed from start to end."""
    database = ready.database()
    pids = ready.server_pids()
    for name, file in files.items():
        settle_down(database)
        before = usage(pids)
        ran = Command(copy_floor.command(name, str(file), database), {}).wait()
        assert ran.code == 0, ran
        after = usage(pids)
        rate = round(rows / ran.seconds)
        cost = {key: round((after[key] - before[key]) / rows * 1e6, 1) for key in pids}
        cost["contestant"] = round(ran.cpu_seconds / rows * 1e6, 1)
        yield told(
            {
                "contestant": "psql \\copy",
                "pass": name,
                "rows_per_second": rate,
                "seconds_from_start": round(ran.seconds, 2),
                "rows_per_second_from_start": rate,
                "cpu_us_per_row": cost,
                "cpu_us_per_row_from_start": cost,
                "peak_mb": round(ran.peak_mb),
            }
        )
    ready.drop(database)


def told(result: dict[str, Any]) -> dict[str, Any]:
    cost = result["cpu_us_per_row"].get("contestant", 0.0)
    print(
        f"{result['contestant']:<14} {result['pass']:<7} {result['rows_per_second']:>8,} rows/s"
        f"  {cost:6.1f} µs/row  {result['peak_mb']:>4} MB"
        f"  {result['seconds_from_start']:6.2f} s from its start"
    )
    return result


if __name__ == "__main__":
    main(*words([ROWS, ROUNDS, FAUST_ROUNDS]))
