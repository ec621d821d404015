"""The next offset to read of each partition, in PostgreSQL: writing exactly once rests on it.

A batch is written only in the transaction that moves the position of its partition from the
batch's start to its end, by compare and set. So a batch that was skipped, repeated or now belongs
to another worker cannot be written.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict, dataclass

import psycopg
import structlog
from faust.types import TP
from psycopg.types.json import Jsonb
from psycopg_pool import PoolTimeout

from processors.database.pool import CONNECT_SECONDS, Connection, Pool, connected
from processors.database.queries import load
from processors.errors import ConfigurationError, DatabaseReplacedError, UnreachableError
from processors.kafka.batch import Batch
from processors.kafka.lost_positions import Position
from processors.kafka.records.last_record import LastRecord
from processors.kafka.topic_identity import Identity
from processors.rows.accounting.sqlstate import is_transient

log = structlog.get_logger(__name__)

_SQL = load("processors.rows.accounting", "positions.sql")


Identify = Callable[[Iterable[str]], Awaitable[Mapping[str, Identity]]]


class FencedError(Exception):
    """PostgreSQL's position is not this batch's start: nothing of it may be written.

    `stored` is that position. If it is the batch's own end, the batch was applied, and only the
    response to its COMMIT was lost.
    """

    def __init__(self, batch: Batch, stored: int) -> None:
        super().__init__(f"{batch.topic}[{batch.partition}] stands at {stored}, not {batch.start}")
        self.stored = stored


async def advance(connection: Connection, batch: Batch) -> str:
    """Moves the position past the batch; returns the id of its log, within which an offset is one record.

    Raises FencedError if the position is not the batch's start.

    It locks the position's row until the transaction ends: writers of one partition wait for each
    other.
    """
    moved = await connection.execute(
        _SQL["advance"],
        {
            "topic": batch.topic,
            "partition": batch.partition,
            "start": batch.start,
            "end": batch.end,
            "last_record": _document(batch.end, batch.last_record),
        },
    )
    row = await moved.fetchone()
    if row is None:
        raise FencedError(batch, await _read(connection, batch.tp))
    log_id: str = row[0]
    return log_id


def _document(position: int, last: LastRecord | None) -> Jsonb | None:
    """The last record before a position. It counts only as long as the position is this one: an earlier
    release, or a person, moves the position without it."""
    return Jsonb({"next_offset": position, **asdict(last)}) if last else None


@dataclass(frozen=True)
class StoredPositions:
    """Positions with the identity of their topics, which `identify` gets from the broker.

    It does so at each seek: a topic may be deleted and created again, or get more partitions, while
    a worker runs. `known` are the identities with which this worker started.
    """

    pool: Pool
    known: Mapping[str, Identity]
    identify: Identify

    async def restore(self, beginnings: Mapping[TP, int]) -> Mapping[TP, Position]:
        """The stored position of each partition, which is its beginning if none was stored.

        Raises ConfigurationError if a topic is not the one of the stored position, or not the one
        with which this worker started; UnreachableError if a server does not respond.
        """
        identities = await self.identify({tp.topic for tp in beginnings})
        for topic, identity in identities.items():
            if identity != self.known[topic]:
                raise ConfigurationError(
                    f"{topic} is not the topic that this worker started with, which was "
                    f"{self.known[topic]}: Kafka has {identity}. Start the worker again."
                )
        try:
            async with connected(self.pool, CONNECT_SECONDS) as connection:
                return await _begin(connection, beginnings, identities)
        except (psycopg.Error, PoolTimeout, TimeoutError) as error:
            if is_transient(error):
                raise UnreachableError(
                    f"PostgreSQL does not return positions: {error!r}"
                ) from error
            raise

    async def store_lost(self, tp: TP, position: int, reason: str) -> None:
        """Halts a partition; if its last record was not known, the log is never that of its position."""
        await store_halt(self.pool, tp, reason, position)

    async def read(self, tps: Iterable[TP]) -> Mapping[TP, int]:
        """The current positions; partitions without one are left out.

        Raises psycopg.errors.ReadOnlySqlTransaction if the server is a standby: it may lag behind.
        """
        assigned = list(tps)
        async with connected(self.pool) as connection:
            cursor = await connection.execute(
                _SQL["all"],
                {
                    "topics": [tp.topic for tp in assigned],
                    "partitions": [tp.partition for tp in assigned],
                },
            )
            rows = await cursor.fetchall()
            if any(read_only for *_, read_only in rows):
                raise psycopg.errors.ReadOnlySqlTransaction("positions are not read from a standby")
            return {TP(topic, number): next_offset for topic, number, next_offset, _ in rows}


async def store_halt(pool: Pool, tp: TP, reason: str, lost: int | None = None) -> None:
    """Stores why the partition is halted; its next batch clears the reason.

    `lost`: the position that the log does not have; a person may have replaced it by now. A failure is
    logged: what halts a partition may also prevent this statement.
    """
    parameters = {"topic": tp.topic, "partition": tp.partition, "reason": reason, "position": lost}
    try:
        async with pool.connection() as connection:
            await connection.execute(_SQL["halt" if lost is None else "lost"], parameters)
    except (psycopg.Error, PoolTimeout):
        log.exception("halt is not stored", action="halt_unnoted", topic=tp.topic)


async def _begin(
    connection: Connection, beginnings: Mapping[TP, int], identities: Mapping[str, Identity]
) -> Mapping[TP, Position]:
    own = [identities[tp.topic] for tp in beginnings]
    parameters = {
        "topics": [tp.topic for tp in beginnings],
        "numbers": [tp.partition for tp in beginnings],
        "clusters": [identity.cluster for identity in own],
        "topic_ids": [identity.topic_id for identity in own],
        "partitions": [identity.partitions for identity in own],
        "beginnings": list(beginnings.values()),
    }
    await connection.execute(_SQL["begin"], parameters)
    cursor = await connection.execute(_SQL["begun"], parameters)
    positions: dict[TP, Position] = {}
    for topic, number, cluster, topic_id, partitions, next_offset, last in await cursor.fetchall():
        stored, identity = Identity(cluster, topic_id, partitions), identities[topic]
        if stored != identity:
            raise ConfigurationError(
                f"{topic}[{number}]: the position in PostgreSQL is of {stored}, "
                f"Kafka has {identity}. See docs/operations.md, 'A position is lost', then run: "
                f"foxstream-worker positions accept {topic} {number}"
            )
        positions[TP(topic, number)] = Position(next_offset, last and LastRecord(**last))
    return positions


async def _read(connection: Connection, tp: TP) -> int:
    cursor = await connection.execute(_SQL["read"], {"topic": tp.topic, "partition": tp.partition})
    row: tuple[int] | None = await cursor.fetchone()
    if row is None:  # restore began every partition that is read
        raise DatabaseReplacedError(
            f"ingest.positions has lost {tp.topic}[{tp.partition}]: the database is being restored. See "
            "docs/operations.md, 'The database was restored'"
        )
    return row[0]
