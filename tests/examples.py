"""How many examples a property test tries, in multiples of the suite's: `make properties TIMES=100`."""

import os

TIMES = int(os.environ.get("FOX_TEST_EXAMPLES", "1"))


def examples(full: int) -> int:
    """So many with `make properties`, which has four times the examples of the suite."""
    return full * TIMES // 4


_PIECE = 500


def seeds(full: int) -> list[range]:
    """As many of random tables, the same in each run, in pieces that processes share.

    Where a case is a few draws, hypothesis takes as long to choose one as it takes to read the file.
    """
    count = examples(full)
    return [range(first, min(first + _PIECE, count)) for first in range(0, count, _PIECE)]
