"""When so much is rejected that rather foxstream, or a sender, is wrong."""

import pytest

from processors.rows.accounting.reject_limit import (
    LEAST_ROWS,
    WINDOW_ROWS,
    RejectLimit,
    RejectLimitError,
)


def test_a_few_rows_prove_nothing() -> None:
    limit = RejectLimit(0.5)

    limit.check(LEAST_ROWS - 1, LEAST_ROWS - 1)
    with pytest.raises(RejectLimitError, match="1000 of the latest 1000 rows"):
        limit.check(LEAST_ROWS, LEAST_ROWS)


def test_small_batches_add_up() -> None:
    limit = RejectLimit(0.5)
    for _ in range(9):
        limit.check(100, 100)
        limit.count(100, 100)

    with pytest.raises(RejectLimitError):
        limit.check(100, 100)
    limit.check(1000, 100)  # another partition goes on


def test_the_limit_itself_is_allowed() -> None:
    limit = RejectLimit(0.5)

    limit.check(2000, 1000)
    with pytest.raises(RejectLimitError):
        limit.check(2000, 1001)


def test_a_long_good_past_is_no_excuse() -> None:
    limit = RejectLimit(0.5)
    for _ in range(1000):
        limit.count(WINDOW_ROWS, 0)

    for _ in range(WINDOW_ROWS // 1000):
        limit.count(1000, 1000)

    with pytest.raises(RejectLimitError):
        limit.check(1000, 1000)


def test_no_limit() -> None:
    limit = RejectLimit(1)

    limit.check(10**6, 10**6)
    limit.count(10**6, 10**6)
