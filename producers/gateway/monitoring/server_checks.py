"""Whether Kafka, the registry and the spool's disk do their part: for the metrics, and for /readyz.

A server that is away does not make the gateway unready: it takes uploads all the same, and
reports what it knows. A spool that does not take files does.
"""

import asyncio
from collections.abc import Callable
from functools import partial

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from producers.gateway.monitoring import gateway_metrics
from producers.gateway.spool.spool import Spool
from producers.kafka.broker import configuration
from producers.settings import Settings
from schemas.runtime.logs import SERVER_BACK
from schemas.runtime.registry import RegistryUnavailableError
from schemas.topics import IMPORT_EVENTS

_LOGGER = structlog.get_logger(__name__)

_LOOK_SECONDS = 5.0
_ANSWER_SECONDS = 5.0

_FULL = "Le disque du spool est plein : un fichier de plus n'y tient pas."
_READ_ONLY = "Le spool n'accepte aucun fichier"


class Probing:
    """`spool` is why it does not take a file of `file_bytes`, None if it does."""

    def __init__(self, settings: Settings, spool: Spool, file_bytes: int) -> None:
        self._settings = settings
        self._disk = spool
        self._file_bytes = file_bytes
        self._reached: dict[str, bool] = {}
        self.spool: str | None = None

    def away(self) -> list[str]:
        """Servers that did not answer to the last check."""
        return sorted(name for name, reached in self._reached.items() if not reached)

    async def run(self) -> None:
        """Looks until it is cancelled."""
        admin = AdminClient(configuration(self._settings))
        topic = self._settings.topic_prefix + IMPORT_EVENTS.name
        with self._settings.registry() as registry:
            while True:
                await asyncio.gather(
                    self._check("kafka", partial(_kafka_answers, admin, topic)),
                    self._check("registry", registry.answers),
                    self._look_at_spool(),
                )
                await asyncio.sleep(_LOOK_SECONDS)

    async def _check(self, server: str, call: Callable[[], object]) -> None:
        try:
            await asyncio.to_thread(call)
            reached = True
            if not self._reached.get(server, True):
                _LOGGER.info("server responds again", action=SERVER_BACK, server=server)
        except (KafkaException, RegistryUnavailableError, LookupError, OSError) as error:
            reached = False
            if self._reached.get(server, True):
                _LOGGER.warning("server is away", action="probe", server=server, error=str(error))
        self._reached[server] = reached
        gateway_metrics.SERVER_REACHABLE.labels(server).set(reached)

    async def _look_at_spool(self) -> None:
        self.spool = await asyncio.to_thread(self._spool_refuses)

    def _spool_refuses(self) -> str | None:
        try:
            free, size = self._disk.room()
            gateway_metrics.SPOOL_FREE.set(free)
            gateway_metrics.SPOOL_SIZE.set(size)
            if free < self._file_bytes:
                return _FULL
            self._disk.try_out()
        except OSError as error:
            return f"{_READ_ONLY} : {error.strerror}."
        return None


def _kafka_answers(admin: AdminClient, topic: str) -> None:
    """Raises KafkaException if it does not. Its topics, which may be thousands, are not asked for.

    Not by a request of the AdminClient's own: if one that has timed out is answered while the client is
    being closed, librdkafka aborts the process.
    """
    admin.list_topics(topic, timeout=_ANSWER_SECONDS)
