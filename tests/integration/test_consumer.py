"""What processors/kafka/consumer.py relies on in Faust, aiokafka and Kafka, each fact on a real broker.

Most run the consumer in this process, wired as processors/worker/topology.py wires it, with positions of the
test's own; the last ones run a worker.
"""

import ast
import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from inspect import getsource
from itertools import count, pairwise
from textwrap import dedent
from typing import Any, cast

import faust
import psycopg
import pytest
from aiokafka import ConsumerRecord
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from faust.tables import TableManager
from faust.tables.recovery import Recovery
from faust.types import TP

from deploy.local.processes.process import GuardedProcess
from deploy.local.stack import Stack
from processors.database.pool import TRANSACTION_SHARE
from processors.errors import ConfigurationError, UnreachableError
from processors.kafka import consumer
from processors.kafka.batch import Batch
from processors.kafka.broker_topics import admin_client, create_topics
from processors.kafka.consumer import UNWRITTEN_BYTES, BatchConsumer, BatchTransport
from processors.kafka.fetch_thread import FETCH_WAIT_MS
from processors.kafka.lost_positions import Position
from processors.kafka.records.last_record import LastRecord
from processors.kafka.tables import Tables
from processors.kafka.topic_identity import Identity, identify
from processors.settings import Settings
from processors.worker import topology as wiring
from schemas.topics import TOPICS
from tests.fix_stack import Site, eventually

SECONDS = 60.0
NO_OFFSET = -1001
MOST_UNWRITTEN = 6000

_numbers = count(1)


async def until(ask: Callable[[], object]) -> None:
    """Returns as soon as the answer is true; fails where it is not in time."""
    async with asyncio.timeout(SECONDS):
        while not ask():
            await asyncio.sleep(0.02)


class Positions:
    """Positions in memory. `opened` holds every restore up; `fault` is raised by it."""

    def __init__(self, stored: Mapping[TP, int]) -> None:
        self.stored = dict(stored)
        self.opened = asyncio.Event()
        self.opened.set()
        self.last: dict[TP, LastRecord | None] = {}
        self.lost: dict[TP, str] = {}
        self.asked = 0
        self.fault: Exception | None = None

    async def restore(self, beginnings: Mapping[TP, int]) -> Mapping[TP, Position]:
        self.asked += 1
        await self.opened.wait()
        if self.fault is not None:
            raise self.fault
        return {
            tp: Position(self.stored.setdefault(tp, start), self.last.get(tp))
            for tp, start in beginnings.items()
        }

    async def store_lost(self, tp: TP, position: int, reason: str) -> None:
        self.lost[tp] = reason


@dataclass
class Topic:
    """A topic of one test."""

    bootstrap: str
    prefix: str
    partitions: int = 1
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = f"{self.prefix}rows"
        self.admin = AdminClient({"log_level": 0, "bootstrap.servers": self.bootstrap})
        self.producer = self.new_producer()
        for future in self.admin.create_topics([NewTopic(self.name, self.partitions)]).values():
            future.result(10)

    def new_producer(self, compression: str = "none") -> Producer:
        return Producer(
            {
                "log_level": 0,
                "bootstrap.servers": self.bootstrap,
                "compression.type": compression,
                # Without it a retry puts records behind later ones.
                "enable.idempotence": True,
            }
        )

    def tp(self, partition: int = 0) -> TP:
        return TP(self.name, partition)

    def put(self, first: int, last: int, partition: int = 0, size: int = 0) -> None:
        """Appends values, which are numbers from `first` to `last`, of `size` bytes at least."""
        for number in range(first, last + 1):
            value = str(number).encode().ljust(size)
            self.producer.produce(self.name, value, b"key", partition=partition)
            self.producer.poll(0)
        assert self.producer.flush(SECONDS) == 0

    def forget(self, before: int, partition: int = 0) -> None:
        """Deletes the records below an offset."""
        found = self.admin.delete_records([TopicPartition(self.name, partition, before)])
        for future in found.values():
            future.result(10)

    def commit(self, offset: int, partition: int = 0) -> None:
        """Commits an offset as the group of rows."""
        group = Consumer(
            {"log_level": 0, "bootstrap.servers": self.bootstrap, "group.id": f"{self.prefix}rows"}
        )
        try:
            group.commit(offsets=[TopicPartition(self.name, partition, offset)], asynchronous=False)
        finally:
            group.close()

    def committed(self) -> list[int]:
        """The offsets that Kafka holds for the group of rows, by partition."""
        wanted = [TopicPartition(self.name, number) for number in range(self.partitions)]
        asked = self.admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(f"{self.prefix}rows", wanted)]
        )
        [future] = asked.values()
        return [one.offset for one in future.result(10).topic_partitions]


@pytest.fixture
def topic(stack: Stack) -> Topic:
    """A topic of one partition."""
    return Topic(stack.environment["FOX_KAFKA_BOOTSTRAP"], f"draining{next(_numbers)}.")


@pytest.fixture
def wide(stack: Stack) -> Topic:
    """A topic of four partitions."""
    return Topic(stack.environment["FOX_KAFKA_BOOTSTRAP"], f"draining{next(_numbers)}.", 4)


