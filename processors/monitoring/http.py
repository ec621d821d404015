"""The worker's HTTP server: /metrics, /livez and /readyz, in threads of its own.

It responds even if the event loop is blocked: an orchestrator has to notice that.
"""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from processors import metrics
from processors.monitoring.health import Health

CLIENT_SECONDS = 10.0


class Response(NamedTuple):
    """The response of a route."""

    status: int
    content_type: str
    body: bytes


Routes = Mapping[str, Callable[[], Response]]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: str, port: int, routes: Routes) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.routes = routes
        super().__init__((address, port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    timeout = CLIENT_SECONDS
    server: _Server

    def do_GET(self) -> None:
        route = self.server.routes.get(self.path.partition("?")[0])
        if route is None:
            self.send_error(404)
            return
        answer = route()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged: clients poll every few seconds."""


@contextmanager
def served(address: str, port: int, health: Health) -> Iterator[int]:
    """Serves for as long as the block lasts; yields the port, which is any free one for 0."""
    server = _Server(address, port, _routes(health))
    thread = threading.Thread(target=server.serve_forever, name="http", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(CLIENT_SECONDS)


def _routes(health: Health) -> Routes:
    def livez() -> Response:
        defect = health.defect()
        text = f"{defect or 'ok'}\n".encode()
        return Response(503 if defect else 200, "text/plain; charset=utf-8", text)

    def readyz() -> Response:
        why = health.obstacles()
        text = json.dumps({"ready": not why, "waiting_for": why}).encode()
        return Response(503 if why else 200, "application/json", text)

    def prometheus() -> Response:
        metrics.READY.set(not health.obstacles())
        return Response(200, CONTENT_TYPE_LATEST, generate_latest())

    return {"/livez": livez, "/readyz": readyz, "/metrics": prometheus}
