"""The thread that owns aiokafka's consumer: it returns fetched records with their positions."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from aiokafka import ConsumerRecord
from aiokafka.consumer import fetcher
from aiokafka.errors import KafkaError, LeaderNotAvailableError, for_code
from aiokafka.protocol.fetch import FetchRequest
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from processors.errors import UnreachableError
from processors.kafka.batch import record_bytes
from processors.kafka.records.last_record import UNKNOWN_EPOCH, LastRecord
from processors.kafka.records.record_batches import PartitionRecords, RecordBatches

FETCH_WAIT_MS = 250
"""How long the broker may wait for records. Faust's default is 1.5 s, and partitions with records
were not read for as long: while a request for idle ones waits, aiokafka sends that broker no other."""

FETCH_BYTES = 1 << 20
"""Of a partition's keys, values and headers in one `Fetch`, but for the last record. The broker's own limit
(`max_partition_fetch_bytes`) is of compressed bytes, of which one may stand for a thousand."""


class _Taken(list[ConsumerRecord]):
    """Records of one partition; the leader epochs of the first and of the last one."""

    epochs = (UNKNOWN_EPOCH, UNKNOWN_EPOCH)


def _bounded(result: Any, max_records: int | None = None) -> _Taken:
    """In the place of FetchResult.getall: no more once the records have FETCH_BYTES.

    aiokafka decompresses one of Kafka's record batches when the first record of it is taken; the
    records that are not taken stay for the next call.
    """
    if not result.check_assignment(result._topic_partition) or not result.has_more():
        return _Taken()
    taken, records = _Taken(), result._partition_records
    size, first, is_full = 0, UNKNOWN_EPOCH, False
    for record in records:
        if not taken:
            first = records.leader_epoch
        taken.append(record)
        size += record_bytes(record)
        is_full = size >= FETCH_BYTES or len(taken) == max_records
        if is_full:
            break
    if taken:
        taken.epochs = (first, records.leader_epoch)
    result._update_position()
    if not is_full:
        result._partition_records = None
    return taken


_UNCOMMITTED = 0
"""An isolation level: what is at an offset, even if it is an aborted record or a marker."""

fetcher.FetchResult.getall = _bounded
fetcher.MemoryRecords = RecordBatches
fetcher.PartitionRecords = PartitionRecords


@dataclass(frozen=True, slots=True)
class Fetch:
    """Records of one partition, the positions before and after them, and the leader epochs of the first
    and of the last one."""

    start: int | None
    end: int
    records: Sequence[ConsumerRecord]
    epochs: tuple[int, int]


class FetchThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread, which returns a `Fetch` for each partition instead of its records."""

    logger = logging.getLogger("faust")  # else mode logs under our module's name

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust reads committed records only in its exactly-once mode, which is not used.
        consumer._isolation_level = "read_committed"
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        return consumer

    def __post_init__(self) -> None:
        super().__post_init__()
        self._starts: dict[Any, int | None] = {}
        self._ends: dict[Any, int] = {}

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> dict[TP, Any]:
        """A `Fetch` by partition: Faust passes the values of its record map on unread."""
        before = self._positions(consumer)
        records: Mapping[Any, Any] = await super()._fetch_records(
            consumer, active_partitions, timeout, max_records
        )
        fetches: dict[TP, Fetch] = {}
        for tp, end in self._positions(consumer).items():
            # A call that met only markers or aborted records moved the position without a record:
            # the next records were fetched from where that call began.
            moved_here = before.get(tp) == self._ends.get(tp)
            start = self._starts.get(tp) if moved_here else before.get(tp)
            if tp in records:
                fetches[TP(tp.topic, tp.partition)] = Fetch(
                    start, end, records[tp], records[tp].epochs
                )
                start = end
            self._starts[tp], self._ends[tp] = start, end
        return fetches

    async def records_at(self, offsets: Mapping[TP, int]) -> Mapping[TP, LastRecord | None]:
        """The record at one offset of each partition; None if it was compacted away or is damaged.

        Raises UnreachableError if a broker does not return it.
        """
        found = await self.call_thread(self._records_at, offsets)
        return dict(zip(offsets, found, strict=True))

    async def _records_at(self, offsets: Mapping[TP, int]) -> list[LastRecord | None]:
        return await asyncio.gather(*(self._record_at(tp, at) for tp, at in offsets.items()))

    async def _record_at(self, tp: TP, offset: int) -> LastRecord | None:
        client = self._ensure_consumer()._client
        # A broker returns the batch of this offset whole, however few bytes are asked for.
        request = FetchRequest(
            FETCH_WAIT_MS, 1, 1, _UNCOMMITTED, [(tp.topic, [(tp.partition, offset, 1)])]
        )
        try:
            leader = client.cluster.leader_for_partition(tp)
            if leader in (None, -1):
                raise LeaderNotAvailableError(tp)
            response = await client.send(leader, request)
            [(_, [(_, code, *_, data)])] = response.topics
            if code:
                raise for_code(code)
        except (KafkaError, OSError) as error:
            client.force_metadata_update()
            raise UnreachableError(f"Kafka does not return {tp} at {offset}: {error!r}") from error
        batches = RecordBatches(data or b"")
        if not batches.has_next():
            raise UnreachableError(f"Kafka returns nothing of {tp} at {offset}")
        batch = batches.next_batch()
        for record in batch:
            if record.offset == offset:
                return LastRecord.of(record, batch.leader_epoch)
        return None

    def stay_in_group(self) -> None:
        """As a fetch that has just ended.

        aiokafka leaves the group if the last one ended longer than `broker_max_poll_interval` ago, and
        does not join again before the next. Faust does not fetch between leaving and joining.
        """
        if self._consumer is not None:
            self._consumer._subscription._last_fetch_ended = monotonic()

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's own, which crashes the worker while aiokafka looks for a position: its log was truncated."""
        if tp in self._positions(self._ensure_consumer()):
            super().verify_event_path(now, tp)

    def fetch_position(self, tp: TP) -> int:
        """The position after the last fetch, or 0."""
        return self._ends.get(tp, 0)

    def high_watermark(self, tp: TP) -> int:
        """The end of the partition's log at its last fetch, behind open transactions as well, or 0."""
        subscription = self._ensure_consumer()._subscription.subscription
        assignment = subscription and subscription.assignment
        state = assignment and assignment.state_value(tp)
        return (state and state.highwater) or 0

    def _positions(self, consumer: Any) -> dict[Any, int]:
        subscription = consumer._subscription.subscription
        assignment = subscription and subscription.assignment
        if not assignment:
            return {}
        states = {tp: assignment.state_value(tp) for tp in assignment.tps}
        return {tp: state.position for tp, state in states.items() if state.has_valid_position}
