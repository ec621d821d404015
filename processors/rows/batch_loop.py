"""Writes one batch to its end: retries it, halves it, gives it up if it is fenced, or halts."""

import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any, Literal, TypeVar

import psycopg
import stamina
import structlog

from processors import metrics
from processors.database.pool import Pool
from processors.database.site_tables import UnfilledColumnError
from processors.errors import BatchTooLargeError, ImportUnknownError
from processors.kafka.batch import Batch
from processors.kafka.consumer import BatchConsumer
from processors.rows.accounting.positions import FencedError, store_halt
from processors.rows.accounting.reject_limit import RejectLimitError
from processors.rows.accounting.sqlstate import Blame, blame, is_transient
from schemas.codec.framing import Decoder
from schemas.runtime.registry import RegistryUnavailableError

log = structlog.get_logger(__name__)

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 5.0
"""Between two tries while a server fails: each pause is about twice the one before, up to this."""

Result = TypeVar("Result")


class BatchWriter(ABC):
    """Writes the batches of the partitions assigned to this worker, one after another."""

    def __init__(self, decoder: Decoder, pool: Pool) -> None:
        self._decoder = decoder
        self._pool = pool

    async def run(self, events: AsyncIterable[Any], consumer: BatchConsumer) -> None:
        """Takes the events of the topic's stream, whose values are batches."""
        async for event in events:
            await process_batch(event.value, consumer, self._write, self._pool)

    @abstractmethod
    async def _write(self, batch: Batch) -> None:
        """Writes a batch in one transaction with its position."""


async def process_batch(
    batch: Batch,
    consumer: BatchConsumer,
    work: Callable[[Batch], Awaitable[Result]],
    pool: Pool,
) -> list[Result]:
    """The results of `work`, which writes a batch in one transaction with its position.

    One result, or several if the batch was too large for a transaction. An empty list if this call
    did not write it: it was applied before (only the response to a COMMIT was lost), its partition
    was revoked, or it is fenced and the partition was sought anew. If neither a server nor a row is
    to blame, the partition is halted, and the reason is stored by `pool`; the other partitions go on.
    A halt is retried every minute, because its cause is outside; one by the reject limit is not.
    """
    batch_log = log.bind(topic=batch.topic, partition=batch.partition, start=batch.start)
    try:
        return await _persist(batch, consumer, work)
    except BatchTooLargeError:
        batch_log.info("batch is halved", action="batch_halved", records=len(batch.records))
        first, second = batch.halves()
        return [
            *await process_batch(first, consumer, work, pool),
            *await process_batch(second, consumer, work, pool),
        ]
    except FencedError as error:
        if error.stored == batch.end:
            consumer.mark_written(batch)
            batch_log.info("batch was applied before", action="batch_known")
        else:
            batch_log.warning(
                "batch is not the next one", action="batch_fenced", stored=error.stored
            )
            await consumer.seek_again(batch)
    except (psycopg.Error, UnfilledColumnError, RejectLimitError) as error:
        batch_log.exception("partition halted", action="partition_halted")
        consumer.halt(batch.tp, again=not isinstance(error, RejectLimitError))
        await store_halt(pool, batch.tp, str(error))
    return []


async def _persist(
    batch: Batch, consumer: BatchConsumer, work: Callable[[Batch], Awaitable[Result]]
) -> list[Result]:
    async for attempt in stamina.retry_context(on=_Pace(), attempts=None, timeout=None):
        with attempt:
            if not consumer.is_current(batch):
                return []
            if attempt.num > 1:
                metrics.RETRIES.labels(batch.topic).inc()
            try:
                result = await work(batch)
                consumer.mark_written(batch)
                metrics.LAST_COMMIT.labels(batch.topic).set_to_current_time()
                return [result]
            except psycopg.Error as error:
                if blame(error) is Blame.SIZE and len(batch.records) > 1:
                    raise BatchTooLargeError from error
                raise
    raise AssertionError("an endless retry has ended")


class _Pace:
    """Seconds until the next try: exponential backoff with jitter.

    The jitter keeps workers that lost a server together from coming back to it together.
    """

    def __init__(self) -> None:
        self._longest = FIRST_PAUSE_SECONDS

    def __call__(self, error: Exception) -> float | Literal[False]:
        if not (
            is_transient(error) or isinstance(error, RegistryUnavailableError | ImportUnknownError)
        ):
            return False
        longest, self._longest = self._longest, min(2 * self._longest, LONGEST_PAUSE_SECONDS)
        return random.uniform(longest / 2, longest)  # noqa: S311 - no secret
