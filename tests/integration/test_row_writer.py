"""Batches to PostgreSQL, without Kafka: one transaction each, and what it leaves behind."""

import asyncio
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count, pairwise
from typing import Any
from uuid import RFC_4122

import psycopg
import pytest
from aiokafka import ConsumerRecord
from confluent_kafka import murmur2
from faust.types import TP
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row

from deploy.local.stack import Stack
from processors.database.pool import Pool, open_pool
from processors.errors import BatchTooLargeError, ConfigurationError
from processors.kafka.batch import Batch
from processors.kafka.lost_positions import Position
from processors.kafka.records.last_record import LastRecord
from processors.kafka.topic_identity import Identity
from processors.rows.accounting import reject_limit
from processors.rows.accounting.positions import FencedError, Identify, StoredPositions, store_halt
from processors.rows.accounting.reject_limit import RejectLimit
from processors.rows.accounting.sqlstate import Blame, blame, is_transient
from processors.rows.accounting.written import Written
from processors.rows.merge import isolation
from processors.rows.merge.merge import MOST_ROUNDS
from processors.rows.merge.targets import COMPANY_DETAILS, TARGETS, Target
from processors.rows.model import Validated
from processors.rows.transaction import NO_RELATED_ROWS, RelatedRows, write
from processors.rows.validation import validate
from schemas.codec.framing import Encoder, RowDecoder, load
from schemas.codec.schema import Schema, SchemaUnknownError
from schemas.import_types import CATEGORIE, ENTREPRISE, IMPORT_TYPES, VILLE, ImportType
from schemas.outcomes import OUTCOMES
from schemas.values.geography import departement_of, region_of
from tests.examples import examples
from tests.fix_stack import new_database

IMPORT = "6f1d4a52-8a0e-5c3b-9a6e-0b8f7a1c2d3e"
OTHER = "0b7f1c7e-1f0a-5d55-8f53-9a1f62e3c111"
APPENDED = datetime(2025, 3, 1, 8, 30, tzinfo=UTC)
TOPIC = "fox.rows.any"
TABLES = (
    "enterprise_entreprise, location_ville, category_categorie, subcategory_souscategorie, "
    "ingest.positions, ingest.progress, ingest.rejects, ingest.dropped_values, ingest.parked, "
    "ingest.sirene"
)

Columns = dict[str, Any]

_numbers = count(1)


@pytest.fixture
def database(stack: Stack) -> str:
    """The URL of a migrated database of this test's own."""
    # Its commits need not outlive a crash of the server.
    url = new_database(stack, f"writing{next(_numbers)}")
    return f"{url}?options=-csynchronous_commit%3Doff"


RECORDS = {name: str(import_type.topic.record) for name, import_type in IMPORT_TYPES.items()}


class Registered:
    """A registry that holds the schemas of all row types."""

    def schema(self, schema_id: int) -> Schema:
        if not 1 <= schema_id <= len(RECORDS):
            raise SchemaUnknownError(str(schema_id))
        return load(list(RECORDS.values())[schema_id - 1])


ENCODERS = {
    name: Encoder(record, schema_id)
    for schema_id, (name, record) in enumerate(RECORDS.items(), start=1)
}
DECODERS = {name: RowDecoder(record, Registered()) for name, record in RECORDS.items()}


def knows(identities: Mapping[str, Identity]) -> Identify:
    """As a Kafka that has these topics answers."""

    async def identify(_: Iterable[str]) -> Mapping[str, Identity]:
        return identities

    return identify


