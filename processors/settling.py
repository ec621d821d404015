"""How a batch is seen through: again while a server fails, given up when it is somebody else's."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg
import stamina
import structlog

from processors import metrics
from processors.draining import Batch, BatchConsumer
from processors.writing.positions import FencedError
from processors.writing.sqlstate import passes
from schemas.registry import RegistryUnavailableError

log = structlog.get_logger(__name__)

Result = TypeVar("Result")


async def settle(
    batch: Batch, consumer: BatchConsumer, work: Callable[[], Awaitable[Result]]
) -> Result | None:
    """The result of `work`, which writes the batch in one transaction with its position.

    None where the batch is not written by this call: it was applied before (only the answer to a
    COMMIT was lost), its partition was taken away, or its position stands elsewhere and the
    partition was sought anew. Where neither a server nor a row is to blame the partition is halted
    for a person to look; the others go on.
    """
    told = log.bind(topic=batch.topic, partition=batch.partition, start=batch.start)
    try:
        return await _persist(batch, consumer, work)
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
    return None


async def _persist(
    batch: Batch, consumer: BatchConsumer, work: Callable[[], Awaitable[Result]]
) -> Result | None:
    async for attempt in stamina.retry_context(
        on=_passes, attempts=None, timeout=None, wait_initial=0.05, wait_max=5.0, wait_jitter=1.0
    ):
        with attempt:
            if not consumer.is_current(batch):
                return None
            if attempt.num > 1:
                metrics.RETRIES.labels(batch.topic).inc()
            return await work()
    raise AssertionError("a retry without an end has ended")


def _passes(error: Exception) -> bool:
    return passes(error) or isinstance(error, RegistryUnavailableError)
