"""How many examples a property test tries, in multiples of the suite's: `make properties TIMES=100`."""

import os

TIMES = int(os.environ.get("FOX_TEST_EXAMPLES", "1"))


def examples(full: int) -> int:
    """So many with `make properties`, which has four times the examples of the suite."""
    return full * TIMES // 4
