"""Imports as pages and sums of them."""

from typing import Any

import pytest

from producers.gateway.api.listing import statistics
from producers.kafka.import_state import new_state
from schemas.records import ImportState


def state(total: int | None, success: int, errors: int = 0, **more: Any) -> ImportState:
    counts = {"total_rows": total, "success_rows": success, "error_rows": errors}
    return new_state(id=f"{total}/{success}", import_type="VILLE", **counts, **more)


@pytest.mark.parametrize(
    ("states", "rate"),
    [
        ([], 0),
        ([state(3, 2, 1), state(1, 1)], 75.0),
        ([state(100_000, 99_999, 1)], 99.99),  # 100 only where nothing is missing
        ([state(100_000, 100_000)], 100.0),
        ([state(100, 90, 10), state(None, 5000)], 90.0),  # of which nobody knows how many there are
    ],
)
def test_mean_success_rate(states: list[ImportState], rate: float) -> None:
    """It is that of all rows together, of the files that have been read."""
    sums = statistics(states)

    assert sums["average_success_rate"] == rate
    assert sums["total_success_rows"] == sum(each["success_rows"] for each in states)
