"""Fixtures live in modules of their own, by subject."""

from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = [
    "tests.fix_stack",
    "tests.fix_companies",
    "tests.fix_enrichment",
    "tests.fix_gateway",
    "tests.fix_secured",
]

# The same examples at every run: what a change breaks is the change's doing.
settings.register_profile("suite", derandomize=True)
settings.load_profile("suite")

WITH_SERVERS = {"integration", "browser"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What runs real servers has a second try, which the summary tells: a machine may stand still
    for longer than a session lasts. Nothing else has."""
    for item in items:
        if Path(item.path).parent.name in WITH_SERVERS:
            item.add_marker(pytest.mark.flaky(reruns=1))
