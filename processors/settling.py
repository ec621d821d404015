"""How a batch is seen through: again while a server fails, given up when it is somebody else's."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg
import stamina
import structlog

from processors import metrics
from processors.draining import Batch, BatchConsumer, BatchTooLargeError
from processors.writing.positions import FencedError
from processors.writing.sqlstate import Blame, blame, passes
from schemas.registry import RegistryUnavailableError

log = structlog.get_logger(__name__)

Result = TypeVar("Result")


async def settle(
    batch: Batch, consumer: BatchConsumer, work: Callable[[Batch], Awaitable[Result]]
) -> list[Result]:
    """The results of `work`, which writes a batch in one transaction with its position.

    One, or several where the batch was too large for a transaction. None where it is not written
    by this call: it was applied before (only the answer to a COMMIT was lost), its partition was
    taken away, or its position stands elsewhere and the partition was sought anew. Where neither a
    server nor a row is to blame the partition is halted for a person to look; the others go on.
    """
    told = log.bind(topic=batch.topic, partition=batch.partition, start=batch.start)
    try:
        return await _persist(batch, consumer, work)
    except BatchTooLargeError:
        told.info("batch is halved", action="batch_halved", records=len(batch.records))
        first, second = batch.halves()
        return [*await settle(first, consumer, work), *await settle(second, consumer, work)]
    except FencedError as error:
        if error.stored == batch.end:
            told.info("batch was applied before", action="batch_known")
        else:
            told.warning("batch is not the next one", action="batch_fenced", stored=error.stored)
            await consumer.seek_again(batch)
    except psycopg.Error:
        told.exception("partition halted", action="partition_halted")
        metrics.PARTITIONS_HALTED.labels(batch.topic).inc()
        consumer.void(batch)
    return []


async def _persist(
    batch: Batch, consumer: BatchConsumer, work: Callable[[Batch], Awaitable[Result]]
) -> list[Result]:
    async for attempt in stamina.retry_context(
        on=_passes, attempts=None, timeout=None, wait_initial=0.05, wait_max=5.0, wait_jitter=1.0
    ):
        with attempt:
            if not consumer.is_current(batch):
                return []
            if attempt.num > 1:
                metrics.RETRIES.labels(batch.topic).inc()
            try:
                return [await work(batch)]
            except psycopg.Error as error:
                if blame(error) is Blame.SIZE and len(batch.records) > 1:
                    raise BatchTooLargeError from error
                raise
    raise AssertionError("a retry without an end has ended")


def _passes(error: Exception) -> bool:
    return passes(error) or isinstance(error, RegistryUnavailableError)
