"""How fast files are published and what that takes: from the file to Kafka's acknowledgement.

    python -m tests.benchmarks.producers [ROWS [WORKBOOK_ROWS [LARGE_ROWS]]]

No worker runs, and the window is open: the producer alone is measured, in a process of its own.
Its rate counts from the opening of the file, recognition and normalisation included, without the
start of Python. Writes results/producers.json.
"""

import json
import sys
from pathlib import Path
from typing import Any

from tests.benchmarks.measuring import Command, save
from tests.benchmarks.samples import write_csv, write_xlsx
from tests.benchmarks.stage import Site, site, words

ROWS, WORKBOOK_ROWS, LARGE_ROWS = 500_000, 50_000, 2_000_000
SMALL_ROWS = 10_000
REPEATS = 3


def main(rows: int, workbook_rows: int, large_rows: int) -> None:
    with site() as found:
        directory = found.stage.directory
        sizes = sorted({SMALL_ROWS, rows, large_rows})
        results = []
        for size in sizes:
            file = write_csv(directory / f"{size}.csv", size)
            results.append(best(found, file, size))
            file.unlink()
        results.append(
            best(found, write_xlsx(directory / "rows.xlsx", workbook_rows), workbook_rows)
        )
    save("producers", results, repeats=REPEATS)


def best(found: Site, file: Path, rows: int) -> dict[str, Any]:
    """The best of some runs; each is a forced repeat, an import of its own."""
    runs = [publish(found, file, rows) for _ in range(REPEATS if rows <= ROWS else 1)]
    result = max(runs, key=lambda run: run["rows_per_second"])
    print("{format:<5}{rows:>9,} rows  {rows_per_second:>8,} rows/s  {us_per_row:5.1f} µs/row  {peak_mb} MB".format_map(result))  # fmt: skip
    return result


def publish(found: Site, file: Path, rows: int) -> dict[str, Any]:
    module = [sys.executable, "-m", "tests.benchmarks.producing", str(file)]
    ran = Command(module, found.environment).wait()
    if ran.code != 0:
        raise SystemExit(f"{file.name}: exit code {ran.code}")
    told = json.loads(ran.output)
    assert told["rows"] == rows, told
    return {
        "format": file.suffix[1:],
        "rows": rows,
        "rows_per_second": round(rows / told["seconds"]),
        "us_per_row": round(told["cpu_seconds"] / rows * 1e6, 1),
        "peak_mb": round(ran.peak_mb),
    }


if __name__ == "__main__":
    main(*words([ROWS, WORKBOOK_ROWS, LARGE_ROWS]))
