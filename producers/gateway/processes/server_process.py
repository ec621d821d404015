"""The server process: its log, its address, and a quick end."""

import json
import logging
import sys
from datetime import UTC, datetime
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


def serve(server: uvicorn.Server, application: FastAPI) -> None:
    """Until a signal; open event streams end first, so that they delay nothing."""
    _configure_log()
    _Ending(server, application).install()
    server.run()


class _Ending:
    def __init__(self, server: uvicorn.Server, application: FastAPI) -> None:
        self._application = application
        self._server = server
        self._handle = server.handle_exit

    def install(self) -> None:
        """Passes a signal to the gateway before the server waits for open connections."""
        self._server.handle_exit = self._on_signal  # type: ignore[assignment, method-assign]

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        gateway = getattr(self._application.state, "gateway", None)
        if gateway is not None:
            gateway.stopping.set()
        self._handle(number, frame)


class _Lines(logging.Formatter):
    """A JSON document a line, with what the record carries beside its message."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def _configure_log() -> None:
    handler = logging.StreamHandler(sys.stderr)
    if not sys.stderr.isatty():
        handler.setFormatter(_Lines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("librdkafka").setLevel(logging.ERROR)
    logging.getLogger("httpx").setLevel(logging.WARNING)
