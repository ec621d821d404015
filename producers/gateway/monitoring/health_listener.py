"""/livez, /readyz and /metrics, also on a port of their own, which a thread of its own serves.

So that an orchestrator hears the truth however many requests wait for the event loop, and even if it
hangs: `age_seconds` is for how long the loop has done nothing.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from producers.gateway.monitoring import gateway_metrics

_HUNG_SECONDS = 60.0
_CLIENT_SECONDS = 5.0
_TEXT = "text/plain; charset=utf-8"


class Answer(NamedTuple):
    """What an endpoint answers."""

    status: int
    media_type: str
    body: bytes


@dataclass(frozen=True)
class HealthEndpoints:
    """`failure` is why the process has to be started anew, `obstacles` why it is not ready. Any thread may ask."""

    failure: Callable[[], str | None]
    obstacles: Callable[[], list[str]]
    away: Callable[[], list[str]]
    unpublished: Callable[[], int]
    age_seconds: Callable[[], float]

    def answer(self, path: str) -> Answer:
        """404 if it is none of the endpoints."""
        known = {"/livez": self._live, "/readyz": self._ready, "/metrics": self._metrics}
        return known[path]() if path in known else Answer(404, _TEXT, b"")

    def _live(self) -> Answer:
        failure = self.failure()
        age = self.age_seconds()
        if failure is None and age > _HUNG_SECONDS:
            failure = f"the event loop has done nothing for {age:.0f} s"
        return Answer(503 if failure else 200, _TEXT, f"{failure or 'ok'}\n".encode())

    def _ready(self) -> Answer:
        why = self.obstacles()
        answer = {
            "ready": not why,
            "waiting_for": why,
            "away": self.away(),
            "loop_age_seconds": round(self.age_seconds(), 1),
        }
        return Answer(503 if why else 200, "application/json", json.dumps(answer).encode())

    def _metrics(self) -> Answer:
        gateway_metrics.READY.set(not self.obstacles())
        gateway_metrics.UNPUBLISHED.set(self.unpublished())
        return Answer(200, CONTENT_TYPE_LATEST, generate_latest(gateway_metrics.REGISTRY))


class _Handler(BaseHTTPRequestHandler):
    timeout = _CLIENT_SECONDS

    def __init__(self, endpoints: HealthEndpoints, *connection: object) -> None:
        self._endpoints = endpoints
        super().__init__(*connection)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        status, media_type, body = self._endpoints.answer(self.path.partition("?")[0])
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: each probe would be a line."""


class HealthListener:
    """Serves the endpoints between `start` and `stop`. Raises OSError if the port is taken."""

    def __init__(self, endpoints: HealthEndpoints, host: str, port: int) -> None:
        self._server = ThreadingHTTPServer((host, port), partial(_Handler, endpoints))
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
