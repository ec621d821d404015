"""How long an import takes, from the command to its terminal state, on a running stack.

    python -m tests.benchmarks.imports [ROWS ...]

Each size is imported twice into a table that the smaller ones have filled in part: the first time
most rows are new, the second time (`--force`) none changes. Writes results/imports.json beside
this file: seconds, CPU microseconds a row of the worker and of the command, and the peak memory of
both. Figures of one run compare with each other, not with those of another machine.
"""

import json
import sys
from pathlib import Path
from typing import Any

from deploy.local.processes.process import GuardedProcess
from tests.benchmarks.measuring import cpu_seconds, forget_peak, peak_mb, save
from tests.benchmarks.samples import SAMPLES, write_csv
from tests.benchmarks.stage import Site, site

SIZES = (1_000, 10_000, 50_000, 500_000)


def main(sizes: list[int]) -> None:
    results: list[dict[str, Any]] = []
    with site() as found:
        worker = found.worker()
        found.start_import(SAMPLES / "entreprises.csv").wait()  # the worker has started by then
        for size in sizes:
            file = write_csv(found.stage.directory / f"{size}.csv", size)
            for force in ((), ("--force",)):
                results.append(measure(found, worker, file, size, force))
                print("{rows:>9,} rows {run:<8} {seconds:6.2f} s  {rows_per_second:>8,.0f} rows/s  worker {worker_us_per_row:5.1f} µs/row, {worker_mb:.0f} MB  command {command_us_per_row:5.1f} µs/row, {command_mb:.0f} MB".format_map(results[-1]))  # fmt: skip
    save("imports", results)


def measure(
    found: Site, worker: GuardedProcess, file: Path, size: int, force: tuple[str, ...]
) -> dict[str, Any]:
    """One import by the command."""
    forget_peak(worker.pid)
    before = cpu_seconds(worker.pid)
    ran = found.start_import(file, *force).wait()
    state = json.loads(ran.output)
    if state["status"] != "SUCCESS" or state["total_rows"] != size:
        raise SystemExit(f"{file.name}: {state}")
    return {
        "rows": size,
        "run": "again" if force else "first",
        "seconds": round(ran.seconds, 2),
        "rows_per_second": round(size / ran.seconds),
        "worker_us_per_row": round((cpu_seconds(worker.pid) - before) / size * 1e6, 1),
        "command_us_per_row": round(ran.cpu_seconds / size * 1e6, 1),
        "worker_mb": round(peak_mb(worker.pid)),
        "command_mb": round(ran.peak_mb),
    }


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or list(SIZES))
