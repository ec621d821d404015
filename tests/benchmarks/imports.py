"""How long an import takes, from the command to its terminal state, on a running stack.

    python -m tests.benchmarks.imports [ROWS ...]

Each size is imported twice into a table that the smaller ones have filled in part: the first time
most rows are new, the second time (`--force`) none changes. Writes results/imports.json beside
this file: seconds, CPU microseconds a row of the worker and of the command, and the worker's peak
memory. Figures of one run compare with each other, not with those of another machine.
"""

import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import psutil  # type: ignore[import-untyped]

from deploy.local.process import GuardedProcess
from deploy.local.stack import Stack

SIZES = (1_000, 10_000, 50_000, 500_000)
RESULTS = Path(__file__).parent / "results" / "imports.json"
SAMPLES = Path(__file__).parents[2] / "docs" / "samples"
FOXSTREAM = [sys.executable, "-c", "from producers.cli import app; app()"]


def main(sizes: list[int]) -> None:
    sys.path.insert(0, str(SAMPLES))
    from generate import HEADER, companies  # type: ignore[import-not-found]

    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as directory, running(Path(directory)) as (stack, worker):
        for size in sizes:
            file = Path(directory) / f"{size}.csv"
            with file.open("w", encoding="utf-8", newline="") as out:
                csv.writer(out).writerows([HEADER, *companies(size)])
            for force in ((), ("--force",)):
                results.append(measure(stack, worker, file, size, force))
                print("{rows:>9,} rows {run:<8} {seconds:6.2f} s  {rows_per_second:>8,.0f} rows/s  worker {worker_us_per_row:5.1f} µs/row, {worker_mb:.0f} MB  command {command_us_per_row:5.1f} µs/row".format_map(results[-1]))  # fmt: skip
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


@contextmanager
def running(directory: Path) -> Iterator[tuple[Stack, psutil.Process]]:
    """A stack with one worker, warmed up by a small import."""
    with Stack(directory / "stack", report=print) as stack:
        for words in (["migrate"], ["topics"], ["schemas", "register"]):
            stack.complete(words[0], [sys.executable, "-m", "processors.cli", *words])
        worker = stack.spawn("worker", [sys.executable, "-m", "processors.cli", "run"])
        run(stack, SAMPLES / "entreprises.csv")
        yield stack, python_of(worker)


def python_of(worker: GuardedProcess) -> psutil.Process:
    return psutil.Process(worker.pid)


def run(stack: Stack, file: Path, *options: str) -> dict[str, Any]:
    done = subprocess.run(
        [*FOXSTREAM, "import", str(file), "--type", "entreprise", "--json", *options],
        env={**os.environ, **stack.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    state: dict[str, Any] = json.loads(done.stdout)
    return state


def measure(
    stack: Stack, worker: psutil.Process, file: Path, size: int, force: tuple[str, ...]
) -> dict[str, Any]:
    before, children = worker.cpu_times(), resource.getrusage(resource.RUSAGE_CHILDREN)
    began = perf_counter()
    state = run(stack, file, *force)
    seconds = perf_counter() - began
    after, ended = worker.cpu_times(), resource.getrusage(resource.RUSAGE_CHILDREN)
    if state["status"] != "SUCCESS" or state["total_rows"] != size:
        raise SystemExit(f"{file.name}: {state}")
    worker_seconds = after.user + after.system - before.user - before.system
    command = ended.ru_utime + ended.ru_stime - children.ru_utime - children.ru_stime
    return {
        "rows": size,
        "run": "again" if force else "first",
        "seconds": round(seconds, 2),
        "rows_per_second": round(size / seconds),
        "worker_us_per_row": round(worker_seconds / size * 1e6, 1),
        "command_us_per_row": round(command / size * 1e6, 1),
        "worker_mb": round(worker.memory_info().rss / 1e6),
    }


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or list(SIZES))
