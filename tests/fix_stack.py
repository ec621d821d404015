"""Real servers for the tests: one embedded stack a run, topics and a database of each test's own."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, Protocol, TypeVar, cast

import httpx
import psycopg
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from deploy.local.processes.process import GuardedProcess, Launch
from deploy.local.stack import Stack
from processors.database.migrator import migrate
from processors.kafka.broker_topics import create_topics
from schemas.codec.framing import load
from schemas.runtime.server_settings import ServerSettings
from schemas.topics import TOPICS
from tests.preloaded import Fork, PreloadedProcess, preloaded

_numbers = count(1)
_cleaning = ThreadPoolExecutor(max_workers=1)

SESSION_SECONDS = 5.0
"""Half of the default: dozens of tests wait until a worker that was killed is taken for dead."""

WAITS = {
    "FOX_SESSION_SECONDS": str(SESSION_SECONDS),
    "FOX_SWEEP_SECONDS": "3",
    "FOX_READER_GONE_SECONDS": "4",
}
"""What a site of the tests waits for less long than one in production. Long runs use the defaults."""

AS_DJANGO = "-c tests.as_django=on"
"""For connections of tests: see tests/django_site/__main__.py."""

Answer = TypeVar("Answer")


def eventually(ask: Callable[[], Answer], seconds: float = 180) -> Answer:
    """The answer as soon as it is true; fails if it is not in time.

    It is asked for less and less often: asking takes CPU time from what is waited for.
    """
    start = monotonic()
    while not (answer := ask()):
        waited = monotonic() - start
        assert waited < seconds, f"not within {seconds:g} s"
        threading.Event().wait(min(max(0.02, waited / 20), 0.25))
    return answer


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Kafka, registry and PostgreSQL."""
    with Stack(tmp_path_factory.mktemp("stack"), keep_schemas=True) as servers:
        yield servers


