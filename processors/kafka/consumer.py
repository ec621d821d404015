"""The one extension of Faust: records in batches, and positions stored in PostgreSQL.

A Faust consumer delivers one message per record and commits to Kafka. This one delivers one message
per partition and fetch, whose value is a `Batch`, and never commits: it starts each partition at the
offset that PostgreSQL stores. Changelogs of tables are delivered as Faust expects, a message per
record. It relies on these facts of faust-streaming 0.15.3 and aiokafka 0.14, each checked by
tests/integration/test_consumer.py:

* Faust fetches only through `Consumer.getmany`, and finds its start only through
  `Consumer.seek_to_committed`, which it awaits after each rebalance before it resumes the flow.
* `AIOKafkaConsumerThread._fetch_records` runs in the thread that owns aiokafka's positions: the
  positions that it reads before and after a fetch enclose exactly the fetched records.
* A topic with `acks=False` is never committed, and a rebalance does not wait for it.
"""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple, Protocol

import structlog
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from processors.errors import UnreachableError, WorkerError
from processors.kafka.batch import BATCH_BYTES, Batch
from processors.kafka.fetch_thread import Fetch, FetchThread
from processors.kafka.lost_positions import Position, find_lost

log = structlog.get_logger(__name__)


RECOVERY_SECONDS = 60.0
"""Longest recovery of tables after a rebalance. Faust can wait for the end of one that has ended (its
signal is cleared before the waiter looks), and would keep the partitions without reading them."""


FULL_SECONDS = 0.02
"""Interval of checking whether there is a partition to read, or room for more of one."""


UNWRITTEN_BYTES = 2 * BATCH_BYTES
"""A partition is not fetched while so many bytes of its records are delivered but not written."""

SEEK_AGAIN_SECONDS = 1.0
"""The pause before a failed seek is tried again, while a server cannot be reached."""


MEMBER_SECONDS = 0.5
"""Between two signs of life to aiokafka, which takes a consumer for dead that does not fetch."""


class Positions(Protocol):
    """Where reading has to start: processors.rows.accounting.positions, or a fake."""

    async def restore(self, beginnings: Mapping[TP, int]) -> Mapping[TP, Position]:
        """The stored position of each partition; one that has none starts at its beginning.

        Raises UnreachableError if a server does not respond: the seek is tried again.
        """
        ...

    async def store_lost(self, tp: TP, position: int, reason: str) -> None:
        """Stores why the log does not have what follows on the position, if it is still stored."""


class _Delivered(NamedTuple):
    """A delivered batch. The first of its `records` was appended at this Unix time."""

    end: int
    appended_at: float
    records: int
    size: int


