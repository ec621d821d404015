"""The fault-injection run: `make faults`.

    python -m tests.faults [--seed N] [--rows N] [--faults N] [--directory PATH]

Real workers and producers, a real broker, registry and database; faults at named points and at any
time; in the end every row, counter and reject compared with a plain calculation. Exit code 1 where
anything differs. Writes results/SEED.json beside this file.
"""

import argparse
import json
import sys
from pathlib import Path
from time import monotonic

from deploy.local.stack import Stack
from tests import long_run
from tests.faults.check import check
from tests.faults.logs import tracebacks
from tests.faults.plan import Plan
from tests.faults.result import Result
from tests.faults.run import Driver
from tests.fix_stack import prepared

RESULTS = Path(__file__).parent / "results"


def main(words: list[str]) -> int:
    """Runs once; returns the exit code."""
    parser = argparse.ArgumentParser("python -m tests.faults")
    parser.add_argument("--seed", type=int, default=732)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--directory", type=Path, help="where servers and logs are, and stay")
    given = parser.parse_args(words)
    plan = Plan(given.seed, given.rows, given.faults)
    print(f"seed {plan.seed}, {plan.rows:,} rows, {plan.faults} faults", flush=True)
    with long_run.directory(given.directory) as directory:
        result = run(plan, directory)
    print("\n".join(result.lines()))
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{plan.seed}.json"
    path.write_text(json.dumps(result.document(), indent=1, ensure_ascii=False) + "\n", "utf-8")
    return 0 if result.good else 1


def run(plan: Plan, directory: Path) -> Result:
    """A whole run on servers of its own."""
    began = monotonic()
    with Stack(directory / "stack", keep_schemas=True) as stack:
        site = prepared(stack, quick=False)
        driver = Driver(site, plan, directory, long_run.report)
        driver.run()
        failures = [*driver.tally.failures, *tracebacks(driver.processes, driver.outages)]
        findings = check(site, driver.waves)
    return Result(plan, driver.waves, driver.tally, failures, findings, monotonic() - began)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
