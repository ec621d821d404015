"""A worker or a `foxstream` command that ends or stops by itself at a named point.

    python -m tests.faults.trapped POINT NTH SIGNAL -- worker|foxstream ARGS...

The NTH passing of the point (tests/faults/points.py) sends SIGNAL to the process: SIGKILL or
SIGSTOP. Up to there, and after a SIGCONT, it is the ordinary command.
"""

import importlib
import os
import signal
import sys

from tests.faults.points import POINTS

_APPS = {"worker": "processors.worker.commands", "foxstream": "producers.cli"}


class Trap:
    """Counts passings of a point and springs at the right one."""

    def __init__(self, nth: int, number: signal.Signals) -> None:
        self._left = nth
        self._signal = number

    def passed(self) -> None:
        """One passing."""
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), self._signal)


def main(words: list[str]) -> None:
    """Runs the command to its end."""
    name, nth, number, dashes, program, *arguments = words
    point = POINTS[name]
    if (dashes, program) != ("--", point.program):
        raise SystemExit(f"{name} is a point of {point.program}")
    point.install(Trap(int(nth), signal.Signals[number]).passed)
    sys.argv = [program, *arguments]
    importlib.import_module(_APPS[program]).app()


if __name__ == "__main__":
    main(sys.argv[1:])