@dataclass
class Reader:
    """A member of the group: its app, and the batches that its agent was handed.

    Those of partitions in `leaving` are not written.
    """

    app: faust.App
    positions: Positions
    batches: list[Batch] = field(default_factory=list)
    taking: asyncio.Event = field(default_factory=asyncio.Event)
    acknowledging: bool = False
    leaving: set[TP] = field(default_factory=set)

    @property
    def consumer(self) -> BatchConsumer:
        return cast(BatchConsumer, self.app.consumer)

    @property
    def records(self) -> list[ConsumerRecord]:
        return [record for batch in self.batches for record in batch.records]

    @property
    def values(self) -> list[int]:
        """The numbers that were handed over, in order."""
        return [int(record.value) for record in self.records]

    async def run(self, events: Any, consumer: BatchConsumer) -> None:
        """Takes batches as a writer does: each moves the position of its partition."""
        async for event in events:
            batch: Batch = event.value
            self.batches.append(batch)
            await self.taking.wait()
            if batch.tp in self.leaving:
                continue
            if consumer.is_current(batch) and self.positions.stored[batch.tp] == batch.start:
                self.positions.stored[batch.tp] = batch.end
                self.positions.last[batch.tp] = batch.last_record
                consumer.mark_written(batch)
            if self.acknowledging:
                event.ack()

    def position(self, tp: TP) -> int:
        """Where aiokafka stands. Faust's own question would wait for the end of a fetch."""
        thread = self.app.consumer._thread
        return int(thread._positions(thread._consumer).get(tp, -1))

    def crashed(self) -> BaseException | None:
        reason: BaseException | None = self.app.crash_reason
        return reason


@asynccontextmanager
async def reading(
    topic: Topic,
    stored: Mapping[TP, int] | None = None,
    positions: Positions | None = None,
    seek_seconds: float = 20.0,
    halt_seconds: float = 60.0,
    prepare: Callable[[faust.App], None] = lambda _: None,
    **settings: object,
) -> AsyncIterator[Reader]:
    """A started app of the kind that writes rows, and its end; `prepare` adds to it."""
    ours = Settings(kafka_bootstrap=topic.bootstrap, topic_prefix=topic.prefix)
    nothing = cast(Any, None)  # neither registry nor database is asked
    app = wiring._app(wiring.World(ours, nothing, nothing, {}), "rows")
    for name, value in settings.items():
        setattr(app.conf, name, value)
    found = Reader(app, positions or Positions(stored or {}))
    found.taking.set()
    app.transport = BatchTransport(
        app.conf.broker,
        app,
        positions=found.positions,
        most_unwritten=MOST_UNWRITTEN,
        seek_seconds=seek_seconds,
        halt_seconds=halt_seconds,
    )
    wiring._drain(app, topic.name, found.run)
    prepare(app)
    starting = asyncio.create_task(app.start())  # it waits for a seek that hangs
    try:
        yield found
    finally:
        found.taking.set()
        found.positions.opened.set()
        await starting
        await app.stop()


def contiguous(batches: Sequence[Batch], start: int, end: int) -> bool:
    """Whether batches follow on one another from `start` to `end`."""
    joints = [one.precedes(other) for one, other in pairwise(batches)]
    return all(joints) and (batches[0].start, batches[-1].end) == (start, end)


# Where it starts


async def test_no_batch_before_the_seek(topic: Topic) -> None:
    """While positions are awaited nothing is handed over, though Faust may let records through.

    In an app with tables it resumes the flow before its seek.
    """
    topic.put(0, 9)
    positions = Positions({topic.tp(): 5})
    positions.opened.clear()

    async with reading(topic, positions=positions) as reader:
        await until(lambda: positions.asked)
        reader.consumer.resume_partitions({topic.tp()})
        reader.consumer.resume_flow()
        fetching = asyncio.create_task(_taken(reader, 10))
        await until(fetching.done)
        assert reader.batches == []

        positions.opened.set()
        await until(lambda: len(reader.records) >= 5)

        assert reader.values == [5, 6, 7, 8, 9]
        assert contiguous(reader.batches, 5, 10)


