"""The attacks of docs/threat-model.md against a real stack with real ACLs: `make attacks`.

    python -m tests.attacks [NAME …] [--list] [--directory PATH]

Each attack has some seconds. Beside it another upstream system writes rows, and another account
checks and imports small files: they keep 80 % of their rate, every row is written, and nothing but the
attacker's own rows changes. Exit code 1 if anything is not as it has to be.
"""

import argparse
import sys
from pathlib import Path

from tests import long_run
from tests.attacks.run import verdicts
from tests.attacks.scripts import ATTACKS
from tests.attacks.stage import GATEWAY_BYTES, LIMIT, WORKER_BYTES
from tests.attacks.verdict import HEADINGS, line


def main(words: list[str]) -> int:
    """Runs the attacks; returns the exit code."""
    parser = argparse.ArgumentParser("python -m tests.attacks")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of attacks; all by default")
    parser.add_argument("--list", action="store_true", help="only print the names")
    parser.add_argument("--directory", type=Path, help="where servers and logs are, and stay")
    given = parser.parse_args(words)
    if given.list:
        print("\n".join(ATTACKS))
        return 0
    if unknown := set(given.names) - set(ATTACKS):
        parser.error(f"no such attack: {', '.join(sorted(unknown))}")
    print(f"worker {WORKER_BYTES >> 20} MiB, gateway {GATEWAY_BYTES >> 20} MiB by {LIMIT}")
    print(line(HEADINGS), flush=True)
    wrong = 0
    with long_run.directory(given.directory) as directory:
        for verdict in verdicts(given.names or list(ATTACKS), directory):
            print(line(verdict.cells()), flush=True)
            wrong += bool(verdict.wrong)
    print(f"{wrong} attacks did what none may" if wrong else "every attack failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
