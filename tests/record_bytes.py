"""Record batches as bytes, sound and damaged, and a client that sends them as they are."""

import asyncio
import gzip
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import cramjam
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
Headers = Sequence[tuple[str, bytes | None]]
Given = Iterable[tuple[bytes | None, bytes | None]]
"""Keys and values."""
RECORDS_AT = 61
_ATTRIBUTES_AT, _CHECKED_FROM = 22, 21


def batch(records: Given, codec: str = "none", base: int = 0, headers: Headers = ()) -> bytes:
    """A batch of Kafka's format 2 whose first record has the offset `base`."""
    builder = DefaultRecordBatchBuilder(2, CODECS[codec], 0, -1, -1, -1, 1 << 30)
    for number, (key, value) in enumerate(records):
        assert builder.append(number, 1_700_000_000_000, key, value, list(headers))
    return struct.pack(">q", base) + bytes(builder.build())[8:]


def sealed(data: bytes) -> bytes:
    """The batch with the length and the checksum that it should have."""
    body = data[_CHECKED_FROM:]
    checksum = struct.pack(">I", calc_crc32c(body))
    return data[:8] + struct.pack(">i", len(data) - 12) + data[12:17] + checksum + body


def packed(codec: str, records: bytes) -> bytes:
    """The bytes of records, compressed."""
    pack: dict[str, Callable[[bytes], bytes]] = {
        "none": bytes,
        "gzip": gzip.compress,
        "snappy": lambda data: bytes(cramjam.snappy.compress_raw(data)),
        "lz4": lambda data: bytes(cramjam.lz4.compress(data)),
        "zstd": lambda data: bytes(cramjam.zstd.compress(data)),
    }
    return pack[codec](records)


def compressed(plain: bytes, codec: int, packed: bytes) -> bytes:
    """The header of `plain` over records that are compressed already."""
    header = bytearray(plain[:RECORDS_AT])
    header[_ATTRIBUTES_AT] = codec
    return sealed(bytes(header) + packed)


def send(
    bootstrap: str, topic: str, batches: Mapping[int, Sequence[bytes]], **credentials: Any
) -> list[int]:
    """Has a broker append batches to partitions, one after another; its error code for each."""

    async def produce() -> list[int]:
        client = AIOKafkaClient(bootstrap_servers=bootstrap, **credentials)
        await client.bootstrap()
        try:
            await client.force_metadata_update()
            await client._wait_on_metadata(topic)
            codes = []
            for partition, each in batches.items():
                node = client.cluster.leader_for_partition(TopicPartition(topic, partition))
                for data in each:
                    request = ProduceRequest(None, -1, 10_000, [(topic, [(partition, data)])])
                    answer = await client.send(node, request)
                    [(_, [(_, code, *_)])] = answer.topics
                    codes.append(code)
            return codes
        finally:
            await client.close()

    return asyncio.run(produce())
