"""Fuzzes what strangers send: `make fuzz`.

    python -m tests.fuzz [NAME …] [--minutes 10]

So long for each. Exit code 1 if anything was found; Hypothesis prints the smallest example, which is to be
kept as an explicit one beside the fix.
"""

import argparse
import faulthandler
import resource
import sys
import traceback
from collections.abc import Callable
from time import monotonic
from typing import Any

from hypothesis import HealthCheck, settings
from structlog.testing import capture_logs

from tests.fuzz.records import fuzz_records
from tests.fuzz.uploads import fuzz_multipart, fuzz_tus
from tests.fuzz.workbooks import fuzz_workbooks

FUZZES: dict[str, Callable[[], Any]] = {
    "records": fuzz_records,
    "multipart": fuzz_multipart,
    "tus": fuzz_tus,
    "workbooks": fuzz_workbooks,
}
_EXAMPLES = 500
_MEMORY_BYTES = 4 << 30
_HANGING_SECONDS = 120


def main(words: list[str]) -> int:
    """Runs each for its time; returns the exit code."""
    parser = argparse.ArgumentParser("python -m tests.fuzz")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(FUZZES)}")
    parser.add_argument("--minutes", type=float, default=10.0, help="of each")
    given = parser.parse_args(words)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    found = [fuzz(name, given.minutes * 60) for name in given.names or FUZZES]
    return int(any(found))


def fuzz(name: str, seconds: float) -> bool:
    """Whether it found anything."""
    run = settings(
        max_examples=_EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )(FUZZES[name])
    began, examples = monotonic(), 0
    while monotonic() - began < seconds:
        faulthandler.dump_traceback_later(_HANGING_SECONDS + seconds, exit=True)
        try:
            with capture_logs():
                run()
        except BaseException:  # noqa: BLE001 - a group of findings too
            traceback.print_exc()
            print(f"{name}: found after about {examples} examples", flush=True)
            return True
        examples += _EXAMPLES
    print(f"{name}: nothing in {examples} examples", flush=True)
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