async def test_a_fetch_while_the_seek_is_answered(
    topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was fetched after the seek, and before this side knew of it, is fetched again.

    No later record may be needed for it to come.
    """
    topic.put(0, 9)
    positions = Positions({topic.tp(): 5})
    positions.opened.clear()

    async with reading(topic, positions=positions) as reader:
        await until(lambda: positions.asked)
        seek, sought = reader.consumer.seek_wait, []

        async def answered_late(partitions: Mapping[TP, int]) -> None:
            await seek(partitions)
            sought.append(partitions)
            if len(sought) == 1:
                reader.consumer.resume_partitions({topic.tp()})
                reader.consumer.resume_flow()
                await _taken(reader, 10)

        monkeypatch.setattr(reader.consumer, "seek_wait", answered_late)
        positions.opened.set()
        await until(lambda: len(reader.records) >= 5)

        assert reader.values == [5, 6, 7, 8, 9]
        assert contiguous(reader.batches, 5, 10)
        assert len(sought) == 2


async def test_a_recovery_without_an_end(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose tables do not recover ends, and keeps no partition that it does not read."""

    async def for_ever(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(consumer, "RECOVERY_SECONDS", 1.0)
    monkeypatch.setattr(Recovery, "_resume_streams", for_ever)
    async with reading(topic) as reader:
        await until(reader.crashed)

        assert "tables do not recover" in str(reader.crashed())


def test_tables_start_as_those_of_faust_but_at_once() -> None:
    """What Faust does as its tables start is what ours do, after a second of sleep."""
    theirs, ours = (_statements(manager) for manager in (TableManager, Tables))

    assert theirs == ["await self.sleep(1.0)", *ours]


def _statements(manager: type) -> list[str]:
    [method] = ast.parse(dedent(getsource(manager.on_start))).body  # type: ignore[attr-defined]
    assert isinstance(method, ast.AsyncFunctionDef)
    described = ast.get_docstring(method) is not None
    return [ast.unparse(statement) for statement in method.body[described:]]


async def test_tables_that_are_there_before_the_start(topic: Topic) -> None:
    """Their changelogs are in the first subscription: there is no second rebalance, and no sleep."""
    changelog = f"{topic.prefix}known"
    for future in topic.admin.create_topics([NewTopic(changelog, 1)]).values():
        future.result(10)
    topic.producer.produce(changelog, b"value", b"key")
    topic.put(0, 9)
    tables = []

    def with_table(app: faust.App) -> None:
        raw: Any = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}  # fmt: skip
        internal = app.topic(changelog, partitions=1, acks=False, internal=True, **raw)
        tables.append(
            app.Table(
                "known", partitions=1, key_type=bytes, value_type=bytes, changelog_topic=internal
            )
        )

    async with reading(topic, prepare=with_table) as reader:
        await until(lambda: len(reader.records) >= 10)

        assert tables[0].data.get(b"key") == b"value"
        assert reader.app.consumer_generation_id == 1


async def test_partitions_that_are_resumed_after_the_flow(topic: Topic) -> None:
    """As in a rebalance of an app with tables: Faust would not look at them for a second."""
    slept = []

    async with reading(topic) as reader:
        await until(lambda: reader.consumer.waits_for() is None)
        reader.consumer.pause_partitions({topic.tp()})
        sleep = reader.consumer.sleep

        async def noted(seconds: float) -> None:
            slept.append(seconds)
            await sleep(seconds)

        reader.consumer.sleep = noted
        await until(lambda: {1, consumer.FULL_SECONDS} & set(slept))
        reader.consumer.resume_partitions({topic.tp()})
        topic.put(0, 9)
        await until(lambda: len(reader.records) >= 10)

    assert 1 not in slept


async def _taken(reader: Reader, end: int) -> None:
    """Fetches as Faust's drain would until all is fetched; nothing of it may come through."""
    [tp] = reader.consumer.assignment()
    while reader.position(tp) < end:
        async for _, message in reader.consumer.getmany(timeout=0.5):
            reader.batches.append(message.value)


async def test_starts_at_the_log_s_beginning(topic: Topic) -> None:
    """A partition without a position starts where the log does, whatever Kafka has committed."""
    topic.put(0, 9)
    topic.forget(3)
    topic.commit(7)

    async with reading(topic) as reader:
        await until(lambda: len(reader.records) >= 7)

        assert reader.values == [3, 4, 5, 6, 7, 8, 9]
        assert contiguous(reader.batches, 3, 10)


async def test_starts_at_the_stored_position(wide: Topic) -> None:
    """Each partition starts at its own position, be it the log's very beginning or its very end."""
    for partition in range(4):
        wide.put(0, 9, partition)
        wide.commit(5, partition)

    async with reading(
        wide, {wide.tp(0): 0, wide.tp(1): 4, wide.tp(2): 9, wide.tp(3): 10}
    ) as reader:
        await until(lambda: len(reader.records) >= 17)
        wide.put(10, 10, 3)
        await until(lambda: len(reader.records) >= 18)

        starts: dict[int, int] = {}
        for batch in reader.batches:
            starts.setdefault(batch.partition, batch.start)
        assert starts == {0: 0, 1: 4, 2: 9, 3: 10}


async def test_log_that_loses_its_beginning(topic: Topic) -> None:
    """Records that are deleted before they were fetched halt the partition, and are not skipped."""
    async with reading(topic) as reader:
        await until(lambda: reader.positions.asked)
        reader.taking.clear()
        # More than one fetch takes: what follows the first is on the broker only.
        topic.put(0, 39, size=200_000)
        await until(lambda: reader.batches)
        topic.forget(39)
        reader.taking.set()

        await until(lambda: topic.tp() in reader.positions.lost)

        assert reader.consumer.halted == {topic.tp()}
        assert "Kafka holds 39 to 40" in reader.positions.lost[topic.tp()]
        assert reader.values == list(range(len(reader.values)))
        assert len(reader.values) < 39


async def test_records_of_a_new_leader(topic: Topic) -> None:
    """It may have truncated the log before them: the position is compared with the log once more."""
    topic.put(0, 9)
    async with reading(topic) as reader:
        await until(lambda: reader.positions.stored.get(topic.tp()) == 10)
        asked = reader.positions.asked
        reader.consumer._epochs[topic.tp()] -= (
            1  # as if the last fetch had been of the leader before
        )

        topic.put(10, 19)

        await until(lambda: reader.positions.stored[topic.tp()] == 20)
        topic.put(20, 20)
        await until(lambda: reader.positions.stored[topic.tp()] == 21)
        assert reader.positions.asked == asked + 1
        assert reader.values == list(range(21))


async def test_the_record_before_a_position(wide: Topic) -> None:
    """It is read again with its time, its content and its leader's epoch, however large it is; none is
    where the log ends, and a marker of a transaction is another record."""
    wide.put(0, 2, 1, size=900_000)
    transaction(wide, transactional(wide), range(1), commit=True)
    async with reading(wide) as reader:
        await until(lambda: len(reader.records) >= 4)
        last = reader.positions.last
        thread = reader.consumer._thread

        found = await thread.records_at({tp: known.offset for tp, known in last.items() if known})

        assert found == last
        assert all(known and known.leader_epoch >= 0 for known in last.values())
        assert last[wide.tp(0)] != (await thread.records_at({wide.tp(0): 1}))[wide.tp(0)]
        with pytest.raises(UnreachableError):
            await thread.records_at({wide.tp(3): 0})


# What it fetches


async def test_batches(wide: Topic) -> None:
    """Records come as fetches: of one partition each, no two overlapping, none larger than is set."""
    for partition in range(4):
        wide.put(0, 4_999, partition)

    async with reading(wide) as reader:
        await until(lambda: len(reader.records) >= 20_000)

        for partition in range(4):
            own = [batch for batch in reader.batches if batch.partition == partition]
            assert contiguous(own, 0, 5_000)
            records = [record for batch in own for record in batch.records]
            assert [int(record.value) for record in records] == list(range(5_000))
            assert {record.partition for record in records} == {partition}
        assert max(len(batch.records) for batch in reader.batches) == wiring.FETCH_ROWS
        assert len(reader.batches) < 40


async def test_records_as_they_are(topic: Topic) -> None:
    """Key, value, headers and time come as aiokafka has them: nothing decodes them on the way."""
    topic.producer.produce(topic.name, b"\xff\0", None, headers=[("a", b"\1"), ("a", None)])
    topic.producer.produce(topic.name, None, b"\xfe")
    topic.producer.flush()

    async with reading(topic) as reader:
        await until(lambda: len(reader.records) >= 2)

        one, other = reader.records
        assert (one.key, one.value, one.headers) == (None, b"\xff\0", (("a", b"\1"), ("a", None)))
        assert (other.key, other.value, other.offset) == (b"\xfe", None, 1)


def transactional(topic: Topic, **settings: object) -> Producer:
    producer = Producer(
        {
            "log_level": 0,
            "bootstrap.servers": topic.bootstrap,
            "transactional.id": f"{topic.prefix}upstream",
            **settings,
        }
    )
    producer.init_transactions(SECONDS)
    return producer


def transaction(topic: Topic, producer: Producer, numbers: range, *, commit: bool) -> None:
    producer.begin_transaction()
    for number in numbers:
        producer.produce(topic.name, str(number).encode(), partition=0)
    if commit:
        producer.commit_transaction(SECONDS)
    else:
        producer.flush(SECONDS)  # else they would never reach the log
        producer.abort_transaction(SECONDS)


async def test_read_committed(topic: Topic) -> None:
    """Records of aborted transactions never come; batches follow on over their markers."""
    upstream = transactional(topic)
    transaction(topic, upstream, range(3), commit=True)
    transaction(topic, upstream, range(3, 6), commit=False)
    transaction(topic, upstream, range(6, 9), commit=True)

    async with reading(topic) as reader:
        await until(lambda: len(reader.records) >= 6)

        assert reader.values == [0, 1, 2, 6, 7, 8]
        assert contiguous(reader.batches, 0, reader.batches[-1].end)
        assert reader.batches[-1].end > reader.records[-1].offset


async def test_open_transaction(topic: Topic) -> None:
    """Records of a transaction come when it is committed, and what stands behind it with them."""
    upstream = transactional(topic)
    topic.put(0, 0)
    upstream.begin_transaction()
    upstream.produce(topic.name, b"1", partition=0)
    upstream.flush(SECONDS)
    topic.put(2, 2)

    async with reading(topic) as reader:
        await until(lambda: reader.records)
        assert reader.values == [0]
        # What Faust calls the end of the log is where reading ends: the last stable offset.
        await until(lambda: reader.consumer.high_watermark(topic.tp()) == 3)
        assert await reader.consumer.highwaters(topic.tp()) == {topic.tp(): 1}
        upstream.commit_transaction(SECONDS)
        await until(lambda: len(reader.records) >= 3)

        assert reader.values == [0, 1, 2]


async def test_markers_that_come_alone(topic: Topic) -> None:
    """What follows on a transaction that was aborted at the log's end is fetched from before it."""
    upstream = transactional(topic)
    topic.put(0, 0)

    async with reading(topic) as reader:
        await until(lambda: reader.records)
        transaction(topic, upstream, range(1, 4), commit=False)
        await until(lambda: reader.position(topic.tp()) >= 5)
        topic.put(5, 5)
        await until(lambda: len(reader.records) >= 2)

        assert reader.values == [0, 5]
        assert reader.batches[-1].start == 1  # where the batch before it ended


async def test_aborted_transaction_of_many_fetches(
    topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An aborted transaction that takes longer to pass than one poll does is passed all the same."""
    original = BatchConsumer._wait_next_records

    async def hasty(self: BatchConsumer, _: float) -> Any:
        return await original(self, 0.05)  # a second, else

    monkeypatch.setattr(BatchConsumer, "_wait_next_records", hasty)
    upstream = transactional(topic, **{"batch.num.messages": 1})
    topic.put(0, 0)
    transaction(topic, upstream, range(1, 1_000), commit=False)
    topic.put(1, 1)

    async with reading(topic, consumer_max_fetch_size=1) as reader:  # a fetch for each record
        await until(lambda: len(reader.records) >= 2)

        assert reader.values == [0, 1]


# What it leaves to Kafka


async def test_never_committed(wide: Topic) -> None:
    """Kafka's committed offsets stay unset, though all is acknowledged and Faust commits all it can."""
    for partition in range(4):
        wide.put(0, 99, partition)

    async with reading(wide, broker_commit_interval=0.1, broker_commit_every=1) as reader:
        reader.acknowledging = True
        await until(lambda: len(reader.records) >= 400)
        await reader.consumer.commit()

    assert wide.committed() == [NO_OFFSET] * 4


async def test_rebalance_waits_for_nobody(wide: Topic) -> None:
    """A second member gets its share while the agent of the first is in the middle of a batch.

    Every partition is sought anew then, those that stay as well: all batches of before are void.
    """
    for partition in range(4):
        wide.put(0, 9, partition)

    async with reading(wide, stream_wait_empty=True) as first:
        await until(lambda: len(first.records) >= 40)
        first.taking.clear()
        for partition in range(4):
            wide.put(10, 19, partition)
        await until(lambda: len(first.batches) >= 5)
        before = list(first.batches)
        assert all(first.consumer.is_current(batch) for batch in before)
        async with reading(wide, positions=first.positions) as second:
            await until(lambda: len(second.records) >= 20)

            assert len(second.consumer.assignment()) == len(first.consumer.assignment()) == 2
            assert not first.consumer.assignment() & second.consumer.assignment()
            assert not any(first.consumer.is_current(batch) for batch in before)
            first.taking.set()
            await until(lambda: first.positions.stored == {wide.tp(p): 20 for p in range(4)})
            assert all(b.start == 10 for b in first.batches if first.consumer.is_current(b))


# Batches that are given up


async def test_batch_that_was_given_up(wide: Topic) -> None:
    """A batch that was not written comes again from its stored position, with all that followed."""
    for partition in range(4):
        wide.put(0, 4_999, partition)
    stored = {wide.tp(partition): 0 for partition in range(4)}

    async with reading(wide, stored) as reader:
        reader.taking.clear()
        await until(lambda: reader.batches)
        [lost] = reader.batches
        reader.positions.stored[lost.tp] = 1_234
        await reader.consumer.seek_again(lost)
        assert not reader.consumer.is_current(lost)
        asked = reader.positions.asked
        await reader.consumer.seek_again(lost)  # void by now: it takes the partition nowhere
        assert reader.positions.asked == asked
        reader.taking.set()

        def current() -> list[Batch]:
            return [batch for batch in reader.batches if reader.consumer.is_current(batch)]

        await until(lambda: sum(len(batch.records) for batch in current()) >= 20_000 - 1_234)
        for partition in range(4):
            own = [batch for batch in current() if batch.partition == partition]
            assert contiguous(own, 1_234 if partition == lost.partition else 0, 5_000)


async def test_halted_partition(wide: Topic) -> None:
    """A partition that is halted hands over nothing more, and the others go on."""
    wide.put(0, 9, 0)

    async with reading(wide) as reader:
        await until(lambda: reader.batches)
        reader.consumer.halt(reader.batches[0].tp, again=False)
        assert not reader.consumer.is_current(reader.batches[0])
        wide.put(10, 19, 0)
        for partition in (1, 2, 3):
            wide.put(0, 9, partition)
        await until(lambda: len(reader.records) >= 40)
        wide.put(10, 19, 1)
        await until(lambda: len(reader.records) >= 50)

        assert [batch.end for batch in reader.batches if batch.partition == 0] == [10]


async def test_partition_that_is_not_written(wide: Topic) -> None:
    """No more of it is handed out than may wait; the others go on, and so does it once it is written."""
    for partition in range(4):
        wide.put(0, 19_999, partition)

    async with reading(wide) as reader:
        reader.leaving.add(wide.tp(0))
        await until(lambda: len(reader.records) >= 60_000 + MOST_UNWRITTEN)
        left = [batch for batch in reader.batches if batch.partition == 0]
        await asyncio.sleep(2)  # Time for what must not come
        assert left == [batch for batch in reader.batches if batch.partition == 0]
        assert sum(len(b.records) for b in left) < MOST_UNWRITTEN + wiring.FETCH_ROWS
        reader.leaving.clear()
        for batch in left:
            reader.consumer.mark_written(batch)
            reader.positions.stored[batch.tp] = batch.end
        await until(lambda: len(reader.records) >= 80_000)


@pytest.mark.parametrize("compression", ["none", "zstd"])
async def test_large_records_that_are_not_written(wide: Topic, compression: str) -> None:
    """The bytes that wait are bounded as well: the worker's memory does not follow the records' size.

    What is alike takes no room on its way: its size is known only after it is decompressed.
    """
    wide.producer = wide.new_producer(compression)
    wide.put(0, 59, 0, size=900_000)
    wide.put(0, 9, 1)

    async with reading(wide) as reader:
        reader.leaving.add(wide.tp(0))
        await until(lambda: sum(b.size for b in reader.batches) >= UNWRITTEN_BYTES)
        wide.put(10, 19, 1)
        await until(lambda: sum(b.partition == 1 for b in reader.batches) >= 2)
        left = [batch for batch in reader.batches if batch.partition == 0]
        assert sum(batch.size for batch in left) < UNWRITTEN_BYTES + (2 << 20)
        reader.leaving.clear()
        for batch in left:
            reader.consumer.mark_written(batch)
            reader.positions.stored[batch.tp] = batch.end
        await until(lambda: len(reader.records) >= 80)


async def test_idle_partitions_do_not_hold_up_others(topic: Topic) -> None:
    """The broker waits for records of idle partitions no longer than is set."""
    topic.put(0, 0)

    async with reading(topic) as reader:
        await until(lambda: reader.records)
        fetcher = cast(Any, reader.consumer._thread._consumer)._fetcher
        assert fetcher._fetch_max_wait_ms == FETCH_WAIT_MS


async def test_what_a_consumer_waits_for(topic: Topic) -> None:
    """Its group, the end of a rebalance, tables, positions, then nothing; or somebody who acts."""
    topic.put(0, 9)
    positions = Positions({})
    positions.opened.clear()

    async with reading(topic, positions=positions) as reader:
        assert reader.consumer.waits_for() == "a place in its group"
        await until(lambda: positions.asked)
        assert reader.consumer.waits_for() == "the end of a rebalance"
        reader.app.in_recovery = True
        assert reader.consumer.waits_for() == "its tables"
        reader.app.in_recovery = False

        positions.fault = UnreachableError("away")
        positions.opened.set()
        await until(lambda: reader.consumer.waits_for() == "its positions")
        positions.fault = None
        await until(lambda: reader.consumer.waits_for() is None)

        await until(lambda: reader.batches)
        reader.consumer.halt(reader.batches[0].tp, again=False)
        assert reader.consumer.waits_for() == f"an operator: {topic.name}[0] is halted"


# Seeks that do not come to their end


async def test_seek_that_fails(topic: Topic) -> None:
    """A seek that fails ends the app with its reason: Faust would log it and read on anywhere."""
    topic.put(0, 9)
    positions = Positions({})
    positions.fault = psycopg.OperationalError("the server closed the connection")

    async with reading(topic, positions=positions) as reader:
        await until(reader.crashed)

        assert reader.crashed() is positions.fault
        assert reader.batches == []


async def test_seek_that_hangs(topic: Topic) -> None:
    """A seek that takes too long ends the app: it would be a member that reads nothing."""
    topic.put(0, 9)
    positions = Positions({})
    positions.opened.clear()

    async with reading(topic, positions=positions, seek_seconds=0.2) as reader:
        await until(reader.crashed)

        assert isinstance(reader.crashed(), TimeoutError)
        assert reader.batches == []


@pytest.mark.parametrize("session", [2, 10, 15])
def test_longest_seek(session: float) -> None:
    """A seek gives up before Faust does, and a dead worker's transactions end before its session."""
    ours = Settings(session_seconds=session)
    app = wiring._app(wiring.World(ours, cast(Any, None), cast(Any, None), {}), "rows")

    assert app.conf.broker_session_timeout == session
    seek_seconds = cast(BatchTransport, app.transport).seek_seconds
    assert TRANSACTION_SHARE * session < session < seek_seconds
    assert seek_seconds <= app.conf.broker_request_timeout * 3 / 4


async def test_seek_again_that_fails(wide: Topic) -> None:
    """A seek after a batch was given up, if it fails, ends the app as well, or is done again.

    Else the partition would lie there unread until the next rebalance.
    """
    wide.put(0, 9, 0)

    async with reading(wide) as reader:
        await until(lambda: reader.batches)
        reader.positions.fault = psycopg.OperationalError("the server closed the connection")
        with contextlib.suppress(psycopg.OperationalError):
            await reader.consumer.seek_again(reader.batches[0])
        reader.positions.fault = None
        wide.put(10, 19, 0)
        wide.put(0, 9, 1)

        await until(lambda: reader.crashed() or len(reader.batches) >= 2)
        await until(lambda: reader.crashed() or len(reader.values) >= 30)


async def test_seek_that_waits_through_a_rebalance(
    wide: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A seek that is due again after a rebalance leaves alone what the rebalance has sought.

    It paused these partitions once more, and nobody resumed them: the worker kept them unread.
    """
    monkeypatch.setattr(consumer, "SEEK_AGAIN_SECONDS", 4.0)
    for partition in range(4):
        wide.put(0, 9, partition)

    async with reading(wide) as first:
        await until(lambda: len(first.records) >= 40)
        first.positions.fault = UnreachableError("no server")
        for batch in first.batches:
            await first.consumer.seek_again(batch)
        failed = asyncio.get_running_loop().time()
        first.positions.fault = None
        async with reading(wide, positions=first.positions) as second:
            await until(lambda: not second.consumer.waits_for() and not first.consumer.waits_for())
            assert len(second.consumer.assignment()) == 2
            elapsed = asyncio.get_running_loop().time() - failed
            assert elapsed < 4
            await asyncio.sleep(4.5 - elapsed)
            for partition in range(4):
                wide.put(10, 19, partition)
            await until(lambda: first.positions.stored == {wide.tp(p): 20 for p in range(4)})


# A member without a partition to read


IDLE_SECONDS = float(os.environ.get("FOX_TEST_IDLE_SECONDS", "3"))
"""In place of Faust's 1,000 s, after which aiokafka leaves the group of a consumer that does not fetch."""


async def after_the_interval() -> None:
    """Longer than the interval by two heartbeats: only then aiokafka looks at it."""
    await asyncio.sleep(IDLE_SECONDS + 2 * Settings().session_seconds / 5 + 0.5)


NO_GROUP = {KafkaError.GROUP_ID_NOT_FOUND, KafkaError.COORDINATOR_NOT_AVAILABLE}
"""What Kafka says of a group that nobody has joined yet, and before there is any."""


def members(topic: Topic) -> int:
    group = f"{topic.prefix}rows"
    described = topic.admin.describe_consumer_groups([group], request_timeout=SECONDS)
    try:
        return len(described[group].result().members)
    except KafkaException as error:
        if error.args[0].code() not in NO_GROUP:
            raise
        return 0


async def test_a_spare_worker_stays_in_its_group(topic: Topic) -> None:
    """It has no partition and fetches nothing, for as long as another worker reads."""
    positions = Positions({})
    async with reading(topic, positions=positions, broker_max_poll_interval=IDLE_SECONDS) as spare:
        async with reading(
            topic, positions=positions, broker_max_poll_interval=IDLE_SECONDS
        ) as other:
            await until(lambda: members(topic) == 2)

            await after_the_interval()

            assert await asyncio.to_thread(members, topic) == 2
        topic.put(0, 9)
        await until(lambda: len(spare.records) + len(other.records) == 10)


async def test_a_database_that_is_away_for_longer_than_a_member_may_idle(wide: Topic) -> None:
    """All partitions wait for their positions; what a dead worker held is read by the other one."""
    positions = Positions({})
    positions.fault = UnreachableError("PostgreSQL is away")
    async with reading(
        wide, positions=positions, broker_max_poll_interval=IDLE_SECONDS
    ) as survivor:
        async with reading(wide, positions=positions, broker_max_poll_interval=IDLE_SECONDS):
            await until(lambda: members(wide) == 2)

            await after_the_interval()

            assert await asyncio.to_thread(members, wide) == 2
        for partition in range(4):
            wide.put(0, 9, partition)
        positions.fault = None

        await until(lambda: len(survivor.records) == 40)


async def test_a_member_that_left_its_group(topic: Topic) -> None:
    """Once it gives signs of life it joins again, and reads."""
    positions = Positions({})
    positions.fault = UnreachableError("PostgreSQL is away")
    async with reading(topic, positions=positions, broker_max_poll_interval=5.0) as reader:
        thread = cast(Any, reader.consumer._thread)
        thread.stay_in_group = lambda: None
        await until(lambda: members(topic) == 1)
        await until(lambda: members(topic) == 0)
        await until(reader.consumer.joins)

        del thread.stay_in_group
        positions.fault = None
        topic.put(0, 9)

        await until(lambda: reader.values == list(range(10)))
        assert not reader.consumer.joins()


async def test_a_member_that_was_taken_for_dead(topic: Topic) -> None:
    """A consumer whose thread stops for longer than its session joins again, and reads."""
    halted = threading.Event()
    async with reading(topic, broker_session_timeout=2.0, broker_heartbeat_interval=0.5) as reader:
        await until(lambda: members(topic) == 1 and not reader.consumer.joins())
        reader.consumer._thread.thread_loop.call_soon_threadsafe(halted.wait)
        try:
            await until(lambda: members(topic) == 0)
        finally:
            halted.set()
        topic.put(0, 9)

        await until(lambda: members(topic) == 1)
        await until(lambda: reader.values == list(range(10)))
        assert not reader.consumer.joins()


# A whole worker


async def test_topics_are_identified_as_by_librdkafka(site: Site) -> None:
    """PostgreSQL holds ids in the form in which librdkafka writes them."""
    settings = Settings(
        kafka_bootstrap=site.stack.environment["FOX_KAFKA_BOOTSTRAP"], topic_prefix=site.prefix
    )
    names = [site.prefix + topic.name for topic in TOPICS]
    admin = admin_client(settings)
    cluster = admin.list_topics(timeout=SECONDS).cluster_id
    described = admin.describe_topics(TopicCollection(names))
    theirs = {name: future.result() for name, future in described.items()}

    assert await identify(settings, names) == {
        name: Identity(str(cluster), str(topic.topic_id), len(topic.partitions))
        for name, topic in theirs.items()
    }
    with pytest.raises(ConfigurationError, match="lacks the topics nosuch, "):
        await identify(settings, ["nosuch", *names])


def store(site: Site, position: int, name: str = "rows.entreprise", partition: int = 0) -> None:
    """Writes a position of a topic as it is now."""
    topic = site.prefix + name
    settings = Settings(kafka_bootstrap=site.stack.environment["FOX_KAFKA_BOOTSTRAP"])
    [identity] = asyncio.run(identify(settings, [topic])).values()
    with psycopg.connect(site.database_url) as connection:
        connection.execute(
            "INSERT INTO ingest.positions VALUES (%s, %s, %s, %s, %s, %s)",
            (topic, partition, identity.cluster, identity.topic_id, identity.partitions, position),
        )


def positions(site: Site) -> list[tuple[Any, ...]]:
    return site.query(
        "SELECT * FROM ingest.positions WHERE topic LIKE '%%entreprise' ORDER BY 1, 2"
    )


def raw(site: Site, numbers: int, partition: int = 0) -> None:
    """Puts records on the topic of companies, each of which would be a reject."""
    producer = Producer(
        {"log_level": 0, "bootstrap.servers": site.stack.environment["FOX_KAFKA_BOOTSTRAP"]}
    )
    for number in range(numbers):
        producer.produce(f"{site.prefix}rows.entreprise", str(number).encode(), partition=partition)
    assert producer.flush(SECONDS) == 0


def recreate(site: Site) -> None:
    """Deletes the topic of companies and creates it again."""
    bootstrap = site.stack.environment["FOX_KAFKA_BOOTSTRAP"]
    name = f"{site.prefix}rows.entreprise"
    admin = AdminClient({"log_level": 0, "bootstrap.servers": bootstrap})
    for future in admin.delete_topics([name]).values():
        future.result(10)
    eventually(lambda: name not in admin.list_topics(timeout=5).topics)
    create_topics(Settings(kafka_bootstrap=bootstrap, topic_prefix=site.prefix))


def said(worker: GuardedProcess) -> str:
    """All that a worker wrote."""
    return worker.launch.log.read_text(encoding="utf-8")


def test_worker_of_another_topic(site: Site) -> None:
    """A worker whose position is of a topic that was made anew says so in a sentence and ends with code 2."""
    raw(site, 10)
    store(site, 10)
    recreate(site)
    raw(site, 20)
    before = positions(site)

    worker = site.worker("rows")

    assert worker.wait(SECONDS) == 2
    last = worker.log_tail().splitlines()[-1]
    assert last.startswith("foxstream-worker: ")
    assert f"{site.prefix}rows.entreprise[0]" in last
    assert "See docs/operations.md, 'A position is lost'" in last
    assert "Traceback" not in last
    topic = f"{site.prefix}rows.entreprise"
    assert [row for row in positions(site) if row[:2] == (topic, 0)] == before
    assert site.query("SELECT count(*) FROM ingest.rejects") == [(0,)]


@pytest.mark.parametrize("how", ["below", "beyond"])
def test_worker_without_its_position(site: Site, how: str) -> None:
    """A partition whose position Kafka does not hold halts, also once the log has grown beyond it, and
    on any worker. Another partition goes on."""
    raw(site, 10)
    store(site, 2 if how == "below" else 11)
    if how == "below":
        Topic.forget(cast(Any, _companies(site)), 5)
    halts = "SELECT partition, halted FROM ingest.positions WHERE halted IS NOT NULL"
    worker = site.worker("rows")
    [(partition, reason)] = eventually(lambda: site.query(halts))
    worker.stop()

    raw(site, 5)
    raw(site, 1, partition=1)
    worker = site.worker("rows")

    eventually(lambda: "partition_halted" in said(worker))
    eventually(lambda: site.query("SELECT partition FROM ingest.rejects") == [(1,)])
    assert worker.running
    assert partition == 0
    assert f"{site.prefix}rows.entreprise[0]" in reason
    assert "See docs/operations.md, 'A position is lost'" in reason
    assert position(site) == (2 if how == "below" else 11)


@dataclass
class _Named:
    name: str
    admin: AdminClient


def _companies(site: Site) -> _Named:
    bootstrap = site.stack.environment["FOX_KAFKA_BOOTSTRAP"]
    return _Named(
        f"{site.prefix}rows.entreprise",
        AdminClient({"log_level": 0, "bootstrap.servers": bootstrap}),
    )


IMPATIENT = """
from processors.worker import commands, topology

original = topology._app

def impatient(world, kind):
    found = original(world, kind)
    found.conf.consumer_metadata_max_age_ms = 300  # else it would hear of it after five minutes
    return found

topology._app = impatient
commands.app()
"""


def test_topic_that_is_made_anew_meanwhile(site: Site) -> None:
    """A worker whose topic is deleted and created again ends, and skips no record of the new one."""
    raw(site, 5)
    argv = [sys.executable, "-c", IMPATIENT, "run", "rows"]
    worker = site.stack.spawn(f"{site.prefix}impatient", argv, site.environment)
    site.spawned.append(worker)
    eventually(lambda: position(site) == 5)

    recreate(site)
    raw(site, 20)

    eventually(lambda: not worker.running or position(site) > 5)
    assert (position(site), worker.running) == (5, False)
    assert worker.wait(SECONDS) == 2


def position(site: Site) -> int:
    found = site.query(
        "SELECT next_offset FROM ingest.positions WHERE topic = %s AND partition = 0",
        f"{site.prefix}rows.entreprise",
    )
    return sum(position for (position,) in found)


def test_database_that_stops_before_the_seek(site: Site) -> None:
    """A worker whose database goes away while it seeks seeks again, and misses nothing."""
    raw(site, 10)
    waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
    blocking = psycopg.connect(site.database_url)
    blocking.execute("LOCK TABLE ingest.positions IN ACCESS EXCLUSIVE MODE")
    worker = site.worker("rows")
    eventually(lambda: site.query(waiting, site.database_url.rpartition("/")[2]))
    site.stack.postgres.stop()
    try:
        eventually(lambda: "seek_waits" in said(worker))
    finally:
        site.stack.postgres.start()
        blocking.close()

    eventually(lambda: site.query("SELECT count(*) FROM ingest.rejects") == [(10,)])
    assert position(site) == 10
    assert worker.running
