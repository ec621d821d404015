"""Imports that meet: ten at once, a small one behind a large one, and a time without a worker.

    python -m tests.benchmarks.fairness [ROWS_OF_TEN [LARGE_ROWS [SMALL_ROWS]]]

Writes results/fairness.json.
"""

import json
import threading
from time import perf_counter
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from schemas.import_types import ENTREPRISE
from schemas.topics import ROW_PARTITIONS
from tests.benchmarks.measuring import save
from tests.benchmarks.samples import write_csv
from tests.benchmarks.stage import Site, site, words

ROWS_OF_TEN, LARGE_ROWS, SMALL_ROWS = 20_000, 500_000, 1_000
IMPORTS = 10
HEAD_START_SECONDS = 5.0
NO_WORKER_SECONDS = 15.0


def main(rows_of_ten: int, large_rows: int, small_rows: int) -> None:
    with site() as found:
        results: dict[str, Any] = {}
        without, finish = without_worker(found, large_rows, small_rows)
        worker = found.worker()
        results["without a worker"] = {**without, **finish()}
        print(results)
        results["ten at once"] = ten_at_once(found, rows_of_ten)
        print(results["ten at once"])
        results["small behind large"] = small_behind_large(found, large_rows, small_rows)
        print(results["small behind large"])
        worker.stop()
    save("fairness", results, rows_of_ten=rows_of_ten, large_rows=large_rows, small_rows=small_rows)


def without_worker(found: Site, large_rows: int, small_rows: int) -> tuple[dict[str, Any], Any]:
    """A large and a small import with nobody to write them; and what then follows."""
    files = [
        write_csv(found.stage.directory / f"without{rows}.csv", rows, start)
        for rows, start in ((large_rows, 0), (small_rows, large_rows))
    ]
    commands = [found.start_import(file) for file in files]
    threading.Event().wait(NO_WORKER_SECONDS)
    held = {"seconds": NO_WORKER_SECONDS, "published": published(found)}

    def finish() -> dict[str, Any]:
        began = perf_counter()
        ends = {}

        def wait(name: str, number: int) -> None:
            ran = commands[number].wait()
            ends[name] = {
                "status": json.loads(ran.output)["status"],
                "seconds_after_the_worker": round(perf_counter() - began, 2),
                "peak_mb": round(ran.peak_mb),
            }

        together(lambda: wait("large", 0), lambda: wait("small", 1))
        return ends

    return held, finish


def ten_at_once(found: Site, rows: int) -> dict[str, Any]:
    """Files of the same size, started together: when each of them ends."""
    directory = found.stage.directory
    files = [
        write_csv(directory / f"ten{number}.csv", rows, 10_000_000 + number * rows)
        for number in range(IMPORTS)
    ]
    began = perf_counter()
    ends: list[float] = []

    def one(number: int) -> None:
        found.start_import(files[number]).wait()
        ends.append(round(perf_counter() - began, 2))

    together(*(lambda number=number: one(number) for number in range(IMPORTS)))
    total = IMPORTS * rows
    return {"rows": rows, "seconds": sorted(ends), "rows_per_second": round(total / max(ends))}


def small_behind_large(found: Site, large_rows: int, small_rows: int) -> dict[str, Any]:
    """The small file alone, then again while the large one is on its way."""
    directory = found.stage.directory
    small = write_csv(directory / "small.csv", small_rows, 20_000_000)
    alone = found.start_import(small).wait()
    large = found.start_import(write_csv(directory / "large.csv", large_rows, 30_000_000))
    threading.Event().wait(HEAD_START_SECONDS)
    behind = found.start_import(small, "--force").wait()
    whole = large.wait()
    assert behind.seconds + HEAD_START_SECONDS < whole.seconds, "the large file ended first"
    return {
        "small_rows": small_rows,
        "large_rows": large_rows,
        "alone_seconds": round(alone.seconds, 2),
        "behind_seconds": round(behind.seconds, 2),
        "large_seconds": round(whole.seconds, 2),
    }


def together(*works: Any) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def published(found: Site) -> int:
    """Rows that stand on the row topic."""
    consumer = Consumer({"bootstrap.servers": found.stage.bootstrap, "group.id": "counts"})
    topic = found.prefix + ENTREPRISE.file_topic.name
    try:
        return sum(
            int(consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[1])
            for number in range(ROW_PARTITIONS)
        )
    finally:
        consumer.close()


if __name__ == "__main__":
    main(*words([ROWS_OF_TEN, LARGE_ROWS, SMALL_ROWS]))