@dataclass
class Partition:
    """One partition of a topic, as far as writing knows of it: records, batches, the database."""

    pool: Pool
    target: Target = TARGETS[ENTREPRISE.name]
    number: int = 0
    partitions: int = 1
    records: list[ConsumerRecord] = field(default_factory=list)
    token: object = field(default_factory=object)
    limit: RejectLimit = field(default_factory=lambda: RejectLimit(1))
    topic: str = TOPIC
    related: RelatedRows = NO_RELATED_ROWS

    @property
    def import_type(self) -> ImportType:
        return self.target.import_type

    @property
    def tp(self) -> TP:
        return TP(self.topic, self.number)

    async def begin(self) -> int:
        """Stores the position where none is stored; the position that is."""
        identity = {self.topic: Identity("cluster", "id" if self.topic == TOPIC else self.topic, 1)}
        stored = StoredPositions(self.pool, identity, knows(identity))
        return (await stored.restore({self.tp: 0}))[self.tp].offset

    def append(
        self, row: Mapping[str, Any], at: datetime = APPENDED, **more: Any
    ) -> ConsumerRecord:
        """Puts a row on the log."""
        key = self.import_type.key_of({name: row.get(name) for name in self.import_type.field})
        value = ENCODERS[self.import_type.name].encode(row)
        routing = None if key is None else self.import_type.routing(key).encode()
        return self.put(routing, value, at, **more)

    def put(
        self,
        key: bytes | None,
        value: bytes | None,
        at: datetime = APPENDED,
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> ConsumerRecord:
        """Puts any record on the log."""
        record = ConsumerRecord(
            topic=self.topic,
            partition=self.number,
            offset=len(self.records),
            timestamp=int(at.timestamp()) * 1000 + at.microsecond // 1000,
            timestamp_type=1,
            key=key,
            value=value,
            checksum=None,
            serialized_key_size=len(key or b""),
            serialized_value_size=len(value or b""),
            headers=tuple(headers),
        )
        self.records.append(record)
        return record

    def batch(self, start: int = 0, end: int | None = None) -> Batch:
        """Records from `start` to before `end`, as one fetch."""
        end = len(self.records) if end is None else end
        return self.fetch(start, end, self.records[start:end])

    def fetch(self, start: int, end: int, records: Sequence[ConsumerRecord]) -> Batch:
        return Batch(self.topic, self.number, start, end, records, self.token)

    def validated(self, batch: Batch) -> Validated:
        return validate(batch, self.partitions, self.import_type, DECODERS[self.import_type.name])

    async def write(self, batch: Batch) -> Written:
        """Judges a batch and writes it."""
        return await write(
            self.pool, self.target, batch, self.validated(batch), self.limit, self.related
        )

    async def write_all(self, *cuts: int, from_: int = 0) -> list[Written]:
        """Writes the log from an offset on, in batches that end at `cuts`."""
        waiting = [
            self.batch(start, end)
            for start, end in pairwise([from_, *cuts, len(self.records)])
            if start < end
        ]
        written: list[Written] = []
        while waiting:
            try:
                written.append(await self.write(waiting[0]))
            except BatchTooLargeError:
                waiting[:1] = waiting[0].halves()
            else:
                del waiting[0]
        return written

    async def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        async with self.pool.connection() as connection:
            await connection.execute("SET LOCAL tests.as_django = on")
            return await (await connection.execute(sql.encode(), values)).fetchall()

    async def execute(self, sql: str) -> None:
        """Changes what PostgreSQL holds, as the site does."""
        async with self.pool.connection() as connection:
            await connection.execute("SET LOCAL tests.as_django = on")
            await connection.execute(sql.encode())

    async def stored(self, columns: str = "siren, nom") -> list[tuple[Any, ...]]:
        """Columns of all rows of the table, by key."""
        key = "siren" if self.import_type is ENTREPRISE else "slug"
        return await self.query(f"SELECT {columns} FROM {self.import_type.table} ORDER BY {key}")

    async def progress(self, import_id: str = IMPORT) -> Counter[str]:
        """Counters of an import in this partition; none where it has no row here."""
        found = await self.query(
            f"SELECT {', '.join(OUTCOMES)} FROM ingest.progress WHERE import_id = %s", import_id
        )
        return +Counter(dict(zip(OUTCOMES, found[0], strict=True))) if found else Counter()

    async def everything(self) -> list[Any]:
        """All that a transaction may change."""
        return [
            await self.query(f"TABLE {table}")
            for table in (*TABLES.split(", "), "public.foxstream_migrations")
        ]


@asynccontextmanager
async def opened(database: str) -> AsyncIterator[Partition]:
    async with open_pool(database, 3) as pool:
        partition = Partition(pool)
        await partition.begin()
        yield partition


@pytest.fixture
async def log(database: str) -> AsyncIterator[Partition]:
    """An empty partition of companies, whose position is stored."""
    async with opened(database) as partition:
        yield partition


@pytest.fixture
async def cities(log: Partition) -> Partition:
    """The same of cities."""
    log.target = TARGETS[VILLE.name]
    return log


def siren(number: int) -> str:
    return f"{number + 1:09d}"  # 000000000 is not one


def company(number: int, nom: str | None = "A", **more: Any) -> dict[str, Any]:
    return {"siren": siren(number), "nom": nom, **more}


def line(number: int, import_id: str = IMPORT, **more: Any) -> dict[str, Any]:
    """What ties a row to a line of a file."""
    return {"import": {"id": import_id, "number": number, "line": number + 1, **more}}


# Fencing


async def test_a_batch_moves_the_position(log: Partition) -> None:
    """A written batch leaves the position at its end, though its last offsets held markers only."""
    log.append(company(1))

    await log.write(log.fetch(0, 7, log.records))

    assert await log.query("SELECT next_offset FROM ingest.positions") == [(7,)]
    assert await log.begin() == 7


@pytest.mark.parametrize(
    ("start", "end", "why"),
    [
        (1, 2, "a batch before it was skipped"),
        (0, 3, "it was written by somebody else, in other batches"),
        (3, 3, "it is of no partition's future"),
    ],
)
async def test_fenced(log: Partition, start: int, end: int, why: str) -> None:
    """A batch that does not begin at the stored position writes nothing at all."""
    for number in range(3):
        log.append(company(number, **line(number + 1)))
    if start == 0:
        await log.write(log.batch(0, 2))
    before = await log.everything()

    with pytest.raises(FencedError) as caught:
        await log.write(log.batch(start, end))

    assert caught.value.stored == (2 if start == 0 else 0), why
    assert caught.value.stored != end or start == end
    assert await log.everything() == before


async def test_repeated(log: Partition) -> None:
    """A batch that was applied is told from one that is lost: the position is its own end."""
    log.append(company(1, **line(1)))
    await log.write(log.batch())
    before = await log.everything()

    with pytest.raises(FencedError) as caught:
        await log.write(log.batch())

    assert caught.value.stored == log.batch().end
    assert await log.everything() == before


async def test_two_workers(log: Partition) -> None:
    """Of workers that write the same batch at once one succeeds, and the others learn of it."""
    for number in range(200):
        log.append(company(number, **line(number + 1)))

    results = await asyncio.gather(
        *(log.write(log.batch()) for _ in range(3)), return_exceptions=True
    )

    written = [result for result in results if isinstance(result, Written)]
    fenced = [result.stored for result in results if isinstance(result, FencedError)]
    assert (len(written), fenced) == (1, [200, 200])
    assert await log.progress() == Counter(inserted=200)


async def test_partitions_side_by_side(log: Partition) -> None:
    """Batches of two partitions with rows of one import are written at once, and both count."""
    two = await two_partitions(log)
    for number in range(200):
        home = murmur2(siren(number).encode(), 2)
        two[home].append(company(number, **line(number + 1)))

    await asyncio.gather(*(one.write(one.batch()) for one in two))

    found = await log.query("SELECT inserted FROM ingest.progress ORDER BY partition")
    assert found == [(len(one.records),) for one in two]
    assert len(await log.stored()) == 200


async def two_partitions(log: Partition) -> list[Partition]:
    """The same topic with one partition more."""
    log.partitions = 2
    other = Partition(log.pool, log.target, 1, 2)
    await other.begin()
    return [log, other]


@pytest.mark.parametrize(
    "other",
    [Identity("other", "id", 1), Identity("cluster", "new", 1), Identity("cluster", "id", 2)],
)
async def test_topic_of_the_same_name(log: Partition, other: Identity) -> None:
    """A position that was stored of another topic, cluster or partition count is not taken."""
    stored = StoredPositions(log.pool, {TOPIC: other}, knows({TOPIC: other}))

    with pytest.raises(ConfigurationError, match="'A position is lost'"):
        await stored.restore({log.tp: 0})


async def test_topic_made_anew_under_a_running_worker(log: Partition) -> None:
    """A topic that is not the one which this worker started with is not begun: its records would be
    taken for those of the other."""
    known, now = Identity("cluster", "id", 1), Identity("cluster", "new", 1)
    stored = StoredPositions(log.pool, {TOPIC: known}, knows({TOPIC: now}))

    with pytest.raises(ConfigurationError, match="Start the worker again"):
        await stored.restore({TP(TOPIC, 5): 0})

    assert await log.query("SELECT topic_id FROM ingest.positions") == [("id",)]


async def test_a_halt_ends_with_the_next_batch(log: Partition) -> None:
    """Why a partition is not written is noted until it is, and moves no position."""
    log.append(company(1))
    await store_halt(log.pool, log.tp, "relation does not exist")
    halted = "SELECT next_offset, halted FROM ingest.positions"
    assert await log.query(halted) == [(0, "relation does not exist")]

    await log.write(log.batch())

    assert await log.query(halted) == [(1, None)]


async def test_position_that_is_stored_stays(log: Partition) -> None:
    """The beginning of a log counts only where no position is stored."""
    identity = {TOPIC: Identity("cluster", "id", 1)}
    stored = StoredPositions(log.pool, identity, knows(identity))
    log.append(company(1))
    await log.write(log.batch())
    fresh = TP(TOPIC, 5)

    for beginnings in ({log.tp: 0, fresh: 17}, {log.tp: 9, fresh: 99}):
        restored = await stored.restore(beginnings)
        assert {tp: position.offset for tp, position in restored.items()} == {log.tp: 1, fresh: 17}


async def test_the_last_record_of_another_position(log: Partition) -> None:
    """The last record is stored with its position, and counts for no other: an earlier release and a
    person move the position without it."""
    identity = {TOPIC: Identity("cluster", "id", 1)}
    stored = StoredPositions(log.pool, identity, knows(identity))
    for number in (1, 2):
        log.append(company(number))
    await log.write(log.batch())
    known = log.batch().last_record
    assert known is not None
    assert await stored.restore({log.tp: 0}) == {log.tp: Position(2, known)}

    await log.execute("UPDATE ingest.positions SET next_offset = 1")

    assert await stored.restore({log.tp: 0}) == {log.tp: Position(1)}


async def test_a_lost_position_stays_lost(log: Partition) -> None:
    """Of a last record that was not known, the log never has it; one that is known is compared again."""
    identity = {TOPIC: Identity("cluster", "id", 1)}
    stored = StoredPositions(log.pool, identity, knows(identity))
    log.append(company(1))
    await log.write(log.batch())
    known = log.batch().last_record
    for position, last in ((1, known), (7, LastRecord(6, -1, -1, ""))):
        await log.execute(f"UPDATE ingest.positions SET next_offset = {position}")

        await stored.store_lost(log.tp, position + 1, "of a position that a person replaced")
        await stored.store_lost(log.tp, position, "the log ends before")

        assert await stored.restore({log.tp: 0}) == {log.tp: Position(position, last)}
    assert await log.query("SELECT halted FROM ingest.positions") == [("the log ends before",)]


async def test_rejects_of_two_records_at_one_offset(log: Partition) -> None:
    """A log that a person accepted has another number: its records are not those of before."""
    log.append(company(1, nom=None))
    await log.write(log.batch())
    await log.execute(
        "UPDATE ingest.positions SET next_offset = 0, last_record = NULL,"
        " log_number = coalesce(log_number, 0) + 1"
    )
    log.records.clear()
    log.append(company(2, nom=None))

    await log.write(log.batch())

    assert await log.query('SELECT "offset", count(*) FROM ingest.rejects GROUP BY 1') == [(0, 2)]


# All or nothing


@pytest.mark.parametrize("table", ["enterprise_entreprise", "ingest.rejects", "ingest.progress"])
async def test_all_or_nothing(log: Partition, table: str) -> None:
    """Whichever step fails, rows, rejects, counters and position stay as they were."""
    log.append(company(1, **line(1)))
    log.append(company(2, nom=None, **line(2)))
    await log.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$"
        "BEGIN RAISE 'on purpose' USING ERRCODE = 'config_file_error'; END $$"
    )
    await log.execute(
        f"CREATE TRIGGER fail BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION fail()"
    )
    before = await log.everything()

    with pytest.raises(psycopg.errors.ConfigFileError) as caught:
        await log.write(log.batch())

    assert blame(caught.value) is Blame.OPERATOR
    assert await log.everything() == before
    await log.execute(f"DROP TRIGGER fail ON {table}")
    await log.write(log.batch())
    assert await log.progress() == Counter(inserted=1, rejected=1)


