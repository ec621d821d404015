"""Consumer lag for the metrics, and detection of a restored database.

Both come from one comparison: the stored positions with the ends of the log.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from time import time
from typing import NamedTuple, Protocol

import structlog
from faust.types import TP

from processors import metrics
from processors.rows.accounting.sqlstate import is_transient

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0

PARTITION_METRICS = (
    metrics.LAG_ROWS,
    metrics.LAG_SECONDS,
    metrics.POSITION_GAP,
    metrics.TRANSACTION_OPEN,
)


class LagSource(Protocol):
    """The part of processors.kafka.consumer.BatchConsumer that Lag uses."""

    halted: set[TP]

    @property
    def should_stop(self) -> bool: ...

    def assignment(self) -> Iterable[TP]: ...

    async def earliest_offsets(self, *tps: TP) -> Mapping[TP, int]: ...

    async def highwaters(self, *tps: TP) -> Mapping[TP, int]: ...

    def written(self, tp: TP) -> int: ...

    def fetch_position(self, tp: TP) -> int: ...

    def high_watermark(self, tp: TP) -> int: ...

    def unwritten_since(self, tp: TP, position: int) -> float | None: ...

    async def seek_stored(self, tp: TP) -> None: ...


class _Waiting(NamedTuple):
    position: int
    since: float  # Unix time of the first look that found rows behind this position


class Lag:
    """Measures the partitions of one consumer. `stored` returns their positions in PostgreSQL."""

    def __init__(
        self,
        stored: Callable[[Iterable[TP]], Awaitable[Mapping[TP, int]]],
        consumer: Callable[[], LagSource],
    ) -> None:
        self._stored = stored
        self._consumer = consumer
        self._measured: set[TP] = set()
        self._waiting: dict[TP, _Waiting] = {}
        self._open: dict[
            TP, float
        ] = {}  # Unix time of the first look that found a transaction open
        self._topics: set[str] = set()  # that were ever assigned
        self._truncated: set[TP] = set()  # as the last look found

    def stuck(self, seconds: float) -> list[TP]:
        """Partitions whose rows wait and of which none was written for `seconds`."""
        until = time() - seconds
        return [tp for tp, waiting in sorted(self._waiting.items()) if waiting.since < until]

    async def watch(self) -> None:
        """Measures every LOOK_SECONDS until the consumer ends. A failure is logged."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except Exception as error:  # must not take the writing of rows with it
                if self._consumer().should_stop:
                    return  # its loop was closed in the middle of the look
                if is_transient(error):
                    log.warning("lag is not known", action="lag_unknown", reason=repr(error))
                else:
                    log.exception("lag is not known", action="lag_unknown")

    async def look(self) -> None:
        """Sets the metrics, and seeks partitions whose stored position is lower than before.

        So are those whose log has ended before their position for two looks, and of which no row is held in
        memory: it halts them, which no fetch does before the next record.
        """
        consumer = self._consumer()
        assigned = list(consumer.assignment())
        self._count(assigned)
        written = {
            tp: consumer.written(tp) for tp in assigned
        }  # before: a batch may commit meanwhile
        positions = await self._stored(assigned)
        beginnings = await consumer.earliest_offsets(*positions)
        ends = await consumer.highwaters(*positions)
        for tp in self._measured - positions.keys():
            self._waiting.pop(tp, None)
            self._open.pop(tp, None)
            for metric in PARTITION_METRICS:
                metric.remove(tp.topic, tp.partition)
        self._measured = set(positions)
        for topic in {tp.topic for tp in positions}:
            halted = sum(tp.topic == topic for tp in consumer.halted)
            metrics.PARTITIONS_HALTED.labels(topic).set(halted)
        truncated: set[TP] = set()
        for tp, position in positions.items():
            self._set_lag(consumer, tp, position, ends[tp])
            gap = max(beginnings[tp] - position, position - ends[tp], 0)
            metrics.POSITION_GAP.labels(tp.topic, tp.partition).set(gap)
            if position < written[tp]:
                log.warning(
                    "the database went back", action="position_went_back",
                    topic=tp.topic, partition=tp.partition, was=written[tp], now=position,
                )  # fmt: skip
            if position > ends[tp] and consumer.unwritten_since(tp, position) is None:
                truncated.add(tp)
            again = tp in truncated & self._truncated and tp not in consumer.halted
            if position < written[tp] or again:
                await consumer.seek_stored(tp)
        self._truncated = truncated

    def _count(self, assigned: Iterable[TP]) -> None:
        counts = Counter(tp.topic for tp in assigned)
        for topic in self._topics | counts.keys():
            metrics.PARTITIONS_ASSIGNED.labels(topic).set(counts[topic])
        self._topics |= counts.keys()

    def _set_lag(self, consumer: LagSource, tp: TP, position: int, stable: int) -> None:
        """`stable` is the last stable offset: nothing behind it is read before its transaction ends."""
        read = consumer.unwritten_since(tp, position)
        rows = stable - position
        if read is None and consumer.fetch_position(tp) >= stable and tp not in consumer.halted:
            rows = 0  # only markers of transactions are left
        seconds = self._seconds(tp, position, read) if rows > 0 else self._none_waits(tp)
        behind = consumer.high_watermark(tp) - stable
        open_seconds = self._open_seconds(tp) if behind > 0 else self._none_is_open(tp)
        labels = (tp.topic, tp.partition)
        metrics.LAG_ROWS.labels(*labels).set(max(rows, 0) + max(behind, 0))
        metrics.LAG_SECONDS.labels(*labels).set(max(seconds, open_seconds))
        metrics.TRANSACTION_OPEN.labels(*labels).set(open_seconds)

    def _seconds(self, tp: TP, position: int, read: float | None) -> float:
        """Age of the oldest row that was read and not written, or time since rows wait at this position."""
        known = self._waiting.get(tp)
        if known is None or known.position != position:
            known = self._waiting[tp] = _Waiting(position, time())
        since = known.since if read is None else min(read, known.since)
        return max(time() - since, 0.0)

    def _none_waits(self, tp: TP) -> float:
        self._waiting.pop(tp, None)
        return 0.0

    def _open_seconds(self, tp: TP) -> float:
        return time() - self._open.setdefault(tp, time())

    def _none_is_open(self, tp: TP) -> float:
        self._open.pop(tp, None)
        return 0.0
