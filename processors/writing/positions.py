"""The next offset to read of each partition, in PostgreSQL: what promise 1 stands on.

A batch is written only in the transaction that moves the position of its partition from the
batch's start to its end, compare and set. So a batch that was skipped, repeated or belongs to
somebody else by now cannot be written, whatever its worker believes.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from faust.types import TP

from processors.cluster import Identity
from processors.database.pool import Connection, Pool
from processors.database.queries import load
from processors.draining import Batch
from processors.errors import ConfigurationError

_SQL = load("processors.writing", "positions.sql")


class FencedError(Exception):
    """PostgreSQL's position is not this batch's start: nothing of it may be written.

    `stored` is that position. Where it is the batch's own end the batch was applied, and only
    the answer to its COMMIT was lost.
    """

    def __init__(self, batch: Batch, stored: int) -> None:
        super().__init__(f"{batch.topic}[{batch.partition}] stands at {stored}, not {batch.start}")
        self.stored = stored


async def advance(connection: Connection, batch: Batch) -> str:
    """Moves the position over the batch; the id of its topic.

    Raises FencedError where it does not stand at its start.

    It holds the position's row until the transaction ends: two writers of a partition take turns.
    """
    moved = await connection.execute(
        _SQL["advance"],
        {
            "topic": batch.topic,
            "partition": batch.partition,
            "start": batch.start,
            "end": batch.end,
        },
    )
    row = await moved.fetchone()
    if row is None:
        _, _, _, stored = await _read(connection, batch.tp)
        raise FencedError(batch, stored)
    topic_id: str = row[0]
    return topic_id


@dataclass(frozen=True)
class StoredPositions:
    """Positions with the identity of their topics, which `identify` asks the broker for.

    It is asked at each seek: a topic may be deleted and created again under a running worker.
    """

    pool: Pool
    identify: Callable[[Iterable[str]], Mapping[str, Identity]]

    async def restore(self, beginnings: Mapping[TP, int]) -> Mapping[TP, int]:
        """The stored position of each partition, which is its beginning where none was stored.

        Raises ConfigurationError where it was stored of another topic or cluster.
        """
        stored: dict[TP, int] = {}
        identities = await asyncio.to_thread(self.identify, {tp.topic for tp in beginnings})
        async with self.pool.connection() as connection:
            for tp, beginning in beginnings.items():
                identity = identities[tp.topic]
                await connection.execute(
                    _SQL["begin"],
                    {
                        "topic": tp.topic,
                        "partition": tp.partition,
                        "cluster": identity.cluster,
                        "topic_id": identity.topic_id,
                        "partitions": identity.partitions,
                        "beginning": beginning,
                    },
                )
                cluster, topic_id, partitions, next_offset = await _read(connection, tp)
                if (cluster, topic_id, partitions) != (
                    identity.cluster,
                    identity.topic_id,
                    identity.partitions,
                ):
                    raise ConfigurationError(
                        f"{tp.topic}[{tp.partition}]: the position in PostgreSQL is of topic "
                        f"{topic_id} with {partitions} partitions in cluster {cluster}; Kafka has "
                        f"topic {identity.topic_id} with {identity.partitions} in cluster "
                        f"{identity.cluster}. See docs/operations.md, 'A position is lost'."
                    )
                stored[tp] = next_offset
        return stored


async def _read(connection: Connection, tp: TP) -> tuple[str, str, int, int]:
    cursor = await connection.execute(_SQL["read"], {"topic": tp.topic, "partition": tp.partition})
    row: tuple[str, str, int, int] | None = await cursor.fetchone()
    assert row is not None  # noqa: S101 - restore began every partition that is read

    return row
