"""Halts if most rows would be rejected: then this version or a sender is wrong, not the rows."""

LEAST_ROWS = 1000
"""No ratio is computed for fewer rows."""

WINDOW_ROWS = 10_000
"""About how many of the latest rows count."""


class RejectLimitError(Exception):
    """Too many rows would be rejected. Nothing of the batch is written; the partition halts."""


class RejectLimit:
    """Counts the rows of one topic that this worker wrote. `most` is a fraction; 1: no limit.

    Rejects whose faults the reader of a file found do not count: its operator sees them.
    """

    def __init__(self, most: float) -> None:
        self._most = most
        self._rows = 0
        self._rejected = 0

    def check(self, rows: int, rejected: int) -> None:
        """Raises RejectLimitError if `rejected` of `rows` further rows exceed the limit.

        Never for a batch that lowers the ratio.
        """
        if rejected <= self._most * rows:
            return
        rows += self._rows
        rejected += self._rejected
        if rows >= LEAST_ROWS and rejected > self._most * rows:
            raise RejectLimitError(
                f"{rejected} of the latest {rows} rows would be rejected, more than "
                f"{self._most:.0%} (FOX_REJECT_LIMIT)"
            )

    def count(self, rows: int, rejected: int) -> None:
        """Adds what was committed."""
        self._rows += rows
        self._rejected += rejected
        if self._rows > WINDOW_ROWS:
            self._rows //= 2
            self._rejected //= 2
