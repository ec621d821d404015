"""Records of a worker to aiokafka's producer, without Kafka."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.producer import message_accumulator
from aiokafka.structs import TopicPartition

from processors.kafka.producer import sender

RECORDS = 400


class Producer:
    """aiokafka's batches of a topic's partitions, which are those of the keys' first bytes."""

    def __init__(self) -> None:
        cluster: Any = SimpleNamespace(leader_for_partition=lambda _: 0)
        self._batches = message_accumulator.MessageAccumulator(cluster, 1000, 0, 30)
        self.away: set[int] = set()

    async def maybe_start_producer(self) -> "Producer":
        return self

    async def send(
        self, topic: str, key: bytes, value: bytes, _partition: None, _timestamp: None, _: object
    ) -> Any:
        return await self._batches.add_message(TopicPartition(topic, key[0]), key, value, 30)

    async def acknowledge(self) -> None:
        """As Kafka does, batch by batch, of partitions that are not away."""
        while True:
            muted = {TopicPartition("t", partition) for partition in self.away}
            nodes, _ = self._batches.drain_by_nodes([], muted)
            for batches in nodes.values():
                for batch in batches.values():
                    batch.drain_ready()
                    batch.done(0)
            await asyncio.sleep(0)


async def test_many_records_of_one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """What each costs does not grow with how many wait beside it, as thousands of rejects do."""
    tries = 0
    append = message_accumulator.MessageBatch.append

    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal tries
        tries += 1
        return append(*arguments, **named)

    monkeypatch.setattr(message_accumulator.MessageBatch, "append", counted)
    producer = Producer()
    send = sender(producer)
    acknowledging = asyncio.create_task(producer.acknowledge())

    await asyncio.gather(*(send("t", b"a", b"v" * 100, []) for _ in range(RECORDS)))

    acknowledging.cancel()
    assert RECORDS <= tries < 2 * RECORDS


async def test_a_partition_that_is_away_holds_up_no_other() -> None:
    """Its records wait; those of other keys are acknowledged."""
    producer = Producer()
    producer.away.add(ord("a"))
    send = sender(producer)
    acknowledging = asyncio.create_task(producer.acknowledge())
    waiting = [asyncio.ensure_future(send("t", b"a", b"v" * 100, [])) for _ in range(RECORDS)]

    await asyncio.gather(*(send("t", b"b", b"v" * 100, []) for _ in range(RECORDS)))

    assert not any(each.done() for each in waiting)
    producer.away.clear()
    await asyncio.gather(*waiting)
    acknowledging.cancel()