class BatchConsumer(driver.Consumer):
    """Delivers batches, none of them before its partition is at the position in PostgreSQL."""

    transport: "BatchTransport"
    _thread: FetchThread
    logger = logging.getLogger("faust")  # else mode logs under our module's name

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._positions: Positions = self.transport.positions
        self._expected: dict[TP, int] = {}
        self._assignment_tokens: dict[TP, object] = {}
        self._written: dict[TP, int] = {}
        self._dropped: set[TP] = set()
        self._epochs: dict[TP, int] = {}  # the highest leader epochs of fetches
        self._joined = False
        self._sought_generation = -1  # of the last seek after a rebalance
        self.halted: set[TP] = set()
        self._most_unwritten = self.transport.most_unwritten
        self._seek_seconds = self.transport.seek_seconds
        self._halt_seconds = self.transport.halt_seconds
        self._delivered: dict[TP, deque[_Delivered]] = defaultdict(deque)

    def _new_consumer_thread(self) -> FetchThread:
        return FetchThread(self, loop=self.loop, beacon=self.beacon)

    @driver.Consumer.task  # type: ignore[untyped-decorator]  # Faust's
    async def _stay_in_group(self) -> None:
        """A member that has nothing to fetch stays: all its partitions may be paused, or it has none."""
        while not self.should_stop:
            self._thread.stay_in_group()
            await self.sleep(MEMBER_SECONDS)

    def is_current(self, batch: Batch) -> bool:
        """Whether the partition is still assigned and has not been sought since this batch."""
        return self._assignment_tokens.get(batch.tp) is batch.assignment_token

    def mark_written(self, batch: Batch) -> None:
        """Notes that a batch is committed, by this worker or another."""
        if self.is_current(batch):
            self._written[batch.tp] = batch.end
            self._unwritten(batch.tp, batch.end)

    def written(self, tp: TP) -> int:
        """The highest position that this worker knows to be committed since the last seek, or 0."""
        return self._written.get(tp, 0)

    def unwritten_since(self, tp: TP, position: int) -> float | None:
        """Unix time at which Kafka appended the oldest record delivered from this position on."""
        unwritten = self._unwritten(tp, position)
        return unwritten[0].appended_at if unwritten else None

    def _unwritten(self, tp: TP, position: int) -> "deque[_Delivered]":
        delivered = self._delivered[tp]
        while delivered and delivered[0].end <= position:
            delivered.popleft()
        return delivered

    def fetch_position(self, tp: TP) -> int:
        """The offset up to which a partition is fetched, past markers of transactions as well."""
        return self._thread.fetch_position(tp)

    def high_watermark(self, tp: TP) -> int:
        """The end of the log at the last fetch, behind open transactions as well."""
        return self._thread.high_watermark(tp)

    def joins(self) -> bool:
        """Whether it has no place in its group, or waits for the end of a rebalance."""
        return not self._joined or self.app.rebalancing

    def waits_for(self) -> str | None:
        """What has to happen before records are read; None if they are read."""
        if not self._joined:
            return "a place in its group"
        if self.app.in_recovery:
            return "its tables"
        if self.app.rebalancing:
            return "the end of a rebalance"
        if self.halted:
            return "an operator: " + ", ".join(
                f"{t}[{n}] is halted" for t, n in sorted(self.halted)
            )
        read = {tp for tp in self.assignment() if not self._is_changelog_tp(tp)}
        return "its positions" if read - self._assignment_tokens.keys() else None

    async def seek_again(self, batch: Batch) -> None:
        """Seeks the partition of a batch that was given up back to its stored position."""
        if self.is_current(batch):
            await self._seek_or_crash({batch.tp})

    async def seek_stored(self, tp: TP) -> None:
        """Seeks a partition whose stored position went back, because its database was restored, or is not in
        the log any more."""
        if tp in self._assignment_tokens:
            await self._seek_or_crash({tp})

    def halt(self, tp: TP, *, again: bool) -> None:
        """Delivers nothing more of a partition until the next rebalance.

        `again`: or for `halt_seconds`, because the cause may be gone by then.
        """
        self._forget({tp})
        self.halted.add(tp)
        self.pause_partitions({tp})
        if again:
            self.add_future(self._seek_halted(tp, self.app.consumer_generation_id))

    async def _seek_halted(self, tp: TP, generation: int) -> None:
        await self.sleep(self._halt_seconds)
        if self.should_stop or self.app.consumer_generation_id != generation:
            return  # the rebalance has sought it
        if await self._seek_or_crash({tp}) and self.app.consumer_generation_id == generation:
            self.resume_partitions({tp})

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        # A rebalance seeks every partition anew, those that stay assigned as well.
        self._forget(set(self._assignment_tokens))
        self.halted.clear()
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        await super().on_partitions_assigned(assigned, generation_id)
        self._joined = True
        self.add_future(self._end_unless_sought(generation_id))

    async def _end_unless_sought(self, generation: int) -> None:
        await self.sleep(RECOVERY_SECONDS)
        if self.should_stop or self.app.consumer_generation_id != generation:
            return
        if self.assignment() and self._sought_generation != generation:
            await self.app.crash(WorkerError("tables do not recover: the worker has to start anew"))

    async def seek_to_committed(self) -> Mapping[TP, int]:
        self._sought_generation = self.app.consumer_generation_id
        # Faust's own recovery seeks and reads the changelogs of tables.
        return await self._seek_or_crash(
            {tp for tp in self.assignment() if not self._is_changelog_tp(tp)}
        )

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        # A fetch after a seek that was not delivered, because it came before this side knew of the
        # seek. It would not come again by itself: at this point no other fetch is under way.
        if self.flow_active and (lost := self._dropped & self._assignment_tokens.keys()):
            await self._seek_or_crash(lost)
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        # Not by Faust's _wait_next_records: it sleeps for a second if no partition is active, as in a
        # rebalance of an app with tables, which resumes the flow first.
        active = self._get_active_partitions()
        fetches = await self._getmany(active, timeout)
        generation = self.app.consumer_generation_id
        for tp, fetched in fetches.items():
            changelog = self._is_changelog_tp(tp)
            for item in fetched.records if changelog else (fetched,):
                if (
                    self.should_stop
                    or not self.flow_active
                    or self.app.consumer_generation_id != generation
                    or tp not in active
                ):
                    if not changelog:  # Faust reads changelogs anew by itself
                        self._dropped.add(tp)
                    break
                message = (
                    self._to_message(tp, item)
                    if changelog
                    else await self._batch_message(tp, fetched)
                )
                if message is not None:
                    yield tp, message

    async def _batch_message(self, tp: TP, fetched: Fetch) -> Any:
        """A message whose value is the batch; None if the batch is not the next one."""
        token = self._assignment_tokens.get(tp)
        if not await self._follows(tp, fetched):
            return None
        if token is None or self._assignment_tokens.get(tp) is not token:
            return None  # revoked or sought while _follows asked Kafka
        start, self._expected[tp] = self._expected[tp], fetched.end
        appended_at = fetched.records[0].timestamp / 1000
        _, epoch = fetched.epochs
        batch = Batch(
            tp.topic, tp.partition, start, fetched.end, fetched.records, token, leader_epoch=epoch
        )
        self._delivered[tp].append(
            _Delivered(fetched.end, appended_at, len(batch.records), batch.size)
        )
        message: Any = self._to_message(tp, fetched.records[-1])
        message.key = None
        message.value = batch
        return message

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        """Fetches of partitions that have room for more; the others wait in Kafka.

        So a partition that is not written stops no other, and takes no more memory.
        """
        active_partitions = active_partitions or set()
        # Faust resumes a partition that the seek after a rebalance has halted.
        full = {tp for tp in active_partitions if self._is_full(tp)} | (
            active_partitions & self.halted
        )
        if full == active_partitions:
            await self.sleep(FULL_SECONDS)
            return {}
        return await super()._getmany(active_partitions - full, FULL_SECONDS if full else timeout)

    def _is_full(self, tp: TP) -> bool:
        delivered = self._delivered[tp]
        return (
            sum(each.records for each in delivered) >= self._most_unwritten
            or sum(each.size for each in delivered) >= UNWRITTEN_BYTES
        )

    def _forget(self, tps: set[TP]) -> None:
        for tp in tps:
            self._assignment_tokens.pop(tp, None)
            self._expected.pop(tp, None)
            self._delivered.pop(tp, None)
            self._written.pop(tp, None)

    async def _follows(self, tp: TP, fetched: Fetch) -> bool:
        """Whether a fetch begins at the end of the last one that was delivered."""
        expected = self._expected.get(tp)
        if expected is None:  # not sought yet
            self._dropped.add(tp)
            return False
        begins = fetched.records[0].offset
        if (
            self._is_of_a_new_leader(tp, fetched)
            or fetched.start != expected
            or begins < expected
            # Either markers of a transaction or a gap: aiokafka starts anew by itself at the
            # log's beginning if its position is gone.
            or (begins > expected and (await self.earliest_offsets(tp))[tp] > expected)
        ):
            await self._seek_or_crash({tp})
            return False
        return True

    def _is_of_a_new_leader(self, tp: TP, fetched: Fetch) -> bool:
        """Whether a leader that no earlier fetch knew appended it: it may have truncated the log before."""
        first, last = fetched.epochs
        known = self._epochs.get(tp, first)
        is_new = first > known
        self._epochs[tp] = first if is_new else max(known, last)
        return is_new

    async def _seek_or_crash(self, tps: set[TP]) -> Mapping[TP, int]:
        """Seeks to the stored positions, or ends the app; seeks later if a server cannot be reached.

        Faust would only log the failure, and go on with wrong positions or with none.
        """
        generation = self.app.consumer_generation_id
        try:
            async with asyncio.timeout(self._seek_seconds):
                return await self._seek_to_stored(tps)
        except UnreachableError as error:
            if self.app.consumer_generation_id == generation:
                log.warning("seek has to wait", action="seek_waits", reason=str(error))
                self.add_future(self._seek_later(tps, generation))
        except Exception as error:  # re-raised by the runner, which ends the process
            if self.app.consumer_generation_id == generation:
                log.exception("seek failed", action="seek_failed")
                await self.app.crash(error)
        return {}

    async def _seek_later(self, tps: set[TP], generation: int) -> None:
        """Seeks after a while; the partitions are not read before."""
        self.pause_partitions(tps)
        await self.sleep(SEEK_AGAIN_SECONDS)
        if self.should_stop or self.app.consumer_generation_id != generation:
            return  # the rebalance seeks, or has sought and reads them: nobody would resume them
        # Faust resumes the assigned partitions once the failed seek has returned.
        self.pause_partitions(tps)
        if await self._seek_or_crash(tps) and self.app.consumer_generation_id == generation:
            self.resume_partitions(tps)

    async def _seek_to_stored(self, tps: set[TP]) -> Mapping[TP, int]:
        self._forget(tps)
        if not tps:
            return {}
        beginnings = await self.earliest_offsets(*tps)
        positions = await self._positions.restore(beginnings)
        lost = await find_lost(self._thread, positions, beginnings)
        for tp, reason in lost.items():
            log.error("partition halted", action="partition_halted", reason=reason)
            self.halt(tp, again=True)
            self.add_future(self._positions.store_lost(tp, positions[tp].offset, reason))
        stored = {tp: position.offset for tp, position in positions.items() if tp not in lost}
        self._dropped -= tps
        await self.seek_wait(stored)
        self._expected.update(stored)
        self._written.update(stored)
        self._assignment_tokens.update({tp: object() for tp in stored})
        self.halted -= stored.keys()
        return stored


class BatchTransport(driver.Transport):
    """Faust's Kafka transport with this consumer, which starts at `positions`.

    A partition is not fetched while `most_unwritten` of its records are delivered and not written.
    `seek_seconds` is the longest seek after a rebalance. Above broker_request_timeout Faust would
    time out itself, and leave a member of the group that reads nothing.
    """

    Consumer = BatchConsumer

    def __init__(
        self,
        *args: Any,
        positions: Positions,
        most_unwritten: int,
        seek_seconds: float,
        halt_seconds: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.positions = positions
        self.most_unwritten = most_unwritten
        self.seek_seconds = seek_seconds
        self.halt_seconds = halt_seconds
