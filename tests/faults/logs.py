"""What the processes logged: a traceback is a failure unless a server was away or the
process had slept."""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime

from tests.faults.outages import Outages
from tests.faults.processes import Process


def tracebacks(processes: Iterable[Process], outages: Outages) -> Iterator[str]:
    """Those that nothing explains, each with the log that it stands in."""
    for process in processes:
        for moment, text in _raised(process):
            if not (outages.near(moment) or process.drowsy(moment)):
                yield f"{process.log.name}: {text}"


def _raised(process: Process) -> Iterator[tuple[float, str]]:
    """Time and text of each line that tells an exception."""
    text = process.log.read_text(encoding="utf-8", errors="replace")
    for line in text.splitlines():
        try:
            record = json.loads(line)
            raised = record.get("exception")
            moment = datetime.fromisoformat(record["timestamp"]).timestamp()
        except (ValueError, LookupError, AttributeError, TypeError):
            if line.startswith("Traceback "):
                yield process.ended_at or 0.0, text[text.index(line) :][:3000]
                return
            continue
        if raised:
            yield moment, f"{record.get('event')}: {str(raised)[-3000:]}"
