"""Events of imports and their states in PostgreSQL, without Kafka: whoever is late or comes twice."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from faust.types import TP
from structlog.testing import capture_logs

from processors.database import queries
from processors.database.pool import open_pool
from processors.imports.log_guard import LogGuard
from processors.imports.tracker import Tracker
from schemas.codec.framing import NAMESPACE, Decoder, Encoder, Record, load
from schemas.codec.schema import Schema
from tests.integration.test_row_writer import IMPORT, Partition, _waits, database

__all__ = ["database"]  # fixtures

EVENTS, STATES = "fox.imports.events", "fox.imports.log"
FAR = 10**16
"""A version beyond any clock's."""


class Registered:
    """A registry that holds both schemas."""

    def schema(self, schema_id: int) -> Schema:
        return load({1: "import_event", 2: "import_state"}[schema_id])


async def nothing() -> None: ...


@dataclass
class Desk:
    """A tracker of partition 0, the events that it takes, and what it publishes, as on a log.

    `after` is done when a state stands on the log, before Kafka says so.
    """

    events: Partition
    log: Partition
    after: Callable[[], Awaitable[None]] = nothing
    published: list[Record | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tracker = self.another()
        self.stragglers = LogGuard(Decoder("import_state", Registered()), self.log.pool)

    def another(self) -> Tracker:
        """Another worker that has the same partition."""
        return Tracker(
            Decoder("import_event", Registered()),
            Encoder("import_state", 2),
            self.events.pool,
            self._publish,
            lambda: [TP(EVENTS, 0)],
            {},
            reader_gone_seconds=10,
        )

    async def _publish(self, key: bytes, value: bytes | None) -> int:
        record = self.log.put(key, value)
        decoder = Decoder("import_state", Registered())
        self.published.append(None if value is None else decoder.decode(value))
        await self.after()
        return int(record.offset)

    async def tell(self, name: str, **body: Any) -> None:
        """Something happens to the import."""
        start = len(self.events.records)
        event = {
            "import_id": IMPORT,
            "at": datetime.now(UTC),
            "event": (f"{NAMESPACE}.{name}", body),
        }
        self.events.put(IMPORT.encode(), Encoder("import_event", 1).encode(event))
        await self.tracker._write(self.events.batch(start))

    async def submit(self, file_name: str = "v.csv") -> None:
        await self.tell(
            "Submitted", import_type="VILLE", file_name=file_name, file_sha256="", uploaded_by=None,
            generate_ai_content=False, header=[], options={}, parent=None,
        )  # fmt: skip

    async def sweep(self) -> None:
        """What a tracker does every half second."""
        await self.tracker._forget()
        await self.tracker._update(await self.tracker._unfinished())

    async def read(self, end: int | None = None) -> None:
        """Whoever holds the partition of the log reads what is new on it, up to an offset."""
        [(start,)] = await self.log.query(
            f"SELECT next_offset FROM ingest.positions WHERE topic = '{STATES}'"
        )
        await self.stragglers._write(self.log.batch(start, end))

    async def stored(self, columns: str) -> tuple[Any, ...]:
        [found] = await self.events.query(f"SELECT {columns} FROM ingest.imports")
        return found

    async def update(self, changes: str) -> None:
        await self.events.execute(f"UPDATE ingest.imports SET {changes}")


@pytest.fixture
async def desk(database: str) -> AsyncIterator[Desk]:
    """With one import that was submitted."""
    async with open_pool(database, 3) as pool:
        found = Desk(Partition(pool, topic=EVENTS), Partition(pool, topic=STATES))
        await found.events.begin()
        await found.log.begin()
        await found.submit()
        yield found


# Kafka that was lost


@pytest.mark.parametrize(("written", "total"), [(49, None), (50, 50)])
async def test_rows_that_were_lost_are_read_again(
    desk: Desk, written: int, total: int | None
) -> None:
    """The number of rows is open again if Kafka lost some of them before they were written."""
    await desk.tell("ReadingFinished", total_rows=50)
    await desk.events.execute(
        "INSERT INTO ingest.progress (import_id, topic, partition, inserted)"
        f" VALUES ('{IMPORT}', 'fox.file-rows.ville', 0, {written})"
    )

    await desk.events.execute(
        queries.load("processors.operator", "kafka_recovery.sql")["read_again"]
    )

    assert await desk.stored("total_rows") == (total,)


# Events that come twice, or too late


async def test_submitted_again(desk: Desk) -> None:
    """A producer that begins again changes nothing of its import."""
    before = await desk.stored("*")

    await desk.submit("other.csv")

    assert await desk.stored("*") == before


@pytest.mark.parametrize("readers", [[(50, 51), (30, 31)], [(30, 31), (50, 51)]])
async def test_the_farther_reader_counts(desk: Desk, readers: list[tuple[int, int]]) -> None:
    """A cancel stops two readers of a file at two places: rows of the farther one are on their way."""
    await desk.tell("Cancel", by="me")
    for total, line in readers:
        await desk.tell("ReadingFinished", total_rows=total, stopped_after=line)

    assert await desk.stored("total_rows, stopped_after") == (50, 51)


async def test_a_reader_that_fails_when_the_file_is_read(desk: Desk) -> None:
    """All rows are there: the failure is another reader's. One before is overcome."""
    await desk.tell("ReadingFailed", code="encoding", message="Non.")
    await desk.tell("ReadingFinished", total_rows=2)
    assert await desk.stored("error") == (None,)

    await desk.tell("ReadingFailed", code="encoding", message="Non.")

    assert await desk.stored("error") == (None,)


@pytest.mark.parametrize("what", ["Cancel", "Pause"])
async def test_asked_for_after_the_end(desk: Desk, what: str) -> None:
    """What has ended is neither cancelled nor paused."""
    await desk.update("completed_at = now()")
    before = await desk.stored("*")

    await desk.tell(what, by="me")

    assert await desk.stored("*") == before


@pytest.mark.parametrize("what", ["Cancel", "Pause"])
async def test_asked_for_twice(desk: Desk, what: str) -> None:
    """The first counts: how long a reader is waited for begins with it."""
    await desk.tell(what, by="me")
    before = await desk.stored("*")

    await desk.tell(what, by="you")

    assert await desk.stored("*") == before


# Which imports are looked at


@pytest.mark.parametrize(
    ("why", "changes"),
    [
        ("it goes on", "completed_at = NULL"),
        ("its state is not published", "version = 9"),
        ("an older state stands last on the log", "stray_offset = 9"),
        ("rows of a cancelled import still come", "cancelled_at = now()"),
        ("its rejects were settled", "settled_at = now()"),
        ("rows of it wait no longer", "parked = 1"),
    ],
)
async def test_looked_at(desk: Desk, why: str, changes: str) -> None:
    """An import that has ended is looked at again where something may move, by who has its partition."""
    await desk.update("completed_at = now(), version = 7, published_version = 7")
    assert await desk.tracker._unfinished() == set()

    await desk.update(changes)

    assert await desk.tracker._unfinished() == {UUID(IMPORT)}, why
    await desk.update("partition = 1")
    assert await desk.tracker._unfinished() == set()


# States


async def test_versions_rise(desk: Desk) -> None:
    """Whatever the clock says, a version is above the stored one and above what was last published."""
    await desk.sweep()
    now = datetime.now(UTC).timestamp() * 1000
    assert [abs(state["version"] - now) < 60_000 for state in desk.published if state] == [True]

    await desk.update(f"version = {FAR}")
    await desk.tell("Pause", by=None)
    await desk.sweep()
    await desk.update("version = 7, published_version = 7")  # as after a restore
    await desk.tell("Resume", by=None)
    await desk.sweep()

    assert [state["version"] > FAR for state in desk.published if state] == [False, True, True]
    _, before, after = desk.published
    assert before is not None
    assert after is not None
    assert before["version"] < after["version"]


async def test_a_state_is_worked_out_of_what_others_have_committed(desk: Desk) -> None:
    """Of two trackers that work on an import at once the later one sees what the earlier one wrote."""
    async with desk.events.pool.connection() as other, other.transaction():
        await other.execute(f"UPDATE ingest.imports SET version = {FAR}".encode())
        folding = asyncio.create_task(desk.tracker._update([UUID(IMPORT)]))
        while not await _waits(desk.events):
            assert not folding.done()

    await folding

    assert await desk.stored(f"version > {FAR}, published_version > {FAR}") == (True, True)


async def test_a_state_of_which_kafka_says_nothing(desk: Desk) -> None:
    """It may stand on the log, or not yet: it is published once more when Kafka answers again."""

    async def silent() -> None:
        raise TimeoutError

    await desk.sweep()
    await desk.tell("Pause", by=None)
    desk.after = silent
    with pytest.raises(TimeoutError):
        await desk.sweep()
    # Another worker had the import meanwhile, and published what holds.
    await desk.update("published_version = version")
    desk.after = nothing

    await desk.sweep()

    _, paused, again = desk.published
    assert paused == again
    await desk.sweep()
    assert len(desk.published) == 3


async def test_a_state_that_comes_after_a_later_one(desk: Desk) -> None:
    """A worker that was overtaken while it published has the later state stand last."""

    async def overtaken() -> None:
        desk.after = nothing
        await desk.update(f"paused_at = now(), version = {FAR}, published_version = {FAR}")

    desk.after = overtaken

    await desk.sweep()

    assert [state and state["status"] for state in desk.published] == ["PENDING", "PAUSED"]
    assert await desk.stored("published_version = version") == (True,)


# What comes to the log beside the tracker


async def test_an_older_state_on_the_log(desk: Desk) -> None:
    """One that comes last is followed by the one that holds, once; those before it are passed over."""
    await desk.sweep()
    await desk.tell("Pause", by=None)
    await desk.sweep()
    with capture_logs() as logs:
        for end in (1, 2):
            await desk.read(end)
            await desk.sweep()
    assert [state and state["status"] for state in desk.published] == ["PENDING", "PAUSED"]
    assert logs == []

    desk.log.put(IMPORT.encode(), desk.log.records[0].value)
    await desk.read()
    await desk.sweep()
    await desk.read()
    await desk.sweep()

    assert [state and state["status"] for state in desk.published] == [
        "PENDING",
        "PAUSED",
        "PAUSED",
    ]


async def test_a_state_that_holds_of_which_nobody_noted_where_it_stands(desk: Desk) -> None:
    """As of imports before this was noted: it is no older state, and not published again."""
    await desk.sweep()
    await desk.update("published_offset = -1")

    await desk.read()
    await desk.sweep()

    assert len(desk.published) == 1


async def test_an_import_that_was_forgotten(desk: Desk) -> None:
    """A state that comes after its tombstone is followed by another; a tombstone by nothing."""
    await desk.sweep()
    await desk.events.execute(
        f"DELETE FROM ingest.imports; INSERT INTO ingest.forgotten VALUES ('{IMPORT}', 0)"
    )
    await desk.sweep()
    desk.log.put(IMPORT.encode(), None)  # of a worker that slept
    await desk.read()
    await desk.sweep()
    assert desk.published[1:] == [None]

    desk.log.put(IMPORT.encode(), desk.log.records[0].value)
    await desk.read()
    await desk.sweep()
    await desk.read()
    await desk.sweep()

    assert desk.published[1:] == [None, None]


async def test_an_import_that_came_back(desk: Desk) -> None:
    """Its states are no strays of the one that was forgotten; a late tombstone is followed by one."""
    await desk.events.execute(
        f"INSERT INTO ingest.forgotten VALUES ('{IMPORT}', 0, now(), now(), -1)"
    )
    await desk.sweep()
    await desk.read()
    await desk.sweep()
    assert [state and state["status"] for state in desk.published] == ["PENDING"]

    desk.log.put(IMPORT.encode(), None)
    await desk.read()
    await desk.sweep()

    assert [state and state["status"] for state in desk.published] == ["PENDING", "PENDING"]


async def test_an_import_that_comes_back_before_its_tombstone(desk: Desk) -> None:
    """The log is not told that it is gone."""
    await desk.events.execute(f"INSERT INTO ingest.forgotten VALUES ('{IMPORT}', 0)")

    await desk.sweep()

    assert [state and state["status"] for state in desk.published] == ["PENDING"]
