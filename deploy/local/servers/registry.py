"""Apicurio Registry, spoken to in the dialect of Confluent's."""

import threading
from pathlib import Path
from typing import ClassVar

import httpx

from deploy.local.local_settings import server_environment
from deploy.local.processes.ports import LOOPBACK, accepts, free_port
from deploy.local.processes.process import Launch
from deploy.local.servers.java import java
from deploy.local.servers.server import Server

HEAP_MB = (64, 256)


class Registry(Server):
    """Forgets its schemas when it stops unless `keep_schemas`, then they are in the data directory."""

    name: ClassVar[str] = "registry"
    variable: ClassVar[str] = "FOX_SCHEMA_REGISTRY_URL"

    def __init__(
        self, directory: Path, abandoned: threading.Event, home: Path, *, keep_schemas: bool
    ) -> None:
        super().__init__(directory, abandoned)
        self._home = home
        self._keep_schemas = keep_schemas
        self._management_port = free_port()

    @property
    def url(self) -> str:
        """The root of Confluent's API."""
        return f"http://{LOOPBACK}:{self.port}/apis/ccompat/v7"

    def _launch(self) -> Launch:
        self.data.mkdir(parents=True, exist_ok=True)
        options = {
            "quarkus.http.host": LOOPBACK,
            "quarkus.http.port": self.port,
            # Without these two its management interface listens on every interface.
            "quarkus.management.host": LOOPBACK,
            "quarkus.management.port": self._management_port,
            "quarkus.http.access-log.enabled": "false",
        }
        if self._keep_schemas:
            # WRITE_DELAY=0: an answered registration survives SIGKILL.
            options["apicurio.datasource.url"] = f"jdbc:h2:file:{self.data}/schemas;WRITE_DELAY=0"
        definitions = [f"-D{name}={value}" for name, value in options.items()]
        program = ["-jar", str(self._home / "quarkus-run.jar")]
        argv = java(self.data / "tmp", HEAP_MB, [*definitions, *program])
        return Launch(argv, server_environment(), self.log, self.data)

    def _answers(self) -> bool:
        if not accepts(LOOPBACK, self.port):
            return False
        try:
            return httpx.get(f"{self.url}/subjects", timeout=5.0, trust_env=False).is_success
        except httpx.TransportError:
            return False
