"""An attacker: an upstream account of Kafka and an account of the gateway."""

import asyncio
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import httpx
from confluent_kafka import Producer, murmur2

from schemas.runtime.server_settings import ServerSettings
from tests import record_bytes
from tests.row_records import Companies

PARTITIONS = 4
FIRST = 700_000_000
"""SIRENs of attackers' rows."""


@dataclass(frozen=True)
class Attacker:
    """What it knows. `registry` is that of an account that may register schemas."""

    settings: ServerSettings
    registry: str
    port: int
    token: str

    @cached_property
    def companies(self) -> Companies:
        return Companies(self.settings)

    def row(self, number: int, **fields: object) -> tuple[str, bytes]:
        """Key and value of a row of its own."""
        siren = f"{FIRST + number}"
        return siren, self.companies.value(siren, **{"nom": f"Hostile {number}", **fields})

    def partition(self, key: str | bytes) -> int:
        """Where its row has to be."""
        return murmur2(key.encode() if isinstance(key, str) else key, PARTITIONS)

    def producer(self, **more: object) -> Producer:
        """A client of its own account."""
        return Producer(
            {
                **self.settings.librdkafka(),
                "log_level": 0,
                "partitioner": "murmur2_random",
                "message.max.bytes": 1_048_588,  # as a broker has it by default
                **more,
            }
        )

    def send(self, batches: Mapping[int, Sequence[bytes]]) -> list[int]:
        """Has Kafka append batches as they are; its error codes."""
        assert self.settings.kafka_security_password is not None
        return record_bytes.send(
            self.settings.kafka_bootstrap,
            self.companies.topic,
            batches,
            security_protocol="SASL_SSL",
            ssl_context=self.settings.kafka_tls(),
            sasl_mechanism=self.settings.kafka_security_mechanism,
            sasl_plain_username=self.settings.kafka_security_username,
            sasl_plain_password=self.settings.kafka_security_password.get_secret_value(),
        )

    def client(self) -> httpx.Client:
        """Of the gateway, with its token."""
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=30,
            trust_env=False,
        )

    def connect(self) -> socket.socket:
        """A connection to the gateway, without a token."""
        return socket.create_connection(("127.0.0.1", self.port), 10)

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The same for many at a time."""
        return await asyncio.open_connection("127.0.0.1", self.port)


Act = Callable[[float], Iterable[str]]
"""Attacks until that moment, by `monotonic`; what was not as it has to be."""


@dataclass(frozen=True)
class Attack:
    """`prepare` makes what is to be sent. `fair`: it competes for what accounts share."""

    prepare: Callable[[Attacker], Act]
    seconds: float = 6.0
    fair: bool = False