@dataclass
class Site:
    """Topics, schemas and a database of one test, and the commands that use them.

    One without topics and schemas has no prefix: see `tables`.
    `settings` are further variables of the environment; they go before all others. A `quick` site
    waits less long than one in production, and forks its processes from one that has loaded them.
    """

    stack: Stack
    prefix: str
    database_url: str
    spawned: list[GuardedProcess] = field(default_factory=list)
    settings: Mapping[str, str] = field(default_factory=dict)
    quick: bool = False
    commands: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **self.stack.environment,
            "FOX_DATABASE_URL": self.database_url,
            "FOX_TOPIC_PREFIX": self.prefix,
            # No test is to end otherwise for running at two in the morning.
            "FOX_JOBS_SCHEDULED": "false",
            **(WAITS if self.quick else {}),
            **self.settings,
        }

    def worker(self, *kinds: str) -> GuardedProcess:
        """Starts a worker; it ends with the test."""
        return self.spawn("worker", "processors.worker.commands", "run", *kinds)

    def spawn(
        self, name: str, module: str, *words: str, env: Mapping[str, str] | None = None
    ) -> GuardedProcess:
        """Starts what does not end by itself; it ends with the test."""
        name, env = f"{self.prefix}{name}{len(self.spawned)}", env or self.environment
        if self.quick:
            log = self.stack.directory / "logs" / f"{name}.log"
            process: GuardedProcess = PreloadedProcess(
                name, Launch([module, *words], {**os.environ, **env}, log)
            )
        else:
            process = self.stack.spawn(name, [sys.executable, "-m", module, *words], env=env)
        self.spawned.append(process)
        return process

    def foxstream(self, *words: str | Path, timeout: float = 180) -> "Finished":
        """Runs a `foxstream` command to its end."""
        return self.run("producers.cli", words, timeout)

    def foxstream_worker(self, *words: str | Path, timeout: float = 180) -> "Finished":
        """Runs a `foxstream-worker` command to its end."""
        return self.run("processors.worker.commands", words, timeout)

    def run(self, module: str, words: Sequence[str | Path], timeout: float) -> "Finished":
        """Runs a command of this module to its end."""
        run = run_preloaded if self.quick else run_process
        return run(module, words, {**os.environ, **self.environment}, timeout)

    def start(self, *words: str | Path) -> "subprocess.Popen[bytes]":
        """Starts a `foxstream` command, which ends with the site at the latest."""
        command = subprocess.Popen(
            _argv("producers.cli", words),
            env={**os.environ, **self.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.commands.append(command)
        return command

    def kill(self) -> None:
        """Kills all processes that were started for it."""
        for process in self.spawned:
            process.kill()
        for command in self.commands:
            command.kill()
            command.wait()

    def end(self) -> None:
        """Kills its processes, and deletes its topics and its database.

        Each client that asks for all topics would get them (80 ms of Kafka's CPU time for 60 sites),
        and autovacuum looks after all databases.
        """
        self.kill()
        if self.prefix:
            self._delete_topics()
        _cleaning.submit(_drop_database, self.database_url)

    def _delete_topics(self) -> None:
        admin = AdminClient(
            {"log_level": 0, "bootstrap.servers": self.stack.environment["FOX_KAFKA_BOOTSTRAP"]}
        )
        known = admin.list_topics(timeout=10).topics
        if topics := [topic for topic in known if topic.startswith(self.prefix)]:
            wait(admin.delete_topics(topics).values())

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows that PostgreSQL answers."""
        with psycopg.connect(self.database_url, options=AS_DJANGO) as connection:
            return connection.execute(sql.encode(), values).fetchall()

    def execute(self, sql: str, *values: object) -> None:
        """Changes what PostgreSQL holds, as the site does."""
        with psycopg.connect(self.database_url, options=AS_DJANGO) as connection:
            connection.execute(sql.encode(), values or None)

    def messages(self, topic: str) -> list["Received"]:
        """All committed records of a topic of this site, by partition."""
        consumer = Consumer(
            {
                "log_level": 0,
                "bootstrap.servers": self.stack.environment["FOX_KAFKA_BOOTSTRAP"],
                "group.id": "reads-only",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
            }
        )
        name = self.prefix + topic
        partitions = consumer.list_topics(name, timeout=10).topics[name].partitions
        consumer.assign([TopicPartition(name, number, OFFSET_BEGINNING) for number in partitions])
        found: list[Received] = []
        ends = 0
        while ends < len(partitions):
            message = consumer.poll(10)
            assert message is not None, "the broker is silent"
            if message.error():
                ends += 1
            else:
                found.append(cast(Received, message))
        consumer.close()
        return sorted(found, key=lambda message: (message.partition(), message.offset()))


class Received(Protocol):
    """A received record: unlike those of other messages of confluent_kafka, its parts are set.

    Key and value are bytes or None; a test knows which.
    """

    def partition(self) -> int: ...

    def offset(self) -> int: ...

    def timestamp(self) -> tuple[int, int]: ...

    def key(self) -> Any: ...

    def value(self) -> Any: ...

    def headers(self) -> list[tuple[str, bytes]] | None: ...


def headers(message: Received) -> dict[str, bytes]:
    """The headers of a record, by name."""
    return dict(message.headers() or ())


@dataclass(frozen=True)
class Finished:
    """A command that ended. `stderr` holds what a person sees, `stdout` the data."""

    code: int
    stdout: str
    stderr: str

    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.stdout)
        return document


def _argv(module: str, words: Sequence[str | Path]) -> list[str]:
    return [sys.executable, "-c", f"from {module} import app; app()", *map(str, words)]


def run_process(
    module: str, words: Sequence[str | Path], environment: Mapping[str, str], timeout: float = 60
) -> Finished:
    """Runs a command of the module in a process that loads it, as an operator does."""
    done = subprocess.run(
        _argv(module, words),
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def run_preloaded(
    module: str, words: Sequence[str | Path], environment: Mapping[str, str], timeout: float = 60
) -> Finished:
    """The same in a fork of a process that has loaded it: a tenth of the CPU time."""
    with TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        fork = Fork(preloaded().fork(module, list(map(str, words)), environment, out, err))
        try:
            code = fork.wait(timeout)
        except subprocess.TimeoutExpired:
            os.kill(fork.pid, signal.SIGKILL)
            raise
        return Finished(code, out.read_text("utf-8"), err.read_text("utf-8"))


def create_database(server: str, name: str, options: str = "") -> str:
    """The URL of a new database; `server` is the URL of any database beside it."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} {options}".encode())
    return f"{server.rsplit('/', 1)[0]}/{name}"


@cache
def _template(server: str) -> str:
    """A database with the site's own tables, migrated: others are copied from it."""
    name = "migrated"
    url = create_database(server, name)
    subprocess.run(
        [sys.executable, "-m", "tests.django_site", url, "--python-defaults"], check=True
    )
    migrate(url)
    return name


def cleaned() -> None:
    """Returns when the databases of all tests before this one are dropped."""
    _cleaning.submit(int).result()


def _drop_database(url: str) -> None:
    """Waits for a checkpoint, for seconds on a busy disk. A server may be gone with its test."""
    server, _, name = url.rpartition("/")
    with suppress(psycopg.Error), psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


def new_database(stack: Stack, name: str) -> str:
    """The URL of a new database at this version."""
    server = stack.environment["FOX_DATABASE_URL"]
    return create_database(server, name, f"TEMPLATE {_template(server)}")


def prepared(stack: Stack, *, quick: bool = True) -> Site:
    """A prefix and a database that nobody else uses, ready for a worker."""
    name = f"t{next(_numbers)}"
    found = Site(stack, f"{name}.", new_database(stack, name), quick=quick)
    create_topics(
        ServerSettings(
            kafka_bootstrap=stack.environment["FOX_KAFKA_BOOTSTRAP"], topic_prefix=found.prefix
        )
    )
    registry = stack.environment["FOX_SCHEMA_REGISTRY_URL"]
    with httpx.Client(base_url=registry, timeout=60, trust_env=False) as http:
        # As Registry.register without its rule for each subject: half the requests.
        for topic in TOPICS:
            if topic.record is not None:
                subject = f"{found.prefix}{topic.name}-value"
                schema = {"schema": json.dumps(load(topic.record))}
                http.post(f"/subjects/{subject}/versions", json=schema).raise_for_status()
    return found


@pytest.fixture
def site(stack: Stack) -> Iterator[Site]:
    """A prefix and a database that no other test uses, ready for a worker."""
    found = prepared(stack)
    yield found
    found.end()


@pytest.fixture
def tables(stack: Stack) -> Iterator[Site]:
    """A migrated database that no other test uses, for what asks nothing of Kafka and the registry."""
    found = Site(stack, "", new_database(stack, f"t{next(_numbers)}"), quick=True)
    yield found
    found.end()
