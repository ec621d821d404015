"""A stop where most rows would be rejected: then this version, or a sender, is wrong, not the rows."""

LEAST_ROWS = 1000
"""No ratio is taken of fewer rows."""

WINDOW_ROWS = 10_000
"""About so many of the latest rows count."""


class RejectLimitError(Exception):
    """Too many rows would be rejected. Nothing of the batch is written; the partition halts."""


class RejectLimit:
    """The rows of one topic as this worker wrote them. `most` is a fraction; 1: no limit.

    Rejects that the reader of a file announced do not count: its operator is told of them.
    """

    def __init__(self, most: float) -> None:
        self._most = most
        self._rows = 0
        self._rejected = 0

    def check(self, rows: int, rejected: int) -> None:
        """Raises RejectLimitError where so many more rows, and rejects among them, are too many.

        Never for a batch that brings the ratio down.
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
        """Takes in what was committed."""
        self._rows += rows
        self._rejected += rejected
        if self._rows > WINDOW_ROWS:
            self._rows //= 2
            self._rejected //= 2
