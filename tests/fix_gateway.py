"""A gateway for tests: a real process on a real stack, and who asks it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local.processes.ports import free_port
from deploy.local.processes.process import GuardedProcess
from deploy.local.stack import Stack
from tests.fix_stack import Site, eventually, prepared

TERMINAL = ("SUCCESS", "PARTIAL", "ERROR", "CANCELLED")


@dataclass
class Served:
    """A running gateway. `client` has a token with every right."""

    site: Site
    spool: Path
    port: int
    settings: dict[str, str] = field(default_factory=dict)
    process: GuardedProcess | None = None
    token: str = ""
    clients: list[httpx.Client] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **self.site.environment,
            "FOX_GATEWAY_PORT": str(self.port),
            "FOX_GATEWAY_SPOOL": str(self.spool),
            "FOX_GATEWAY_IMPORTS_PER_MINUTE": "1000",
            "FOX_GATEWAY_CHECKS_PER_MINUTE": "1000",
            "FOX_GATEWAY_REQUESTS_PER_MINUTE": "1000000",
            "FOX_GATEWAY_LOGINS_PER_MINUTE": "1000000",
            "FOX_GATEWAY_RETRY_SECONDS": "0.2",
            **self.settings,
        }

    def start(self) -> "Served":
        """Returns when it is ready."""
        module = "producers.gateway.commands"
        self.process = self.site.spawn("gateway", module, "run", env=self.environment)
        eventually(self._ready)
        if not self.token:
            self.token = self.new_token("tests", "admin")
        return self

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.running, self.process.log_tail()
        try:
            return httpx.get(f"{self.url}/readyz", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """As kill -9, of the gateway and its children."""
        assert self.process is not None
        self.process.kill()

    def new_token(self, name: str, scope: str, *more: str) -> str:
        """A token that the gateway knows already; `more` are further options."""
        words = ["token", "create", "--name", name, "--scope", scope, *more]
        made = self.command(*words).stdout.strip()
        eventually(lambda: self.client(made).get("/api/imports/stats/").status_code == 200)
        return made

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """`foxstream-gateway` to its end."""
        return subprocess.run(
            [sys.executable, "-m", "producers.gateway.commands", *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )

    def client(self, token: str | None = None) -> httpx.Client:
        """An HTTP client with a token, by default that of the tests."""
        made = self.browser()
        made.headers["Authorization"] = f"Bearer {self.token if token is None else token}"
        return made

    def browser(self) -> httpx.Client:
        """An HTTP client that nobody knows; it keeps cookies and is closed with the test."""
        made = httpx.Client(base_url=self.url, timeout=60, trust_env=False)
        self.clients.append(made)
        return made

    def close(self) -> None:
        """Ends its clients' connections."""
        for client in self.clients:
            client.close()

    def upload(
        self, name: str, content: bytes, import_type: str = "ENTREPRISE", **more: Any
    ) -> httpx.Response:
        """POST upload/; `more` are further fields."""
        headers = more.pop("headers", {})
        with self.client() as client:
            return client.post(
                "/api/imports/upload/",
                data={"import_type": import_type, **more},
                files={"file": (name, content)},
                headers=headers,
            )

    def state(self, import_id: str) -> dict[str, Any]:
        """GET {id}/."""
        with self.client() as client:
            answer = client.get(f"/api/imports/{import_id}/")
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def ended(self, import_id: str) -> dict[str, Any]:
        """The state, once the import has ended."""
        return (
            eventually(
                lambda: state if (state := self.state(import_id))["status"] in TERMINAL else None
            )
            or {}
        )


def companies(first: int, rows: int, faulty: int = 0, extra: str = "") -> bytes:
    """A file of companies whose SIRENs count up from `first`."""
    lines = ["siren;nom;code_postal"]
    lines += [f"{first + n:09d};Entreprise {n}{extra};{n % 90000 + 1000:05d}" for n in range(rows)]
    lines += [f"12345;Fausse {n};75001" for n in range(faulty)]
    return "\n".join(lines).encode()


@pytest.fixture(scope="module")
def served(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway and a worker that the tests of a module share."""
    site = prepared(stack)
    site.worker()
    made = Served(site, tmp_path_factory.mktemp("gateway") / "spool", free_port()).start()
    yield made
    made.close()
    site.end()


@pytest.fixture
def gateway(site: Site, tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Makes gateways, with settings; they share a spool."""

    made: list[Served] = []

    def make(**settings: str) -> Served:
        made.append(Served(site, tmp_path / "spool", free_port(), settings).start())
        return made[-1]

    yield make
    for each in made:
        each.close()
