"""What every benchmark stands on: servers, databases with the site's tables, topics and workers."""

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg

from deploy.local.errors import LocalStackError
from deploy.local.processes.process import GuardedProcess
from deploy.local.stack import Stack
from processors.database.migrator import migrate
from processors.kafka.broker_topics import create_topics
from producers.imports import window
from producers.imports.connections import Connections
from producers.imports.order import Order, Reading
from producers.imports.publication import publish_file
from producers.reading import Options
from producers.settings import Settings
from schemas.codec.framing import load
from schemas.import_types import ENTREPRISE
from schemas.runtime.registry import Registry
from schemas.topics import TOPICS
from tests.benchmarks.measuring import Command

FOXSTREAM = (sys.executable, "-c", "from producers.cli import app; app()")
WORKER = (sys.executable, "-m", "processors.worker.commands", "run")
TEMPLATE = "bench_template"
OTHER_INDEXES = [f"enterprise_entreprise_{name}" for name in ("siret", "ville", "naf")]


@dataclass
class Stage:
    """Servers of a benchmark's own, empty at first. Its figures are of this run only.

    Databases from now on are copies of `template`; with `keys_only` their table of companies is
    without the site's other indexes.
    """

    stack: Stack
    directory: Path
    template: str = TEMPLATE
    keys_only: bool = False
    _numbers: Iterator[int] = field(default_factory=count)

    def database(self) -> str:
        """The URL of a new migrated database."""
        name = f"bench{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {self.template}".encode())
            connection.execute("CHECKPOINT")
        if self.keys_only:
            with psycopg.connect(self.url(name), autocommit=True) as connection:
                connection.execute(f"DROP INDEX {', '.join(OTHER_INDEXES)}".encode())
        return self.url(name)

    def drop(self, database_url: str) -> None:
        """Removes a database, whoever is connected to it."""
        name = database_url.rsplit("/", 1)[1]
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    def prepare(self) -> None:
        """Makes the database that others are copied from."""
        migrate(self.create(TEMPLATE))

    def create(self, database: str) -> str:
        """The URL of a new empty database."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {database}".encode())
        return self.url(database)

    def topics(self, prefix: str) -> None:
        """All topics of foxstream under this prefix, and their schemas."""
        create_topics(self.producer_settings(prefix))
        with Registry(self.stack.environment["FOX_SCHEMA_REGISTRY_URL"]) as registry:
            for topic in TOPICS:
                if topic.record is not None:
                    registry.register(f"{prefix}{topic.name}-value", load(topic.record))

    def environment(self, prefix: str, database_url: str) -> dict[str, str]:
        """What workers and commands need to know."""
        return {
            **self.stack.environment,
            "FOX_TOPIC_PREFIX": prefix,
            "FOX_DATABASE_URL": database_url,
        }

    def spawn(self, name: str, argv: Sequence[str], env: Mapping[str, str]) -> GuardedProcess:
        """Starts a process that ends with the stage at the latest."""
        return self.stack.spawn(f"{name}{next(self._numbers)}", argv, env)

    def publish(self, file: Path, prefix: str) -> Reading:
        """Publishes a file with the producer's own code, without waiting for a worker."""
        window.WINDOW_ROWS = sys.maxsize
        order = Order(file, ENTREPRISE, Options())
        with Connections(self.producer_settings(prefix)) as connections:
            return publish_file(order, connections, lambda _: None)

    def producer_settings(self, prefix: str) -> Settings:
        """For the producer's modules in this process."""
        return Settings(
            kafka_bootstrap=self.bootstrap,
            schema_registry_url=self.stack.environment["FOX_SCHEMA_REGISTRY_URL"],
            topic_prefix=prefix,
        )

    @property
    def bootstrap(self) -> str:
        """Of Kafka."""
        return self.stack.environment["FOX_KAFKA_BOOTSTRAP"]

    def server_pids(self) -> dict[str, int]:
        """Of the servers that this stage started itself, by their name."""
        try:
            found = {"postgres": self.stack.postgres.pid, "kafka": self.stack.kafka.pid}
        except LocalStackError:
            return {}
        return {name: pid for name, pid in found.items() if pid is not None}

    def url(self, database: str) -> str:
        """Of a database of this server."""
        return f"{self.stack.environment['FOX_DATABASE_URL'].rsplit('/', 1)[0]}/{database}"


@contextmanager
def stage() -> Iterator[Stage]:
    """Servers for the time of a `with` block."""
    with (
        tempfile.TemporaryDirectory() as directory,
        Stack(Path(directory) / "stack", keep_schemas=True, report=print) as stack,
    ):
        found = Stage(stack, Path(directory))
        found.prepare()
        yield found


@dataclass
class Site:
    """One prefix and one database, with foxstream's own commands."""

    stage: Stage
    prefix: str
    database_url: str

    @property
    def environment(self) -> dict[str, str]:
        return self.stage.environment(self.prefix, self.database_url)

    def worker(self) -> GuardedProcess:
        """Starts a worker with all agents."""
        return self.stage.spawn("worker", WORKER, self.environment)

    def start_import(self, file: Path, *options: str) -> Command:
        """Starts `foxstream import`, which prints the import's state in the end."""
        words = ["import", str(file), "--type", "entreprise", "--json", *options]
        return Command([*FOXSTREAM, *words], self.environment)


@contextmanager
def site() -> Iterator[Site]:
    """A stage with topics and a database for foxstream alone."""
    with stage() as ready:
        ready.topics("bench.")
        yield Site(ready, "bench.", ready.database())


def words(default: Sequence[int]) -> list[int]:
    """The numbers on the command line, or the default for those that are not given."""
    given = [int(word.replace("_", "").replace(",", "")) for word in sys.argv[1:]]
    return [*given, *default[len(given) :]]
