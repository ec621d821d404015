"""What the processes logged at the levels error and critical."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from tests.faults.processes import Process

LEVELS = ("error", "critical")


@dataclass(frozen=True)
class Line:
    """`moment` in seconds of the epoch. `action` is the event's name where it has one."""

    log: str
    moment: float
    event: str
    action: str = ""

    @property
    def name(self) -> str:
        return self.action or self.event.partition("\n")[0][:120]


def errors(processes: Iterable[Process]) -> Iterator[Line]:
    """Each in the order of its log. What is not JSON has no level, and tracebacks are told apart."""
    for process in processes:
        text = process.log.read_text(encoding="utf-8", errors="replace")
        yield from read(process.log.name, text.splitlines())


def read(log: str, lines: Iterable[str]) -> Iterator[Line]:
    """Those of one log."""
    for line in lines:
        try:
            record = json.loads(line)
            if record["level"] not in LEVELS:
                continue
            moment = datetime.fromisoformat(record["timestamp"]).timestamp()
        except (ValueError, LookupError, TypeError):
            continue
        yield Line(log, moment, str(record.get("event")), str(record.get("action") or ""))
