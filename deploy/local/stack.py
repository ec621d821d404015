"""The servers together, for as long as a `with` block lasts.

    with Stack(Path(".local")) as stack:
        print(stack.environment["FOX_DATABASE_URL"])

A server whose variable is set in the environment already is not started; its value is passed on.
"""

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Self, TypeVar

from deploy.local.errors import LocalStackError, ServerError
from deploy.local.jars.cache import JarCache
from deploy.local.local_settings import LocalSettings, own_environment
from deploy.local.processes.kept_process import KeptProcess
from deploy.local.processes.ports import accepts
from deploy.local.processes.process import GuardedProcess, Launch
from deploy.local.servers.java import require_packages
from deploy.local.servers.kafka import Kafka
from deploy.local.servers.postgres import Postgres
from deploy.local.servers.registry import Registry
from deploy.local.servers.server import Server
from deploy.local.stack_state import Claim, Entry, State

SERVERS: tuple[type[Server], ...] = (Kafka, Registry, Postgres)
NAMES = frozenset(server.name for server in SERVERS)

S = TypeVar("S", bound=Server)


class Stack:
    """Servers with their data below one directory. They end with this process, however it ends.

    `only` names the servers wanted, of `kafka`, `registry`, `postgres`. The registry starts empty
    unless `keep_schemas`. `report` gets a sentence when something takes long.
    """

    def __init__(
        self,
        directory: Path,
        only: set[str] | None = None,
        *,
        keep_schemas: bool = False,
        report: Callable[[str], None] = lambda _sentence: None,
    ) -> None:
        wanted = NAMES if only is None else only
        if not wanted <= NAMES:
            raise ValueError(f"no such server: {', '.join(sorted(wanted - NAMES))}")
        self.directory = directory.resolve()
        self._wanted = wanted
        self._keep_schemas = keep_schemas
        self._report = report
        self._settings = LocalSettings()
        self._existing = self._settings.existing()
        self._abandoned = threading.Event()
        self._servers: list[Server] = []
        self._spawned: list[GuardedProcess] = []
        self._kept: list[KeptProcess] = []
        self._addresses: dict[str, str] = {}
        self._claim: Claim | None = None
        self._ready = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def environment(self) -> dict[str, str]:
        """FOX_KAFKA_BOOTSTRAP, FOX_SCHEMA_REGISTRY_URL, FOX_DATABASE_URL of the servers wanted."""
        own = {server.variable: server.url for server in self._servers}
        return {**self._external(), **own}

    @property
    def kafka(self) -> Kafka:
        """Raises LocalStackError when this stack does not run one."""
        return self._own(Kafka)

    @property
    def registry(self) -> Registry:
        """Raises LocalStackError when this stack does not run one."""
        return self._own(Registry)

    @property
    def postgres(self) -> Postgres:
        """Raises LocalStackError when this stack does not run one."""
        return self._own(Postgres)

    def start(self) -> None:
        """Returns when all servers answer. Raises LocalStackError, with nothing left running."""
        self._claim = Claim(self.directory)
        try:
            self.publish()
            self._check_external()
            self._servers = self._own_servers()
            self.publish()
            self._start_servers()
            self._ready = True
            self.publish()
        except BaseException:
            self._abandoned.set()
            self.stop()
            raise

    def stop(self) -> None:
        """Ends the spawned processes, the last one first, then the servers. Safe to repeat."""
        while self._kept:
            self._kept.pop().process.stop()
        while self._spawned:
            self._spawned.pop().stop()
        with ThreadPoolExecutor(max_workers=len(SERVERS)) as pool:
            list(pool.map(Server.stop, self._servers))
        if self._claim is not None:
            self._claim.release()
            self._claim = None

    def spawn(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        url: str = "",
    ) -> GuardedProcess:
        """Starts a process that ends before the servers do and writes to `logs/NAME.log`.

        It gets this process's environment, the addresses and `env`; `url` is where it listens. On
        `stop` it has 12 s between SIGTERM and SIGKILL. Raises ServerError when it cannot be run.
        """
        process = GuardedProcess(name, self._launch(name, argv, env))
        self._spawned.append(process)
        self._addresses[name] = url
        self.publish()
        return process

    def keep(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        url: str = "",
    ) -> KeptProcess:
        """As `spawn`, and `look` starts it again if it fails."""
        kept = KeptProcess(name, self._launch(name, argv, env))
        self._kept.append(kept)
        self._addresses[name] = url
        self.publish()
        return kept

    def look(self) -> None:
        """Starts kept processes again that have failed, and publishes what runs."""
        for kept in self._kept:
            kept.look()
        self.publish()

    def _launch(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None) -> Launch:
        merged = {**own_environment(), **self.environment, **(env or {})}
        return Launch(argv, merged, self.directory / "logs" / f"{name}.log")

    def complete(self, name: str, argv: Sequence[str]) -> None:
        """Spawns a process and waits for its end; raises ServerError unless it exits with 0."""
        process = self.spawn(name, argv)
        code = process.wait()
        self._spawned.remove(process)
        if code != 0:
            raise ServerError(f"{name} ended with exit code {code}:\n{process.log_tail()}")

    def publish(self) -> None:
        """Writes for `foxstream-local status` and `env` what runs by now."""
        if self._claim is not None:
            entries = (*self._server_entries(), *self._process_entries())
            self._claim.write(State(os.getpid(), self._ready, entries, self.environment))

    def _start_servers(self) -> None:
        with ThreadPoolExecutor(max_workers=len(SERVERS)) as pool:
            try:
                for started in as_completed([pool.submit(one.start) for one in self._servers]):
                    started.result()
            except BaseException:
                self._abandoned.set()  # the other starts end now, not at their deadlines
                raise

    def _server_entries(self) -> Iterable[Entry]:
        external = self._external()
        for server in SERVERS:
            if server.variable in external:
                yield Entry(server.name, external[server.variable], None, ours=False)
        for one in self._servers:
            yield Entry(one.name, one.url, one.pid, ours=True)

    def _process_entries(self) -> Iterable[Entry]:
        notes = {kept.process.name: kept.note for kept in self._kept}
        for process in (*self._spawned, *(kept.process for kept in self._kept)):
            pid = process.pid if process.running else None
            address, note = self._addresses[process.name], notes.get(process.name, "")
            yield Entry(process.name, address, pid, ours=True, note=note)

    def _external(self) -> dict[str, str]:
        wanted = [server.variable for server in SERVERS if server.name in self._wanted]
        return {name: self._existing[name] for name in wanted if name in self._existing}

    def _check_external(self) -> None:
        """A shell may still hold the addresses of a stack that was stopped."""
        silent = [
            name
            for name, url in self._external().items()
            if "," not in url
            and all(address := Entry(name, url, None, ours=False).address)
            and not accepts(*address)
        ]
        if silent:
            raise LocalStackError(
                f"nothing answers where {', '.join(silent)} of this shell point to. To have servers "
                f"started here: unset {' '.join(silent)}"
            )

    def _own_servers(self) -> list[Server]:
        """Fetches what they need, in this thread: Ctrl-C ends a download at once."""
        external = self._external()
        wanted = [
            server
            for server in SERVERS
            if server.name in self._wanted and server.variable not in external
        ]
        if wanted:
            require_packages()
        jars = JarCache(self._settings.local_cache.expanduser().resolve(), self._report)
        servers: list[Server] = []
        if Kafka in wanted:
            servers.append(Kafka(self.directory, self._abandoned, jars.kafka()))
        if Registry in wanted:
            servers.append(
                Registry(
                    self.directory,
                    self._abandoned,
                    jars.registry(),
                    keep_schemas=self._keep_schemas,
                )
            )
        if Postgres in wanted:
            servers.append(Postgres(self.directory, self._abandoned))
        return servers

    def _own(self, kind: type[S]) -> S:
        for server in self._servers:
            if isinstance(server, kind):
                return server
        raise LocalStackError(f"this stack runs no {kind.name} of its own")
