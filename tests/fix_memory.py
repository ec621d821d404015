"""The memory of the process that runs the tests."""

import resource
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def own_limit() -> Iterator[None]:
    """Commands that a test calls limit their process; servers started later would inherit that."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)
