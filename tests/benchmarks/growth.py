"""How rate and memory change while the table grows, on a running stack with one worker.

    python -m tests.benchmarks.growth [ROWS [STEP]]

Imports file after file of companies that are not there yet, by the command; then one file of
companies spread over the whole table, with changed values. Writes results/growth.json.
"""

import json
from pathlib import Path
from typing import Any

from deploy.local.processes.process import GuardedProcess
from tests.benchmarks.measuring import cpu_seconds, forget_peak, peak_mb, save
from tests.benchmarks.samples import SAMPLES, write_csv
from tests.benchmarks.stage import Site, site, words

ROWS, STEP = 5_000_000, 500_000


def main(rows: int, step: int) -> None:
    with site() as found:
        worker = found.worker()
        found.start_import(SAMPLES / "entreprises.csv").wait()
        results = [one(found, worker, start, step, edition=1) for start in range(0, rows, step)]
        results.append(one(found, worker, rows // 2, step, edition=2))
    save("growth", results, rows=rows, step=step)


def one(found: Site, worker: GuardedProcess, start: int, step: int, edition: int) -> dict[str, Any]:
    """One file, from the command to its terminal state."""
    file: Path = found.stage.directory / "step.csv"
    write_csv(file, step, start, edition)
    pids = {"worker": worker.pid, **found.stage.server_pids()}
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    forget_peak(worker.pid)
    ran = found.start_import(file).wait()
    state = json.loads(ran.output)
    assert state["total_rows"] == step, state
    file.unlink()
    result = {
        "table_rows": start + step if edition == 1 else start * 2,
        "pass": "insert" if edition == 1 else "update",
        "seconds": round(ran.seconds, 2),
        "rows_per_second": round(step / ran.seconds),
        "cpu_us_per_row": {
            "command": round(ran.cpu_seconds / step * 1e6, 1),
            **{
                name: round((cpu_seconds(pid) - before[name]) / step * 1e6, 1)
                for name, pid in pids.items()
            },
        },
        "worker_mb": round(peak_mb(worker.pid)),
        "command_mb": round(ran.peak_mb),
    }
    print("{table_rows:>10,} rows {pass:<7} {rows_per_second:>8,} rows/s  worker {worker_mb} MB  command {command_mb} MB".format_map(result))  # fmt: skip
    return result


if __name__ == "__main__":
    main(*words([ROWS, STEP]))
