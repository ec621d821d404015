"""Garbage collection in processes that handle rows.

Rows are allocated by the thousand and form no cycles. With Python's own thresholds, a third of a
worker's time and a fifth of the time of a large import is spent looking for cycles among them.
"""

import gc

THRESHOLDS = (200_000, 20, 50)


def collect_rarely() -> None:
    """Sets the thresholds of this process."""
    gc.set_threshold(*THRESHOLDS)
