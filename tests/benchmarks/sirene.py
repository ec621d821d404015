"""How fast SIRENE's stock files are read at their full width, next to plain reading.

    python -m tests.benchmarks.sirene [LINES]

Both files are generated, a tenth of the lines and all of them: memory is to be the same. Plain reading
is the csv module on the file in the archive, once; foxstream recognises the file (which reads it once
for its encoding), filters, converts and judges. No server runs. Writes results/sirene.json.
"""

import csv
import gc
import json
import sys
import tempfile
import zipfile
from io import TextIOWrapper
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from producers import cli
from producers.reading import open_source
from schemas.import_types import ENTREPRISE
from tests.benchmarks.measuring import Command, save
from tests.benchmarks.sirene_stock import FILES, write_stock
from tests.benchmarks.stage import words

LINES = 2_000_000


def main(lines: int) -> None:
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for name in FILES:
            for size in (lines // 10, lines):
                file = write_stock(Path(folder), name, size)
                results.append({"file": name, "lines": size, **measured(file, size)})
                file.unlink()
                print("{file:<19}{lines:>10,} lines  foxstream {lines_per_second:>8,} lines/s {us_per_line:5.1f} µs {peak_mb:>4} MB  plain {plain_lines_per_second:>8,} lines/s {plain_us_per_line:5.1f} µs {plain_peak_mb:>4} MB".format_map(results[-1]))  # fmt: skip
    save("sirene", results)


def measured(file: Path, lines: int) -> dict[str, Any]:
    """Each way in a process of its own."""
    foxstream, plain = run(file, "foxstream"), run(file, "plain")
    assert foxstream["rows"] + foxstream["skipped"] == plain["rows"] == lines, (foxstream, plain)
    return {
        "rows": foxstream["rows"],
        "skipped": foxstream["skipped"],
        **costs("", foxstream, lines),
        **costs("plain_", plain, lines),
    }


def costs(prefix: str, ran: dict[str, Any], lines: int) -> dict[str, Any]:
    return {
        f"{prefix}lines_per_second": round(lines / ran["seconds"]),
        f"{prefix}us_per_line": round(ran["cpu_seconds"] / lines * 1e6, 1),
        f"{prefix}peak_mb": round(ran["peak_mb"]),
    }


def run(file: Path, way: str) -> dict[str, Any]:
    ran = Command([sys.executable, "-m", "tests.benchmarks.sirene", way, str(file)], {}).wait()
    if ran.code != 0:
        raise SystemExit(f"{way} reading of {file.name}: exit code {ran.code}")
    return {**json.loads(ran.output), "peak_mb": ran.peak_mb}


def plainly(file: Path) -> dict[str, int]:
    with zipfile.ZipFile(file) as archive, archive.open(archive.namelist()[0]) as member:
        lines = csv.reader(TextIOWrapper(member, encoding="utf-8", newline=""))
        return {"rows": sum(1 for _ in lines) - 1}


def by_foxstream(file: Path) -> dict[str, int]:
    source = open_source(file, ENTREPRISE)
    rows = sum(len(chunk) for chunk in source.chunks())
    return {"rows": rows, "skipped": source.skipped_rows}


WAYS = {"plain": plainly, "foxstream": by_foxstream}


def timed(way: str, file: Path) -> None:
    assert gc.get_threshold() != (700, 10, 10), cli  # the command's own, set by its module
    began, spent = perf_counter(), process_time()
    found = WAYS[way](file)
    seconds, cpu_seconds = perf_counter() - began, process_time() - spent
    print(json.dumps({**found, "seconds": seconds, "cpu_seconds": cpu_seconds}))


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in WAYS:
        timed(sys.argv[1], Path(sys.argv[2]))
    else:
        main(*words([LINES]))
