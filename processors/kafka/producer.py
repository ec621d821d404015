"""Records that a worker publishes, through the producer of its Faust app."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

Send = Callable[[str, bytes, bytes | None, Sequence[tuple[str, bytes]]], Awaitable[int]]
"""Topic, key, value, headers to the offset, when all in-sync replicas hold the record."""


def sender(app: Any) -> Send:
    """Publishing through `app`, which must be started. Partitions as Java's default: murmur2."""

    async def send(
        topic: str, key: bytes, value: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> int:
        producer = await app.maybe_start_producer()
        held = await producer.send_and_wait(topic, key, value, None, None, headers)
        offset: int = held.offset
        return offset

    return send
