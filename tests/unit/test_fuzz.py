"""A few examples of what `make fuzz` tries for minutes."""

import pytest
from hypothesis import HealthCheck, settings

from tests.fuzz.__main__ import FUZZES


@pytest.mark.parametrize("name", FUZZES)
def test_some_examples(name: str) -> None:
    """Damaged records, forms, uploads and workbooks end as an answer or a refusal."""
    settings(
        max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )(FUZZES[name])()
