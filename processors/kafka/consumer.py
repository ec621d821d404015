"""The one extension of Faust: records in batches, and positions held in PostgreSQL.

A Faust consumer hands out one message per record and commits to Kafka. This one hands out one
message per partition and fetch, whose value is a `Batch`, and never commits: it starts each
partition at the offset that PostgreSQL holds. Changelogs of tables are handed out as Faust expects,
a message per record. It relies on these facts of faust-streaming 0.15.3
and aiokafka 0.14, each held by tests/integration/test_draining.py:

* Faust fetches only through `Consumer.getmany`, and finds its start only through
  `Consumer.seek_to_committed`, which it awaits after each rebalance before it resumes the flow.
* `AIOKafkaConsumerThread._fetch_records` runs in the thread that owns aiokafka's positions: what
  it reads of them before and after a fetch encloses exactly the records fetched.
* A topic with `acks=False` is never committed, and a rebalance does not wait for it.
"""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import structlog
from aiokafka import ConsumerRecord
from faust.tables.manager import TableManager
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from processors.errors import PositionLostError, UnreachableError, WorkerError
from processors.kafka.batch import Batch

log = structlog.get_logger(__name__)


RECOVERY_SECONDS = 60.0
"""Longest recovery of tables after a rebalance. Faust can wait for the end of one that has ended (its
signal is cleared before the waiter looks), and would keep the partitions without reading them."""


FETCH_WAIT_MS = 250
"""How long the broker may wait for records. Faust's own is 1.5 s, and for so long partitions with
records were not read: while a request for idle ones waits, aiokafka sends that broker no other."""


FULL_SECONDS = 0.02
"""How often it is asked whether there is a partition to read, or room for more of one."""


SEEK_AGAIN_SECONDS = 1.0
"""Between two seeks while a server cannot be reached."""


class Positions(Protocol):
    """Where reading has to start: processors.rows.accounting.positions, or a fake."""

    async def restore(self, beginnings: Mapping[TP, int]) -> Mapping[TP, int]:
        """The stored next offset of each partition; one that has none starts at its beginning.

        Raises UnreachableError where a server refuses to answer: it is asked again.
        """


@dataclass(frozen=True, slots=True)
class _Fetched:
    start: int | None
    end: int
    records: Sequence[ConsumerRecord]


class _Handed(NamedTuple):
    """A batch that was handed out. Of its `records` the first was appended at this Unix time."""

    end: int
    appended_at: float
    records: int


