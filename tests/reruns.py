"""Tests with real servers have a second try; a run that needs many of them has failed."""

from pathlib import Path
from typing import Any

import pytest

WITH_SERVERS = {"integration", "browser", "outages"}

MOST = 3
"""Second tries in one run: a machine may stand still for longer than a session lasts, but rarely."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What runs real servers has a second try, which the summary lists. Nothing else has."""
    for item in items:
        if Path(item.path).parent.name in WITH_SERVERS:
            item.add_marker(pytest.mark.flaky(reruns=1))


def _reruns(config: pytest.Config) -> int:
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    return len(reporter.stats.get("rerun", ())) if reporter else 0


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fails a run, otherwise green, with too many second tries."""
    if _reruns(session.config) > MOST and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Reports how many there were."""
    count = _reruns(config)
    verdict = "too many: the run has failed" if count > MOST else "allowed"
    terminalreporter.write_line(f"reruns: {count} of at most {MOST} ({verdict})")