async def test_worker_that_is_stopped(log: Partition) -> None:
    """A write that is cancelled while it waits leaves nothing, and no lock."""
    log.append(company(1, **line(1)))
    async with log.pool.connection() as blocking, blocking.transaction():
        await blocking.execute("LOCK TABLE ingest.progress")
        writing = asyncio.create_task(log.write(log.batch()))
        while not await _waits(log):
            assert not writing.done()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing

    assert await log.stored() == []
    await log.write(log.batch())
    assert await log.progress() == Counter(inserted=1)


async def _waits(log: Partition) -> bool:
    waiting = await log.query(
        "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    return bool(waiting)


# Accounting


async def test_outcomes(log: Partition) -> None:
    """Each row of an import is inserted, updated, unchanged, stale, a duplicate or rejected."""
    stored = [company(1, "A"), company(2, "B"), company(3, "C", observed_at=APPENDED)]
    for row in stored:
        log.append(row)
    old = APPENDED - timedelta(milliseconds=1)
    for row in (
        company(1, "A", **line(1)),
        company(2, "b", **line(2)),
        company(3, "old", observed_at=old, **line(3)),
        company(4, "new", **line(4)),
        company(4, "newer", **line(5, occurrence=2)),
        company(5, None, **line(6)),
    ):
        log.append(row)

    _, written = await log.write_all(3)

    assert await log.progress() == Counter(
        unchanged=1, updated=1, stale=1, inserted=1, duplicate=1, rejected=1
    )
    assert written.outcomes.by_import[IMPORT] == await log.progress()
    assert [tuple(progress) for progress in written.progress] == [(IMPORT, 1, 6, 6)]
    assert await log.stored() == [
        (siren(1), "A"), (siren(2), "b"), (siren(3), "C"), (siren(4), "newer")
    ]  # fmt: skip


async def test_progress_adds_up(log: Partition) -> None:
    """Progress is absolute: over batches the counters add up, watermark and revision rise."""
    for number in range(1, 10):
        log.append(company(number, **line(number)))
    log.append(company(1, **line(1, OTHER)))

    written = await log.write_all(2, 3)

    assert [[tuple(one) for one in batch.progress] for batch in written] == [
        [(IMPORT, 1, 2, 2)],
        [(IMPORT, 2, 3, 3)],
        [(OTHER, 1, 1, 1), (IMPORT, 3, 9, 9)],
    ]


async def test_upstream_rows_are_nobodys(log: Partition) -> None:
    """Rows and rejects of upstream systems are written and make no progress of any import."""
    log.append(company(1))
    log.put(b"x", b"damaged")

    [written] = await log.write_all()

    assert (written.progress, await log.query("TABLE ingest.progress")) == ([], [])
    assert written.outcomes.total() == Counter(inserted=1, rejected=1)


async def test_replays(log: Partition) -> None:
    """What an earlier run of the producer settled is neither written nor rejected nor counted again."""
    for number in (1, 2, 3, 2, 3, 4):
        log.append(company(number, None if number == 2 else f"{len(log.records)}", **line(number)))

    await log.write_all(3)

    assert await log.stored() == [(siren(1), "0"), (siren(3), "2"), (siren(4), "5")]
    assert await log.progress() == Counter(inserted=3, rejected=1)
    assert await log.query('SELECT "offset" FROM ingest.rejects') == [(1,)]


async def test_batch_of_replays(log: Partition) -> None:
    """A batch of nothing but replays moves the position, and no revision."""
    for _ in range(2):
        log.append(company(1, **line(1)))

    _, written = await log.write_all(1)

    assert written.progress == []
    assert await log.query("SELECT revision FROM ingest.progress") == [(1,)]
    assert await log.begin() == 2


async def test_watermark_of_another_partition(log: Partition) -> None:
    """An import has a watermark in each partition: a high one here settles nothing there."""
    two = await two_partitions(log)
    first = {murmur2(siren(number).encode(), 2): number for number in range(10)}
    for one, number in zip(two, (100, 1), strict=True):
        one.append(company(first[one.number], **line(number)))
        await one.write_all()

    assert await log.query("SELECT watermark, inserted FROM ingest.progress ORDER BY 1") == [
        (1, 1), (100, 1)
    ]  # fmt: skip


async def test_unchanged_rows_keep_their_time(log: Partition) -> None:
    """A row that says nothing new moves the guard and who saw it last, and not updated_at."""
    log.append(company(1))
    log.append(company(1, **line(1)), at=APPENDED + timedelta(minutes=1))
    columns = "updated_at, ingest_observed_at, ingest_line, ingest_partition, ingest_offset"

    await log.write(log.batch(0, 1))
    [before] = await log.stored(columns)
    await log.write(log.batch(1, 2))

    [after] = await log.stored(f"{columns}, ingest_outcome, ingest_import_id::text")
    assert after == (before[0], APPENDED + timedelta(minutes=1), 2, 0, 1, "=", IMPORT)


DETAILS: dict[str, Any] = {
    "domain": "exemple.fr", "latitude": 48.11734567891, "longitude": -1.5, "logo": "https://x.fr/l.png",
    "main_image": "https://x.fr/i.png", "nom_proprietaire": "Alix", "google_place_id": "ChIJ_x-1234567",
    "original_title": "Chez Alix", "enrichi_insee": True, "siren_temporaire": True,
}  # fmt: skip
STORED_DETAILS = tuple({**DETAILS, "latitude": Decimal("48.1173457")}.values())


async def test_details_of_companies(log: Partition) -> None:
    """Those that few files have are stored, and a row without them leaves them as they are."""
    log.append(company(1, **DETAILS))
    log.append(company(2))
    await log.write_all(1)
    log.append(company(1, "B") | line(1, policy="overwrite"))
    log.append(company(3, **DETAILS) | line(2))
    await log.write(log.batch(2))

    no_details = ("", None, None, *[""] * 5, False, False)
    assert await log.stored(f"nom, {', '.join(DETAILS)}") == [
        ("B", *STORED_DETAILS),
        ("A", *no_details),
        ("A", *STORED_DETAILS),
    ]

    log.append(company(2, **DETAILS) | line(3))
    log.append(company(1, "B", **DETAILS) | line(4))
    await log.write(log.batch(4))

    assert await log.stored(", ".join(DETAILS)) == [STORED_DETAILS] * 3
    log.append(company(1, "B") | line(5, policy="overwrite", absent=[*DETAILS]))
    log.append(company(3) | line(6, policy="overwrite", absent=[]))
    await log.write(log.batch(6))

    assert await log.stored(", ".join(DETAILS)) == [STORED_DETAILS] * 2 + [no_details]
    assert await log.progress() == Counter(inserted=1, updated=3, unchanged=2)


async def test_identifiers(log: Partition) -> None:
    """The id of a row is a UUID made of its key: in another database it is the same."""
    log.append(company(1))
    await log.write_all()
    [(first,)] = await log.stored("id")
    await log.execute(f"TRUNCATE {TABLES} CASCADE")
    await log.begin()
    await log.write_all()

    assert await log.stored("id") == [(first,)]
    assert (first.version, first.variant) == (5, RFC_4122)


async def test_rows_of_the_site(log: Partition) -> None:
    """A row that the site made itself is found by its key, keeps its id and what no file gives."""
    await log.execute(
        "INSERT INTO enterprise_entreprise (id, created_at, updated_at, siren, nom, google_place_id)"
        f" VALUES ('{OTHER}', now(), now(), '{siren(1)}', 'Site', 'place')"
    )
    log.append(company(1, "File", **line(1)))

    await log.write_all()

    assert await log.stored("id::text, nom, google_place_id") == [(OTHER, "File", "place")]
    assert await log.progress() == Counter(updated=1)


async def test_what_an_import_expects_is_no_reason_to_halt(
    log: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of a cancelled import, and those that their reader has rejected, may be all there is."""
    monkeypatch.setattr(reject_limit, "LEAST_ROWS", 1)
    log.limit = RejectLimit(0.1)
    fault = {"column": "nom", "code": "missing-value", "message": "Le nom manque."}
    await log.execute(
        f"""
        INSERT INTO ingest.imports (
            id, partition, import_type, file_name, file_sha256, generate_ai_content, header,
            options, created_at, cancelled_at
        ) VALUES ('{IMPORT}', 0, 'ENTREPRISE', 'e.csv', '', false, '[]', '{{}}', now(), now())
        """
    )
    log.append(company(1, **line(1)))
    log.append(company(2, None, **line(1, OTHER, faults=[fault])))

    await log.write_all()

    assert await log.progress() == Counter(cancelled=1)
    assert await log.progress(OTHER) == Counter(rejected=1)


# Rejects


async def test_rejects_as_they_came(log: Partition) -> None:
    """A reject is kept byte for byte, with key, headers and the time of its append."""
    value, key = bytes(range(256)), b"\xff\x00key"
    headers = [("trace", b"\x00\xff"), ("trace", b"again"), ("vide", b""), ("é", b"\n\t\\")]
    moment = APPENDED + timedelta(milliseconds=123)
    log.put(key, value, moment, headers)
    log.put(None, None)
    log.put(b"", b"")

    [written] = await log.write_all()

    found = await log.query(
        'SELECT "offset", key, value, headers, appended_at, import_id, line, sheet, published_at'
        ' FROM ingest.rejects ORDER BY "offset"'
    )
    told = [[name, b64encode(text or b"").decode()] for name, text in headers]
    assert found == [
        (0, key, value, told, moment, None, None, None, None),
        (1, None, None, [], APPENDED, None, None, None, None),
        (2, b"", b"", [], APPENDED, None, None, None, None),
    ]
    assert [reject.record for reject in written.rejects] == log.records


async def test_faults_of_a_reject(log: Partition) -> None:
    """A reject keeps its line, its sheet and all faults, in order, and PostgreSQL can read them."""
    fault = {"column": 'N° "SIREN"', "code": "malformed", "message": "é\\u0000 \t« x »"}
    record = log.append({"siren": None, **line(7, sheet="Rhône", faults=[fault, fault])})

    await log.write_all()

    [(line_, sheet, import_id, faults, value)] = await log.query(
        "SELECT line, sheet, import_id::text, faults, value FROM ingest.rejects"
    )
    assert (line_, sheet, import_id, faults) == (8, "Rhône", IMPORT, [fault, fault])
    assert value == record.value


@pytest.mark.parametrize("text", ["a\0b", "\\", "\t\n\r", "\\N", "\\.", "\x1b[31m"])
async def test_texts_of_a_reject(log: Partition, text: str) -> None:
    """No text that a publisher may write into a tie or a header keeps its record from being kept."""
    faults = [{"column": text, "code": text, "message": text}]
    log.put(text.encode(), text.encode(), headers=[(text, text.encode())])
    log.append({"siren": None, **line(1, faults=faults)})
    log.append({"siren": None, **line(2, faults=faults, sheet=text)})

    await log.write_all()

    assert await log.query("SELECT count(*) FROM ingest.rejects") == [(3,)]


@pytest.mark.parametrize(
    "text", ["\\", "\t\n\r", "\\N", "\\.", "\\x41", '{"a"}', "\x01\x7f", "é\u2028"]
)
async def test_texts_of_a_row(log: Partition, text: str) -> None:
    """Texts arrive as they are, whatever they mean to COPY."""
    log.append(company(1, f"a{text}", adresse=text))

    await log.write_all()

    assert await log.stored("nom, adresse") == [(f"a{text}", text)]


async def test_position_set_back(log: Partition) -> None:
    """A log that is read again from its beginning finds its rejects known, and goes on."""
    log.put(b"x", b"damaged")
    log.append(company(1))
    await log.write_all()
    await log.execute("DELETE FROM ingest.positions")  # as docs/operations.md says
    await log.begin()

    await log.write_all()

    assert await log.query("SELECT count(*) FROM ingest.rejects") == [(1,)]
    assert await log.begin() == 2


async def test_topic_made_anew(log: Partition) -> None:
    """A reject of a topic that was deleted and created again is no reject of the old one."""
    log.put(b"x", b"old")
    await log.write_all()
    await log.execute("UPDATE ingest.positions SET next_offset = 0, topic_id = 'new'")
    log.records.clear()
    log.put(b"x", b"new")

    await log.write_all()

    assert sorted(await log.query("SELECT value FROM ingest.rejects")) == [(b"new",), (b"old",)]


# What only PostgreSQL refuses


@pytest.fixture
async def picky(log: Partition) -> Partition:
    """A database with a rule that ours know nothing of, which counts the statements it sees.

    A sequence does not roll back.
    """
    await log.execute("ALTER TABLE enterprise_entreprise ADD CHECK (nom NOT LIKE 'bad%')")
    await log.execute("CREATE SEQUENCE statements")
    await log.execute(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$"
        "BEGIN PERFORM nextval('statements'); RETURN NULL; END $$"
    )
    await log.execute(
        "CREATE TRIGGER note BEFORE INSERT ON enterprise_entreprise"
        " FOR EACH STATEMENT EXECUTE FUNCTION note()"
    )
    return log


async def statements(log: Partition) -> int:
    [(seen,)] = await log.query("SELECT last_value FROM statements WHERE is_called")
    return int(seen)


async def test_good_rows_cost_one_statement(picky: Partition) -> None:
    """A batch without bad rows is one statement, however many rows it has."""
    for number in range(500):
        picky.append(company(number))

    await picky.write_all()

    assert await statements(picky) == 1


@pytest.mark.parametrize("bad", [{0}, {1023}, {511, 512}, {1, 3, 500, 501, 1000}])
async def test_halving(picky: Partition, bad: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Bad rows are found and rejected, all others written, in O(k log n) statements."""
    monkeypatch.setattr(isolation, "ISOLATING_SHARE", 1000)  # however slow the machine is
    rows = 1024
    for number in range(rows):
        picky.append(company(number, "bad" if number in bad else "A", **line(number + 1)))

    [written] = await picky.write_all()

    assert await picky.progress() == Counter(inserted=rows - len(bad), rejected=len(bad))
    assert {reject.record.offset for reject in written.rejects} == bad
    assert {name for _, name in await picky.stored()} == {"A"}
    # The first try, the whole with savepoints, and two halves on each of the way's ten steps.
    assert await statements(picky) <= 2 + 2 * 10 * len(bad)


async def test_a_search_that_takes_too_long(
    picky: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written, and the batch is to be halved: each half has fewer rows to search."""
    monkeypatch.setattr(isolation, "ISOLATING_SHARE", 0)
    for number in range(64):
        picky.append(company(number, "bad", **line(number + 1)))

    with pytest.raises(BatchTooLargeError):
        await picky.write(picky.batch())

    assert await picky.begin() == 0
    assert await picky.stored() == []


async def test_reject_of_the_database(picky: Partition) -> None:
    """A row that PostgreSQL refuses is told in its words, and kept as it came with its line."""
    record = picky.append(company(1, "bad", **line(41, sheet="Feuille")))

    await picky.write_all()

    [(value, key, number, sheet, [fault])] = await picky.query(
        "SELECT value, key, line, sheet, faults FROM ingest.rejects"
    )
    assert (value, key, number, sheet) == (record.value, record.key, 42, "Feuille")
    assert fault["code"] == "out-of-range"
    assert "violates check constraint" in fault["message"]


async def test_all_rows_bad(picky: Partition) -> None:
    """A batch of bad rows only is all rejects, and the position moves on."""
    for number in range(64):
        picky.append(company(number, "bad", **line(number + 1)))

    await picky.write_all()

    assert await picky.stored() == []
    assert await picky.progress() == Counter(rejected=64)
    assert await picky.begin() == 64


async def test_bad_rows_among_folded_ones(picky: Partition) -> None:
    """Of several rows of one key that are bad together, the bad one is rejected and the others apply."""
    for number, nom in enumerate(["A", "B", "bad"], 1):
        picky.append(company(1, nom, adresse=nom, **line(number, occurrence=number)))
    picky.append(company(2))

    [written] = await picky.write_all()

    assert [reject.record.offset for reject in written.rejects] == [2]
    assert await picky.stored("siren, nom, adresse") == [
        (siren(1), "B", "B"), (siren(2), "A", "")
    ]  # fmt: skip
    assert await picky.progress() == Counter(inserted=1, duplicate=1, rejected=1)


async def test_bad_rows_over_rounds(picky: Partition) -> None:
    """Halving keeps the order of rows of one key that do not fold."""
    for number, nom in enumerate(["A", "bad", "B", "bad", "C"]):
        picky.append(company(1, nom), at=APPENDED + timedelta(seconds=number))

    await picky.write_all()

    assert await picky.stored() == [(siren(1), "C")]
    assert await picky.query("SELECT count(*) FROM ingest.rejects") == [(2,)]


async def test_stored_rows_that_turn_bad(picky: Partition) -> None:
    """A row that may not be updated as given is rejected, and what is stored stays."""
    picky.append(company(1, "A"))
    picky.append(company(1, "bad", **line(1)))

    await picky.write_all(1)

    assert await picky.stored() == [(siren(1), "A")]
    assert await picky.progress() == Counter(rejected=1)


async def test_constraint_of_the_site_that_is_unique(log: Partition) -> None:
    """A row that collides with another by a unique index is the row's fault, not the server's.

    The same again will never work: it would hold up its partition for ever.
    """
    await log.execute("CREATE UNIQUE INDEX ON enterprise_entreprise (nom)")
    log.append(company(1, "A", **line(1)))
    log.append(company(2, "A", **line(2)))

    await log.write_all(1)

    assert await log.progress() == Counter(inserted=1, rejected=1)


async def test_key_inserted_meanwhile(log: Partition) -> None:
    """A key that the site inserts between our look and our write is met again, not rejected."""
    log.append(company(1, "file", **line(1)))
    async with log.pool.connection() as site, site.transaction():
        await site.execute("SET LOCAL tests.as_django = on")
        await site.execute(
            "INSERT INTO enterprise_entreprise (id, created_at, updated_at, siren, nom)"
            f" VALUES ('{OTHER}', now(), now(), '{siren(1)}', 'site')".encode()
        )
        writing = asyncio.create_task(log.write(log.batch()))
        while not await _waits(log):
            assert not writing.done()

    try:
        await writing
    except psycopg.errors.UniqueViolation as error:
        assert is_transient(error)  # noqa: PT017 - either is right: at once, or the next time
        await log.write(log.batch())
    assert await log.progress() == Counter(updated=1)
    assert await log.stored() == [(siren(1), "file")]


@pytest.mark.parametrize(
    ("import_type", "row", "column"),
    [
        (ENTREPRISE, company(1), "telephone"),
        (VILLE, {"nom": "Rennes", "code_postal_principal": "35000"}, "region"),
        (CATEGORIE, {"nom": "Café"}, "description"),
    ],
    ids=["ENTREPRISE", "VILLE", "CATEGORIE"],
)
async def test_row_changed_meanwhile(
    log: Partition, import_type: ImportType, row: Columns, column: str
) -> None:
    """What the site changes between our look and our write stays where the row does not give it."""
    log.target = TARGETS[import_type.name]
    log.append(row)
    log.append({**row, **line(1)})
    await log.write(log.batch(0, 1))
    async with log.pool.connection() as site, site.transaction():
        await site.execute(f"UPDATE {import_type.table} SET {column} = 'site'".encode())
        writing = asyncio.create_task(log.write(log.batch(1)))
        while not await _waits(log):
            assert not writing.done()

    await writing

    assert await log.stored(column) == [("site",)]


async def test_many_rows_of_one_key(log: Partition) -> None:
    """A batch of rows of one key, each of a moment of its own, is written in parts.

    In one transaction it would run into the time-out, again and again.
    """
    rows = MOST_ROUNDS * 2
    for number in range(rows):
        log.append(company(1, f"A{number}"), at=APPENDED + timedelta(milliseconds=number))

    await log.write_all()

    assert await log.stored() == [(siren(1), f"A{rows - 1}")]


@pytest.mark.parametrize("refused", [False, True])
async def test_rounds_share_a_plan(database: str, refused: bool) -> None:
    """Their statement is planned once, and the next user of the connection finds no trace of it."""
    async with open_pool(database, 1) as pool:
        log = Partition(pool)
        await log.begin()
        await log.execute("ALTER TABLE enterprise_entreprise ADD CHECK (nom <> 'bad')")
        await log.execute("CREATE TABLE plans (prepared bigint, planned bigint)")
        await log.execute(
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO plans"
            " SELECT count(*), sum(custom_plans) FROM pg_prepared_statements; RETURN NULL; END $$"
        )
        await log.execute(
            "CREATE TRIGGER note BEFORE INSERT ON enterprise_entreprise"
            " FOR EACH STATEMENT EXECUTE FUNCTION note()"
        )
        for number in range(20):
            log.append(company(1, "bad" if refused and number == 10 else f"A{number}"))

        await log.write_all()

        assert await log.stored() == [(siren(1), "A19")]
        assert await log.query("SELECT max(prepared), sum(planned) FROM plans") == [(1, 0)]
        assert await log.query("SELECT count(*) FROM pg_prepared_statements") == [(0,)]


ABSENT: Mapping[str, tuple[Columns, Columns]] = {
    "ENTREPRISE": (
        {
            "siren": siren(1), "nom": "A", "siret": f"{siren(1)}00017", "adresse": "1 rue A",
            "telephone": "0299000001", "naf_code": "62.01Z", "naf_libelle": "À moi",
            "is_active": False,
        },
        {"siren": siren(1), "nom": "B"},
    ),
    "VILLE": (
        {
            "nom": "A", "code_postal_principal": "35000", "codes_postaux": ["35000", "35200"],
            "departement": "44", "region": "Ici", "lat": 48.0, "lng": -1.5, "population": 3,
            "code_insee": "35238",
        },
        {"nom": "A", "code_postal_principal": "35000"},
    ),
    "CATEGORIE": (
        {"nom": "A", "description": "d", "meta_description": "m", "ordre": 3}, {"nom": "A"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ABSENT)
@pytest.mark.parametrize("cleared", [False, True])
async def test_overwriting_leaves_absent_columns(
    log: Partition, kind: str, *, cleared: bool
) -> None:
    """Of a file that lacks columns the others are overwritten; a blank cell of a column clears it."""
    log.target = TARGETS[kind]
    stored, row = ABSENT[kind]
    absent = None if cleared else [name for name in log.import_type.field if name not in row]
    log.append(stored)
    await log.write_all()
    table = log.import_type.table
    columns = ", ".join(name for name in stored if name not in {*row, "code_insee"})
    before = await log.query(f"SELECT {columns} FROM {table}")

    log.append({**row, **line(1, policy="overwrite", absent=absent)})
    await log.write_all(from_=1)

    after = await log.query(f"SELECT {columns} FROM {table}")
    assert (after == before) is not cleared
    if kind == "ENTREPRISE":
        assert await log.query("SELECT nom FROM enterprise_entreprise") == [("B",)]


BOUNDARIES: Mapping[str, tuple[str, Columns, Sequence[Columns]]] = {
    "the-first-changes-nothing": ("merge", {"nom": "A"}, [{"nom": "A"}, {"nom": "B"}]),
    "the-second-takes-it-back": ("merge", {"nom": "A"}, [{"nom": "B"}, {"nom": "A"}]),
    "the-second-adds": ("merge", {}, [{"adresse": "x"}, {"nom": "B"}]),
    "overwritten-by-nothing": ("overwrite", {"adresse": "x"}, [{"adresse": "y"}, {}]),
    "filled-after-an-empty-text": ("fill_missing", {}, [{"adresse": ""}, {"adresse": "x"}]),
    "flag-that-is-never-missing": ("fill_missing", {}, [{}, {"is_active": False}]),
    "left-as-it-is": ("insert_only", {"nom": "A"}, [{"nom": "B"}, {"nom": "C"}]),
}


@pytest.mark.parametrize("before", ["new", "stored"])
@pytest.mark.parametrize("case", BOUNDARIES)
async def test_boundaries(log: Partition, case: str, before: str) -> None:
    """Two rows of a key make the same table and the same counts in one batch and in two."""
    policy, stored, rows = BOUNDARIES[case]
    if before == "stored":
        log.append(company(1, **stored))
    for number, row in enumerate(rows, 1):
        log.append(company(1, **row, **line(number, occurrence=number, policy=policy)))
    first = len(log.records) - 2
    results = []
    for cuts in [(first,), (first, first + 1)]:
        await log.execute(f"TRUNCATE {TABLES} CASCADE")
        await log.begin()
        await log.write_all(*cuts)
        results.append((await log.stored("nom, adresse, is_active"), await log.progress()))

    assert results[0] == results[1]


CITY_BOUNDARIES: Mapping[str, tuple[str, Sequence[Columns]]] = {
    "region-of-another-departement": ("merge", [{}, {"departement": "44"}]),
    "inhabitants-of-nobody": ("fill_missing", [{"population": 0}, {"population": 7}]),
    "no-postal-codes": ("fill_missing", [{"codes_postaux": []}, {"codes_postaux": ["35000"]}]),
    "overwritten-by-nothing": ("overwrite", [{"codes_postaux": ["35000", "35200"]}, {}]),
}


@pytest.mark.parametrize("case", CITY_BOUNDARIES)
async def test_boundaries_of_cities(cities: Partition, case: str) -> None:
    """What is derived for a city or falls back does not depend on how its rows fall into batches."""
    policy, rows = CITY_BOUNDARIES[case]
    for number, row in enumerate(rows, 1):
        tie = line(number, occurrence=number, policy=policy)
        cities.append({"nom": "Rennes", "code_postal_principal": "35000", **row, **tie})
    results = []
    for cuts in [(), (1,)]:
        await cities.execute(f"TRUNCATE {TABLES} CASCADE")
        await cities.begin()
        await cities.write_all(*cuts)
        results.append(await cities.stored("codes_postaux, departement, region, population"))

    assert results[0] == results[1]


async def test_postal_codes_fall_back(cities: Partition) -> None:
    """A city always has its main postal code among its codes, overwritten by nothing as well."""
    row = {"nom": "Rennes", "code_postal_principal": "35000"}
    cities.append({**row, "codes_postaux": ["35000", "35200"]})
    cities.append({**row, **line(1, policy="overwrite")})

    await cities.write_all()

    assert await cities.stored("codes_postaux") == [(["35000"],)]


# The model: one row after another, as the documents say it


@dataclass
class Model:
    """What tables and counters must hold, by docs/guarantees.md and schemas/avro/import_line.avsc.

    PostgreSQL refuses what would store the name `refused`.
    """

    refused: str | None = None
    rows: dict[str, Columns] = field(default_factory=dict)
    observed: dict[str, tuple[int, bool]] = field(default_factory=dict)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    watermarks: dict[str, int] = field(default_factory=dict)

    def take(self, record: ConsumerRecord, row: Mapping[str, Any], partition: Partition) -> None:
        tie = row.get("import")
        if tie is not None:
            if tie["number"] <= self.watermarks.get(tie["id"], 0):
                return
            self.watermarks[tie["id"]] = tie["number"]
        outcome = self._outcome(record, row, tie, partition)
        if tie is not None:
            self.counts.setdefault(tie["id"], Counter())[outcome] += 1

    def _outcome(
        self,
        record: ConsumerRecord,
        row: Mapping[str, Any],
        tie: Mapping[str, Any] | None,
        partition: Partition,
    ) -> str:
        if row.get("nom") is None:
            return "rejected"
        key = record.key.decode()
        fields = partition.import_type.fields
        given = {each.name: row.get(each.name) for each in fields if not each.register}
        observed = row.get("observed_at")
        at = record.timestamp if observed is None else round(observed.timestamp() * 1000)
        moment = at, tie is not None  # of the same time, a row of a file wins
        if key in self.rows and moment < self.observed[key]:
            return "stale"
        stored = self.rows.get(key)
        blank = _blank(given, partition)
        if stored is None:
            new = {name: _or(value, blank[name]) for name, value in given.items()}
            outcome = "inserted"
        else:
            policy = tie["policy"] if tie is not None else "merge"
            new = _applied(policy, given, stored, blank)
            outcome = "unchanged" if new == stored else "updated"
        if new["nom"] == self.refused:
            return "rejected"
        self.rows[key], self.observed[key] = new, moment
        return "duplicate" if tie is not None and tie["occurrence"] > 1 else outcome


def _or(value: Any, other: Any) -> Any:
    return other if value is None else value


_DETAIL_BLANKS = {"''": "", "NULL": None, "false": False}


def _blank(given: Columns, partition: Partition) -> Columns:
    """What an empty column holds: of a city, what its postal code tells."""
    if partition.import_type is ENTREPRISE:
        blanks = {name: _DETAIL_BLANKS[detail.blank] for name, detail in COMPANY_DETAILS.items()}
        return {**dict.fromkeys(given, ""), "siret": None, "is_active": True, **blanks}
    own = departement_of(given["code_postal_principal"])
    return {
        "nom": "",
        "code_postal_principal": "",
        "codes_postaux": [given["code_postal_principal"]],
        "departement": own,
        "region": region_of(_or(given["departement"], own)),
        "lat": 0.0,
        "lng": 0.0,
        "population": 0,
    }


def _applied(policy: str, given: Columns, stored: Columns, blank: Columns) -> Columns:
    match policy:
        case "merge":
            return {name: _or(value, stored[name]) for name, value in given.items()}
        case "overwrite":
            # Whether a batch has details at all does not decide what becomes of them.
            kept = {name: stored[name] for name in COMPANY_DETAILS.keys() & stored.keys()}
            return {name: _or(value, {**blank, **kept}[name]) for name, value in given.items()}
        case "fill_missing":
            empty = {**blank, "codes_postaux": [], "is_active": None}  # a flag is never empty
            return {
                name: _or(value, stored[name])
                if stored[name] in (None, empty[name])
                else stored[name]
                for name, value in given.items()
            }
        case _:
            return stored


@dataclass(frozen=True)
class Published:
    """What stands on the log, when each record was appended, and where fetches end."""

    rows: Sequence[Mapping[str, Any]]
    moments: Sequence[int]
    cuts: Sequence[int]


def published(rows: st.SearchStrategy[Columns]) -> st.SearchStrategy[Published]:
    """Two files whose producers may die and begin again, and an upstream system, on one partition."""
    return st.composite(_published)(rows)


def _published(draw: Any, rows: st.SearchStrategy[Columns]) -> Published:
    parts: list[list[Columns]] = [draw(st.lists(rows, max_size=2))]
    for import_id, most in ((IMPORT, 5), (OTHER, 2)):
        file = _file(import_id, draw(POLICIES), draw(st.lists(rows, max_size=most)))
        died = draw(st.integers(0, len(file)))
        parts.append([*file[:died], *file])
    order = draw(st.permutations([i for i, part in enumerate(parts) for _ in part]))
    waiting = [iter(part) for part in parts]
    log = [next(waiting[i]) for i in order]
    # Kafka stamps what it appends at once with one time.
    later = draw(st.sets(st.integers(0, len(log)), max_size=1))
    moments = [sum(cut <= place for cut in later) for place in range(len(log))]
    return Published(log, moments, sorted(draw(st.sets(st.integers(0, len(log)), max_size=2))))


POLICIES = st.sampled_from(["merge", "overwrite", "fill_missing", "insert_only"])


def _file(import_id: str, policy: str, rows: Sequence[Columns]) -> list[Columns]:
    """Rows as the reader publishes them: numbered, the valid ones with their occurrence."""
    seen: Counter[Any] = Counter()
    file = []
    for number, row in enumerate(rows, 1):
        key = (row.get("siren"), row.get("code_postal_principal"))
        seen[key] += row["nom"] is not None
        occurrence = seen[key] if row["nom"] is not None else 0
        file.append({**row, **line(number, import_id, policy=policy, occurrence=occurrence)})
    return file


OBSERVED = st.sampled_from([APPENDED + timedelta(milliseconds=ms) for ms in (-1, 0, 1)])
COMPANIES: st.SearchStrategy[Columns] = st.fixed_dictionaries(
    {
        "siren": st.sampled_from([siren(1), siren(1), siren(1), siren(2)]),
        "nom": st.sampled_from(["A", "A", "B", None]),
    },
    optional={
        "adresse": st.sampled_from(["", "x"]),
        "siret": st.just("00001"),
        "is_active": st.booleans(),
        "domain": st.sampled_from(["x.fr", "y.fr"]),
        "latitude": st.sampled_from([0.0, 48.5]),
        "siren_temporaire": st.booleans(),
        "observed_at": OBSERVED,
    },
).map(lambda row: {**row, "siret": f"{row['siren']}{row['siret']}"} if "siret" in row else row)
CITIES: st.SearchStrategy[Columns] = st.fixed_dictionaries(
    {
        "nom": st.sampled_from(["Ville", "VILLE", None]),
        "code_postal_principal": st.sampled_from(["35000", "35000", "35000", "97400"]),
    },
    optional={
        "codes_postaux": st.sampled_from([[], ["35000", "35200"]]),
        "departement": st.sampled_from(["35", "44"]),
        "region": st.sampled_from(["", "Bretagne"]),
        "lat": st.sampled_from([0.0, 48.1]),
        "population": st.sampled_from([0, 7]),
        "observed_at": OBSERVED,
    },
)


@pytest.fixture
def desk(database: str) -> Iterator[tuple[asyncio.Runner, Partition]]:
    """A partition for many examples one after another, and the loop that it lives in."""
    with asyncio.Runner() as runner:
        open_ = AsyncExitStack()
        try:
            yield runner, runner.run(open_.enter_async_context(opened(database)))
        finally:
            runner.run(open_.aclose())


async def played(partition: Partition, published: Published, expected: Model) -> Model:
    """What PostgreSQL holds after a log, in the model's form; `expected` takes the log as well.

    Rows of files are of one topic, those of the upstream system of another: a fetch of each in turn.
    """
    # Faster than TRUNCATE by far, of tables that are all but empty.
    await partition.execute("; ".join(f"DELETE FROM {table}" for table in TABLES.split(", ")))
    partition.records.clear()
    upstream = replace(partition, topic="fox.rows.upstream", records=[])
    topics = [partition, upstream]
    for topic in topics:
        await topic.begin()
    log = list(zip(published.rows, published.moments, strict=True))
    for start, end in pairwise([0, *published.cuts, len(log)]):
        for topic in topics:
            before = len(topic.records)
            for row, ms in log[start:end]:
                if ("import" in row) == (topic is partition):
                    record = topic.append(row, APPENDED + timedelta(milliseconds=ms))
                    expected.take(record, row, partition)
            await topic.write_all(from_=before)
        topics.reverse()
    found = Model(expected.refused)
    key = "siren" if partition.import_type is ENTREPRISE else "slug"
    async with partition.pool.connection() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        await cursor.execute(f"SELECT * FROM {partition.import_type.table}".encode())
        for row in await cursor.fetchall():
            fields = partition.import_type.fields
            found.rows[row[key]] = {
                each.name: row[each.name] for each in fields if not each.register
            }
            at = round(row["ingest_observed_at"].timestamp() * 1000)
            found.observed[row[key]] = at, row["ingest_import_id"] is not None
        await cursor.execute("SELECT * FROM ingest.progress")
        for row in await cursor.fetchall():
            import_id = str(row["import_id"])
            found.counts[import_id] = +Counter({str(name): row[name] for name in OUTCOMES})
            found.watermarks[import_id] = row["watermark"]
    return found


@pytest.mark.parametrize(
    ("name", "rows", "refused"),
    [
        pytest.param("ENTREPRISE", COMPANIES, None, id="companies"),
        pytest.param("ENTREPRISE", COMPANIES, "B", id="companies-some-refused"),
        pytest.param("VILLE", CITIES, None, id="cities"),
    ],
)
def test_as_the_model_has_it(
    desk: tuple[asyncio.Runner, Partition],
    name: str,
    rows: st.SearchStrategy[Columns],
    refused: str | None,
) -> None:
    """However rows fall into batches, table and counters are what one after another makes of them."""
    runner, partition = desk
    partition.target = TARGETS[name]
    if refused is not None:
        check = f"ALTER TABLE {partition.import_type.table} ADD CHECK (nom <> '{refused}')"
        runner.run(partition.execute(check))

    @settings(
        deadline=None,
        max_examples=examples(120),
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(published(rows))
    def same(published: Published) -> None:
        expected = Model(refused)

        found = runner.run(played(partition, published, expected))

        assert found == expected

    same()
