"""Sentry is told of errors where somebody asked for it, and never what rows hold."""

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tests.fix_stack import run_preloaded

SECRET = "552100554"

WORKER = """
import structlog
from schemas.runtime import logs
from processors.worker.process import _configure_sentry
from processors.settings import Settings

logs.configure()
_configure_sentry(Settings())
log = structlog.get_logger("test")
log.info("earlier", siren="552100554")
siren = "552100554"
try:
    raise RuntimeError("duplicate key value\\nDETAIL:  Key (siren)=(552100554) already exists.")
except RuntimeError:
    log.exception("partition halted", action="partition_halted", row="552100554")
"""

GATEWAY = """
import structlog
from producers.gateway.commands import _configure_sentry
from schemas.runtime import logs

logs.configure()
_configure_sentry()
structlog.get_logger("test").error("request failed", path="552100554")
"""


@dataclass
class Sentry:
    """Takes events as Sentry does; `bodies` is all that came, `events` the documents of errors."""

    server: HTTPServer
    bodies: list[str] = field(default_factory=list)

    @property
    def dsn(self) -> str:
        return f"http://key@127.0.0.1:{self.server.server_port}/1"

    @property
    def events(self) -> list[dict[str, Any]]:
        lines = [line for body in self.bodies for line in body.splitlines()]
        return [
            event for event in map(json.loads, lines) if "event_id" in event and "level" in event
        ]


@pytest.fixture
def sentry() -> Iterator[Sentry]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            found.bodies.append(body.decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Sentry(server)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield found
        server.shutdown()
        thread.join()


def run(script: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, **settings, "NO_PROXY": "127.0.0.1"}
    return subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )


def test_an_error_of_a_worker(sentry: Sentry) -> None:
    """Its kind, its first line and its place; nothing of the row, which the log itself has."""
    done = run(WORKER, FOX_SENTRY_DSN=sentry.dsn)

    assert done.returncode == 0, done.stderr
    assert SECRET in done.stderr
    [event] = sentry.events
    [raised] = event["exception"]["values"]
    assert (raised["type"], raised["value"]) == ("RuntimeError", "duplicate key value")
    assert raised["stacktrace"]["frames"]
    assert event["logentry"]["message"] == "partition halted"
    assert event["tags"] == {"process": "worker", "action": "partition_halted"}
    assert event["release"].startswith("foxstream@")
    assert not [body for body in sentry.bodies if SECRET in body]


def test_an_error_of_the_gateway(sentry: Sentry) -> None:
    done = run(GATEWAY, FOX_SENTRY_DSN=sentry.dsn)

    assert done.returncode == 0, done.stderr
    [event] = sentry.events
    assert (event["logentry"]["message"], event["tags"]) == (
        "request failed",
        {"process": "gateway", "action": ""},
    )
    assert not [body for body in sentry.bodies if SECRET in body]


@pytest.mark.parametrize("script", [WORKER, GATEWAY], ids=["worker", "gateway"])
def test_nobody_is_told_by_default(script: str) -> None:
    """The library is not even loaded."""
    done = run(script + "\nimport sys\nassert 'sentry_sdk' not in sys.modules\n")

    assert done.returncode == 0, done.stderr


def test_a_dsn_that_is_none() -> None:
    """Said before anything starts, with exit code 2."""
    for module, words in (
        ("processors.worker.commands", ["run"]),
        ("producers.gateway.commands", ["run"]),
    ):
        done = run_preloaded(module, words, {**os.environ, "FOX_SENTRY_DSN": "nowhere"})
        assert done.code == 2
        assert "FOX_SENTRY_DSN" in done.stderr
