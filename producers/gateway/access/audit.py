"""Who did what, on the topic gateway.audit and in the log."""

from datetime import UTC, datetime

import structlog
from confluent_kafka import KafkaException, Producer
from fastapi import Request

from producers.gateway.access.accounts import Account
from producers.kafka.broker import configuration
from producers.settings import Settings
from schemas.codec.framing import Encoder, load
from schemas.codec.schema import SchemaUnknownError
from schemas.records import GatewayAudit
from schemas.runtime.registry import RegistryUnavailableError
from schemas.topics import GATEWAY_AUDIT

_LOGGER = structlog.get_logger(__name__)


class Audit:
    """Writes without waiting: librdkafka sends in the background, also while Kafka is away."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = settings.topic(GATEWAY_AUDIT.name)
        self._producer = Producer(
            {
                **configuration(settings),
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "queue.buffering.max.messages": 10_000,
            }
        )
        self._encoder: Encoder | None = None

    def prepare(self) -> None:
        """Requests the schema's id from the registry; blocks. Raises what the registry raises."""
        with self._settings.registry() as registry:
            schema_id = registry.schema_id(f"{self._topic}-value", load("gateway_audit"))
        self._encoder = Encoder("gateway_audit", schema_id)

    def write(
        self,
        request: Request,
        account: Account | None,
        action: str,
        import_id: str | None = None,
        detail: str | None = None,
    ) -> None:
        """One line."""
        record: GatewayAudit = {
            "at": datetime.now(UTC),
            "account": account.name if account else "",
            "token_id": account.token_id if account else None,
            "action": action,
            "import_id": import_id,
            "detail": detail,
            "address": request.client.host if request.client else None,
        }
        _LOGGER.info("audit", **{key: value for key, value in record.items() if key != "at"})
        if self._encoder is None:
            return  # the log has it; the topic is not there yet
        try:
            self._producer.produce(self._topic, self._encoder.encode(record), record["account"])
            self._producer.poll(0)
        except (BufferError, KafkaException) as error:
            _LOGGER.warning("audit only in the log", error=str(error))

    def close(self) -> None:
        """Waits a little for Kafka to have it all."""
        self._producer.flush(2.0)


UNPREPARED = (RegistryUnavailableError, SchemaUnknownError)
