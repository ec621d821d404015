"""What is logged while the same thing fails again and again."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from schemas.runtime import logs
from schemas.runtime.logs import SERVER_BACK, Reminders


class Clock:
    """Seconds that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(logs, "monotonic", found)
    return found


class Log(logging.Handler):
    """A handler with the filter, and what passed it."""

    def __init__(self) -> None:
        super().__init__()
        self.passed: list[Any] = []
        self.addFilter(Reminders())

    def emit(self, record: logging.LogRecord) -> None:
        self.passed.append(record.msg)


@pytest.fixture
def log() -> Iterator[Log]:
    """What the loggers below `outage` log."""
    found = Log()
    logger = logging.getLogger("outage")
    logger.addHandler(found)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield found
    logger.removeHandler(found)


def warn(action: str, level: int = logging.WARNING, **fields: object) -> None:
    """As structlog hands an event over."""
    event = {"event": "late", "action": action, **fields}
    logging.getLogger("outage.lag").log(level, event)


def test_a_repetition_is_logged_once_a_minute(log: Log, clock: Clock) -> None:
    """The reminder says how many were left out, and reasons and times make no other event."""
    for number in range(13):
        warn("lag_unknown", reason=f"the connection {number} failed", timestamp=str(number))
        clock.now += 5

    assert [event.get("left_out") for event in log.passed] == [None, 11]


def test_another_event_is_no_repetition(log: Log, clock: Clock) -> None:
    """Another action, another partition, another logger."""
    warn("partition_halted", topic="rows", partition=0)
    warn("partition_halted", topic="rows", partition=1)
    warn("partition_halted", topic="rows", partition=1)
    warn("lag_unknown")
    logging.getLogger("outage.kafka").error("Unable connect to %s", "one")
    logging.getLogger("outage.kafka").error("Unable connect to %s", "other")

    assert len(log.passed) == 4


def test_another_exception_is_no_repetition(log: Log, clock: Clock) -> None:
    """Nor is a failure of ours hidden by those of a server that is away."""
    for kind in (OSError, OSError, ValueError):
        try:
            raise kind("failed")
        except (OSError, ValueError):
            warn("lag_unknown", exc_info=True)

    assert len(log.passed) == 2


def test_what_is_not_a_failure_is_always_logged(log: Log, clock: Clock) -> None:
    for _ in range(3):
        warn("rows_written", logging.INFO)

    assert len(log.passed) == 3


def test_a_second_outage_is_logged_at_once(log: Log, clock: Clock) -> None:
    warn("lag_unknown")
    warn("lag_unknown")
    warn(SERVER_BACK, logging.INFO)
    warn("lag_unknown")

    assert [event["action"] for event in log.passed] == [
        "lag_unknown", SERVER_BACK, "lag_unknown",
    ]  # fmt: skip


PROCESS = """
import logging
import structlog
from schemas.runtime import logs

logs.configure()
for number in range(3):
    structlog.get_logger("ours").warning("is late", action="late", reason=f"{number}")
    logging.getLogger("theirs").error("failed: %s", number)
"""


def test_the_log_of_a_process() -> None:
    """It leaves out repetitions of our modules and of libraries."""
    done = subprocess.run(
        [sys.executable, "-c", PROCESS], capture_output=True, text=True, check=True
    )

    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == [
        "is late", "failed: 0",
    ]  # fmt: skip
