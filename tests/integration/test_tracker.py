"""The last state of an import on the log is the one that PostgreSQL holds, whoever was late."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

import psycopg
from confluent_kafka import Producer
from faust.types import TP

from processors.database.pool import open_pool
from processors.imports.tracker import Tracker
from schemas.codec.framing import Decoder, Encoder, Record, load
from schemas.codec.schema import Schema
from schemas.runtime.registry import Registry
from tests.fix_companies import Companies
from tests.fix_gateway import Served
from tests.fix_stack import Site, eventually

Gateways = Callable[..., Served]
IMPORT = UUID("6f1d4a52-8a0e-5c3b-9a6e-0b8f7a1c2d3e")
SUBMITTED = f"""
    INSERT INTO ingest.imports (
        id, partition, import_type, file_name, file_sha256, generate_ai_content, header, options,
        created_at
    ) VALUES ('{IMPORT}', 0, 'VILLE', 'v.csv', '', false, '[]', '{{}}', now())
    """


class Registered:
    """A registry that holds both schemas."""

    def schema(self, schema_id: int) -> Schema:
        return load({1: "import_event", 2: "import_state"}[schema_id])


@dataclass
class Log:
    """The import log, and what happens when a state is sent: nothing, an error after it, or `then`."""

    site: Site
    states: list[Record] = field(default_factory=list)
    overtaken: bool = False
    then: Callable[[], None] = lambda: None

    async def publish(self, key: bytes, value: bytes | None) -> int:
        assert key == str(IMPORT).encode()
        self.states.append(Decoder("import_state", Registered()).decode(value))
        if self.overtaken:
            self.overtaken = False
            # As if this worker had slept: another has ended the import and published that.
            execute(
                self.site,
                "UPDATE ingest.imports SET status = 'ERROR', completed_at = now(),"
                """ error = '{"code": "x", "message": "x"}', version = version + 1000,"""
                " published_version = version + 1000",
            )
            raise TimeoutError
        self.then()
        return len(self.states)


def execute(site: Site, sql: str) -> None:
    with psycopg.connect(site.database_url) as connection:
        connection.execute(sql.encode())


@asynccontextmanager
async def following(site: Site, log: Log) -> AsyncIterator[None]:
    """A tracker at work."""
    async with open_pool(site.database_url, 2) as pool:
        tracker = Tracker(
            Decoder("import_event", Registered()),
            Encoder("import_state", 2),
            pool,
            log.publish,
            lambda: [TP("imports.events", 0)],
            {},
            reader_gone_seconds=10,
        )
        task = asyncio.create_task(tracker.follow())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def until_sent(log: Log, states: int) -> None:
    async with asyncio.timeout(60):
        while len(log.states) < states:
            await asyncio.sleep(0.05)


async def test_a_state_that_comes_after_a_later_one(site: Site) -> None:
    """A worker that woke up too late to tell PostgreSQL has the later state sent once more."""
    log = Log(site, overtaken=True)
    execute(site, SUBMITTED)

    async with following(site, log):
        await until_sent(log, 2)

    assert [state["status"] for state in log.states] == ["PENDING", "ERROR"]
    assert log.states[1]["version"] > log.states[0]["version"]


async def test_a_database_that_goes_while_a_state_is_sent(site: Site) -> None:
    """The state that says so follows the one that was sent, and not only the one before it."""
    log = Log(site)
    execute(site, SUBMITTED)

    async with following(site, log):
        await until_sent(log, 1)
        log.then = partial(close, site)
        execute(site, "UPDATE ingest.imports SET paused_at = now()")
        await until_sent(log, 3)
        log.then = lambda: None
        let_in(site, others=True)
        await until_sent(log, 4)

    versions = [state["version"] for state in log.states]
    assert [(state["status"], state["waiting_for"]) for state in log.states] == [
        ("PENDING", None), ("PAUSED", None), ("PAUSED", "database"), ("PAUSED", None)
    ]  # fmt: skip
    assert versions == sorted(set(versions))


def close(site: Site) -> None:
    """Ends the connections to the site's database, and takes no new ones."""
    let_in(site, others=False)
    server, _, name = site.database_url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )


