"""How many examples a property test tries: a quarter in the suite, all with `make properties`."""

import os

FULL = os.environ.get("FOX_TEST_EXAMPLES") == "full"


def examples(full: int) -> int:
    """So many in a full run."""
    return full if FULL else full // 4
