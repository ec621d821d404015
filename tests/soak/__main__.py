"""The soak: `make soak`.

    python -m tests.soak [MINUTES] [--directory PATH]

So long (30 minutes) the system has 70 % of the load that it takes: imports by command and by
upload, texts by a scripted model, and faults at fixed times, while Prometheus looks on with the
rules of deploy/. In the end rows, texts, memory, logs and alerts are judged. Exit code 1 where
anything is wrong. Writes tests/benchmarks/results/soak.json.
"""

import argparse
import sys
from pathlib import Path
from shutil import which

from tests import long_run
from tests.benchmarks.measuring import save
from tests.soak.run import soak


def main(words: list[str]) -> int:
    """Runs once; returns the exit code."""
    parser = argparse.ArgumentParser("python -m tests.soak")
    parser.add_argument("minutes", type=float, nargs="?", default=30.0)
    parser.add_argument("--directory", type=Path, help="where servers and logs are, and stay")
    given = parser.parse_args(words)
    if which("prometheus") is None:
        parser.error("Prometheus is missing: apt install prometheus")
    with long_run.directory(given.directory) as directory:
        result = soak(given.minutes, directory, long_run.report)
    print("\n".join(result.lines()))
    save("soak", result.document(), minutes=given.minutes)
    return 1 if result.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
