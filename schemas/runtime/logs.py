"""How workers and the gateway log: one line per event on stderr, JSON unless that is a terminal."""

import logging
import sys
from collections import Counter
from threading import Lock
from time import monotonic
from typing import Any

import structlog

from schemas.runtime.terminal import shown

# Fields of modules that log through the standard library: commands load them, and structlog, which
# loads rich, would take longer to load than a small import takes.
_FIELDS = structlog.stdlib.ExtraAdder(["action", "error", "import_id"])

_LEVELS = {
    **dict.fromkeys(("aiokafka", "faust", "httpx", "mode"), logging.WARNING),
    "librdkafka": logging.ERROR,
}
"""Of loggers that say too much at INFO."""


def _is_new(record: logging.LogRecord) -> bool:
    """False for what aiokafka logs of a bootstrap server and raises as well."""
    return not str(record.msg).startswith('Unable connect to "')


REMIND_SECONDS = 60.0
"""A warning or an error that repeats is logged once in this time, with how often it was left out."""

MOST_EVENTS = 10_000
"""Different ones that are remembered."""

SERVER_BACK = "server_back"
"""Action of the event after which everything is new again."""

_VARYING = {
    *("reason", "error", "exc_info", "timestamp"),
    *("args", "caused_by", "kwargs", "retry_num", "wait_for", "waited_so_far"),  # of stamina
}
"""Fields in which a repetition may differ. An event that differs in another one is another event."""


class Reminders(logging.Filter):
    """Leaves out repetitions: in an outage each of many tasks fails every few seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = Lock()
        self._logged: dict[object, float] = {}
        self._left_out: Counter[object] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """False for a repetition. The event that is logged next says how many were left out."""
        event: Any = record.msg if isinstance(record.msg, dict) else {}
        with self._lock:
            if event.get("action") == SERVER_BACK:
                self._logged.clear()
            if record.levelno < logging.WARNING:
                return True
            now, identity = monotonic(), _identity(record)
            if now - self._logged.get(identity, -REMIND_SECONDS) < REMIND_SECONDS:
                self._left_out[identity] += 1
                return False
            if len(self._logged) > MOST_EVENTS:
                self._logged.clear()
                self._left_out.clear()
            self._logged[identity] = now
            if left_out := self._left_out.pop(identity, 0):
                event["left_out"] = left_out
            return True


def _identity(record: logging.LogRecord) -> object:
    """Of a message of the standard library: the text before its arguments are filled in."""
    if isinstance(record.msg, dict):
        raised = sys.exc_info()[0] if record.msg.get("exc_info") else None
        fields = {name: str(value) for name, value in record.msg.items() if name not in _VARYING}
        return record.name, raised, frozenset(fields.items())
    return record.name, str(record.msg)


def _without_controls(_logger: Any, _method: str, rendered: Any) -> str:
    return "\n".join(map(shown, str(rendered).split("\n")))


def configure() -> None:
    """structlog for our modules, and through it what others send to the standard library."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Reminders())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _FIELDS],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.dev.ConsoleRenderer(colors=False)
                if sys.stderr.isatty()
                else structlog.processors.JSONRenderer(ensure_ascii=False),
                _without_controls,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("aiokafka").addFilter(_is_new)
    for name, level in _LEVELS.items():
        logging.getLogger(name).setLevel(level)
