"""Fixtures live in modules of their own, by subject."""

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
