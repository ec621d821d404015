"""No release names a model that ends while it is in use, by a clock that stands."""

from datetime import date

import pytest

from deploy.release import ending
from schemas.values.text_prices import DEFAULT_MODEL, EFFORTS, ENDS, PRICES

TODAY = date(2026, 11, 30)


@pytest.mark.parametrize(
    ("day", "ends"),
    [
        (date(2026, 10, 23), True),
        (date(2027, 1, 14), True),
        (date(2027, 1, 30), True),
        (date(2027, 4, 1), False),
    ],
)
def test_a_model_that_ends_within_two_months(day: date, ends: bool) -> None:
    """It is named with its last day, also if that is past."""
    found = ending(["a", "b"], {"a": day, "c": date(2026, 12, 1)}, TODAY)

    assert found == ([f"a ends on {day}"] if ends else [])


def test_the_models_of_this_release() -> None:
    """None of the table ends within two months of it; the default has a price and an effort."""
    assert ending([DEFAULT_MODEL, *PRICES], ENDS, TODAY) == []
    assert {"gpt-4o-mini", "gpt-5-mini", "gpt-4.1-nano"} <= ENDS.keys()
    assert DEFAULT_MODEL in PRICES
    assert EFFORTS[DEFAULT_MODEL] == "none"
