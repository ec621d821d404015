"""Publishes a worker's records through the producer of its Faust app."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from weakref import WeakValueDictionary

from faust.exceptions import NotReady, ProducerSendError

Send = Callable[[str, bytes, bytes | None, Sequence[tuple[str, bytes | None]]], Awaitable[int]]
"""Topic, key, value and headers to the offset, once all in-sync replicas have the record."""


def sender(app: Any) -> Send:
    """Publishes through `app`, which must be started. Partitions as Java's default does: murmur2.

    Raises what Kafka's client raises (aiokafka.errors), TimeoutError if the producer has not started.

    Records of one key are handed to aiokafka one after another: of those that wait for room in a
    partition's batch it wakes all for each batch, which is quadratic. Acknowledgements are awaited together.
    """
    appending: WeakValueDictionary[tuple[str, bytes], asyncio.Lock] = WeakValueDictionary()

    async def send(
        topic: str, key: bytes, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]
    ) -> int:
        producer = await app.maybe_start_producer()
        turn = appending.setdefault((topic, key), asyncio.Lock())
        try:
            async with turn:
                acknowledged = await producer.send(topic, key, value, None, None, headers)
            metadata = await acknowledged
        except NotReady as error:  # on a busy machine a task is faster than the producer's start
            raise TimeoutError("the producer is not started yet") from error
        except ProducerSendError as error:  # Faust's, around that of Kafka's client
            raise error.__cause__ or error from error.__cause__
        offset: int = metadata.offset
        return offset

    return send