def let_in(site: Site, *, others: bool) -> None:
    server, _, name = site.database_url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {others}".encode())


def last_state(site: Site) -> tuple[int, Record]:
    """Offset and content of the last state on the log."""
    with Registry(site.stack.environment["FOX_SCHEMA_REGISTRY_URL"]) as registry:
        message = max(site.messages("imports.log"), key=lambda message: message.timestamp())
        return message.offset(), Decoder("import_state", registry).decode(message.value())


def test_a_state_of_a_worker_that_slept_and_died(site: Site, companies: Companies) -> None:
    """An older state that comes last on the log is followed by the one that holds, once more."""
    site.worker()
    site.foxstream("import", companies.file(100), "--type", "entreprise")
    eventually(lambda: last_state(site)[1]["completed_at"])
    offset, ended = last_state(site)
    with Registry(site.stack.environment["FOX_SCHEMA_REGISTRY_URL"]) as registry:
        encoder = Encoder(
            "import_state",
            registry.schema_id(f"{site.prefix}imports.log-value", load("import_state")),
        )
    older = {**ended, "version": ended["version"] - 1, "status": "PROCESSING"}
    publish(site, ended["id"], encoder.encode(older))

    eventually(lambda: last_state(site)[0] > offset + 1)

    assert last_state(site) == (offset + 2, ended)


def publish(site: Site, import_id: str, value: bytes | None) -> None:
    """Puts something on the log beside the tracker."""
    producer = Producer(
        {
            "bootstrap.servers": site.stack.environment["FOX_KAFKA_BOOTSTRAP"],
            "partitioner": "murmur2_random",
        }
    )
    producer.produce(f"{site.prefix}imports.log", value, import_id.encode())
    producer.flush(30)


def last_value(site: Site) -> bytes | None:
    value: bytes | None = max(site.messages("imports.log"), key=lambda m: m.offset()).value()
    return value


def test_an_import_that_was_removed(site: Site, companies: Companies, gateway: Gateways) -> None:
    """A tombstone takes it off the log, the list and the gateway; the file can be imported anew.

    A tombstone that comes after that, of a worker that slept, is followed by the state once more, and
    a state that comes after a tombstone by another one.
    """
    site.worker()
    file = companies.file(20)
    imported = site.foxstream("import", file, "--type", "entreprise", "--json").json()
    import_id = imported["id"]
    state = last_value(site)
    served = gateway()
    assert served.state(import_id)["success_rows"] == imported["success_rows"] > 0
    assert site.foxstream("import", file, "--type", "entreprise").code == 4
    execute(site, "UPDATE ingest.imports SET completed_at = now() - interval '91 days'")

    assert site.foxstream_worker("job", "clean", "--json").json()["imports"] == 1
    eventually(lambda: last_value(site) is None)

    assert site.foxstream("list", "--json").stdout.strip() == "[]"
    assert site.foxstream("status", import_id).code == 4
    with served.client() as client:
        eventually(lambda: client.get(f"/api/imports/{import_id}/").status_code == 404)
        assert client.get("/api/imports/").json()["count"] == 0

    [(tombstone,)] = site.query("SELECT published_offset FROM ingest.forgotten")
    publish(site, import_id, state)
    later = "SELECT FROM ingest.forgotten WHERE published_offset > %s"
    eventually(lambda: site.query(later, tombstone))
    assert last_value(site) is None

    again = site.foxstream("import", file, "--type", "entreprise", "--json").json()
    assert (again["id"], again["inserted"]) == (import_id, 0)
    assert again["success_rows"] == imported["success_rows"]
    with served.client() as client:
        eventually(lambda: client.get(f"/api/imports/{import_id}/").status_code == 200)
    with served.client() as client:
        publish(site, import_id, None)
        eventually(lambda: last_value(site) is not None)
        eventually(lambda: client.get(f"/api/imports/{import_id}/").status_code == 200)
