"""Fixtures live in modules of their own, by subject."""

import os

import structlog
from hypothesis import HealthCheck, settings

from tests.examples import TIMES, examples

pytest_plugins = [
    "tests.fix_stack",
    "tests.fix_companies",
    "tests.fix_enrichment",
    "tests.fix_application",
    "tests.fix_disk",
    "tests.fix_memory",
    "tests.fix_gateway",
    "tests.fix_secured",
    "tests.reruns",
]

# structlog's own configuration draws each traceback with all locals: seconds of CPU for some.
structlog.configure(
    processors=[
        structlog.stdlib.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(),
    ]
)

# A test that is about what is kept of the registry has a folder of its own.
os.environ["FOX_SCHEMA_CACHE"] = ""

# The suite has the same examples at every run: what a change breaks is the change's doing.
settings.register_profile(
    "suite",
    derandomize=TIMES == 1,
    max_examples=examples(100),
    # A busy machine is not a fault.
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("suite")
