"""A schema registry in a thread, with Confluent's answers and any trouble that a test gives it."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

Answer = tuple[int, bytes]
"""Status and body."""


@dataclass
class FakeRegistry:
    """`trouble` answers everything; while `gate` is not set, nothing is answered.

    `drip_seconds`: how long each byte of an answer takes.
    """

    url: str = ""
    schemas: dict[int, Any] = field(default_factory=dict)
    documents: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    versions: dict[tuple[str, int], Mapping[str, Any]] = field(default_factory=dict)
    subjects: dict[str, int] = field(default_factory=dict)
    trouble: Answer | None = None
    drip_seconds: float = 0.0
    gate: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str) -> Answer:
        self.asked.append(path)
        self.gate.wait()
        return self.trouble or self._answer([unquote(part) for part in path.strip("/").split("/")])

    def _answer(self, path: Sequence[str]) -> Answer:
        found: Any = None
        missing = 40401
        match path:
            case ["schemas", "types"]:
                found = ["AVRO"]
            case ["schemas", "ids", number]:
                schema = {"schema": json.dumps(self.schemas.get(int(number)))}
                found = self.documents.get(int(number), int(number) in self.schemas and schema)
                missing = 40403
            case ["subjects", subject, "versions", version]:
                found, missing = self.versions.get((subject, int(version))), 40402
            case ["subjects", subject] if subject in self.subjects:
                found = {"subject": subject, "id": self.subjects[subject]}
        return ok(found) if found else unknown(missing)


def ok(document: Any) -> Answer:
    return 200, json.dumps(document).encode()


def unknown(code: int) -> Answer:
    return 404, json.dumps({"error_code": code, "message": "not found"}).encode()


@contextmanager
def fake_registry(**settings: Any) -> Iterator[FakeRegistry]:
    registry = FakeRegistry(**settings)
    registry.gate.set()
    pause = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = registry.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(ConnectionError):
                self._send(body)

        def _send(self, body: bytes) -> None:
            if not registry.drip_seconds:
                self.wfile.write(body)
                return
            for byte in body:
                self.wfile.write(bytes([byte]))
                pause.wait(registry.drip_seconds)

        def do_POST(self) -> None:
            self.do_GET()

        def do_PUT(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        registry.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield registry
        finally:
            registry.gate.set()
            pause.set()
            server.shutdown()
            thread.join()