class _ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Tells with the records of a fetch the positions that they lie between."""

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

    async def _fetch_records(self, consumer: Any, *args: Any, **kwargs: Any) -> dict[TP, _Fetched]:
        before = self._positions(consumer)
        fetched = await super()._fetch_records(consumer, *args, **kwargs)
        found: dict[TP, _Fetched] = {}
        for tp, end in self._positions(consumer).items():
            # A call that met only markers or aborted records moved the position without a record:
            # the next ones were fetched from where that call began.
            moved_here = before.get(tp) == self._ends.get(tp)
            start = self._starts.get(tp) if moved_here else before.get(tp)
            if tp in fetched:
                found[TP(tp.topic, tp.partition)] = _Fetched(start, end, fetched[tp])
                start = end
            self._starts[tp], self._ends[tp] = start, end
        return found

    def reached(self, tp: TP) -> int:
        """The position after the last fetch, or 0."""
        return self._ends.get(tp, 0)

    def _positions(self, consumer: Any) -> dict[Any, int]:
        subscription = consumer._subscription.subscription
        assignment = subscription and subscription.assignment
        if not assignment:
            return {}
        states = {tp: assignment.state_value(tp) for tp in assignment.tps}
        return {tp: state.position for tp, state in states.items() if state.has_valid_position}


class BatchConsumer(driver.Consumer):  # type: ignore[misc]
    """Hands out batches, none of them before its partition stands where PostgreSQL says."""

    logger = logging.getLogger("faust")  # else mode logs under our module's name

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._positions: Positions = self.transport.positions
        self._expected: dict[TP, int] = {}
        self._turns: dict[TP, object] = {}
        self._written: dict[TP, int] = {}
        self._dropped: set[TP] = set()
        self._joined = False
        self._sought = -1  # the generation of the last seek after a rebalance
        self.halted: set[TP] = set()
        self._most_unwritten: int = self.transport.most_unwritten
        self._seek_seconds: float = self.transport.seek_seconds
        self._handed: dict[TP, deque[_Handed]] = defaultdict(deque)

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def is_current(self, batch: Batch) -> bool:
        """Whether the partition is still ours and has not been sought since this batch."""
        return self._turns.get(batch.tp) is batch.turn

    def wrote(self, batch: Batch) -> None:
        """Notes that a batch is committed, whoever did it."""
        if self.is_current(batch):
            self._written[batch.tp] = batch.end
            self._unwritten(batch.tp, batch.end)

    def written(self, tp: TP) -> int:
        """The highest position that was seen committed since the last seek, or 0."""
        return self._written.get(tp, 0)

    def unwritten_since(self, tp: TP, position: int) -> float | None:
        """Unix time at which Kafka took the oldest record handed out from this position on."""
        handed = self._unwritten(tp, position)
        return handed[0].appended_at if handed else None

    def _unwritten(self, tp: TP, position: int) -> "deque[_Handed]":
        handed = self._handed[tp]
        while handed and handed[0].end <= position:
            handed.popleft()
        return handed

    def reached(self, tp: TP) -> int:
        """The offset up to which a partition is fetched: past the markers of transactions, too."""
        position: int = self._thread.reached(tp)
        return position

    def waits_for(self) -> str | None:
        """What has to happen before records are read; None where they are read."""
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
        return "its positions" if read - self._turns.keys() else None

    async def seek_again(self, batch: Batch) -> None:
        """Takes the partition of a batch that was given up back to its stored position."""
        if self.is_current(batch):
            await self._seek_or_crash({batch.tp})

    async def follow_back(self, tp: TP) -> None:
        """Takes a partition back whose stored position went back: its database was restored."""
        if tp in self._turns:
            await self._seek_or_crash({tp})

    def void(self, batch: Batch) -> None:
        """Hands out nothing more of the batch's partition until the next rebalance."""
        self._forget({batch.tp})
        self.halted.add(batch.tp)
        self.pause_partitions({batch.tp})

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        # A rebalance takes every partition through a new seek, those that stay as well.
        self._forget(set(self._turns))
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
        if self.assignment() and self._sought != generation:
            await self.app.crash(WorkerError("tables do not recover: the worker has to start anew"))

    async def seek_to_committed(self) -> Mapping[TP, int]:
        self._sought = self.app.consumer_generation_id
        # Changelogs of tables are sought and read by Faust's own recovery.
        return await self._seek_or_crash(
            {tp for tp in self.assignment() if not self._is_changelog_tp(tp)}
        )

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        # A fetch that followed a seek and was not handed out, as it came before this side knew of
        # the seek. It would not come again by itself: here no other is under way.
        if self.flow_active and (lost := self._dropped & self._turns.keys()):
            await self._seek_or_crash(lost)
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        # Not by Faust's _wait_next_records: where no partition is active, as in a rebalance of an app
        # with tables, which resumes the flow first, that one sleeps for a second.
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
                    if not changelog:  # which Faust reads anew by itself
                        self._dropped.add(tp)
                    break
                message = (
                    self._to_message(tp, item) if changelog else await self._batched(tp, fetched)
                )
                if message is not None:
                    yield tp, message

    async def _batched(self, tp: TP, fetched: _Fetched) -> Any:
        """A message whose value is the batch, None where the batch is not the next one."""
        turn = self._turns.get(tp)
        if not await self._follows(tp, fetched):
            return None
        if turn is None or self._turns.get(tp) is not turn:
            return None  # taken away or sought while _follows asked Kafka
        start, self._expected[tp] = self._expected[tp], fetched.end
        appended_at = fetched.records[0].timestamp / 1000
        self._handed[tp].append(_Handed(fetched.end, appended_at, len(fetched.records)))
        message = self._to_message(tp, fetched.records[-1])
        message.key = None
        message.value = Batch(tp.topic, tp.partition, start, fetched.end, fetched.records, turn)
        return message

    async def _getmany(self, active_partitions: set[TP], timeout: float) -> Any:
        """Fetches of partitions of which there is room for more; the others wait in Kafka.

        So a partition that is not written stops nobody else, and holds no more memory.
        """
        full = {tp for tp in active_partitions if self._is_full(tp)}
        if full == active_partitions:
            await self.sleep(FULL_SECONDS)
            return {}
        return await super()._getmany(active_partitions - full, FULL_SECONDS if full else timeout)

    def _is_full(self, tp: TP) -> bool:
        return sum(each.records for each in self._handed[tp]) >= self._most_unwritten

    def _forget(self, tps: set[TP]) -> None:
        for tp in tps:
            self._turns.pop(tp, None)
            self._expected.pop(tp, None)
            self._handed.pop(tp, None)
            self._written.pop(tp, None)

    async def _follows(self, tp: TP, fetched: _Fetched) -> bool:
        """Whether a fetch begins where the last one handed out ended."""
        expected = self._expected.get(tp)
        if expected is None:  # not sought yet
            self._dropped.add(tp)
            return False
        if fetched.start != expected or fetched.records[0].offset < expected:
            await self._seek_or_crash({tp})
            return False
        if fetched.records[0].offset > expected:
            # Either markers of a transaction or a hole: aiokafka starts anew by itself at the
            # log's beginning when its position is gone.
            await self._check_held({tp: expected}, await self.earliest_offsets(tp))
        return True

    async def _seek_or_crash(self, tps: set[TP]) -> Mapping[TP, int]:
        """To the stored positions, or the end of the app; later, while a server is not there.

        Faust would only log the failure, and go on with the wrong positions or with none.
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
        """Seeks after a while; nothing of the partitions is read before."""
        self.pause_partitions(tps)
        await self.sleep(SEEK_AGAIN_SECONDS)
        # Faust resumes what it is assigned once the seek that failed has returned.
        self.pause_partitions(tps)
        if self.should_stop or self.app.consumer_generation_id != generation:
            return  # the rebalance seeks, or has sought
        if await self._seek_or_crash(tps) and self.app.consumer_generation_id == generation:
            self.resume_partitions(tps)

    async def _seek_to_stored(self, tps: set[TP]) -> Mapping[TP, int]:
        self._forget(tps)
        if not tps:
            return {}
        beginnings = await self.earliest_offsets(*tps)
        stored = await self._positions.restore(beginnings)
        await self._check_held(stored, beginnings)
        self._dropped -= tps
        await self.seek_wait(stored)
        self._expected.update(stored)
        self._written.update(stored)
        self._turns.update({tp: object() for tp in stored})
        return stored

    async def _check_held(self, positions: Mapping[TP, int], beginnings: Mapping[TP, int]) -> None:
        # After the positions were read: a writer before this one may just have moved them.
        ends = await self.highwaters(*positions)
        for tp, position in positions.items():
            if not beginnings[tp] <= position <= ends[tp]:
                raise PositionLostError(
                    f"{tp.topic}[{tp.partition}]: PostgreSQL's next offset is {position}, Kafka "
                    f"holds {beginnings[tp]} to {ends[tp]}. Nothing was skipped. See "
                    "docs/operations.md, 'A position is lost'."
                )


class Tables(TableManager):  # type: ignore[misc]
    """The tables of an app that has them all before it starts, as ours do: nothing is waited for."""

    logger = logging.getLogger("faust")  # else mode logs under our module's name

    async def on_start(self) -> None:
        # Faust sleeps for a second here, so that agents can add tables when they start. The
        # subscription to Kafka waits for this method, not for the time that it takes.
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()


class BatchTransport(driver.Transport):  # type: ignore[misc]
    """Faust's Kafka transport with this consumer; `positions` says where it starts.

    Of a partition no more is fetched while `most_unwritten` records are handed out and not written.
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
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.positions = positions
        self.most_unwritten = most_unwritten
        self.seek_seconds = seek_seconds
