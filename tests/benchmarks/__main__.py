"""`make bench` and `make bench-growth`: benchmarks one after another, then docs/scalability.md.

    python -m tests.benchmarks [quick|long]

Each has servers of its own. Any of them runs alone as well: `python -m tests.benchmarks.sinks`.
"""

import subprocess
import sys

SETS = {
    "quick": ("sinks", "production", "traits", "imports", "stages"),
    "long": ("producers", "sirene", "fairness", "isolation", "growth"),
}


def main(name: str) -> None:
    for module in (*SETS[name], "report"):
        print(f"\n{module}")
        subprocess.run([sys.executable, "-m", f"tests.benchmarks.{module}"], check=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "quick")
