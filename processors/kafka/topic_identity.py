"""Which topics Kafka has under their names, by a request of aiokafka's client.

librdkafka has topic ids only for its AdminClient. If such a request times out and its response arrives
while the client is being closed, librdkafka aborts the process (rd_kafka_admin_response_parse).
"""

import asyncio
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from processors.errors import ConfigurationError, UnreachableError
from processors.kafka.broker_topics import TIMEOUT_SECONDS, unreachable
from processors.kafka.credentials import credentials
from schemas.runtime.server_settings import ServerSettings

_UNSET = bytes(16)

_NOTHING_ELSE: tuple[bool, bool, dict[int, bytes]] = (False, False, {})
"""Do not create topics, do not list authorized operations, no tagged fields."""


@dataclass(frozen=True)
class Identity:
    """What distinguishes a topic from another one with the same name."""

    cluster: str
    topic_id: str
    partitions: int

    def __str__(self) -> str:
        return f"topic {self.topic_id} with {self.partitions} partitions in cluster {self.cluster}"


async def identify(settings: ServerSettings, topics: Iterable[str]) -> dict[str, Identity]:
    """The identity of each topic.

    Raises ConfigurationError if one does not exist, UnreachableError if Kafka does not respond in time.
    """
    names = list(topics)
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            response = await _described(settings, names)
    except TimeoutError as error:  # a client that is refused learns it at once
        raise UnreachableError(f"Kafka at {settings.kafka_bootstrap} does not respond") from error
    except (KafkaError, OSError) as error:
        raise await asyncio.to_thread(unreachable, settings, str(error)) from error
    found = {
        name: Identity(response.cluster_id, _text(topic_id), len(partitions))
        for _, name, topic_id, _, partitions, *_ in response.topics
        if topic_id != _UNSET
    }
    if missing := [name for name in names if name not in found]:
        raise ConfigurationError(
            f"Kafka lacks the topics {', '.join(missing)}, or does not show them to this user: "
            "run 'foxstream-worker topics'"
        )
    return found


def _text(topic_id: bytes) -> str:
    """As librdkafka writes it, and PostgreSQL has it: base64 with + and /, where Kafka writes - and _."""
    return b64encode(topic_id).decode().rstrip("=")


async def _described(settings: ServerSettings, names: list[str]) -> Any:
    client = AIOKafkaClient(
        bootstrap_servers=settings.kafka_bootstrap,
        **credentials_to_aiokafka_auth(credentials(settings)),
    )
    try:
        await client.bootstrap()
        return await client.send(client.get_random_node(), _DescribeTopics(names))
    finally:
        await client.close()


class _Uuid(AbstractType[bytes]):  # type: ignore[misc]  # aiokafka has no types
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


class _MetadataResponse(Response):  # type: ignore[misc]
    """Version 12 of Metadata, the first with ids and names of topics that any broker returns."""

    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString()),
                ("port", Int32),
                ("rack", CompactString()),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString()),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString()),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataRequest(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Uuid), ("name", CompactString()), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _DescribeTopics(Request[_MetadataRequest]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def build(self, request_struct_class: type[_MetadataRequest]) -> _MetadataRequest:
        return request_struct_class([(_UNSET, name, {}) for name in self._names], *_NOTHING_ELSE)
